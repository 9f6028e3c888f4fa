"""Latents of a VAE: how many there are, and Gaussians of all of them."""

import pytest
import torch
from pydantic import ValidationError

from simulgen_pipeline.models.distributions import Gaussian
from simulgen_pipeline.models.latents import (
    INITIAL_LOG_VARIANCE,
    Latents,
    Posterior,
    as_latents,
    posterior_from,
)

from .test_vae import architecture


@pytest.mark.parametrize(
    ("num_times", "lengths"),
    [
        (1, (1, 1, 1)),
        (2, (2, 2, 2)),
        (7, (7, 7, 7)),
        (8, (8, 4, 4)),
        (15, (15, 8, 4)),
        (50, (50, 25, 13)),
    ],
)
def test_the_time_axis_halves_from_level_to_level_where_it_is_long_enough(
    num_times: int, lengths: tuple[int, ...]
) -> None:
    assert architecture(num_time_steps=num_times).lengths == lengths


def test_numbers_of_latents() -> None:
    a = architecture(filters=(8, 8, 6, 4), latent_size=32, hierarchical_latent_size=8)
    assert (a.num_hierarchical, a.num_latents) == (3, 32 + 3 * 8)


@pytest.mark.parametrize("filters", [(8,), (), (4, 8), (8, 4, 6), (8, 0)], ids=str)
def test_filters_that_are_not_widest_first_are_refused(filters: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="filters"):
        architecture(filters=filters)


def test_a_network_that_says_nothing_is_almost_certain() -> None:
    a = architecture()
    posterior = posterior_from(torch.zeros(3, 2 * a.num_latents), a)
    assert posterior.mean().flat().abs().max() == 0
    assert (posterior.log_variances() - INITIAL_LOG_VARIANCE).abs().max() < 1e-3


def test_samples_of_a_posterior_scatter_around_its_mean() -> None:
    posterior = Posterior(
        Gaussian(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)),
        Gaussian(torch.tensor([[[3.0]]]), torch.tensor([[[2.0]]]).log()),
    )
    sample = posterior.sample(Latents(torch.tensor([[0.5, -1.0]]), torch.tensor([[[1.0]]])))
    torch.testing.assert_close(sample.main, torch.tensor([[1.5, 1.0]]))
    torch.testing.assert_close(sample.hierarchical, torch.tensor([[[3.0 + 2**0.5]]]))
    torch.testing.assert_close(posterior.mean().main, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(posterior.mean().hierarchical, torch.tensor([[[3.0]]]))


def test_latents_lie_side_by_side_deepest_level_first() -> None:
    latents = Latents(torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0], [4.0], [5.0]]]))
    assert latents.flat().tolist() == [[1, 2, 3, 4, 5]]
    assert latents.above(0).tolist() == [[1, 2]]
    assert latents.above(2).tolist() == [[1, 2, 3, 4]]


def test_values_side_by_side_are_latents_again() -> None:
    a = architecture()
    flat = torch.randn(3, a.num_latents)
    latents = as_latents(flat, a)
    assert latents.hierarchical.shape == (3, a.num_hierarchical, a.hierarchical_latent_size)
    assert torch.equal(latents.flat(), flat)
