"""How the spread of an ensemble becomes the spread of its prediction.

Members of an ensemble that share a decoder disagree where a front is, and agree on what the decoder
gets wrong everywhere else: their standard deviation is too large at fronts and too small elsewhere.
Some of a design's disagreement is therefore spread over its field, in proportion to the field's
magnitude and evenly; how much is chosen on validation designs by the interval score.

Shapes: n designs, T time steps, M nodes, V values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .metrics import INTERVAL_90, MISS_RATE

Float = NDArray[np.floating]

# Smallest spread, relative to the design's own size.
SMALLEST_SPREAD = 1e-4
# Shares that are compared.
SHARES = (0.0, 0.3, 1.0, 3.0, 10.0)
# Values of a design that shapes are compared on.
NUM_VALUES = 5000


class SpreadShape(NamedTuple):
    """Spread of the field's values, from the members' variance at each value and over the design.

    Attributes:
        by_magnitude: of the design's disagreement, the share that follows the field's magnitude.
        everywhere: the share that is the same at all times and nodes.
    """

    by_magnitude: float
    everywhere: float

    def spread(self, mean: Float, variance: Float) -> Float:
        """Standard deviation (n, T, M), before its calibration by one factor.

        Args:
            mean: of the members (n, T, M).
            variance: of the members (n, T, M).
        """
        square, disagreement = (
            np.mean(part, axis=(1, 2), keepdims=True) for part in (np.square(mean), variance)
        )
        return np.asarray(np.sqrt(self._variance(np.square(mean), variance, square, disagreement)))

    def _variance(
        self, squared: Float, variance: Float, square: Float, disagreement: Float
    ) -> Float:
        """From squared means and variances of values, and the means of both over their design."""
        relative = squared / np.where(square > 0, square, 1.0)
        shared = self.by_magnitude**2 * relative + self.everywhere**2
        return np.asarray(variance + disagreement * shared + SMALLEST_SPREAD**2 * square)


# As the members have it.
UNSHAPED = SpreadShape(0.0, 0.0)


def choose_shape(designs: Iterable[tuple[Float, Float, Float]], seed: int = 0) -> SpreadShape:
    """The shape of the least interval score, each calibrated to cover 90% of the values.

    Scores (Gneiting & Raftery 2007, eq. 43) are taken on some values of each design, drawn at
    random, in units of the design's own size.

    Args:
        designs: true field, mean and variance of the members (T, M) of designs that neither was
            fitted to.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for true, mean, variance in designs:
        square, disagreement = np.mean(np.square(mean)), np.mean(variance)
        size = np.sqrt(square) or 1.0
        chosen = rng.integers(0, true.size, NUM_VALUES)
        error = np.abs(true - mean).ravel()[chosen] / size
        squared, varied = np.square(mean).ravel()[chosen], variance.ravel()[chosen]
        ones = np.ones(NUM_VALUES)
        columns = (error, *(v / size**2 for v in (squared, varied, square * ones)))
        parts.append(np.stack([*columns, disagreement / size**2 * ones]))
    error, squared, varied, square, disagreement = np.concatenate(parts, axis=1)
    shapes = [SpreadShape(a, b) for a in SHARES for b in SHARES]

    def score(shape: SpreadShape) -> float:
        half = INTERVAL_90 * np.sqrt(shape._variance(squared, varied, square, disagreement))
        half = half * np.quantile(error / np.where(half > 0, half, np.inf), 1 - MISS_RATE)
        return float(np.mean(2 * half + 2 / MISS_RATE * np.maximum(error - half, 0.0)))

    return min(shapes, key=score)
