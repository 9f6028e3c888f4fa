"""What is refused before a model is trained, and how large the model is."""

from typing import Literal

import pytest

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.training.config import ConditionerConfig, VaeConfig
from simulgen_pipeline.training.fit import (
    STATIC_SIZES,
    TRANSIENT_SIZES,
    check_kind,
    vae_architecture,
)


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


@pytest.mark.parametrize(("num_time_steps", "sizes"), [(1, STATIC_SIZES), (2, TRANSIENT_SIZES)])
def test_static_fields_get_a_smaller_vae_unless_its_size_is_given(
    num_time_steps: int, sizes: tuple[tuple[int, ...], int]
) -> None:
    shape = (10, num_time_steps, 7)
    filters, num_blocks = sizes
    auto = vae_architecture(VaeConfig(), shape)
    assert (auto.num_time_steps, auto.num_channels) == shape[1:]
    assert (auto.filters, auto.num_blocks) == (filters, num_blocks)
    assert vae_architecture(VaeConfig(size="large"), shape).num_blocks == 2 * num_blocks
    given = vae_architecture(VaeConfig(filters=(64, 32)), shape)
    assert (given.filters, given.num_blocks) == ((64, 32), num_blocks)
    given = vae_architecture(VaeConfig(num_blocks=3), shape)
    assert (given.filters, given.num_blocks) == (filters, 3)
