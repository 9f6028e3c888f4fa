"""From the latents of an ensemble's members to the mean and variance of their fields.

Shapes: K members, n designs, T time steps, M nodes, S snapshots (designs times time steps), F
values that the decoder tells of a snapshot.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from simulgen_pipeline.data.representation import FieldRepresentation

from .bfloat16 import multiplies_bfloat16_fast
from .latents import Latents
from .prepared import PreparedDecoder
from .vae import Decoder

# Values of the members' fields that are held at a time: about what a core's own cache holds.
NUM_AT_ONCE = 2**19
# Designs of fewer time steps are taken together; and nodes are at least so many at a time.
FEWEST_STEPS, FEWEST_NODES = 16, 256


class Lift:
    """A decoder, and a representation's way back to fields, prepared once, in float32.

    Where the decoder ends with a linear layer that has fewer features than there are channels, the
    features are lifted, not the channels.

    The mean is as accurate as float32 is. The members' deviations from it are lifted in bfloat16
    where the hardware multiplies it fast: standard deviations are then off by about half a percent
    of the largest one.

    Attributes:
        unit: of what it gives, in the field's unit; squares of values near 1 stay within float32.
        num_lifted: F.
    """

    def __init__(self, representation: FieldRepresentation, decoder: Decoder) -> None:
        scaler, basis = representation.scaler, representation.basis
        self.unit = float((scaler.scale_**2).mean() ** 0.5)
        self._decoder, self._features = decoder, PreparedDecoder(decoder)
        self._offset = torch.from_numpy(scaler.offset_ / self.unit).float()
        self._scale = torch.from_numpy(scaler.scale_ / self.unit).float()
        self._matrix: Tensor | None = None
        if basis is not None:
            modes = torch.from_numpy(basis.modes_).to(torch.float32, copy=True)
            self._matrix = modes.mul_(self._scale * basis.coefficient_scale_)
        last = decoder.last_linear
        self._lifts_features = last is not None and last.in_features < last.out_features
        if last is not None and self._lifts_features:
            self._offset += self._fields_of(last.bias)
            self._matrix = self._fields_of(last.weight.T)
        self.num_lifted = len(self._offset if self._matrix is None else self._matrix)
        if self._matrix is not None:
            fast = torch.bfloat16 if multiplies_bfloat16_fast() else torch.float32
            self._rounded = self._matrix.to(fast)

    def _fields_of(self, channels: Float[Tensor, "... C"]) -> Float[Tensor, "... M"]:
        """What channels add to the offset."""
        return channels * self._scale if self._matrix is None else channels @ self._matrix

    @torch.inference_mode()
    def moments(
        self,
        latents: Latents,
        mean: NDArray[np.float32],
        variance: NDArray[np.float32] | None = None,
    ) -> None:
        """Write mean and variance (n, T, M) over members, in the unit and its square.

        Args:
            latents: of members and designs, (K, n, ...) each.
            mean: to write to.
            variance: to write to, if it is wanted: it takes longer than the mean.
        """
        num_members = len(latents.main)
        decoded = self._decode(Latents(*(part.flatten(0, 1) for part in latents)))
        of_members = decoded.unflatten(0, (num_members, -1))  # (K, n, T, F)
        contrasts = torch.tensordot(_contrasts(num_members), of_members, dims=1)
        num_nodes = len(self._offset)
        self._write_fields(contrasts[0].flatten(0, 1), torch.from_numpy(mean).view(-1, num_nodes))
        if variance is not None:
            self._write_squares(contrasts[1:], torch.from_numpy(variance))

    def _decode(self, latents: Latents) -> Float[Tensor, "B T F"]:
        """Features, or channels, of decoded latents."""
        features = self._features(latents)
        return features if self._lifts_features else self._decoder.field_of(features, latents)

    def _write_fields(self, lifted: Float[Tensor, "S F"], fields: Float[Tensor, "S M"]) -> None:
        if self._matrix is None:
            torch.addcmul(self._offset, lifted, self._scale, out=fields)
        else:
            torch.addmm(self._offset, lifted, self._matrix, out=fields)

    def _write_squares(
        self, deviations: Float[Tensor, "D n T F"], total: Float[Tensor, "n T M"]
    ) -> None:
        """The sum of the squares of deviations' fields."""
        if self._matrix is None or len(deviations) == 0:
            total.zero_()
            for deviation in deviations:
                fields = deviation * self._scale
                total.addcmul_(fields, fields)
            return
        if deviations.shape[2] < FEWEST_STEPS:
            deviations = deviations.flatten(1, 2).unsqueeze(1)
            total = total.view(1, -1, len(self._offset))
        rows = deviations.transpose(0, 1).flatten(1, 2).to(self._rounded.dtype)  # (n, D T, F)
        size = max(FEWEST_NODES, NUM_AT_ONCE // rows.shape[1])
        num_parts = -(-len(self._offset) // size)
        for of_design, squares in zip(rows, total, strict=True):
            parts = (matrix.tensor_split(num_parts, dim=1) for matrix in (self._rounded, squares))
            for lift, part in zip(*parts, strict=True):
                first, *others = (of_design @ lift).unflatten(0, (len(deviations), -1))
                values = first.float()
                torch.mul(values, values, out=part)
                for field in others:
                    values.copy_(field)
                    part.addcmul_(values, values)


@cache
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
