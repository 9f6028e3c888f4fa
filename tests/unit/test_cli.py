"""The commands that look after results, on the project's own catalog."""

import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from kedro.framework.project import configure_project
from kedro.io import DatasetError

from simulgen_pipeline.cli import RUN_MEMORY_REMEDY, RunCommand, cli
from simulgen_pipeline.versions import Manifest

PROJECT = Path(__file__).parents[2]
OLD, NEW, LATER = (f"2026-01-{day:02d}T12.00.00.000Z" for day in (1, 2, 3))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two versions of a VAE and a plot, of which the newer run used the old VAE."""
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    for version in (OLD, NEW):
        for place in ("06_models/vae", "08_reporting/plot_latents.png"):
            path = tmp_path / "data" / place / version / Path(place).name
            path.parent.mkdir(parents=True)
            path.write_bytes(b" " * 1000)
    manifest = Manifest(
        run_id=NEW,
        status="success",
        pipelines=("conditioner_only",),
        environment=None,
        parameters={},
        code_revision=None,
        loaded={"vae": OLD},
        saved={"plot_latents": NEW},
    )
    path = tmp_path / f"data/08_reporting/run_manifest.json/{NEW}/run_manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(manifest.model_dump_json())
    monkeypatch.chdir(tmp_path)
    configure_project("simulgen_pipeline")
    return tmp_path


def kedro(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=answer)


def left(folder: Path) -> set[str]:
    places = (*folder.glob("data/06_models/vae/*"), *folder.glob("data/08_reporting/plot_*/*"))
    return {f"{path.parent.name}:{path.name}" for path in places}


# Kedro asks instances of settings for their fields, which pydantic deprecates.
@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")
def test_versions_and_prune(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {f"{name}:{v}" for name in ("vae", "plot_latents.png") for v in (OLD, NEW)}

    listed = kedro("versions")
    assert listed.exit_code == 0, listed.output
    assert f"To load what run {NEW} loaded: --load-versions=vae:{OLD}" in listed.output
    assert "conditioner_only" in listed.output
    refused = kedro("versions", "--run-id=yesterday")
    assert refused.exit_code == 1
    assert "no manifest of a run 'yesterday'" in refused.output

    assert kedro("prune").exit_code == 2
    assert kedro("prune", "--keep=0").exit_code == 2
    dry = kedro("prune", "--keep=1", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert f"used by a run that stays: vae:{OLD}" in dry.output
    assert kedro("prune", "--keep=1", answer="n\n").exit_code == 1
    assert left(folder) == everything

    def answer_late(*_: object, **__: object) -> None:
        (folder / "data/06_models/vae" / LATER / "vae").mkdir(parents=True)

    with monkeypatch.context() as patch:
        patch.setattr(click, "confirm", answer_late)
        assert "begun or ended meanwhile" in kedro("prune", "--keep=1").output
    everything.add(f"vae:{LATER}")
    assert left(folder) == everything

    pruned = kedro("prune", "--keep=1", answer="y\n")
    assert pruned.exit_code == 0, pruned.output
    assert left(folder) == everything - {f"plot_latents.png:{OLD}", f"vae:{NEW}"}
    assert "Nothing was removed" in kedro("prune", "--keep=1", "--yes").output


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 511. MiB"), "Unable to allocate 511. MiB"),
        (MemoryError(), "MemoryError"),
        (DatasetError("Failed while loading data"), "Failed while loading data"),
    ],
)
def test_too_little_memory_for_a_run_is_told_with_a_remedy(error: Exception, said: str) -> None:
    def fail(params: str | None) -> None:
        try:
            raise OSError(12, "Cannot allocate memory")
        except OSError as cause:
            raise error from cause

    run = RunCommand("run", callback=fail, params=[click.Option(["--params"])])
    result = CliRunner().invoke(run)
    assert result.exit_code == 1
    assert f"Memory did not suffice: {said}. {RUN_MEMORY_REMEDY}" in result.output
    assert "Traceback" not in result.output


def test_an_error_of_the_project_itself_keeps_its_traceback() -> None:
    def fail(params: str | None) -> None:
        raise KeyError("lost")

    result = CliRunner().invoke(
        RunCommand("run", callback=fail, params=[click.Option(["--params"])])
    )
    assert isinstance(result.exception, KeyError)
