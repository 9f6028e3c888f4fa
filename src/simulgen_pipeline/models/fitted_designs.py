"""The designs that regressions are fitted to, each once, however often it was simulated.

Shapes: n designs, m runs (rows of the fields), a of them added, P inputs, R modes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulgen_pipeline.data.errors import DataError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class FittedDesigns(NamedTuple):
    """Distinct designs with the mean of what their runs gave, and the runs.

    Attributes:
        points: (n, P) inputs, centred, in units of their median distance.
        coefficients: (n, R) means over a design's runs.
        num_runs: (n,) of each design.
        rows: (m,) of the runs, those of a design together, in the order of designs.
    """

    points: Float64
    coefficients: Float64
    num_runs: Int64
    rows: Int64

    @property
    def members(self) -> list[Int64]:
        """Rows of each design."""
        return np.split(self.rows, np.cumsum(self.num_runs)[:-1])

    @property
    def repeated(self) -> list[list[int]]:
        """Rows of each design that has more than one."""
        return [rows.tolist() for rows in self.members if len(rows) > 1]

    def are_new(self, points: Float64) -> NDArray[np.bool_]:
        """Whether points (a, P) are (a,) none of the designs so far."""
        everywhere = np.vstack([self.points, points])
        _, first, group = np.unique(everywhere, axis=0, return_index=True, return_inverse=True)
        return np.asarray(first[group.ravel()][len(self.points) :] >= len(self.points))

    def with_runs(self, points: Float64, coefficients: Float64, rows: Int64) -> FittedDesigns:
        """The same designs in the same order, and after them those of further runs that are new.

        Args:
            points: (a, P).
            coefficients: (a, S) with S >= R; the designs so far have nothing of modes beyond R.
            rows: (a,).
        """
        num_added_modes = coefficients.shape[1] - self.coefficients.shape[1]
        ours = np.pad(self.coefficients, ((0, 0), (0, num_added_modes)))
        everywhere = np.vstack([self.points, points])
        _, first, group = np.unique(everywhere, axis=0, return_index=True, return_inverse=True)
        kept = np.sort(first)
        places = np.searchsorted(kept, first[group.ravel()])
        weights = np.append(self.num_runs, np.ones_like(rows))
        num_runs = np.bincount(places, weights).astype(np.int64)
        coefficients = np.vstack([ours, coefficients])
        means = coefficients[kept]
        for place in np.flatnonzero(np.bincount(places) > 1):
            same = places == place
            means[place] = weights[same] @ coefficients[same] / num_runs[place]
        members = [*self.members, *rows[:, None]]
        by_design = [members[number] for number in np.argsort(places, kind="stable")]
        return FittedDesigns(everywhere[kept], means, num_runs, np.concatenate(by_design))


def finite_designs(designs: Float64, num_rows: int | None = None) -> Float64:
    """Designs (n, P) as they are.

    Raises:
        DataError: they are not finite, not a table, or not as many as there are rows for them.
    """
    designs = np.asarray(designs, dtype=np.float64)
    if num_rows is not None and len(designs) != num_rows:
        raise DataError(f"Expected a design for each of {num_rows} rows, got {len(designs)}.")
    if designs.ndim != 2:
        raise DataError(f"Expected designs (number, parameters), got shape {designs.shape}.")
    wrong = np.flatnonzero(~np.isfinite(designs).all(axis=1))
    if len(wrong):
        raise DataError(f"Expected finite designs, got others at places {wrong[:5].tolist()}.")
    return designs
