"""The one division of designs into training, validation and test that every stage respects."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from .config import SplitConfig
from .errors import DataError

PARTS = ("train", "validation", "test")


class Split(BaseModel):
    """Row numbers of the designs in each part; `test` may be empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """The parts that have designs, by name."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name)}


def split_designs(design_ids: Sequence[str], config: SplitConfig) -> Split:
    """Divide designs at random by `seed`, or as a file says.

    Fractions are rounded to whole designs, the validation part to at least one.

    Raises:
        DataError: too few designs, or a file that is missing, malformed, names unknown designs, or
            puts a design in two parts.
    """
    if config.file is not None:
        return _read_split(config.file, design_ids)
    num_designs = len(design_ids)
    num_test = round(config.test * num_designs)
    num_validation = max(1, round(config.validation * num_designs))
    order = np.random.default_rng(config.seed).permutation(num_designs).tolist()
    split = Split(
        test=tuple(sorted(order[:num_test])),
        validation=tuple(sorted(order[num_test : num_test + num_validation])),
        train=tuple(sorted(order[num_test + num_validation :])),
    )
    return check_split(split, f"data.split of {num_designs} designs")


def _read_split(path: Path, design_ids: Sequence[str]) -> Split:
    if not path.is_file():
        raise DataError(f"There is no file {path} (data.split.file).")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}")
        position = {name: row for row, name in enumerate(design_ids)}
        rows = {
            part: tuple(_row(entry, position) for entry in entries)
            for part, entries in content.items()
        }
        split = Split.model_validate(rows)
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, LookupError, ValidationError) as e:
        raise DataError(
            f'{path} (data.split.file): {e}. Expected {{"train": [...], "validation": [...], '
            f'"test": [...]}} of row numbers from 0 to {len(design_ids) - 1}, or of ids.'
        ) from e
    return check_split(split, str(path))


def _row(entry: object, position: dict[str, int]) -> int:
    """A row number as it is, an id as its row."""
    if isinstance(entry, str):
        if entry not in position:
            raise LookupError(f"there is no design '{entry}'")
        return position[entry]
    if not isinstance(entry, int) or isinstance(entry, bool) or not 0 <= entry < len(position):
        raise LookupError(f"there is no design {entry!r}")
    return entry


def check_split(
    split: Split, source: str, remedy: str = "add simulations, or lower data.split.test"
) -> Split:
    """The split itself, if training is possible with it.

    Raises:
        DataError: a design is in two parts, or a part that training needs has too few.
    """
    counts = Counter([*split.train, *split.validation, *split.test])
    repeated = sorted(row for row, count in counts.items() if count > 1)
    if repeated:
        raise DataError(f"{source}: design {repeated[0]} is in more than one place.")
    if len(split.train) < 3 or not split.validation:
        raise DataError(
            f"{source}: {len(split.train)} designs for training and {len(split.validation)} for "
            f"validation are too few. Expected at least 3 and 1: {remedy}."
        )
    return split
