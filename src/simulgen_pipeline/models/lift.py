"""From the channels of an ensemble's members to the mean and variance of their fields.

Shapes: K members, S snapshots (designs times time steps), C channels, M nodes.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from simulgen_pipeline.data.representation import FieldRepresentation

from .bfloat16 import multiplies_bfloat16_fast

# Memory of the members' fields that are held at a time: about what a core's caches hold.
BLOCK_BYTES = 16 * 2**20
# Snapshots that are lifted at a time at least: each time the whole matrix is read.
FEWEST_SNAPSHOTS = 16


class Lift:
    """A representation's way back to fields, prepared once, in float32.

    The mean is as accurate as float32 is. The members' deviations from it are lifted in bfloat16
    where the hardware multiplies it fast: standard deviations are then off by about half a percent
    of the largest one.

    Attributes:
        unit: of what it gives, in the field's unit; squares of values near 1 stay within float32.
    """

    def __init__(self, representation: FieldRepresentation) -> None:
        scaler, basis = representation.scaler, representation.basis
        self.unit = float((scaler.scale_**2).mean() ** 0.5)
        self._offset = torch.from_numpy(scaler.offset_ / self.unit).float()
        self._scale = torch.from_numpy(scaler.scale_ / self.unit).float()
        self._matrix: Tensor | None = None
        if basis is not None:
            modes = torch.from_numpy(basis.modes_).to(torch.float32, copy=True)
            self._matrix = modes.mul_(self._scale * basis.coefficient_scale_)
            fast = torch.bfloat16 if multiplies_bfloat16_fast() else torch.float32
            self._rounded = self._matrix.to(fast)

    @torch.inference_mode()
    def moments(
        self,
        channels: Float[Tensor, "K S C"],
        mean: NDArray[np.float32],
        variance: NDArray[np.float32],
    ) -> None:
        """Write mean and variance (S, M) over members, in the unit and its square."""
        num_members, num_snapshots, _ = channels.shape
        weights = _contrasts(num_members)
        size = max(FEWEST_SNAPSHOTS, BLOCK_BYTES // (4 * num_members * len(self._offset)))
        for start in range(0, num_snapshots, size):
            rows = slice(start, start + size)
            contrasts = torch.tensordot(weights, channels[:, rows], dims=1)
            self._write_fields(contrasts[0], torch.from_numpy(mean[rows]))
            self._write_squares(contrasts[1:], torch.from_numpy(variance[rows]))

    def _write_fields(self, channels: Float[Tensor, "S C"], fields: Float[Tensor, "S M"]) -> None:
        if self._matrix is None:
            torch.addcmul(self._offset, channels, self._scale, out=fields)
        else:
            torch.addmm(self._offset, channels, self._matrix, out=fields)

    def _write_squares(
        self, deviations: Float[Tensor, "D S C"], total: Float[Tensor, "S M"]
    ) -> None:
        """The sum of the squares of deviations' fields."""
        total.zero_()
        if self._matrix is None:
            fields = deviations * self._scale
        else:
            flat = deviations.flatten(0, 1).to(self._rounded.dtype)
            fields = (flat @ self._rounded).unflatten(0, deviations.shape[:2])
        for field in fields:
            values = field.float()
            total.addcmul_(values, values)


def _contrasts(num_members: int) -> Float[Tensor, "K K"]:
    """Weights of members' sums: their mean, then K - 1 whose squares add up to the variance.

    Helmert's: deviations from a mean have one degree of freedom less than there are members.
    """
    weights = torch.eye(num_members)
    for row in range(1, num_members):
        weights[row, :row], weights[row, row] = -1.0 / row, 1.0
        weights[row] /= weights[row].norm() * (num_members - 1) ** 0.5
    weights[0] = 1.0 / num_members
    return weights
