"""Diagonal Gaussians, against PyTorch's own."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from simulgen_pipeline.models.distributions import (
    LOG_VARIANCE_RANGE,
    Gaussian,
    gaussian_from,
    kl_to_standard_normal,
)


def random_gaussian(*shape: int) -> Gaussian:
    return Gaussian(
        3 * torch.randn(*shape, dtype=torch.float64), 2 * torch.randn(*shape, dtype=torch.float64)
    )


def normal(gaussian: Gaussian) -> Normal:
    return Normal(gaussian.mean, torch.exp(0.5 * gaussian.log_variance))


@pytest.mark.parametrize("shape", [(7,), (4, 7), (4, 3, 7)], ids=str)
def test_kl_to_the_standard_normal_is_the_closed_form(shape: tuple[int, ...]) -> None:
    q = random_gaussian(*shape)
    standard = Normal(torch.zeros(shape).double(), torch.ones(shape).double())
    expected = kl_divergence(normal(q), standard).sum(dim=-1)
    found = kl_to_standard_normal(q)
    assert found.shape == shape[:-1]
    torch.testing.assert_close(found, expected)


def test_kl_of_the_standard_normal_to_itself_is_zero() -> None:
    q = Gaussian(torch.zeros(3, 5), torch.zeros(3, 5))
    torch.testing.assert_close(kl_to_standard_normal(q), torch.zeros(3))


def test_kl_of_a_gaussian_relative_to_a_prior_is_its_kl_to_that_prior() -> None:
    prior, relative = random_gaussian(5, 8), random_gaussian(5, 8)
    absolute = Gaussian(
        prior.mean + torch.exp(0.5 * prior.log_variance) * relative.mean,
        prior.log_variance + relative.log_variance,
    )
    expected = kl_divergence(normal(absolute), normal(prior)).sum(dim=-1)
    torch.testing.assert_close(kl_to_standard_normal(relative), expected)


def test_samples_have_the_mean_and_the_variance() -> None:
    gaussian = Gaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.0, -3.0]))
    samples = gaussian.sample(torch.randn(200_000, 2))
    torch.testing.assert_close(samples.mean(dim=0), gaussian.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(samples.var(dim=0), gaussian.log_variance.exp(), atol=0.01, rtol=0)


def test_a_sample_without_noise_is_the_mean() -> None:
    gaussian = random_gaussian(3, 4)
    torch.testing.assert_close(gaussian.sample(torch.zeros(3, 4).double()), gaussian.mean)


def test_gradient_passes_through_a_sample_to_mean_and_variance() -> None:
    mean = torch.tensor([0.3], requires_grad=True)
    log_variance = torch.tensor([-1.0], requires_grad=True)
    noise = torch.tensor([1.7])
    Gaussian(mean, log_variance).sample(noise).sum().backward()
    torch.testing.assert_close(mean.grad, torch.tensor([1.0]))
    expected = 0.5 * torch.exp(0.5 * log_variance.detach()) * noise
    torch.testing.assert_close(log_variance.grad, expected)


def test_a_networks_output_is_split_into_mean_and_shifted_log_variance() -> None:
    parameters = torch.randn(4, 3, 10)
    gaussian = gaussian_from(parameters, -8.0)
    torch.testing.assert_close(gaussian.mean, parameters[..., :5])
    torch.testing.assert_close(gaussian.log_variance, parameters[..., 5:] - 8)


@pytest.mark.parametrize("extreme", [-1e6, 1e6])
def test_extreme_log_variances_are_bounded_and_means_are_not(extreme: float) -> None:
    gaussian = gaussian_from(torch.full((2, 6), extreme))
    assert gaussian.mean.unique().tolist() == [extreme]
    assert gaussian.log_variance.unique().item() in LOG_VARIANCE_RANGE
    assert torch.isfinite(gaussian.sample(torch.ones(2, 3))).all()
