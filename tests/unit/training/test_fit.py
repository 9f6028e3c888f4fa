"""What is refused before a model is trained, and what a refit is measured by."""

from typing import Literal

import pytest

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.training.config import ConditionerConfig
from simulgen_pipeline.training.fit import check_kind, num_held_out_parts


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_conditioners_that_read_pictures_are_not_for_parameters(
    kind: Literal["cnn", "vit"],
) -> None:
    config = ConditionerConfig(kind=kind)
    check_kind(config, has_pictures=True)
    with pytest.raises(DataError, match=f"conditioner.kind={kind} reads pictures"):
        check_kind(config, has_pictures=False)


@pytest.mark.parametrize("kind", ["auto", "mlp"])
def test_other_conditioners_are_for_both(kind: Literal["auto", "mlp"]) -> None:
    for has_pictures in (True, False):
        check_kind(ConditionerConfig(kind=kind), has_pictures)


@pytest.mark.parametrize(
    ("num_train", "num_validation", "expected"),
    [
        (80, 10, 2),
        (100, 20, 2),  # parts of 10 of 120 designs
        (99, 20, 3),
        (35, 5, 2),
        (20, 3, 3),  # parts of 2 would be more than a twelfth of 23 designs
        (100, 50, 5),
        (50, 50, 5),  # more would take too long
        (2, 3, 3),  # no more parts than designs
        (14, 1, 1),
        (14, 0, 0),
    ],
)
def test_parts_that_refits_are_measured_on_are_few_and_small(
    num_train: int, num_validation: int, expected: int
) -> None:
    assert num_held_out_parts(num_train, num_validation) == expected
