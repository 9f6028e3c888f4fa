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
    num_values = error[0].numel() if lift is None else error.shape[1] * lift.shape[1]
    if relative:
        unit = 1.0 if lift is None else lift[0].norm()  # each mode is as long as a channel's unit
        error = error * (num_values**0.5 / (unit * norms)).view(-1, 1, 1)
    if loss == "mae":
        nodes = error if lift is None else error @ lift
        return nodes.abs().sum(dim=(1, 2)) / num_values
    mean = _sum_of_huber(error, lift) / num_values  # of a limit of 1, smooth_l1 is the same
    return (2 * mean + EPSILON).sqrt() if relative else mean


def _sum_of_huber(
    error: Float[Tensor, "B T C"], lift: Float[Tensor, "C M"] | None
) -> Float[Tensor, " B"]:
    """Huber's loss with a limit of 1, summed over times and nodes.

    Below the limit it is half the square, whose sum the channels tell, as modes are orthogonal.
    What a node can have at a time is at most the norm of its modes' values times that of the
    channels (Cauchy-Schwarz): only times at which that is beyond the limit are lifted.
    """
    if lift is None:
        return F.huber_loss(error, torch.zeros_like(error), reduction="none").sum(dim=(1, 2))
    squares = error.square().sum(dim=2)  # (B, T)
    farthest = lift.square().sum(dim=0).max()
    may_exceed = squares * farthest > 1
    sums = 0.5 * lift[0].square().sum() * squares
    nodes = (error[may_exceed] @ lift).float()
    exact = F.huber_loss(nodes, torch.zeros_like(nodes), reduction="none").sum(dim=1)
    return sums.masked_scatter(may_exceed, exact).sum(dim=1)
