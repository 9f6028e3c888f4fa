"""Reduction of fields in space to the coefficients of a POD basis, fitted on training designs only.

Shapes: n designs, T time steps, M nodes, R modes, S snapshots (n times T).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.linalg.blas import dgemm

from .artifact import Config, State

logger = logging.getLogger(__name__)

Float64 = NDArray[np.float64]

# Directions sketched beyond the modes that may be kept, which makes the last of those accurate.
OVERSAMPLING = 16


class PodBasis:
    """An orthonormal basis of the span of scaled snapshots: proper orthogonal decomposition.

    Fitted in a few streaming passes by a randomised range finder with one power iteration (Halko,
    Martinsson & Tropp 2011, algorithms 4.4 and 5.1), applied to the snapshots' rows; exact where
    there are fewer nodes than sketched directions. Besides a block, two arrays of nodes times
    directions are held at most. Coefficients share one scale, so that a squared error of
    coefficients is, up to that factor, a squared error of scaled fields.

    Attributes:
        modes_: (R, M) orthonormal rows.
        coefficient_scale_: root mean square of the training coefficients, which divides them.
        lost_energy_: share of the snapshots' squared norm outside the basis.
    """

    def __init__(self, tolerance: float = 1e-6, max_modes: int = 512, seed: int = 0) -> None:
        self.tolerance, self.max_modes, self.seed = tolerance, max_modes, seed

    def fit(self, blocks: Callable[[], Iterable[NDArray[Any]]]) -> Self:
        """Fit on scaled training fields.

        Args:
            blocks: starts a new pass over blocks (n, T, M), each time in the same order.
        """
        directions, energy, num_snapshots = self._find_range(blocks)
        gram: Float64 = np.zeros((directions.shape[1],) * 2)
        for snapshots in _snapshots(blocks):
            projected = snapshots @ directions
            gram += projected.T @ projected
        self._truncate(directions, gram, energy, num_snapshots)
        return self

    def _find_range(
        self, blocks: Callable[[], Iterable[NDArray[Any]]]
    ) -> tuple[Float64, float, int]:
        """Orthonormal columns (M, D) whose span the snapshots are near; their energy and number."""
        rng = np.random.default_rng(self.seed)
        sketch: Float64 | None = None
        energy, num_snapshots = 0.0, 0
        for snapshots in _snapshots(blocks):
            num_nodes = snapshots.shape[1]
            num_directions = min(self.max_modes + OVERSAMPLING, num_nodes)
            if sketch is None:
                sketch = np.zeros((num_nodes, num_directions), order="F")
            drawn = rng.standard_normal((len(snapshots), num_directions))
            _add_product(sketch, snapshots.T, drawn)
            energy += float(np.vdot(snapshots, snapshots))
            num_snapshots += len(snapshots)
        if sketch is None:
            raise ValueError("a POD basis needs at least one snapshot")
        directions = _orthonormal(sketch)
        if directions.shape[1] < directions.shape[0]:  # else the range is complete already
            power = np.zeros(directions.shape, order="F")
            for snapshots in _snapshots(blocks):
                _add_product(power, snapshots.T, snapshots @ directions)
            directions = _orthonormal(power)
        return directions, energy, num_snapshots

    def _truncate(
        self, directions: Float64, gram: Float64, energy: float, num_snapshots: int
    ) -> None:
        eigenvalues, rotation = np.linalg.eigh(gram)
        eigenvalues, rotation = eigenvalues[::-1].clip(min=0), rotation[:, ::-1]
        kept = np.cumsum(eigenvalues)
        lost = 1.0 - kept / energy if energy > 0 else np.zeros_like(kept)
        num_modes = (
            int(np.argmax(lost <= self.tolerance)) + 1 if lost.min() <= self.tolerance else 0
        )
        if num_modes == 0 or num_modes > self.max_modes:
            num_modes = min(self.max_modes, len(eigenvalues))
            logger.warning(
                "%d POD modes leave out %.2g of the snapshots' energy, more than the tolerance "
                "%.2g: raise vae.pod.max_modes if the reconstruction is not good enough.",
                num_modes,
                lost[num_modes - 1],
                self.tolerance,
            )
        self.modes_ = rotation[:, :num_modes].T @ directions.T
        self.lost_energy_ = float(max(lost[num_modes - 1], 0.0))
        mean_square = float(eigenvalues[:num_modes].sum()) / (num_snapshots * num_modes)
        self.coefficient_scale_ = float(np.sqrt(mean_square)) or 1.0
        logger.info(
            "POD basis: %d modes of %d nodes, %.2g of the energy left out",
            num_modes,
            self.modes_.shape[1],
            self.lost_energy_,
        )

    def transform(self, scaled: NDArray[Any]) -> Float64:
        """Scaled fields (..., M) to coefficients (..., R)."""
        return np.asarray(scaled @ self.modes_.T / self.coefficient_scale_)

    def inverse_transform(self, coefficients: NDArray[Any]) -> Float64:
        """Coefficients (..., R) to scaled fields (..., M), in the coefficients' precision."""
        modes = self.modes_.astype(coefficients.dtype, copy=False)
        return np.asarray((coefficients * self.coefficient_scale_) @ modes)

    def config(self) -> Config:
        return {
            "tolerance": self.tolerance,
            "max_modes": self.max_modes,
            "seed": self.seed,
            "lost_energy": self.lost_energy_,
            "coefficient_scale": self.coefficient_scale_,
        }

    def state(self) -> State:
        return {"modes": self.modes_}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        basis = cls(config["tolerance"], config["max_modes"], config["seed"])
        basis.modes_ = state["modes"]
        basis.lost_energy_ = config["lost_energy"]
        basis.coefficient_scale_ = config["coefficient_scale"]
        return basis


def _add_product(total: Float64, left: Float64, right: Float64) -> None:
    """Add a product of matrices to a total (M, D), whose columns are contiguous."""
    dgemm(1.0, left, right, 1.0, total, overwrite_c=True)


def _orthonormal(columns: Float64) -> Float64:
    """An orthonormal basis (M, D) of the span of columns, in their memory."""
    return np.asarray(qr(columns, mode="economic", overwrite_a=True, check_finite=False)[0])


def _snapshots(blocks: Callable[[], Iterable[NDArray[Any]]]) -> Iterable[Float64]:
    """One pass over the fields as snapshots (S, M) in float64."""
    for block in blocks():
        yield block.reshape(-1, block.shape[-1]).astype(np.float64, copy=False)
