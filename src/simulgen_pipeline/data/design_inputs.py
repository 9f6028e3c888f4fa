"""Designs as models take them.

Shapes: n designs, P features (parameters, or principal components of pictures), C colour channels,
S side of a picture in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DesignInputs:
    """Scaled features (n, P) of designs and, where designs are pictures, levels (n, C, S, S)."""

    features: NDArray[np.float64]
    pictures: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> DesignInputs:
        """Some of the designs, by row number."""
        index = np.asarray(rows, dtype=np.int64)
        pictures = None if self.pictures is None else self.pictures[index]
        return DesignInputs(self.features[index], pictures)
