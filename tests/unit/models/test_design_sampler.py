"""Designs drawn like those of training."""

import pytest
import torch

from simulgen_pipeline.models.design_sampler import JITTER, MARGIN, DesignSampler

NUM_SAMPLES = 4000


@pytest.fixture
def known() -> torch.Tensor:
    """An even parameter, one that is mostly small, and one that is always the same."""
    even = torch.linspace(-1, 1, 40)
    return torch.stack([even, 2 * ((even + 1) / 2) ** 3 - 1, torch.full((40,), 0.3)], dim=1)


def drawn(sampler: DesignSampler) -> torch.Tensor:
    designs: torch.Tensor = sampler(torch.randn(NUM_SAMPLES, sampler.noise_size))
    return designs


def test_parameters_are_distributed_as_in_training_and_stay_in_its_range(
    known: torch.Tensor,
) -> None:
    designs = drawn(DesignSampler(known, mix=False))
    assert (designs >= known.amin(dim=0)).all()
    assert (designs <= known.amax(dim=0)).all()
    levels = torch.linspace(0, 1, 9)
    torch.testing.assert_close(
        torch.quantile(designs, levels, dim=0),
        torch.quantile(known, levels, dim=0),
        atol=0.08,
        rtol=0,
    )
    assert (designs[:, 2] == known[0, 2]).all()


def test_exploring_goes_evenly_through_the_range_and_a_little_beyond(known: torch.Tensor) -> None:
    designs = drawn(DesignSampler(known, mix=False, explore=True))
    evenly = (1 + MARGIN) * torch.linspace(-1, 1, 9)
    for column in (0, 1):
        assert 1 < designs[:, column].abs().max() <= 1 + MARGIN
        quantiles = torch.quantile(designs[:, column], torch.linspace(0, 1, 9))
        torch.testing.assert_close(quantiles, evenly, atol=0.08, rtol=0)
    torch.testing.assert_close(designs[:, 2], torch.full((NUM_SAMPLES,), 0.3))


def test_a_design_at_the_end_of_the_noise_is_the_outermost_of_training(known: torch.Tensor) -> None:
    sampler = DesignSampler(known, mix=False)
    noise = torch.full((2, sampler.noise_size), 40.0)
    noise[1] *= -1
    torch.testing.assert_close(sampler(noise), known[[-1, 0]])


def test_mixtures_lie_between_two_training_designs() -> None:
    sampled = drawn(DesignSampler(torch.tensor([[0.0, 0.0], [4.0, 8.0]]), mix=True))
    torch.testing.assert_close(sampled[:, 1], 2 * sampled[:, 0])
    assert sampled[:, 0].min() == 0
    assert sampled[:, 0].max() == pytest.approx(4.0, abs=1e-2)


def test_exploring_puts_a_little_noise_on_mixtures() -> None:
    known = torch.tensor([[0.0, 0.0], [4.0, 8.0]])
    sampler, exploring = (DesignSampler(known, mix=True, explore=e) for e in (False, True))
    noise = torch.randn(NUM_SAMPLES, sampler.noise_size)
    moved = exploring(noise) - sampler(noise)
    torch.testing.assert_close(moved.std(dim=0), JITTER * known.std(dim=0), rtol=0.1, atol=0)
