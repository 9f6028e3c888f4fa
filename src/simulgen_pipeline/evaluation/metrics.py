"""Errors of predicted fields and of their intervals, accumulated a block of designs at a time.

All sums are float64. A figure that cannot be computed is absent from the result, never NaN.

Shapes: n designs of a block, T time steps, M nodes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

logger = logging.getLogger(__name__)

Array = NDArray[Any]

# The 90% interval of a Gaussian is mean +- INTERVAL_90 standard deviations.
INTERVAL_90 = 1.645
MISS_RATE = 0.1
ACTIVE_FRACTION = 0.01  # of a design's own peak

# Of the pooled quantile that few designs are calibrated by.
HIGHEST_LEVEL = 0.97
# Bins of |error| / half width in `calibration_factor`: 2730 per decade.
_RATIO_EDGES = np.geomspace(1e-12, 1e12, 2**16 + 1)


class FieldErrors:
    """Errors of predicted against true fields.

    Attributes:
        relative_l2: by design id, ||predicted - true|| / ||true|| over all times and nodes, for the
            designs seen so far whose true field is not zero everywhere.
    """

    def __init__(self) -> None:
        self.relative_l2: dict[str, float] = {}
        self._zero_designs: list[str] = []
        self._count = 0
        self._squared = 0.0
        self._absolute = 0.0
        self._mean = 0.0
        self._deviation = 0.0  # sum of squares of true about its mean
        self._lowest, self._highest = math.inf, -math.inf

    def update(self, true: Array, predicted: Array, design_ids: Sequence[str]) -> None:
        """Add designs.

        Args:
            true, predicted: (n, T, M) in physical units.
            design_ids: (n,), each design once over all updates.

        Raises:
            ValueError: shapes differ, or a value is not finite.
        """
        check_shapes(true=true, predicted=predicted)
        for one_true, one_predicted, name in zip(true, predicted, design_ids, strict=True):
            reference = one_true.astype(np.float64)  # (T, M)
            error = one_predicted.astype(np.float64) - reference
            squared = _sum_of_squares(error)
            if not math.isfinite(squared):
                raise not_finite_error(name)
            self._count_true(reference)
            self._squared += squared
            self._absolute += float(np.abs(error).sum())
            norm = math.sqrt(_sum_of_squares(reference))
            if norm > 0:
                self.relative_l2[name] = math.sqrt(squared) / norm
            else:
                self._zero_designs.append(name)

    def _count_true(self, reference: Array) -> None:
        """Merge mean and sum of squared deviations with those of one design (Chan et al. 1983)."""
        count, mean = reference.size, float(reference.mean())
        total = self._count + count
        step = mean - self._mean
        self._deviation += _sum_of_squares(reference - mean)
        self._deviation += step**2 * self._count * count / total
        self._mean += step * count / total
        self._count = total
        self._lowest = min(self._lowest, float(reference.min()))
        self._highest = max(self._highest, float(reference.max()))

    def result(self) -> dict[str, float]:
        """Errors over all designs so far; empty when there were none.

        Returns:
            `relative_l2_mean`, `relative_l2_max` over designs (absent when every true field is
            zero; those that are zero are named in a warning); `rmse`, `mae` in the field's units
            and `r2` over all values (absent when the true values are all the same, for then there
            is no variance to explain).
        """
        if self._count == 0:
            return {}
        figures = {}
        if self._zero_designs:
            logger.warning(
                "The true field is zero everywhere in %d design(s), which have no relative L2 "
                "error: %s",
                len(self._zero_designs),
                ", ".join(self._zero_designs),
            )
        if self.relative_l2:
            figures["relative_l2_mean"] = float(np.mean(list(self.relative_l2.values())))
            figures["relative_l2_max"] = max(self.relative_l2.values())
        figures["rmse"] = math.sqrt(self._squared / self._count)
        figures["mae"] = self._absolute / self._count
        # Deviations of a constant need not sum to zero once its mean is rounded.
        if self._lowest < self._highest and self._deviation > 0:
            figures["r2"] = 1 - self._squared / self._deviation
        return figures


class IntervalErrors:
    """How good the 90% intervals mean +- 1.645 std are."""

    def __init__(self) -> None:
        self._count = 0
        self._covered = 0
        self._active = 0
        self._active_covered = 0
        self._width = 0.0
        self._excess = 0.0  # sum of distances of true values to their interval
        self._per_design: list[tuple[float, float]] = []  # relative L2 error, mean std

    def update(self, true: Array, mean: Array, std: Array) -> None:
        """Add designs.

        Args:
            true, mean, std: (n, T, M) in physical units.

        Raises:
            ValueError: shapes differ, or a value is not finite.
        """
        check_shapes(true=true, mean=mean, std=std)
        for block in zip(true, mean, std, strict=True):
            reference, centre, deviation = (part.astype(np.float64) for part in block)  # (T, M)
            error = np.abs(reference - centre)
            excess = error - INTERVAL_90 * deviation
            if not math.isfinite(excess.sum()):
                raise ValueError(
                    "A true value, mean or std is not finite. Expected finite fields; did the "
                    "training diverge?"
                )
            magnitude = np.abs(reference)
            covered, active = excess <= 0, magnitude > ACTIVE_FRACTION * magnitude.max()
            self._count += reference.size
            self._covered += int(covered.sum())
            self._active += int(active.sum())
            self._active_covered += int((covered & active).sum())
            self._width += 2 * INTERVAL_90 * float(deviation.sum())
            self._excess += float(excess[~covered].sum())
            norm = math.sqrt(_sum_of_squares(reference))
            if norm > 0:
                relative = math.sqrt(_sum_of_squares(error)) / norm
                self._per_design.append((relative, float(deviation.mean())))

    def result(self) -> dict[str, float]:
        """Figures over all designs so far; empty when there were none.

        Returns:
            `coverage_90` of all values; `coverage_90_active` of those whose |true| exceeds 1% of
            its peak in the design (absent when every true field is zero); `mean_width` and
            `interval_score` (Gneiting & Raftery 2007, eq. 43, alpha = 0.1) in the field's units;
            `error_rank_correlation`, Spearman's between a design's relative L2 error and its mean
            std (absent below 3 designs, or when either is the same for all of them).
        """
        if self._count == 0:
            return {}
        width = self._width / self._count
        figures = {
            "coverage_90": self._covered / self._count,
            "mean_width": width,
            "interval_score": width + 2 / MISS_RATE * self._excess / self._count,
        }
        if self._active > 0:
            figures["coverage_90_active"] = self._active_covered / self._active
        if self._per_design:
            correlation = rank_correlation(*np.array(self._per_design).T)
            if correlation is not None:
                figures["error_rank_correlation"] = correlation
        return figures


def rank_correlation(errors: Array, deviations: Array) -> float | None:
    """Spearman's over designs (n,); None below 3, or when either is the same for all of them."""
    if len(errors) < 3 or np.ptp(errors) == 0 or np.ptp(deviations) == 0:
        return None
    return float(stats.spearmanr(errors, deviations).statistic)


