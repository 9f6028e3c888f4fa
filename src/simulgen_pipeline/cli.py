"""The project's command line: Kedro's own with clear errors, and what looks after results."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog, DatasetError

from .data.errors import DataError
from .parameters import ParametersError
from .prune import carry_out, plan_prune, show_plan
from .summary import summarise
from .training.errors import TrainingError, is_out_of_memory
from .training.join import join as join_run
from .versions import (
    Stored,
    find_stored,
    load_versions,
    read_manifest,
    run_ids,
    show_runs,
    show_sizes,
)

# Errors of users' making, which are told in plain words.
USER_ERRORS = (DataError, DatasetError, ParametersError, TrainingError)
# What to do when memory does not suffice outside of training, which has remedies of its own.
RUN_MEMORY_REMEDY = (
    "Leave more memory to the node that ran last. Baselines take two to three times "
    "baselines.max_bytes (1 GiB by default). What was trained so far is kept: the same command "
    "goes on from there, also with other values of baselines.*."
)


class RunCommand(click.Command):
    """`kedro run` with errors of users' making in plain words.

    `--params` and `--config` are refused together, because Kedro lets the one silently replace all
    parameters of the other. `--pipeline` stays an option of this project; that Kedro would rather
    have `--pipelines` is nothing that its users have to know.
    """

    def invoke(self, ctx: click.Context) -> Any:
        given = ctx.get_parameter_source("params") == ParameterSource.COMMANDLINE
        if given and ctx.params.get("config"):
            raise click.UsageError(
                "--params and --config cannot be used together: --params would replace all "
                "parameters of the file. Put them all into the file, or all on the command line."
            )
        warnings.filterwarnings("ignore", "Option '--pipeline' is deprecated")
        try:
            return super().invoke(ctx)
        except TrainingError as error:
            raise click.ClickException(str(error)) from error
        except Exception as error:
            if is_out_of_memory(error):
                what = str(error) or type(error).__name__
                said = f"Memory did not suffice: {what}. {RUN_MEMORY_REMEDY}"
                raise click.ClickException(said) from error
            if isinstance(error, USER_ERRORS):
                raise click.ClickException(str(error)) from error
            raise


@contextmanager
def _project() -> Iterator[tuple[DataCatalog, Path]]:
    """The project's catalog and folder, with errors of users' making in plain words."""
    try:
        with KedroSession.create() as session:
            context = session.load_context()  # type: ignore[attr-defined]
            yield context.catalog, context.project_path
    except USER_ERRORS as error:
        raise click.ClickException(str(error)) from error


def _stored(catalog: DataCatalog) -> dict[str, Stored]:
    names = {name for pipeline in pipelines.values() for name in pipeline.datasets()}
    return find_stored(catalog, names)


@click.group(context_settings=CONTEXT_SETTINGS, name="simulgen_pipeline")
def cli() -> None:
    """Commands of SimulGen Pipeline."""


@cli.command()
@click.option(
    "--truth",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="HDF5 file with the true fields of the newest predictions, to compare with.",
)
def summary(truth: Path | None) -> None:
    """Errors of the newest surrogate, and where its pictures are."""
    with _project() as (catalog, _):
        click.echo(summarise(catalog, truth))


@cli.command()
@click.option("--run-id", help="Only say how to load what this run loaded.")
def versions(run_id: str | None) -> None:
    """How large the data is, what each run saved, and how to load what a run loaded."""
    with _project() as (catalog, folder):
        stored = _stored(catalog)
        if run_id is None:
            click.echo(show_sizes(stored, folder))
            click.echo("\n" + show_runs(stored) + "\n")
        for chosen in [run_id] if run_id else run_ids(stored)[:1]:
            option = load_versions(read_manifest(stored, chosen), stored)
            click.echo(
                f"To load what run {chosen} loaded: {option}"
                if option
                else f"Run {chosen} loaded no versions."
            )


@cli.command()
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    required=True,
    help="Keep so many newest versions of every dataset, and what so many newest runs used.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--interrupted", is_flag=True, help="Remove interrupted trainings too.")
def prune(keep: int, dry_run: bool, yes: bool, interrupted: bool) -> None:
    """Remove old versions of all datasets, but for those that a newer run needs."""
    with _project() as (catalog, folder):
        plan = plan_prune(_stored(catalog), keep, folder, interrupted)
        click.echo(show_plan(plan))
        if dry_run or not plan.folders:
            click.echo("Nothing was removed.")
            return
        if not yes and not plan.running:
            click.confirm("Remove what goes?", abort=True)
            if plan != plan_prune(_stored(catalog), keep, folder, interrupted):
                raise DataError("Nothing was removed: some run has begun or ended meanwhile.")
        carry_out(plan)
        click.echo("Removed.")


@cli.command()
@click.option("--rendezvous", required=True, metavar="HOST:PORT", help="training.rendezvous there.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Minutes to wait for the first training to begin.",
)
def join(rendezvous: str, patience: float) -> None:
    """Train along with a `kedro run` on another machine, until that ends."""
    try:
        join_run(rendezvous, 60 * patience)
    except (TrainingError, ValueError) as error:
        raise click.ClickException(str(error)) from error


run = copy.copy(kedro_run)
run.__class__ = RunCommand
cli.add_command(run)
