"""Designs drawn like those of training, and all over their space."""

import pytest
import torch

from simulgen_pipeline.models.design_sampler import (
    JITTER,
    MARGIN,
    DesignExplorer,
    designs_as_in_training,
)

NUM_SAMPLES = 4000


@pytest.fixture
def known() -> torch.Tensor:
    """An even parameter, one that is mostly small, and one that is always the same."""
    even = torch.linspace(-1, 1, 40)
    return torch.stack([even, 2 * ((even + 1) / 2) ** 3 - 1, torch.full((40,), 0.3)], dim=1)


def explored(known: torch.Tensor, mix: bool) -> torch.Tensor:
    explorer = DesignExplorer(known, mix)
    designs: torch.Tensor = explorer(torch.randn(NUM_SAMPLES, explorer.noise_size))
    return designs


def test_parameters_are_distributed_as_in_training_and_stay_in_its_range(
    known: torch.Tensor,
) -> None:
    designs = designs_as_in_training(known, torch.randn(NUM_SAMPLES, known.shape[1]))
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
    designs = explored(known, mix=False)
    evenly = (1 + MARGIN) * torch.linspace(-1, 1, 9)
    for column in (0, 1):
        assert 1 < designs[:, column].abs().max() <= 1 + MARGIN
        quantiles = torch.quantile(designs[:, column], torch.linspace(0, 1, 9))
        torch.testing.assert_close(quantiles, evenly, atol=0.08, rtol=0)
    torch.testing.assert_close(designs[:, 2], torch.full((NUM_SAMPLES,), 0.3))


def test_a_design_at_the_end_of_the_noise_is_the_outermost_of_training(known: torch.Tensor) -> None:
    noise = torch.full((2, known.shape[1]), 40.0)
    noise[1] *= -1
    torch.testing.assert_close(designs_as_in_training(known, noise), known[[-1, 0]])


def test_mixtures_lie_between_two_training_designs_but_for_a_little_noise() -> None:
    known = torch.tensor([[0.0, 0.0], [4.0, 8.0]])
    mixed = explored(known, mix=True)
    off_the_line = mixed[:, 1] - 2 * mixed[:, 0]
    spread = JITTER * known.std(dim=0)
    expected = float((spread[1] ** 2 + (2 * spread[0]) ** 2) ** 0.5)
    assert float(off_the_line.std()) == pytest.approx(expected, rel=0.1)
    assert float(mixed[:, 0].min()) > -5 * spread[0]
    assert float(mixed[:, 0].max()) < 4 + 5 * spread[0]
