"""The project's command line: Kedro's own, with one contradiction refused and clear errors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.session import KedroSession
from kedro.io import DatasetError

from .data.errors import DataError
from .parameters import ParametersError
from .summary import summarise
from .training.errors import TrainingError
from .training.join import join as join_run


class RunCommand(click.Command):
    """`kedro run` with errors of users' making in plain words.

    `--params` and `--config` are refused together, because Kedro lets the one silently replace all
    parameters of the other.
    """

    def invoke(self, ctx: click.Context) -> Any:
        given = ctx.get_parameter_source("params") == ParameterSource.COMMANDLINE
        if given and ctx.params.get("config"):
            raise click.UsageError(
                "--params and --config cannot be used together: --params would replace all "
                "parameters of the file. Put them all into the file, or all on the command line."
            )
        try:
            return super().invoke(ctx)
        except (DataError, DatasetError, ParametersError, TrainingError) as error:
            raise click.ClickException(str(error)) from error


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
    with KedroSession.create() as session:
        catalog = session.load_context().catalog  # type: ignore[attr-defined]
        try:
            click.echo(summarise(catalog, truth))
        except (DataError, DatasetError) as error:
            raise click.ClickException(str(error)) from error


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
