"""The divisions of designs that studies train with."""

import pytest

from simulgen_pipeline.data.config import SplitConfig
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.split import Split, split_designs
from simulgen_pipeline.pipelines.studies.splits import fold_splits, growing_splits


@pytest.mark.parametrize(("num_designs", "num_folds"), [(20, 5), (23, 5), (600, 7), (5, 5)])
def test_every_design_is_a_test_design_once_in_folds_of_about_one_size(
    num_designs: int, num_folds: int
) -> None:
    splits = list(fold_splits(num_designs, num_folds, SplitConfig()).values())
    tested = [row for split in splits for row in split.test]
    assert sorted(tested) == list(range(num_designs))
    sizes = [len(split.test) for split in splits]
    assert len(sizes) == num_folds
    assert max(sizes) - min(sizes) <= 1


def test_every_fold_divides_all_designs_with_the_validation_share_of_the_split() -> None:
    for split in fold_splits(43, 4, SplitConfig(validation=0.2)).values():
        assert sorted([*split.train, *split.validation, *split.test]) == list(range(43))
        assert len(split.validation) == 9
        for rows in split.parts.values():
            assert list(rows) == sorted(rows)


def test_folds_are_random_and_follow_from_the_seed() -> None:
    first = fold_splits(40, 5, SplitConfig(seed=3))
    assert first == fold_splits(40, 5, SplitConfig(seed=3))
    assert first != fold_splits(40, 5, SplitConfig(seed=4))
    assert first["fold_1"].test != tuple(range(8))


def test_the_first_of_five_folds_is_the_split_with_a_fifth_for_the_test() -> None:
    config = SplitConfig(seed=2)
    ids = [str(row) for row in range(40)]
    assert fold_splits(40, 5, config)["fold_1"] == split_designs(ids, config)


@pytest.mark.parametrize(
    ("num_designs", "num_folds", "validation", "message"),
    [
        (4, 5, 0.1, "num_folds=5 folds need at least as many designs, got 4"),
        (6, 2, 0.1, r"num_folds=2 of 6 designs: 2 designs .* raise studies.num_folds"),
        (20, 2, 0.6, r"0 designs for training .* lower data.split.validation"),
    ],
)
def test_too_few_designs_for_folds_are_refused(
    num_designs: int, num_folds: int, validation: float, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fold_splits(num_designs, num_folds, SplitConfig(validation=validation, test=0))


SPLIT = Split(train=(9, 8, 7, 6, 5, 4, 3, 2, 1, 0), validation=(10,), test=(11, 12))


def test_training_designs_grow_and_hold_the_smaller_ones() -> None:
    splits = growing_splits(SPLIT, (0.3, 0.5, 1.0), seed=0)
    assert list(splits) == ["designs_3", "designs_5", "designs_10"]
    small, middle, full = splits.values()
    assert set(small.train) < set(middle.train) < set(full.train)
    assert full == SPLIT  # to the order of its designs
    for split in splits.values():
        assert (split.validation, split.test) == (SPLIT.validation, SPLIT.test)


def test_subsets_are_random_and_follow_from_the_seed() -> None:
    chosen = {growing_splits(SPLIT, (0.5,), seed)["designs_5"].train for seed in range(5)}
    assert len(chosen) > 1
    assert growing_splits(SPLIT, (0.5,), 1) == growing_splits(SPLIT, (0.5,), 1)


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ((0.1, 1.0), "1 designs for training .* take larger fractions"),
        ((0.5, 0.52, 1.0), "two of them are 5 of 10 training designs"),
    ],
)
def test_fractions_of_too_few_designs_are_refused(
    fractions: tuple[float, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        growing_splits(SPLIT, fractions, 0)
