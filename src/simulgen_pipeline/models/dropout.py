"""Dropout that does not depend on how a batch is divided.

Shapes: N designs of a whole batch, B designs of a share of it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class Dropout(nn.Module):
    """Drop features in training, of each design others (Srivastava et al. 2014).

    What is dropped is drawn for a whole batch, of which a process may have a share: processes whose
    generators have the same seed drop the same of each design as one process would. (Unlike GPUs
    may draw other numbers.)

    Args:
        probability: of a feature to be dropped.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self._places: Tensor | None = None
        self._num_designs = 0

    def take_share(self, places: Int64[Tensor, " B"], num_designs: int) -> None:
        """From now on inputs in training are the designs at some places of a batch of N designs."""
        self._places, self._num_designs = places, num_designs

    def forward(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """Features of designs, or of the share that was taken.

        Raises:
            ValueError: it has another number of designs.
        """
        if not self.training or self.probability == 0:
            return x
        num_designs = len(x) if self._places is None else self._num_designs
        kept = torch.rand(num_designs, *x.shape[1:], device=x.device) >= self.probability
        if self._places is not None:
            kept = kept[self._places]
        if len(kept) != len(x):
            raise ValueError(f"Expected the {len(kept)} designs of the share, got {len(x)}.")
        return x * kept / (1 - self.probability)
