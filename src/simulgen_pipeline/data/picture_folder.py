"""A folder of pictures: which files are designs, and in which order."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from .errors import DataError
from .pictures import PICTURE_COLUMN

logger = logging.getLogger(__name__)

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
MOST_NAMES = 5  # in a message


def list_pictures(folder: Path) -> pd.DataFrame:
    """A table of the PNG and JPG files of a folder, in natural order (2 before 10).

    Returns:
        A column `picture` with the files' paths; the index `id` has their names without suffix.

    Raises:
        DataError: there are none, or two have the same name but for the suffix.
    """
    found = [path for path in _visible(folder) if path.suffix.lower() in PICTURE_SUFFIXES]
    skipped = files_left_out(folder)
    if not found:
        there = f", only {shortened(skipped)}" if skipped else ""
        raise DataError(
            f"{folder} is a folder with no pictures{there}. Expected one PNG or JPG file per "
            f"simulation, or the name of a CSV file: --params=designs=PATH (for predict: "
            f"new_designs=PATH)."
        )
    if skipped:
        logger.warning("Not read, as no PNG or JPG files of %s: %s", folder, shortened(skipped))
    found.sort(key=lambda path: _natural(path.name))
    index = pd.Index([path.stem for path in found], name="id")
    if not index.is_unique:
        name = index[index.duplicated()][0]
        raise DataError(
            f"{folder} has several pictures called '{name}'. Expected one picture per design; "
            f"remove or rename the others."
        )
    return pd.DataFrame({PICTURE_COLUMN: [str(path) for path in found]}, index=index)


def files_left_out(folder: Path) -> list[str]:
    """Names of the files of a folder of pictures that are neither PNG nor JPG."""
    return sorted(
        path.name
        for path in _visible(folder)
        if path.is_file() and path.suffix.lower() not in PICTURE_SUFFIXES
    )


def shortened(names: Sequence[str]) -> str:
    """The first few of some names, and how many there are beside."""
    shown, num_more = ", ".join(names[:MOST_NAMES]), len(names) - MOST_NAMES
    return f"{shown} and {num_more} more" if num_more > 0 else shown


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that takes runs of digits as numbers."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))
