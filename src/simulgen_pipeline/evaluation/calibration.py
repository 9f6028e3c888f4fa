"""How the spread of an ensemble becomes the spread of its prediction.

Members of an ensemble that share a decoder disagree where a front is, and agree on what the decoder
gets wrong everywhere else: their standard deviation is too large at fronts and too small elsewhere.
Some of a design's disagreement is therefore spread over its field, in proportion to the field's
magnitude and evenly. Nor is the error of a design in proportion to its members' disagreement: it
may grow faster, and a small field need not have a small error. How much, and how fast, is chosen on
validation designs.

Shapes: n designs, T time steps, M nodes, V values of a design.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .metrics import ACTIVE_FRACTION, INTERVAL_90, MISS_RATE, rank_correlation

Float = NDArray[np.floating]

# Smallest spread of members, relative to how much the design's field varies.
SMALLEST_SPREAD = 1e-4
# Variation of a field, relative to its size, that float32 and its sums make of a constant.
ROUNDING = 1e-6
# Shares and exponents that are compared.
SHARES = (0.0, 0.3, 1.0, 3.0, 10.0)
EXPONENTS = (1.0, 1.5, 2.0)
# Fewer designs do not tell how a design's level grows; it is then what the members say.
FEWEST_FOR_LEVEL = 8
# How far the coverage of active values may be from 90%.
TOLERANCE = 0.03
# Share of the score that a rank correlation of 1 is worth.
WORTH_OF_RANK = 0.3
# Values of a design that shapes are compared on.
NUM_VALUES = 2000
# Values that pass through the steps of a calculation together.
NUM_AT_ONCE = 2**15


class SpreadShape(NamedTuple):
    """Spread of a design's field: a level, and a pattern over times and nodes.

    A field's size is its root mean square, the members' disagreement their mean standard deviation.

    Attributes:
        by_magnitude: of the design's disagreement, the share that follows the field's magnitude.
        everywhere: the share that is the same at all times and nodes.
        exponent: of the disagreement relative to the field's size, which gives the level.
        common_size: what the level is relative to; None for each field's own size.
    """

    by_magnitude: float
    everywhere: float
    exponent: float = 1.0
    common_size: float | None = None

    def in_units_of(self, unit: float) -> SpreadShape:
        """The same for fields that are given in some unit."""
        common = self.common_size
        return self._replace(common_size=None if common is None else common / unit)

    def spread(
        self, mean: Float, variance: Float, factor: float = 1.0, out: Float | None = None
    ) -> Float:
        """Standard deviation (n, T, M).

        Args:
            mean: of the members (n, T, M).
            variance: of the members (n, T, M).
            factor: calibration; the spread is multiplied with it.
            out: to write to; may be the variance.
        """
        out = np.empty_like(variance) if out is None else out
        for field, varied, spread in zip(mean, variance, out, strict=True):
            moments = _Moments.of(field, varied)
            weights = (float(weight) for weight in self._weights(moments))
            of_variance, of_square, constant = weights
            constant += of_variance * moments.smallest
            for rows, scratch in _blocks(field):
                block = np.multiply(varied[rows], of_variance, out=spread[rows])
                block += np.multiply(np.square(field[rows], out=scratch), of_square, out=scratch)
                block += constant
                np.multiply(np.sqrt(block, out=block), factor, out=block)
        return out

    def of_values(self, squared: Float, varied: Float, moments: _Moments) -> Float:
        """Standard deviations of values (n, V) with these squared means and variances."""
        of_variance, of_square, constant = self._weights(moments)
        varied = varied + moments.smallest
        return np.asarray(np.sqrt(of_variance * varied + of_square * squared + constant))

    def _weights(self, moments: _Moments) -> tuple[Any, Any, Any]:
        """A spread's square is the sum of variance, squared mean and 1 with these weights."""
        size, disagreement = moments.size, moments.disagreement
        relative = disagreement / size
        level = (size if self.common_size is None else self.common_size) * relative**self.exponent
        return (
            (level / np.where(disagreement > 0, disagreement, 1.0)) ** 2,
            (level * self.by_magnitude / size) ** 2,
            (level * self.everywhere) ** 2,
        )


# As the members have it.
UNSHAPED = SpreadShape(0.0, 0.0)


