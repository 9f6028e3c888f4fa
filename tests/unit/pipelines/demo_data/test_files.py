"""The demo's files: made once, made anew with the study, never taken for somebody else's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.pipelines.demo_data import files
from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig
from simulgen_pipeline.pipelines.demo_data.files import write_demo_data

SMALL = DemoDataConfig(
    num_designs=3, num_held_back=1, num_times=3, num_substeps=1, num_nodes=120, image_size=16
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_data_that_is_there_is_left_alone(tmp_path: Path) -> None:
    write_demo_data(SMALL, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    write_demo_data(SMALL, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == times


def test_data_of_another_study_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_demo_data(SMALL, tmp_path)
    before = (tmp_path / "simulations.h5").stat().st_ino
    monkeypatch.setattr(files, "_study_digest", lambda: "another")
    write_demo_data(SMALL, tmp_path)
    assert (tmp_path / "simulations.h5").stat().st_ino != before


def test_digest_is_that_of_the_studys_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files._study_digest()
    changed = tmp_path / "heat.py"
    changed.write_text("PLATE_THICKNESS = 1.0")
    monkeypatch.setattr(files.heat, "__file__", str(changed))
    assert files._study_digest() != before


def test_a_study_grows_and_shrinks_with_its_parameters(tmp_path: Path) -> None:
    for num_designs in (4, 3, 4):
        write_demo_data(SMALL.model_copy(update={"num_designs": num_designs}), tmp_path)
        assert len(list((tmp_path / "images").iterdir())) == num_designs


@pytest.mark.parametrize("num_moved", [0, 1, 4])
def test_files_of_an_interrupted_run_are_still_the_demos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_moved: int
) -> None:
    write_demo_data(SMALL, tmp_path)
    other = SMALL.model_copy(update={"seed": 1})
    replace, moved = os.replace, 0

    def replace_some(source: Any, target: Any) -> None:
        nonlocal moved
        if not Path(target).name.startswith("."):
            if moved == num_moved:
                raise KeyboardInterrupt
            moved += 1
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", replace_some)
    with pytest.raises(KeyboardInterrupt):
        write_demo_data(other, tmp_path)
    monkeypatch.undo()
    write_demo_data(other, tmp_path)
    expected = tmp_path / "expected"
    write_demo_data(other, expected)
    made, wanted = contents(tmp_path), contents(expected)
    assert {name: made[name] for name in wanted if not name.endswith((".h5", ".json"))} == {
        name: value for name, value in wanted.items() if not name.endswith((".h5", ".json"))
    }


def test_a_file_of_the_users_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "designs.csv").write_text("mine")
    with pytest.raises(DataError, match=r"designs\.csv was not written by demo_data"):
        write_demo_data(SMALL, tmp_path)
    assert (tmp_path / "designs.csv").read_text() == "mine"
