"""Diagonal Gaussians: what an encoder, a prior or a conditioner says of a latent.

Shapes: B batch, Z latent size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

# Bounds on a log-variance: exp(-20) is a variance of 2e-9, exp(4) one of 55.
LOG_VARIANCE_RANGE = (-20.0, 4.0)


class Gaussian(NamedTuple):
    """A diagonal Gaussian N(mean, exp(log_variance)); both of shape (..., Z)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Float[Tensor, "... Z"]) -> Float[Tensor, "... Z"]:
        """Reparametrised sample mean + std * noise, gradient intact (Kingma & Welling 2014)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


def gaussian_from(parameters: Float[Tensor, "... Q"], log_variance_offset: float = 0.0) -> Gaussian:
    """Split a network's output, Q = 2 Z, into a mean and a bounded log-variance."""
    mean, log_variance = parameters.chunk(2, dim=-1)
    return Gaussian(mean, (log_variance + log_variance_offset).clamp(*LOG_VARIANCE_RANGE))


def kl_to_standard_normal(q: Gaussian) -> Float[Tensor, " ..."]:
    """KL(q || N(0, 1)) summed over the latent [nats] (Kingma & Welling 2014, appendix B).

    For q given relative to a Gaussian prior it is the divergence to that prior, because the affine
    map that takes the prior to N(0, 1) does not change it (Vahdat & Kautz 2020, equation 2).
    """
    return 0.5 * (q.mean.square() + q.log_variance.exp() - 1.0 - q.log_variance).sum(dim=-1)