class _Moments(NamedTuple):
    """A field's size and disagreement, and what is added to the members' variance, which so is
    never quite zero: numbers, or (n, 1) of several fields. A field that is zero everywhere has the
    size 1.
    """

    size: Any
    disagreement: Any
    smallest: Any

    @classmethod
    def of(cls, mean: Float, variance: Float) -> _Moments:
        """Moments of a field (T, M)."""
        # By few time steps: a sum of millions of float32 values loses some.
        centre = sum(float(mean[rows].sum()) for rows, _ in _blocks(mean)) / mean.size
        square = varies = disagreement = 0.0
        for rows, scratch in _blocks(mean):
            square += float(np.vdot(mean[rows], mean[rows]))
            np.subtract(mean[rows], centre, out=scratch)
            varies += float(np.vdot(scratch, scratch))
        if varies <= ROUNDING**2 * square:  # it is constant
            varies = square
        smallest = SMALLEST_SPREAD**2 * varies / mean.size
        for rows, scratch in _blocks(mean):
            np.add(variance[rows], smallest, out=scratch)
            disagreement += float(np.sqrt(scratch, out=scratch).sum())
        return cls(np.sqrt(square / mean.size) or 1.0, disagreement / mean.size, smallest)


def _blocks(field: Float) -> Iterator[tuple[slice, Float]]:
    """Some time steps after the other, with memory to work in: one at least, and else no more than
    a core's caches hold."""
    size = max(1, NUM_AT_ONCE // field.shape[1])
    scratch = np.empty((min(size, len(field)), field.shape[1]), dtype=field.dtype)
    for start in range(0, len(field), size):
        rows = slice(start, min(start + size, len(field)))
        yield rows, scratch[: rows.stop - start]


def narrowing(num_designs: int, num_known: float) -> float:
    """Factor on a spread that models which know fewer designs have calibrated.

    Errors of what is learned from n designs are taken to fall as n^-1/2, the rate at which
    parameters are estimated, and the members' disagreement not to fall with them.

    Args:
        num_designs: known to the model that predicts.
        num_known: known to those that its spread was calibrated by.
    """
    return float(np.sqrt(num_known / num_designs))


def choose_shape(designs: Iterable[tuple[Float, Float, Float]], seed: int = 0) -> SpreadShape:
    """The shape that tells most of designs that no model was fitted to.

    Every shape is calibrated to cover 90% of the values. Shapes that do not cover about 90% of the
    values where the field is active as well are left out, unless all are. Of the others the one of
    the least interval score (Gneiting & Raftery 2007, eq. 43) is chosen, less where its mean spread
    ranks the designs by their relative error (Spearman). Scores are taken on some values of each
    design, drawn at random, in units of the design's own size.

    Args:
        designs: true field, mean and variance of the members (T, M) of each.
        seed: of the values that are drawn.
    """
    rng = np.random.default_rng(seed)
    values, of_fields = [], []
    for true, mean, variance in designs:
        moments = _Moments.of(mean, variance)
        chosen = rng.integers(0, true.size, NUM_VALUES)
        magnitude, error = np.abs(true), np.abs(true - mean)
        is_active = magnitude > ACTIVE_FRACTION * magnitude.max()
        parts = error, np.square(mean), variance, is_active
        values.append([part.ravel()[chosen] for part in parts])
        norm = np.linalg.norm(true) or 1.0
        of_fields.append([*moments, np.linalg.norm(error) / norm])
    error, squared, varied, active = np.array(values, dtype=np.float64).swapaxes(0, 1)  # (n, V)
    *numbers, relative_error = np.array(of_fields)[:, :, None].swapaxes(0, 1)  # (n, 1) each
    moments = _Moments(*numbers)
    common_size = float(np.median(moments.size))

    def rank(shape: SpreadShape) -> tuple[float, float]:
        """How far the coverage of active values is from 90%, if by much; then the score."""
        spread = shape.of_values(squared, varied, moments)
        half = INTERVAL_90 * spread
        half = half * np.quantile(error / np.where(half > 0, half, np.inf), 1 - MISS_RATE)
        score = np.mean((2 * half + 2 / MISS_RATE * np.maximum(error - half, 0.0)) / moments.size)
        missed = float(np.mean(error > half, where=active > 0)) if active.any() else MISS_RATE
        ranked = rank_correlation(relative_error[:, 0], spread.mean(axis=1))
        worth = 1 - WORTH_OF_RANK * (ranked or 0.0)
        return max(0.0, abs(missed - MISS_RATE) - TOLERANCE), float(score) * worth

    levels = [*product(EXPONENTS, (None, common_size))]
    shapes = product(SHARES, SHARES, levels if len(values) >= FEWEST_FOR_LEVEL else levels[:1])
    return min((SpreadShape(a, b, *level) for a, b, level in shapes), key=rank)
