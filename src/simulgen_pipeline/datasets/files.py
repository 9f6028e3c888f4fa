"""Kedro's datasets of tables, JSON and figures, whose files are there whole or not at all."""

from __future__ import annotations

from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any

from kedro_datasets.json import JSONDataset
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset

from simulgen_pipeline.data.whole_files import whole_file


class WholeFile:
    """Goes before a versioned dataset of one local file, which is then written under another name.

    It gets its own when all of it is there. (Not a dataset itself: Kedro would call its constructor
    instead of the other one's.)
    """

    def save(self, data: Any) -> None:
        dataset: Any = copy(self)
        path = Path(dataset._get_save_path())
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            dataset._version, dataset._filepath = None, PurePosixPath(unfinished.as_posix())
            super(WholeFile, dataset).save(data)  # type: ignore[misc]


class TableDataset(WholeFile, CSVDataset):  # type: ignore[misc]
    """A table as CSV."""


class JsonDataset(WholeFile, JSONDataset):  # type: ignore[misc]
    """What JSON can say."""


class FigureDataset(WholeFile, MatplotlibDataset):  # type: ignore[misc]
    """A figure as PNG."""
