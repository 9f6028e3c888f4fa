"""What is refused before a model is trained."""

from typing import Literal

import pytest

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.training.config import ConditionerConfig
from simulgen_pipeline.training.fit import check_kind


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
