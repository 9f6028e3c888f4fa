"""Designs: reading a CSV file or listing a folder of pictures, matching them to the simulations.

A design table is a DataFrame with the design ids as index, and one float64 column per parameter or
one column `picture` of paths.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import DataError
from .picture_folder import PICTURE_SUFFIXES, files_left_out, list_pictures, shortened
from .pictures import PICTURE_COLUMN, has_pictures

logger = logging.getLogger(__name__)

ID_COLUMN = "id"
# A name with a number: what is before it, its digits, what is after it.
NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


def read_designs(path: Path) -> pd.DataFrame:
    """Read a CSV file of designs, with a header row or none, or list a folder of pictures.

    A column `id` becomes the index; without one the index is unnamed and counts from 0. Without a
    header the columns are named p1, p2, ... A folder's pictures have their file names as index.

    Raises:
        DataError: the file is missing, empty, a picture, or holds anything but finite numbers; the
            folder has no pictures.
    """
    if path.is_dir():
        return list_pictures(path)
    if not path.is_file():
        raise DataError(
            f"There are no designs at {path}. Expected a CSV file with one row per simulation, or "
            f"a folder with one picture per simulation; name yours with --params=designs=PATH (for "
            f"predict: new_designs=PATH)."
        )
    if path.suffix.lower() in PICTURE_SUFFIXES:
        raise DataError(
            f"{path} is one picture. Expected the folder that it is in, with one picture per "
            f"design, or a CSV file; Surrogate.predict takes a list of pictures, too."
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            numbered = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a readable CSV file: {error}. Expected comma-separated numbers, one "
            f"row per design, with a header row or none."
        ) from error
    rows = {line: _without_empty_end(cells) for line, cells in numbered if any(cells)}
    first = next(iter(rows.values()), [])
    names = [f"p{i + 1}" for i in range(len(first))]
    numeric = [_is_number(cell) for cell in first if cell]
    if numeric and not any(numeric):
        names = rows.pop(next(iter(rows)))
    elif not all(numeric):
        raise DataError(
            f"{path}, line {next(iter(rows))}: expected a header of names or a row of numbers, "
            f"found both: {', '.join(first)}.{_hint(first)} Correct the row, or add a "
            f"header above it."
        )
    if not rows:
        raise DataError(f"{path} holds no designs. Expected one row per design, after a header.")
    return _parse(path, _as_table(path, names, rows))


def _without_empty_end(cells: list[str]) -> list[str]:
    """The cells of a row up to the last that is not empty."""
    while not cells[-1]:
        cells = cells[:-1]
    return cells


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _as_table(path: Path, names: list[str], rows: dict[int, list[str]]) -> pd.DataFrame:
    """The cells as text, with the file's line numbers as index."""
    if "" in names or len(set(names)) < len(names):
        raise DataError(
            f"{path} has the column names {', '.join(map(repr, names))}. Expected a different name "
            f"for each column."
        )
    for line, cells in rows.items():
        if len(cells) > len(names):
            raise DataError(
                f"{path}, line {line}: expected {len(names)} values ({', '.join(names)}), found "
                f"{len(cells)}. Expected one row per design, the values separated by commas."
                f"{_hint(names + cells)}"
            )
    padded = [cells + [""] * (len(names) - len(cells)) for cells in rows.values()]
    return pd.DataFrame(padded, index=pd.Index(rows), columns=names, dtype=str)


def _hint(cells: list[str]) -> str:
    semicolons = any(";" in cell for cell in cells)
    return " The file seems to be separated by semicolons." if semicolons else ""


def _parse(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    lines = table.index
    table = table.reset_index(drop=True)
    if ID_COLUMN in table.columns:
        ids = table.pop(ID_COLUMN)
        wrong = (ids == "") | ids.duplicated()
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{path}: ids must be present and unique; line {lines[row]} has '{ids[row]}'."
            )
        table.index = pd.Index(ids, name=ID_COLUMN)
    if table.shape[1] == 0:
        raise DataError(f"{path} has no parameter columns. Expected at least one beside the ids.")
    numbers: pd.DataFrame = table.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    finite = np.isfinite(numbers.to_numpy())
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        given = table.iloc[row, column]
        shown = f"'{given}'" if given else "nothing"
        raise DataError(
            f"{path}, line {lines[row]}, column '{table.columns[column]}': expected a finite "
            f"number, found {shown}.{_hint([given])} Correct it, or remove the column if it is no "
            f"parameter."
        )
    return numbers


