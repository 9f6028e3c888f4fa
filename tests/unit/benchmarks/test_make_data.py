"""Data sets as they are written, and their division into parts."""

import io
import json
import logging
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from benchmarks import make_data, smithers
from benchmarks.data_sets import DATA_SETS, Study, missing_files
from simulgen_pipeline.data.fields import FieldMetadata

VALIDATION_OF_100 = [5, 16, 20, 36, 52, 72, 82, 90, 93, 94]


def content(designs: pd.DataFrame | np.ndarray) -> make_data.Content:
    fields = np.arange(10 * 3 * 4, dtype=np.float32).reshape(10, 3, 4)
    metadata = FieldMetadata("heat", time=np.array([0.0, 1.0, 2.0]))
    return make_data.Content(fields, metadata, designs, 1, 2, licence="MIT")


def table() -> pd.DataFrame:
    return pd.DataFrame({"a": np.linspace(0, 1, 10), "b": np.arange(10) / 3})


def test_split_puts_every_design_in_one_part_at_random() -> None:
    split = make_data.random_split(100, 10, 20)
    assert {part: len(rows) for part, rows in split.items()} == {
        "train": 70,
        "validation": 10,
        "test": 20,
    }
    assert sorted(row for rows in split.values() for row in rows) == list(range(100))
    assert all(rows == sorted(rows) for rows in split.values())
    assert split["test"] != list(range(80, 100))


def test_splits_are_those_that_published_figures_are_for() -> None:
    assert make_data.random_split(100, 10, 20)["validation"] == VALIDATION_OF_100
    burgers = make_data.random_split(441, 9, 353)
    assert [len(burgers[part]) for part in ("train", "validation", "test")] == [79, 9, 353]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    make_data.write(tmp_path, content(table()))
    study = Study(tmp_path)
    assert not study.has_pictures
    np.testing.assert_allclose(study.designs, table().to_numpy(), rtol=1e-9)
    assert study.fields(np.array([7, 2])).tolist() == [
        list(range(84, 96)),
        list(range(24, 36)),
    ]
    assert (tmp_path / "LICENSE.rst").read_text() == "MIT"
    with h5py.File(tmp_path / "simulations.h5") as file:
        assert file["time"][()].tolist() == [0, 1, 2]


def test_pictures_are_read_back_by_number(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (10, 5, 4)).astype(np.uint8)
    make_data.write(tmp_path, content(pictures))
    study = Study(tmp_path)
    assert study.has_pictures
    assert (study.designs == pictures.reshape(10, 20) / 255).all()
    assert [file.name for file in study.picture_files(np.array([9, 0]))] == [
        "design_0009.png",
        "design_0000.png",
    ]


def test_a_split_that_shares_a_design_is_refused(tmp_path: Path) -> None:
    make_data.write(tmp_path, content(table()))
    (tmp_path / "split.json").write_text(json.dumps({"train": [0, 1], "test": [1]}))
    with pytest.raises(ValueError, match="at most once, in one part; got 3 rows, 2 different"):
        Study(tmp_path)


def test_sets_appear_whole_and_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = []
    maker = lambda folder: made.append(folder) or content(table())  # noqa: E731
    monkeypatch.setitem(make_data.MAKERS, "burgers", maker)
    with caplog.at_level(logging.INFO):
        make_data.main([str(tmp_path), "--set", "burgers", "darcy"])
        make_data.main([str(tmp_path), "--set", "burgers"])
    assert made == [tmp_path]
    assert [path.name for path in tmp_path.iterdir()] == ["burgers"]
    assert missing_files(DATA_SETS["burgers"], tmp_path) == []
    assert "darcy cannot be made here" in caplog.text
    assert "burgers is there already" in caplog.text


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(make_data.MAKERS, "burgers", lambda folder: content(table().iloc[:0]))
    monkeypatch.setattr(make_data, "random_split", lambda *numbers: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_data.main([str(tmp_path), "--set", "burgers"])
    assert list(tmp_path.iterdir()) == []


def test_every_data_set_says_where_it_comes_from() -> None:
    assert set(make_data.MAKERS) < set(DATA_SETS)
    for name, data_set in DATA_SETS.items():
        assert data_set.name == name
        assert data_set.origin
        assert data_set.licence
        assert (name in make_data.MAKERS) == ("benchmarks.make_data" in data_set.how)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package like smithers, with two nodes and three designs."""
    arrays = {
        "elastic_block/snapshots": np.array([[1.0, 2, 10, 20]] * 3),
        "elastic_block/params": np.ones((3, 11)),
        "elastic_block/coords": np.array([[0.0, 1], [5, 6]]),
        "elastic_block/triangles": np.array([[0, 1, 0]], np.uint32),
        "unsteady_heat/snapshots": np.zeros((3, 4, 2)),
        "unsteady_heat/params": np.ones((3, 2)),
        "unsteady_heat/coords": np.array([[0.0, 1], [5, 6]]),
        "unsteady_heat/triangles": np.array([[0, 1, 0]], np.int32),
    }
    path = tmp_path / "smithers-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("smithers-0.0.1.dist-info/LICENSE.rst", "The MIT licence")
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, values)
            archive.writestr(f"smithers/dataset/datasets/{name}.npy", buffer.getvalue())
    return path


def test_displacements_are_interleaved(wheel: Path) -> None:
    study = smithers.read_elastic_block(wheel)
    assert study.fields.shape == (3, 1, 4)
    assert study.fields[0, 0].tolist() == [1, 10, 2, 20]
    assert study.coordinates.tolist() == [[0, 5], [1, 6]]


def test_transient_fields_are_as_published_and_a_wheel_that_is_there_is_used(wheel: Path) -> None:
    study = smithers.read_unsteady_heat(smithers.wheel(wheel.parent))
    assert study.fields.shape == (3, 4, 2)
    assert study.fields.dtype == np.float32
    assert study.coordinates.tolist() == [[0, 1], [5, 6]]
    assert study.licence == "The MIT licence"
