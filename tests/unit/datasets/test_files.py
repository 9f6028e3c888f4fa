"""Tables, JSON and figures in the file system, read back, and whole or not at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from kedro.io import AbstractVersionedDataset, DatasetError, Version
from PIL import Image

from simulgen_pipeline.datasets.files import FigureDataset, JsonDataset, TableDataset

VERSION = "2026-01-01T00.00.00.000Z"


def dataset(kind: type[Any], path: Path) -> Any:
    return kind(filepath=path.as_posix(), version=Version(None, VERSION))


def figure() -> plt.Figure:
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    return figure


def test_what_is_saved_is_loaded_under_its_version(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1, 2], "b": [0.5, -1.0]})
    tables = dataset(TableDataset, tmp_path / "table.csv")
    tables.save(table)
    pd.testing.assert_frame_equal(tables.load(), table)
    values = dataset(JsonDataset, tmp_path / "values.json")
    values.save({"a": [1.5]})
    assert values.load() == {"a": [1.5]}
    dataset(FigureDataset, tmp_path / "plot.png").save(figure())
    with Image.open(tmp_path / "plot.png" / VERSION / "plot.png") as picture:
        assert picture.format == "PNG"
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"table.csv", "values.json", "plot.png"}


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    dataset(JsonDataset, tmp_path / "values.json").save(1)
    with pytest.raises(DatasetError, match="must not exist"):
        dataset(JsonDataset, tmp_path / "values.json").save(2)
    assert dataset(JsonDataset, tmp_path / "values.json").load() == 1


class Broken:
    """Nothing that can be saved."""

    def savefig(self, file: Any, **_: Any) -> None:
        file.write(b"half of it")
        raise OSError("No space left on device")

    def to_csv(self, path_or_buf: Any, **_: Any) -> None:
        path_or_buf.write("half,of,it")
        raise OSError("No space left on device")


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (TableDataset, Broken),
        (JsonDataset, lambda: {"a": 1, "b": Broken()}),
        (FigureDataset, Broken),
    ],
)
def test_what_fails_half_way_leaves_no_file(
    tmp_path: Path, kind: type[AbstractVersionedDataset[Any, Any]], make: Callable[[], Any]
) -> None:
    with pytest.raises(DatasetError, match=r"No space left|not JSON serializable"):
        dataset(kind, tmp_path / "file").save(make())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not dataset(kind, tmp_path / "file").exists()
