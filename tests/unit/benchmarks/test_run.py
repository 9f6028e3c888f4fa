"""The harness around the measurements: what it runs, skips and writes."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from benchmarks import project, run
from benchmarks.data_sets import DATA_SETS
from benchmarks.measure import Line, Measured


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with nothing but the names of one data set's files."""
    folder = tmp_path / "data" / "burgers"
    folder.mkdir(parents=True)
    for name in ("simulations.h5", "designs.csv", "split.json"):
        (folder / name).touch()
    return folder.parent


def test_node_times_are_those_between_their_lines() -> None:
    lines = [
        Line(1.0, "[11/23/26 01:00:00] INFO     Running node: train_vae: train_vae() -> "),
        Line(2.0, "something else"),
        Line(4.5, "INFO     Completed node: train_vae"),
        Line(4.6, "INFO     Running node: evaluate"),
    ]
    assert project.node_seconds(lines) == {"train_vae": 3.5}


def test_the_reason_is_the_last_line_with_a_word() -> None:
    lines = [
        Line(0, "Traceback"),
        Line(0, "  DataError: no designs "),
        Line(0, "-----"),
        Line(0, ""),
    ]
    assert project.last_words(lines) == "DataError: no designs"
    assert project.last_words([]) == "it said nothing"


def test_a_copy_of_the_project_has_what_kedro_needs(tmp_path: Path) -> None:
    project.Project(tmp_path, tmp_path)
    for name in ("pyproject.toml", "conf/base/catalog.yml", "conf/local", "src/simulgen_pipeline"):
        assert (tmp_path / name).exists(), name


def test_pipelines_are_run_as_a_user_would(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def record(command: list[str], folder: Path, *_: Any) -> Measured:
        commands.append((command, folder))
        return Measured(1, 2.0, 3, [Line(1.0, "DataError: broken")])

    monkeypatch.setattr(project.measure, "run", record)
    copy = tmp_path / "copy"
    copy.mkdir()
    ran = project.Project(copy, tmp_path).run(DATA_SETS["burgers"], data, "full_vae", 7, "smoke")
    assert ran == {"mode": "full_vae", "seed": 7, "error": "DataError: broken"}
    ((command, folder),) = commands
    assert folder == copy
    assert command[1:6] == ["-m", "kedro", "run", "--pipeline=full_vae", "--env=smoke"]
    parameters = command[6].removeprefix("--params=").split(",")
    burgers = data / "burgers"
    assert parameters == [
        f"simulations={burgers / 'simulations.h5'}",
        f"designs={burgers / 'designs.csv'}",
        f"data.split.file={burgers / 'split.json'}",
        "training.seed=7",
        "plots=off",
    ]


def test_a_split_is_drawn_where_one_is_asked_for(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def record(command: list[str], folder: Path, env: Any, log: Path) -> Measured:
        commands.append((command[-1], log.name))
        return Measured(1, 2.0, 3, [Line(1.0, "DataError: broken")])

    monkeypatch.setattr(project.measure, "run", record)
    copy = tmp_path / "copy"
    copy.mkdir()
    split = {"data.split.seed": "3", "data.split.test": "0.5"}
    project.Project(copy, tmp_path).run(DATA_SETS["burgers"], data, "full_vae", 0, None, split)
    ((parameters, log),) = commands
    assert ",data.split.seed=3,data.split.test=0.5," in parameters
    assert "split.file" not in parameters
    assert log == "burgers-full_vae-seed0-split3.log"


def test_missing_sets_unknown_modes_and_missing_competitors_are_skipped_with_a_line(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    out = tmp_path / "out"
    with caplog.at_level(logging.INFO):
        places = ["--data", str(data), "--out", str(out)]
        what = ["--set", "darcy", "burgers", "--mode", "backwards", "competition"]
        run.main([*places, *what])
    assert f"darcy: skipped, there is no {data / 'darcy' / 'simulations.h5'}" in caplog.text
    assert "backwards, seed 0: skipped: the project has no such pipeline" in caplog.text
    assert "EZyRB is not installed" in caplog.text
    assert sorted(path.name for path in out.iterdir()) == ["burgers.json", "logs", "table.md"]
    result = json.loads((out / "burgers.json").read_text())
    assert result["machine"]["num_threads"] >= 1
    assert result["versions"]["torch"]
    assert result["seeds"] == [0]
    assert "| burgers | - |" in (out / "table.md").read_text()


def test_the_table_is_of_all_results_in_the_folder(tmp_path: Path) -> None:
    for name in ("burgers", "darcy"):
        run.write(tmp_path / f"{name}.json", json.dumps({"project": [], "competition": {}}))
    (tmp_path / "other.json").write_text("not a result")
    assert list(run.results_in(tmp_path)) == ["darcy", "burgers"]
