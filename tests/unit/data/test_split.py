"""The division of designs into training, validation and test parts."""

import json
from pathlib import Path
from typing import Any

import pytest

from simulgen_pipeline.data.config import SplitConfig
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.split import Split, split_designs


def ids(num_designs: int) -> list[str]:
    return [f"run_{i}" for i in range(num_designs)]


@pytest.fixture
def split_file(tmp_path: Path) -> Path:
    return tmp_path / "my_split.json"


def from_file(path: Path, content: Any, num_designs: int = 10) -> Split:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return split_designs(ids(num_designs), SplitConfig(file=path))


@pytest.mark.parametrize(
    ("num_designs", "validation", "test", "sizes"),
    [
        (100, 0.1, 0.2, (70, 10, 20)),
        (24, 0.1, 0.2, (17, 2, 5)),
        (8, 0.1, 0.2, (5, 1, 2)),
        (5, 0.01, 0.0, (4, 1, 0)),
        (10, 0.3, 0.3, (4, 3, 3)),
        (100000, 0.1, 0.2, (70000, 10000, 20000)),
    ],
)
def test_fractions_are_rounded_to_whole_designs(
    num_designs: int, validation: float, test: float, sizes: tuple[int, int, int]
) -> None:
    split = split_designs(ids(num_designs), SplitConfig(validation=validation, test=test))
    assert (len(split.train), len(split.validation), len(split.test)) == sizes


def test_every_design_is_in_one_part_in_ascending_order() -> None:
    split = split_designs(ids(57), SplitConfig())
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(57))
    for rows in split.parts.values():
        assert list(rows) == sorted(rows)


def test_the_split_follows_from_the_seed() -> None:
    first = split_designs(ids(40), SplitConfig(seed=3))
    assert first == split_designs(ids(40), SplitConfig(seed=3))
    assert first != split_designs(ids(40), SplitConfig(seed=4))


def test_the_split_is_random() -> None:
    split = split_designs(ids(40), SplitConfig())
    assert split.test != tuple(range(8))
    assert split.test != tuple(range(32, 40))


def test_the_test_part_stays_the_same_when_the_validation_part_grows() -> None:
    small = split_designs(ids(40), SplitConfig(validation=0.1))
    large = split_designs(ids(40), SplitConfig(validation=0.3))
    assert small.test == large.test


def test_without_test_designs_there_is_no_test_part() -> None:
    split = split_designs(ids(20), SplitConfig(test=0))
    assert split.test == ()
    assert set(split.parts) == {"train", "validation"}


def test_a_split_survives_json() -> None:
    split = split_designs(ids(20), SplitConfig())
    assert Split.model_validate(json.loads(json.dumps(split.model_dump(mode="json")))) == split


@pytest.mark.parametrize("num_designs", [0, 1, 2, 3, 4])
def test_too_few_designs_are_refused(num_designs: int) -> None:
    with pytest.raises(DataError, match=r"too few. Expected at least 3 and 1: add simulations"):
        split_designs(ids(num_designs), SplitConfig(test=0.25))


def test_a_file_of_row_numbers_overrides_the_fractions(split_file: Path) -> None:
    split = from_file(split_file, {"train": [9, 1, 2, 3], "validation": [4], "test": [0, 5]})
    assert split == Split(train=(9, 1, 2, 3), validation=(4,), test=(0, 5))


def test_a_file_of_ids_overrides_the_fractions(split_file: Path) -> None:
    parts = {"train": ["run_9", "run_1", "run_2"], "validation": ["run_4"], "test": ["run_0"]}
    assert from_file(split_file, parts) == Split(train=(9, 1, 2), validation=(4,), test=(0,))


def test_a_file_may_leave_out_test_and_designs(split_file: Path) -> None:
    split = from_file(split_file, {"train": [1, 2, 3], "validation": [4]})
    assert split.test == ()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "Expecting"),
        ("[1, 2, 3]", "a list"),
        ("\xff", "(?s)."),
        ({"train": [1, 2, 3]}, "(?s)validation.*required"),
        ({"train": [1, 2, 3], "validation": [4], "tset": [5]}, "tset"),
        ({"train": [1, 2, 10], "validation": [4]}, "no design 10"),
        ({"train": [1, 2, -1], "validation": [4]}, "no design -1"),
        ({"train": [1, 2, 3.0], "validation": [4]}, "no design 3.0"),
        ({"train": [1, 2, True], "validation": [4]}, "no design True"),
        ({"train": [1, 2, None], "validation": [4]}, "no design None"),
        ({"train": [1, 2, [3]], "validation": [4]}, r"no design \[3\]"),
        ({"train": ["run_1", "run_2", "run_x"], "validation": [4]}, "no design 'run_x'"),
        ({"train": 3, "validation": [4]}, "not iterable"),
    ],
    ids=str,
)
def test_a_malformed_file_is_refused_with_what_is_expected(
    split_file: Path, content: Any, named: str
) -> None:
    with pytest.raises(DataError, match=named) as caught:
        from_file(split_file, content)
    message = str(caught.value)
    assert str(split_file) in message
    assert '"validation": [...]' in message
    assert "row numbers from 0 to 9" in message


def test_a_missing_file_is_named(split_file: Path) -> None:
    with pytest.raises(DataError, match=r"data\.split\.file") as caught:
        split_designs(ids(10), SplitConfig(file=split_file))
    assert str(split_file) in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"train": [1, 2, 3], "validation": [4, 3]},
        {"train": [1, 2, 3, 1], "validation": [4]},
        {"train": [1, 2, 3], "validation": [4], "test": [1]},
        {"train": ["run_1", 1, 2, 3], "validation": [4]},
    ],
    ids=str,
)
def test_a_design_in_two_places_is_refused(split_file: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"design \d is in more than one place"):
        from_file(split_file, parts)


@pytest.mark.parametrize(
    "parts",
    [{"train": [1, 2], "validation": [4]}, {"train": [1, 2, 3], "validation": [], "test": [5]}],
    ids=str,
)
def test_too_small_parts_in_a_file_are_refused(split_file: Path, parts: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="too few") as caught:
        from_file(split_file, parts)
    assert str(split_file) in str(caught.value)
