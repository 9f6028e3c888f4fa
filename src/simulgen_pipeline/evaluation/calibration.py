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

from .metrics import ACTIVE_FRACTION, INTERVAL_90, MISS_RATE

Float = NDArray[np.floating]

# Smallest spread, relative to the design's own size.
SMALLEST_SPREAD = 1e-4
# Shares that are compared.
SHARES = (0.0, 0.3, 1.0, 3.0, 10.0)
# How far the coverage of active values may be from 90%.
TOLERANCE = 0.03
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
        square, deviation = (
            np.mean(part, axis=(1, 2), keepdims=True)
            for part in (np.square(mean), np.sqrt(variance))
        )
        disagreement = np.square(deviation)
        return np.asarray(np.sqrt(self._variance(np.square(mean), variance, square, disagreement)))

    def _variance(
        self, squared: Float, variance: Float, square: Float, disagreement: Float
    ) -> Float:
        """From squared means and variances of values, the mean of the former over their design, and
        the square of its mean standard deviation, which a few wild values do not dominate.
        """
        relative = squared / np.where(square > 0, square, 1.0)
        shared = self.by_magnitude**2 * relative + self.everywhere**2
        return np.asarray(variance + disagreement * shared + SMALLEST_SPREAD**2 * square)


# As the members have it.
UNSHAPED = SpreadShape(0.0, 0.0)


def choose_shape(designs: Iterable[tuple[Float, Float, Float]], seed: int = 0) -> SpreadShape:
    """The shape of the least interval score, each calibrated to cover 90% of the values.

    Shapes that do not cover about 90% of the values where the field is active as well are left out,
    unless all are. Scores (Gneiting & Raftery 2007, eq. 43) are taken on some values of each
    design, drawn at random, in units of the design's own size.

    Args:
        designs: true field, mean and variance of the members (T, M) of designs that neither was
            fitted to.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for true, mean, variance in designs:
        square, disagreement = np.mean(np.square(mean)), np.mean(np.sqrt(variance)) ** 2
        size = np.sqrt(square) or 1.0
        chosen = rng.integers(0, true.size, NUM_VALUES)
        error = np.abs(true - mean).ravel()[chosen] / size
        squared, varied = np.square(mean).ravel()[chosen], variance.ravel()[chosen]
        ones = np.ones(NUM_VALUES)
        magnitude = np.abs(true).ravel()[chosen]
        active = magnitude > ACTIVE_FRACTION * np.abs(true).max()
        columns = (error, *(v / size**2 for v in (squared, varied, square * ones)))
        parts.append(np.stack([*columns, disagreement / size**2 * ones, active]))
    error, squared, varied, square, disagreement, active = np.concatenate(parts, axis=1)
    is_active = active > 0

    def rank(shape: SpreadShape) -> tuple[float, float]:
        """How far the coverage of active values is from 90%, if by much; then the score."""
        half = INTERVAL_90 * np.sqrt(shape._variance(squared, varied, square, disagreement))
        half = half * np.quantile(error / np.where(half > 0, half, np.inf), 1 - MISS_RATE)
        score = float(np.mean(2 * half + 2 / MISS_RATE * np.maximum(error - half, 0.0)))
        missed = float(np.mean(error > half, where=is_active)) if is_active.any() else MISS_RATE
        return max(0.0, abs(missed - MISS_RATE) - TOLERANCE), score

    return min((SpreadShape(a, b) for a in SHARES for b in SHARES), key=rank)
