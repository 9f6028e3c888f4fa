"""Training data as batches of tensors, in memory or read by the batch.

Shapes: N designs, T time steps, C channels, P features (or, of pictures, colour channels C and side
S), B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psutil
import torch
from torch import Tensor

from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.models.vae import Latents

from .objectives import Batch

# Data is held in memory up to this share of what is free.
PRELOAD_SHARE = 0.25


class TrainingData:
    """Channels of all designs with their scaled features, norms and, if known, latents.

    Args:
        fields: handle on the channels (N, T, C).
        designs: scaled features (N, P).
        norms: Frobenius norm of each design's field in channel units (N,).
        latents: all latents of each design, or None.
        pictures: levels of the designs' pictures (N, C, S, S), uint8, or None.
        memory: `preload`, `lazy`, or `auto`: preload what fits a quarter of the free memory.
    """

    def __init__(
        self,
        fields: SimulationFields,
        designs: Tensor,
        norms: Tensor,
        latents: Latents | None,
        pictures: Tensor | None,
        memory: str,
        device: torch.device,
    ) -> None:
        self.fields, self.device = fields, device
        self.designs, self.norms = designs.to(device), norms.to(device)
        self.pictures = None if pictures is None else pictures.to(device)
        self.latents = None if latents is None else Latents(*(part.to(device) for part in latents))
        num_bytes = 4 * int(np.prod(fields.shape))
        if memory == "auto":
            free = psutil.virtual_memory().available
            memory = "preload" if num_bytes <= PRELOAD_SHARE * free else "lazy"
        self._preloaded: Tensor | None = None
        if memory == "preload":
            self._preloaded = self._read(range(fields.shape[0])).to(device)

    @property
    def num_channels(self) -> int:
        """C."""
        return self.fields.shape[2]

    def batch(self, rows: Sequence[int]) -> Batch:
        """The designs of some rows."""
        index = torch.tensor(rows, dtype=torch.long, device=self.device)
        if self._preloaded is not None:
            fields = self._preloaded[index]
        else:
            fields = self._read(rows).to(self.device)
        latents = None if self.latents is None else Latents(*(part[index] for part in self.latents))
        pictures = None if self.pictures is None else self.pictures[index]
        return Batch(fields, self.designs[index], self.norms[index], latents, pictures)

    def _read(self, rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(self.fields.read(list(rows)).astype(np.float32, copy=False))
