"""Augmentation of pictures: bounded, reproducible, and off unless asked for."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from simulgen_pipeline.training.picture_augmentation import (
    NUM_NOISE_COLUMNS,
    PictureAugmentation,
    augment_pictures,
)

KINDS = ("shift", "rotation", "scale", "brightness")
MOVEMENTS = KINDS[:3]


def always(*kinds: str, max_displacement: float = 0.5, **values: Any) -> PictureAugmentation:
    """Some kinds, each with certainty; `values` are each one's own."""
    config = {kind: {"probability": 1.0, **values} for kind in kinds}
    return PictureAugmentation.model_validate({**config, "max_displacement": max_displacement})


def noise(num: int) -> Tensor:
    return torch.randn(num, NUM_NOISE_COLUMNS, generator=torch.Generator().manual_seed(3))


def pictures(num: int, size: int = 16, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    shape = (num, channels, size, size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def displacements(config: PictureAugmentation, num: int = 200, size: int = 16) -> Tensor:
    """How far from where it is each pixel reads its level (num, 2, size - 2, size - 2) [pixels].

    Interpolation is exact for levels that rise with the column or row; not at the border.
    """
    axis = 50 + torch.arange(float(size))
    columns, rows = torch.meshgrid(axis, axis, indexing="xy")
    ramps = torch.stack([columns, rows])
    moved = augment_pictures(ramps.expand(num, -1, -1, -1), noise(num), config) - ramps
    return moved[:, :, 1:-1, 1:-1]


def test_by_default_nothing_happens() -> None:
    levels = pictures(5)
    torch.testing.assert_close(
        augment_pictures(levels, noise(5), PictureAugmentation()), levels.float(), atol=0, rtol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_every_picture_and_keeps_the_range_of_levels(kind: str) -> None:
    levels = pictures(20)
    augmented = augment_pictures(levels, noise(20), always(kind))
    assert augmented.shape == levels.shape
    assert augmented.dtype == torch.float32
    assert augmented.min() >= 0
    assert augmented.max() <= 255
    assert (augmented != levels).flatten(1).any(dim=1).all()


@pytest.mark.parametrize("size", [33, 64])
@pytest.mark.parametrize("kinds", [*((kind,) for kind in MOVEMENTS), MOVEMENTS], ids=str)
@pytest.mark.parametrize("largest", [0.5, 2.0])
def test_no_pixel_moves_farther_than_allowed_and_some_nearly_as_far(
    size: int, kinds: tuple[str, ...], largest: float
) -> None:
    config = always(*kinds, max_displacement=largest, size=largest)
    inside = displacements(config, size=size).norm(dim=1)[:, 2:-2, 2:-2]
    assert inside.max() <= largest + 1e-3
    assert inside.max() > 0.7 * largest


def test_sizes_below_the_bound_are_kept() -> None:
    for kind in MOVEMENTS:
        distance = displacements(always(kind, size=0.1)).norm(dim=1)
        assert 0.05 < distance.max() <= 0.1 + 1e-3


def test_a_shift_moves_all_pixels_alike_in_every_direction() -> None:
    moved = displacements(always("shift"))
    first = moved[:, :, :1, :1]
    torch.testing.assert_close(moved, first.expand_as(moved), atol=1e-3, rtol=0)
    assert len(first.flatten(1).sign().unique(dim=0)) == 4


def test_rotation_moves_pixels_around_the_centre_and_scale_away_from_it() -> None:
    size = 17
    centre = torch.arange(-7.0, 8.0)
    position = torch.stack(torch.meshgrid(centre, centre, indexing="xy"))
    for kind, across in (("rotation", True), ("scale", False)):
        moved = displacements(always(kind), size=size)
        x, y = position
        wrong = x * moved[:, 0] + y * moved[:, 1] if across else x * moved[:, 1] - y * moved[:, 0]
        right = x * moved[:, 1] - y * moved[:, 0] if across else x * moved[:, 0] + y * moved[:, 1]
        assert wrong.abs().max() < 1e-2
        assert right.abs().max() > 1.0
        torch.testing.assert_close(moved[:, :, 7, 7], torch.zeros(200, 2), atol=1e-3, rtol=0)
        assert (moved[:, 0, 0, 0] > 0).any()
        assert (moved[:, 0, 0, 0] < 0).any()


def test_brightness_noise_has_its_spread_and_is_one_number_per_picture() -> None:
    grey = torch.full((2000, 2, 4, 4), 128.0)
    added = augment_pictures(grey, noise(2000), always("brightness", sigma=3.0)) - grey
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added))
    assert abs(added[:, 0, 0, 0].std().item() - 3.0) < 0.2
    assert abs(added[:, 0, 0, 0].mean().item()) < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_happens_as_often_as_its_probability_says(kind: str) -> None:
    levels = pictures(1000, size=8, channels=1)
    config = PictureAugmentation.model_validate({kind: {"probability": 0.3}})
    augmented = augment_pictures(levels, noise(1000), config)
    changed = (augmented != levels).flatten(1).any(dim=1)
    assert abs(changed.float().mean().item() - 0.3) < 0.05


def test_kinds_are_drawn_independently() -> None:
    config = PictureAugmentation.model_validate({kind: {"probability": 0.5} for kind in KINDS})
    uniform = torch.special.ndtr(noise(400))
    untouched = (uniform[:, :4] >= 0.5).all(dim=1)
    levels = pictures(400, size=8)
    changed = (augment_pictures(levels, noise(400), config) != levels).flatten(1).any(dim=1)
    assert torch.equal(changed, ~untouched)


def test_a_picture_is_augmented_by_its_own_noise_only() -> None:
    levels, draws, config = pictures(6), noise(6), always(*KINDS)
    together = augment_pictures(levels, draws, config)
    torch.testing.assert_close(augment_pictures(levels, draws, config), together, atol=0, rtol=0)
    alone = augment_pictures(levels[2:3], draws[2:3], config)
    torch.testing.assert_close(alone, together[2:3])
    assert not torch.allclose(augment_pictures(levels, draws.flip(0), config), together)


def test_whole_and_broken_levels_are_augmented_alike() -> None:
    levels, config = pictures(4), always(*KINDS)
    whole = augment_pictures(levels, noise(4), config)
    torch.testing.assert_close(augment_pictures(levels.float(), noise(4), config), whole)


def test_mixed_precision_does_not_blur_positions() -> None:
    levels, config = pictures(4, size=64), always(*KINDS)
    exact = augment_pictures(levels, noise(4), config)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = augment_pictures(levels, noise(4), config)
    torch.testing.assert_close(mixed, exact, atol=0, rtol=0)


@pytest.mark.parametrize("kind", MOVEMENTS)
def test_a_size_beyond_the_bound_is_refused_where_the_kind_is_on(kind: str) -> None:
    with pytest.raises(ValidationError, match=rf"{kind}.size .* got 0.8 and 0.5 pixels"):
        always(kind, size=0.8)
    PictureAugmentation.model_validate({kind: {"size": 0.8}})


@pytest.mark.parametrize(
    "values",
    [
        {"flip": 0.5},
        {"shift": {"probability": 1.5}},
        {"rotation": {"size": -1}},
        {"scale": {"sizes": 1}},
        {"brightness": {"sigma": -1}},
        {"max_displacement": 0},
    ],
    ids=str,
)
def test_impossible_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        PictureAugmentation.model_validate(values)