def match_designs(
    table: pd.DataFrame,
    num_designs: int,
    design_ids: Sequence[str] | None,
    sources: tuple[str, str],
) -> pd.DataFrame:
    """Bring designs into the order of the simulations, by id when both sides have ids.

    Args:
        table: designs as `read_designs` returns them.
        num_designs: number of simulations, N.
        design_ids: the simulations' ids (N,), or None.
        sources: what to call the simulations and the designs in an error: their files.

    Returns:
        The table in the simulations' order; its index `id` has their ids (or the table's own, or
        the row numbers where nobody has ids).

    Raises:
        DataError: the counts differ, or an id is on one side only.
    """
    simulations, designs = sources
    if len(table) != num_designs:
        design, row = ("picture", "picture") if has_pictures(table) else ("design", "row")
        raise DataError(
            f"{simulations} has {num_designs} simulations, {designs} has {len(table)} {design}s. "
            f"Expected one {design} per simulation: add or remove {row}s, or check that both are "
            f"of the same study.{_who_is_missing(table, num_designs, design_ids)}"
        )
    has_ids = table.index.name == ID_COLUMN
    is_named = design_ids is not None and not table.index.isin(design_ids).any()
    if has_pictures(table) and is_named:  # files have names that need not be ids
        logger.warning(
            "No picture of %s has the id of a simulation ('%s' is the first picture, '%s' the "
            "first id): they are matched in natural order.",
            designs,
            table.index[0],
            next(iter(design_ids or ())),
        )
        has_ids = False
    if has_ids and design_ids is not None:
        missing = [i for i in design_ids if i not in table.index]
        if missing:
            raise DataError(
                f"{len(missing)} simulations of {simulations} have no design with their id in "
                f"{designs}, the first is '{missing[0]}'; ids there look like '{table.index[0]}'. "
                f"Make the ids agree, or remove the id column to match by order."
            )
        table = table.loc[list(design_ids)]
    elif not has_ids:
        ids = design_ids if design_ids is not None else [str(i) for i in range(num_designs)]
        table = table.set_axis(pd.Index(list(ids), name=ID_COLUMN), axis="index")
    return table.rename_axis(ID_COLUMN)


def _who_is_missing(table: pd.DataFrame, num_designs: int, design_ids: Sequence[str] | None) -> str:
    """Sentences that name designs which are not there or are too many, as far as names tell."""
    if table.index.name != ID_COLUMN:
        return ""
    names, ids = table.index.tolist(), list(design_ids or ())
    there, known = set(names), set(ids)
    surplus, skipped = [], []
    if there & known:
        missing = [name for name in ids if name not in there]
        surplus = [name for name in names if name not in known]
    else:
        gaps = _gaps(names, num_designs - len(names))
        missing = [name for name in gaps if name not in there]  # a table may be in any order
    if has_pictures(table):
        skipped = files_left_out(Path(table[PICTURE_COLUMN].iloc[0]).parent)
    groups = {"Missing": missing, "Without a simulation": surplus, "No PNG or JPG files": skipped}
    return "".join(f" {what}: {shortened(names)}." for what, names in groups.items() if names)


def _gaps(names: Sequence[str], num_most: int) -> list[str]:
    """Names left out in a numbering; none if they are more, as of numbers that mean something."""
    gaps: list[str] = []
    for before, after in pairwise(NUMBERED.fullmatch(name) for name in names):
        if not before or not after or before.group(1, 3) != after.group(1, 3):
            continue
        start, stop = int(before[2]) + 1, int(after[2])
        if len(gaps) + stop - start > num_most:
            return []
        width = len(before[2])
        gaps += [f"{before[1]}{number:0{width}}{before[3]}" for number in range(start, stop)]
    return gaps


def design_fingerprint(table: pd.DataFrame) -> str:
    """Identifies a design table: SHA-256 of its ids, and of parameters or pictures themselves."""
    digest = hashlib.sha256(repr((table.index.tolist(), table.columns.tolist())).encode())
    if has_pictures(table):
        for path in table[PICTURE_COLUMN]:
            digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
    else:
        digest.update(np.ascontiguousarray(table.to_numpy(np.float64)).data)
    return digest.hexdigest()
