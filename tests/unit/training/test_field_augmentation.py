"""Field augmentation: each kind against its definition, and what the result may depend on."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Tensor

from simulgen_pipeline.training.field_augmentation import (
    KINDS,
    Augmented,
    FieldAugmentation,
    augment,
    corrupt,
    vary,
)

BATCH, TIMES, CHANNELS = 12, 20, 7
VARIATIONS, CORRUPTIONS = ("mixup", "scaling", "shift"), ("noise", "cutout")
EVERYTHING = FieldAugmentation(**{f"{kind}_probability": 0.5 for kind in KINDS})


def always(kind: str, **values: Any) -> FieldAugmentation:
    return FieldAugmentation.model_validate({f"{kind}_probability": 1.0, **values})


def drawn(num: int = BATCH, num_times: int = TIMES) -> tuple[Tensor, Tensor, Tensor]:
    """Fields, partners and noise."""
    generator = torch.Generator().manual_seed(1)
    fields = torch.randn(2, num, num_times, CHANNELS, generator=generator)
    noise = torch.randn(num, EVERYTHING.noise_size, generator=generator)
    return fields[0] * torch.linspace(0.1, 9, num)[:, None, None], fields[1], noise


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    return drawn()


def column(noise: Tensor, kind: str, sizing: bool = True) -> Tensor:
    return noise[:, 2 * KINDS.index(kind) + sizing]


def touched(before: Tensor, after: Tensor) -> Tensor:
    """Designs (B,) that are not the same bit for bit."""
    return (before.view(torch.int32) != after.view(torch.int32)).flatten(1).any(dim=1)


def test_nothing_is_touched_by_default(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    fields, partners, noise = batch
    config = FieldAugmentation()
    assert config.noise_size == 0
    for result in augment(fields, partners, noise, config):
        assert not touched(fields, result).any()
    assert augment(fields, None, noise[:, :0], config).target is fields


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_a_kind_touches_designs_at_its_rate_and_leaves_the_others_bit_for_bit(
    kind: str, probability: float
) -> None:
    fields, partners, noise = drawn(2000)
    fields[:, 0] = -0.0  # which adding zero would change
    partners = partners.index_fill(1, torch.tensor([0]), 5.0)
    config = FieldAugmentation.model_validate({f"{kind}_probability": probability})
    result = augment(fields, partners, noise, config)
    changed = touched(fields, result.seen)
    assert changed.float().mean().item() == pytest.approx(probability, abs=0.03)
    if probability in (0, 1):
        assert changed.all() == changed.any() == bool(probability)
    expected = torch.special.ndtr(column(noise, kind, sizing=False)) < probability
    assert torch.equal(changed, expected)


@pytest.mark.parametrize("kind", VARIATIONS)
def test_what_is_varied_is_seen_and_reconstructed_alike(
    batch: tuple[Tensor, Tensor, Tensor], kind: str
) -> None:
    result = augment(*batch, always(kind))
    assert torch.equal(result.seen, result.target)
    assert touched(batch[0], result.target).all()


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_what_is_corrupted_is_seen_and_the_target_stays_clean(
    batch: tuple[Tensor, Tensor, Tensor], kind: str
) -> None:
    result = augment(*batch, always(kind))
    assert touched(batch[0], result.seen).all()
    assert not touched(batch[0], result.target).any()


def test_corruptions_are_of_the_varied_field(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    result = augment(*batch, EVERYTHING)
    assert torch.equal(result.target, vary(*batch, EVERYTHING))
    assert torch.equal(result.seen, corrupt(result.target, batch[2], EVERYTHING))


def test_the_arguments_are_left_alone(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    before = [tensor.clone() for tensor in batch]
    augment(*batch, EVERYTHING)
    assert all(torch.equal(a, b) for a, b in zip(batch, before, strict=True))


def test_noise_is_white_and_relative_to_each_designs_own_rms() -> None:
    fields, partners, noise = drawn(num_times=3000)
    seen = augment(fields, partners, noise, always("noise", noise_level=0.2)).seen
    rms = fields.square().mean(dim=(1, 2)).sqrt()
    white = (seen - fields) / (0.2 * rms[:, None, None])
    torch.testing.assert_close(white.mean(dim=(1, 2)), torch.zeros(BATCH), atol=0.03, rtol=0)
    torch.testing.assert_close(white.std(dim=(1, 2)), torch.ones(BATCH), atol=0.03, rtol=0)
    between_designs = torch.corrcoef(white.flatten(1))
    assert (between_designs - torch.eye(BATCH)).abs().max() < 0.04
    in_time = (white[:, 1:] * white[:, :-1]).mean(dim=(1, 2))
    assert in_time.abs().max() < 0.04


def test_cutout_is_one_interval_of_the_given_share_anywhere() -> None:
    fields, partners, noise = drawn(500)
    seen = augment(fields, partners, noise, always("cutout", cutout_share=0.25)).seen
    zero = (seen == 0).all(dim=2)  # (B, T)
    assert (zero.sum(dim=1) == 5).all()
    first = zero.int().argmax(dim=1)
    times = torch.arange(TIMES)
    expected = (times >= first[:, None]) & (times < first[:, None] + 5)
    assert torch.equal(zero, expected)
    assert set(first.tolist()) == set(range(TIMES - 5 + 1))
    assert torch.equal(seen[~zero], fields[~zero])


def test_cutout_takes_one_step_where_its_share_is_less() -> None:
    fields, partners, noise = drawn(num_times=3)
    seen = augment(fields, partners, noise, always("cutout", cutout_share=0.01)).seen
    assert ((seen == 0).all(dim=2).sum(dim=1) == 1).all()


def test_cutout_leaves_static_fields_as_they_are() -> None:
    fields, partners, noise = drawn(num_times=1)
    assert torch.equal(augment(fields, partners, noise, always("cutout")).seen, fields)


def test_scaling_multiplies_with_a_uniform_factor() -> None:
    fields, partners, noise = drawn(2000)
    target = augment(fields, partners, noise, always("scaling", scaling_range=(0.5, 2.0))).target
    factors = target[:, 0, 0] / fields[:, 0, 0]
    torch.testing.assert_close(target, factors[:, None, None] * fields)
    assert stats.kstest(factors.numpy(), stats.uniform(0.5, 1.5).cdf).pvalue > 0.01


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_mixup_is_a_mean_with_the_partner_weighted_by_a_beta_distribution(alpha: float) -> None:
    num = 2000
    fields, partners = torch.ones(num, 2, 1), torch.zeros(num, 2, 1)
    noise = drawn(num)[2]
    target = augment(fields, partners, noise, always("mixup", mixup_alpha=alpha)).target
    weights = target[:, 0, 0].double()
    assert stats.kstest(weights.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01
    fields, partners, _ = drawn(num)
    target = augment(fields, partners, noise, always("mixup", mixup_alpha=alpha)).target
    weight = weights.float()[:, None, None]
    torch.testing.assert_close(target, weight * fields + (1 - weight) * partners)


def test_mixup_without_partners_is_refused_with_its_probability() -> None:
    fields, _, noise = drawn()
    with pytest.raises(ValueError, match=r"mixup_probability is 0\.5, which needs partners"):
        augment(fields, None, noise, EVERYTHING)


def test_shift_is_a_delay_that_holds_the_first_state() -> None:
    fields = torch.arange(1.0, TIMES + 1)[None, :, None].repeat(600, 1, CHANNELS)
    noise = drawn(600)[2]
    target = augment(fields, None, noise, always("shift", shift_steps=4)).target
    delays = (TIMES - target[:, -1, 0]).long()
    assert torch.bincount(delays)[1:].min() > 110  # of 150 each
    assert torch.bincount(delays)[0] == 0
    assert delays.max() == 4
    for delay, field in zip(delays.tolist(), target, strict=True):
        expected = torch.cat([torch.ones(delay), torch.arange(1.0, TIMES - delay + 1)])
        assert torch.equal(field, expected[:, None].expand(-1, CHANNELS))


def test_a_delay_longer_than_the_simulation_leaves_its_first_state() -> None:
    fields, _, noise = drawn(num_times=2)
    target = augment(fields, None, noise, always("shift", shift_steps=50)).target
    held = column(noise, "shift") > -1  # a delay of 8 or more
    assert torch.equal(target[held], fields[held, :1].expand(-1, 2, -1))


def test_a_static_simulation_is_augmented_too() -> None:
    fields, partners, noise = drawn(num_times=1)
    result = augment(fields, partners, noise, EVERYTHING)
    assert result.seen.shape == fields.shape
    assert not touched(fields, vary(fields, None, noise, always("shift"))).any()


@pytest.mark.parametrize("num_processes", [2, 3, BATCH])
def test_the_division_of_the_batch_among_processes_does_not_matter(
    batch: tuple[Tensor, Tensor, Tensor], num_processes: int
) -> None:
    """Bit for bit, as the loop divides a batch."""
    whole = augment(*batch, EVERYTHING)
    for rank in range(num_processes):
        mine = slice(rank, None, num_processes)
        share = augment(*(part[mine] for part in batch), EVERYTHING)
        for divided, full in zip(share, whole, strict=True):
            assert torch.equal(divided, full[mine])


def test_the_same_noise_gives_the_same_bits_whatever_was_drawn_before(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    first = augment(*batch, EVERYTHING)
    state = torch.get_rng_state()
    torch.randn(7)
    second = augment(*batch, EVERYTHING)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    torch.set_rng_state(state)
    augment(*batch, EVERYTHING)
    assert torch.equal(torch.get_rng_state(), state)  # and draws nothing itself


@pytest.mark.parametrize("kind", KINDS)
def test_other_noise_gives_another_augmentation(
    batch: tuple[Tensor, Tensor, Tensor], kind: str
) -> None:
    fields, partners, noise = batch
    other = augment(fields, partners, noise.roll(1, 0), always(kind)).seen
    assert touched(other, augment(fields, partners, noise, always(kind)).seen).any()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_chosen_and_sized_independently(
    batch: tuple[Tensor, Tensor, Tensor], kind: str
) -> None:
    """A kind's own two columns are all that its result depends on."""
    fields, partners, noise = batch
    others = torch.randn_like(noise)
    column(others, kind, sizing=False)[:] = column(noise, kind, sizing=False)
    column(others, kind)[:] = column(noise, kind)
    config = FieldAugmentation.model_validate({f"{kind}_probability": 0.5})
    results = [augment(fields, partners, columns, config) for columns in (noise, others)]
    assert isinstance(results[0], Augmented)
    assert torch.equal(results[0].seen, results[1].seen)


@pytest.mark.parametrize(
    "values",
    [
        {"noise_probability": 1.1},
        {"cutout_probability": -0.1},
        {"cutout_share": 1.0},
        {"noise_level": 0.0},
        {"mixup_alpha": 0.0},
        {"shift_steps": 0},
        {"shift": 0.5},
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        FieldAugmentation.model_validate(values)


@pytest.mark.parametrize("factors", [(1.1, 0.9), (0.0, 1.0)])
def test_a_scaling_range_must_be_positive_and_ordered(factors: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="lowest and a highest positive factor"):
        FieldAugmentation(scaling_range=factors)
