"""Errors of each design's peak, and the node and the time where errors are largest.

A peak is the largest size of a field over all nodes and times: of |value|, or of the length of the
vector at a mesh node where a field has several components. Sums are float64. A figure that cannot
be computed is absent from the result, never NaN.

Shapes: n designs of a block, T time steps, M values per time step, K = M / components mesh nodes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import FieldMetadata

from .metrics import check_shapes, not_finite_error

Array = NDArray[Any]


class PeakError(NamedTuple):
    """Predicted peak of a design against the true one.

    Attributes:
        true: size of the true peak, in the field's units.
        value: predicted minus true size; negative where the peak is too low.
        relative: `value` as a fraction of `true`; None where the true field is zero everywhere.
        place: distance of the predicted peak from the true one, in the units of the coordinates;
            without coordinates 0 at the same node and 1 at another. None where the true field is
            zero everywhere.
        time: predicted minus true time of the peak, in the units of the times, or in steps where
            there are none. None for a static simulation, or a true field that is zero everywhere.
    """

    true: float
    value: float
    relative: float | None = None
    place: float | None = None
    time: float | None = None


class PeakErrors:
    """Errors of the peaks of predicted against true fields.

    A true field may take its peak more than once, as on a boundary whose value is given. Then that
    place counts which is nearest to the predicted peak, and of its times the nearest.

    Attributes:
        designs: by design id, for the designs seen so far.
    """

    def __init__(self, metadata: FieldMetadata) -> None:
        self.designs: dict[str, PeakError] = {}
        self._metadata = metadata

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
            sizes = [self._sizes(field) for field in (one_true, one_predicted)]
            if not all(math.isfinite(size.max()) for size in sizes):
                raise not_finite_error(name)
            self.designs[name] = self._compare(*sizes)

    def _sizes(self, field: Array) -> Array:
        """Size of the value or vector at each time and mesh node, (T, K)."""
        vectors = field.astype(np.float64).reshape(len(field), -1, self._metadata.components)
        sizes: Array = np.linalg.norm(vectors, axis=2)
        return sizes

    def _compare(self, true: Array, predicted: Array) -> PeakError:
        peak = float(true.max())
        value = float(predicted.max()) - peak
        if peak == 0:
            return PeakError(peak, value)
        step, node = np.unravel_index(predicted.argmax(), predicted.shape)
        true_steps, true_nodes = np.nonzero(true == peak)
        distances = self._distances(int(node), true_nodes)
        place = float(distances.min())
        if len(true) == 1:
            return PeakError(peak, value, value / peak, place)
        times = _times(self._metadata, len(true))
        delays = times[step] - times[true_steps[distances == place]]
        delay = float(delays[np.abs(delays).argmin()])
        return PeakError(peak, value, value / peak, place, delay)

    def _distances(self, node: int, others: NDArray[np.int64]) -> Array:
        """Of mesh nodes from one of them, as `PeakError.place` counts."""
        points = self._metadata.coordinates
        if points is None:
            return np.where(others == node, 0.0, 1.0)
        distances: Array = np.linalg.norm(points[others] - points[node], axis=1)
        return distances

    def result(self) -> dict[str, float]:
        """Mean and maximum of the absolute errors over all designs so far.

        Returns:
            `value_error_mean`, `value_error_max` in the field's units; `relative_error_*`,
            `place_error_*`, `time_error_*` over the designs that have one (absent where none has).
        """
        figures = {}
        for name in ("value", "relative", "place", "time"):
            errors = [getattr(design, name) for design in self.designs.values()]
            known = [abs(error) for error in errors if error is not None]
            if known:
                figures[f"{name}_error_mean"] = float(np.mean(known))
                figures[f"{name}_error_max"] = max(known)
        return figures


class WorstErrors:
    """The error of each node and of each time, and where it is largest.

    Errors are root mean squares of the error's size: over designs and times for a mesh node, over
    designs and mesh nodes for a time. The size of a vector's error is its length.
    """

    def __init__(self, metadata: FieldMetadata) -> None:
        self._metadata = metadata
        self._num_designs = 0
        self._over_time: Array = np.zeros(1)  # (K,) sums of squares over designs and times
        self._over_mesh: Array = np.zeros(1)  # (T,) sums of squares over designs and nodes

    def update(self, true: Array, predicted: Array, design_ids: Sequence[str]) -> None:
        """Add designs.

        Args:
            true, predicted: (n, T, M) in physical units.
            design_ids: (n,).

        Raises:
            ValueError: shapes differ, or a value is not finite.
        """
        check_shapes(true=true, predicted=predicted)
        for one_true, one_predicted, name in zip(true, predicted, design_ids, strict=True):
            error = one_predicted.astype(np.float64) - one_true
            squared = np.square(error).reshape(len(error), -1, self._metadata.components)
            squared = squared.sum(axis=2)  # (T, K)
            if not math.isfinite(squared.sum()):
                raise not_finite_error(name)
            self._over_time = self._over_time + squared.sum(axis=0)
            self._over_mesh = self._over_mesh + squared.sum(axis=1)
            self._num_designs += 1

    def at_nodes(self) -> pd.Series[float]:
        """Root-mean-square error (K,) of each mesh node over all designs so far, by its number."""
        errors = np.sqrt(self._over_time / (self._num_designs * len(self._over_mesh)))
        return pd.Series(errors, index=pd.RangeIndex(len(errors), name="node"))

    def at_times(self) -> pd.Series[float]:
        """Root-mean-square error (T,) of each time over all designs so far, by the time, or step
        where there are no times."""
        errors = np.sqrt(self._over_mesh / (self._num_designs * len(self._over_time)))
        return pd.Series(errors, index=pd.Index(_times(self._metadata, len(errors)), name="time"))

    def result(self) -> dict[str, dict[str, float]]:
        """The largest errors over all designs so far; empty when there were none.

        Returns:
            `worst_node`: its number `node`, counted from 0, and its `rmse`; `worst_time`: its
            `time`, or step where there are no times, and its `rmse` (absent for a static
            simulation). Errors are in the field's units.
        """
        if self._num_designs == 0:
            return {}
        at_nodes, at_times = self.at_nodes(), self.at_times()
        node, step = int(at_nodes.argmax()), int(at_times.argmax())
        worst: dict[str, dict[str, float]] = {
            "worst_node": {"node": node, "rmse": float(at_nodes.iloc[node])}
        }
        if len(at_times) > 1:
            time = float(at_times.index[step])
            worst["worst_time"] = {"time": time, "rmse": float(at_times.iloc[step])}
        return worst


def _times(metadata: FieldMetadata, num_times: int) -> Array:
    """Output times (T,), or step numbers where they are not known."""
    return np.arange(num_times) if metadata.time is None else metadata.time
