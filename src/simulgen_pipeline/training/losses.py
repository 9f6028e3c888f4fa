"""Reconstruction losses per design.

Shapes: B batch, T time steps, C channels, M nodes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .config import Loss

# Keeps the gradient of a norm finite at zero.
EPSILON = 1e-8


def squared_relative_error(
    error: Float[Tensor, "B T C"], norms: Float[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """Squared relative L2 error of each design, ||error||^2 / norm^2 over times and channels."""
    return error.float().square().sum(dim=(1, 2)) / norms.square()


def reconstruction_loss(
    error: Float[Tensor, "B T C"],
    norms: Float[Tensor, " B"],
    loss: Loss,
    relative: bool,
    lift: Float[Tensor, "C M"] | None = None,
) -> Float[Tensor, " B"]:
    """Loss of each design from its error, a mean over all times and channels or nodes.

    Args:
        error: predicted minus true channels.
        norms: Frobenius norm of each design's whole field, in channel units.
        loss: `mse` is the same in any orthonormal basis; `mae`, `smooth_l1` and `huber` are not,
            and are taken over nodes.
        relative: divide errors by the root mean square of the design's field; of losses that are
            square near zero then take the root (of `mse` that gives the relative L2 error, and of
            the others half its square, so that it is the same for small errors).
        lift: modes that take an error in POD coefficients to nodes; None if channels are nodes.
    """
    if loss == "mse" and relative:
        return (squared_relative_error(error, norms) + EPSILON).sqrt()
    error = error.float()
    if loss == "mse":
        return error.square().mean(dim=(1, 2))
    if lift is not None:
        error = error @ lift
        norms = norms * lift[0].norm()  # modes are orthogonal, each as long as a channel's unit
    if relative:
        error = error * ((error[0].numel() ** 0.5) / norms).view(-1, 1, 1)
    zero = torch.zeros_like(error)
    if loss == "mae":
        pointwise = F.l1_loss(error, zero, reduction="none")
    elif loss == "smooth_l1":
        pointwise = F.smooth_l1_loss(error, zero, reduction="none")
    else:
        pointwise = F.huber_loss(error, zero, reduction="none")
    mean = pointwise.mean(dim=(1, 2))
    return (2 * mean + EPSILON).sqrt() if relative and loss != "mae" else mean
