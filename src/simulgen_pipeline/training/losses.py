"""Reconstruction losses per design.

Shapes: B batch, T time steps, C channels, M nodes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Loss

# Keeps the gradient of a norm finite at zero.
EPSILON = 1e-8


class NodeLift(nn.Module):
    """Takes errors in POD coefficients to nodes.

    Attributes:
        modes: orthogonal and of one length (C, M).
        length: of a mode, by which norms grow.
        reach: the most that a node can have of an error of norm 1 (Cauchy-Schwarz).
    """

    def __init__(self, modes: Float[Tensor, "C M"]) -> None:
        super().__init__()
        self.modes: Tensor
        self.length: Tensor
        self.reach: Tensor
        self.register_buffer("modes", modes, persistent=False)
        self.register_buffer("length", modes[0].norm(), persistent=False)
        self.register_buffer("reach", modes.norm(dim=0).max(), persistent=False)

    def forward(self, error: Float[Tensor, "... C"]) -> Float[Tensor, "... M"]:
        return (error @ self.modes).float()


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
    lift: NodeLift | None = None,
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
        lift: from POD coefficients to nodes; None if channels are nodes.
    """
    if loss == "mse" and relative:
        return (squared_relative_error(error, norms) + EPSILON).sqrt()
    error = error.float()
    if loss == "mse":
        return error.square().mean(dim=(1, 2))
    num_values = error[0].numel() if lift is None else error.shape[1] * lift.modes.shape[1]
    if relative:
        whole = norms if lift is None else norms * lift.length
        error = error * (num_values**0.5 / whole).view(-1, 1, 1)
    if loss == "mae":
        nodes = error if lift is None else lift(error)
        return nodes.abs().sum(dim=(1, 2)) / num_values
    mean = _sum_of_huber(error, lift) / num_values  # with a limit of 1 smooth_l1 is the same
    return (2 * mean + EPSILON).sqrt() if relative else mean


def _sum_of_huber(error: Float[Tensor, "B T C"], lift: NodeLift | None) -> Float[Tensor, " B"]:
    """Huber's loss with a limit of 1, summed over times and nodes.

    Below the limit it is half the square, whose sum over nodes the channels tell. Only times are
    lifted at which a node's error may be beyond the limit.
    """
    if lift is None:
        return _huber(error).sum(dim=(1, 2))
    squares = error.square().sum(dim=2)  # (B, T)
    may_exceed = squares * lift.reach**2 > 1
    sums = 0.5 * lift.length**2 * squares
    return sums.masked_scatter(may_exceed, _huber(lift(error[may_exceed])).sum(dim=1)).sum(dim=1)


def _huber(error: Tensor) -> Tensor:
    return F.huber_loss(error, torch.zeros_like(error), reduction="none")