def calibration_factor(blocks: Iterable[tuple[Array, Array, Array]]) -> float:
    """The factor f such that |true - mean| <= 1.645 f std holds for 90% of new designs' values.

    A quantile of |true - mean| / (1.645 std) over all values of the n designs, pooled as in split
    conformal prediction for groups (Dunn, Wasserman & Ramdas 2023, Journal of the American
    Statistical Association 118). The values of a design depend on one another, so that few designs
    tell little of the next one, however many values they have; and 90% is the coverage on average
    over new designs, not in each of them. If the next design were covered as a whole or not at all,
    its level would have to be 0.9 (1 + 1 / n); if its values were like those of all others, 0.9.
    What is taken is half-way, 0.9 (1 + 1 / 2n), without a guarantee, and at most 97%: what is
    beyond is a matter of the worst design's worst values.

    Streams with constant memory: ratios are counted in log-spaced bins, and f is the upper edge of
    the quantile's bin. It is never below the exact quantile and at most 0.085% above it, within
    1e-12 to 1e12. A value without error and std counts as covered, one with an error and no std as
    not covered.

    Args:
        blocks: true, mean and std (n, T, M) of designs that neither model nor std was fitted to.

    Returns:
        f, which is inf where no finite factor covers as many: more values than are left out have an
        error and no std.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    counts = np.zeros(len(_RATIO_EDGES) + 1, np.int64)  # below the first edge, bins, above the last
    num_designs = 0
    for true, mean, std in blocks:
        check_shapes(true=true, mean=mean, std=std)
        num_designs += len(true)
        for one in zip(true, mean, std, strict=True):
            ratios = _error_ratios(*(part.astype(np.float64) for part in one))
            bins = np.searchsorted(_RATIO_EDGES, ratios.ravel())  # edge[i - 1] < ratio <= edge[i]
            counts += np.bincount(bins, minlength=len(counts))
    count = int(counts.sum())
    if count == 0:
        raise ValueError("There are no values to calibrate on. Expected at least one design.")
    level = min((1 - MISS_RATE) * (1 + 1 / (2 * num_designs)), HIGHEST_LEVEL)
    rank = math.ceil(level * count * (1 - 1e-12))  # a whole number is not rounded up
    quantile_bin = int(np.searchsorted(counts.cumsum(), rank))
    return float(_RATIO_EDGES[quantile_bin]) if quantile_bin < len(_RATIO_EDGES) else math.inf


def _error_ratios(true: Array, mean: Array, std: Array) -> Array:
    """|true - mean| / (1.645 std), where 0 / 0 is 0 and any other error / 0 is inf."""
    error = np.abs(true - mean)
    if not (math.isfinite(error.sum()) and math.isfinite(std.sum())):
        raise ValueError("A true value, mean or std is not finite. Expected finite fields.")
    ratios: Array = np.where(error > 0, np.inf, 0.0)
    np.divide(error, INTERVAL_90 * std, out=ratios, where=std > 0)
    return ratios


def _sum_of_squares(values: Array) -> float:
    # Not a dot product: NumPy sums pairwise, which keeps rounding errors at log(n).
    return float(np.square(values).sum())


def check_shapes(**arrays: Array) -> None:
    """Raise a ValueError unless all arrays have one shape (n, T, M)."""
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 3 for shape in shapes.values()):
        raise ValueError(f"Expected fields of one shape (designs, times, nodes), not {shapes}.")


def not_finite_error(design_id: str) -> ValueError:
    """What to raise when a field of a design, or its prediction, has NaN or infinite values."""
    return ValueError(
        f"Design {design_id} has values that are not finite, in the true field or in the "
        f"prediction. Expected finite fields; did the training diverge?"
    )
