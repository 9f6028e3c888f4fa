"""Proper orthogonal decomposition (POD) of whole trajectories, in memory or streamed.

Shapes: N designs in all, n designs fitted, q designs reconstructed, T time steps, M nodes, R modes.

A snapshot is one design's whole field, T * M values, so that a mode carries space and time and a
design is a single vector of coefficients. Modes are orthonormal: a distance between coefficients is
the Frobenius distance between fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from simulgen_pipeline.data.artifact import Config, State
from simulgen_pipeline.data.errors import DataError

from .snapshots import FieldReader, checked_norms, read_blocks, round_off

Float64 = NDArray[np.float64]

# Values of the modes that are converted to float64 at a time: two megabytes, near the cache.
CHUNK_VALUES = 2**18


class TrajectoryPod:
    """POD of trajectories, centred by their mean and untruncated but for round-off.

    The round-off of the values counts: what float32 fields hold below 6e-8 of their norm is noise,
    which an interpolation between designs would amplify.

    Snapshots that fit into `max_bytes` are decomposed by a singular value decomposition, at a peak
    of twice their size. Larger ones are never held: the method of snapshots (Sirovich 1987,
    Quarterly of Applied Mathematics 45) needs only their inner products, summed over pairs of
    blocks, so that data of k times `max_bytes` are read about k + 3 times. It resolves modes down
    to the square root of round-off (1e-7 of the leading one; a singular value decomposition to
    1e-11), and keeps as many as fit into `max_bytes`.

    Args:
        max_bytes: memory [bytes] for snapshots in float64.

    Attributes:
        mean_: (T * M,) mean of the fitted fields.
        modes_: (R, T * M) orthonormal rows, in float32 (an error of 6e-8).
        coefficients_: (n, R) of the fitted designs; None in a decomposition that was loaded or
            extended.
        norms_: (n,) Frobenius norms of the fitted fields, mean included; None likewise.
        field_shape_: (T, M).
        lost_energy_: share of the squared distances from the mean that is left out.
        streamed_: whether the method of snapshots was used.
        limited_: whether modes were left out for lack of memory: ones above round-off, or those of
            designs that `extended` was given.
    """

    mean_: Float64
    modes_: NDArray[np.float32]
    coefficients_: Float64 | None = None
    norms_: Float64 | None = None
    field_shape_: tuple[int, int]
    lost_energy_: float
    streamed_: bool
    limited_: bool

    def __init__(self, max_bytes: int = 2**30) -> None:
        self.max_bytes = max_bytes

    def fit(self, reader: FieldReader, rows: NDArray[np.int64]) -> Self:
        """Decompose the fields of some designs.

        Args:
            reader: fields (N, T, M).
            rows: (n,) the designs to use.

        Raises:
            DataError: values are not finite, or all fields are the same.
        """
        _, num_times, num_nodes = reader.shape
        self.field_shape_ = (num_times, num_nodes)
        self.streamed_ = len(rows) * num_times * num_nodes * 8 > self.max_bytes
        if self.streamed_:
            self._fit_streamed(reader, rows)
        else:
            self._fit_in_memory(reader, rows)
        return self

    def _fit_in_memory(self, reader: FieldReader, rows: NDArray[np.int64]) -> None:
        num_values = self.field_shape_[0] * self.field_shape_[1]
        snapshots = np.empty((len(rows), num_values))
        for part, block in read_blocks(reader, rows, self.max_bytes // 8):
            snapshots[part] = block
        self.norms_ = checked_norms(np.einsum("nd,nd->n", snapshots, snapshots), rows)
        self.mean_ = snapshots.mean(axis=0)
        snapshots -= self.mean_
        # The transpose is in Fortran's order, so that LAPACK works in place and copies nothing.
        modes, singular, rotation = scipy.linalg.svd(
            snapshots.T, full_matrices=False, overwrite_a=True, check_finite=False
        )
        precision = max(snapshots.shape) * np.finfo(np.float64).eps * singular[0]
        of_fields = round_off(reader, rows) * self.norms_.max()
        kept = self._num_kept(singular**2, max(precision, of_fields))
        self.modes_ = modes.T[:kept].astype(np.float32)
        self.coefficients_ = rotation[:kept].T * singular[:kept]

    def _fit_streamed(self, reader: FieldReader, rows: NDArray[np.int64]) -> None:
        n, num_values = len(rows), self.field_shape_[0] * self.field_shape_[1]
        block_bytes = self.max_bytes // 2  # two blocks are held at a time
        self.mean_, squares = np.zeros(num_values), np.empty(n)
        for part, block in read_blocks(reader, rows, block_bytes):
            squares[part] = np.einsum("nd,nd->n", block, block)
            self.mean_ += block.sum(axis=0) / n
        self.norms_ = checked_norms(squares, rows)

        gram = np.empty((n, n))
        for part, block in read_blocks(reader, rows, block_bytes):
            block -= self.mean_
            gram[part, part] = block @ block.T
            for later, other in read_blocks(reader, rows, block_bytes, start=part.stop):
                other -= self.mean_
                gram[part, later] = block @ other.T
                gram[later, part] = gram[part, later].T
        eigenvalues, vectors = np.linalg.eigh(gram)
        eigenvalues, vectors = eigenvalues[::-1].clip(min=0), vectors[:, ::-1]
        precision = np.sqrt(n * np.finfo(np.float64).eps * eigenvalues[0])
        most = max(1, self.max_bytes // (4 * num_values))
        of_fields = round_off(reader, rows) * self.norms_.max()
        kept = self._num_kept(eigenvalues, max(precision, of_fields), most)
        singular, vectors = np.sqrt(eigenvalues[:kept]), vectors[:, :kept]

        self.modes_ = np.zeros((kept, num_values), np.float32)
        for part, block in read_blocks(reader, rows, block_bytes):
            block -= self.mean_
            for chunk in self._chunks():
                self.modes_[:, chunk] += (vectors[part] / singular).T @ block[:, chunk]
        self.coefficients_ = vectors * singular
        self._orthonormalise()

    def _num_kept(self, energies: Float64, precision: float, most: int | None = None) -> int:
        """Modes whose singular values are above some precision; records what the others hold."""
        resolved = int(np.count_nonzero(energies > precision**2))
        if resolved == 0:
            raise DataError(
                "The fields of all designs are the same. Expected fields that depend on the "
                "design; check the simulations."
            )
        kept = resolved if most is None else min(most, resolved)
        self.limited_ = kept < resolved
        self.lost_energy_ = float(energies[kept:].sum() / energies.sum())
        return kept

    def _orthonormalise(self) -> None:
        """Cholesky QR: the weakest modes of the method of snapshots are otherwise oblique."""
        assert self.coefficients_ is not None
        gram = np.zeros((len(self.modes_),) * 2)
        for chunk in self._chunks():
            modes = self.modes_[:, chunk].astype(np.float64)
            gram += modes @ modes.T
        factor = np.linalg.cholesky(gram)
        for chunk in self._chunks():
            self.modes_[:, chunk] = scipy.linalg.solve_triangular(
                factor, self.modes_[:, chunk], lower=True
            )
        self.coefficients_ = self.coefficients_ @ factor

    def extended(self, reader: FieldReader, rows: NDArray[np.int64]) -> tuple[Self, Float64]:
        """This decomposition with modes for what further designs have outside of its own.

        Mean and modes stay, and with them the coefficients of the designs that were fitted, which
        have nothing of the added modes. Where the further fields or all modes do not fit into
        `max_bytes`, or modes were left out before, none are added: the further designs are
        projected only.

        Args:
            reader: fields (N, T, M).
            rows: (m,) the further designs.

        Returns:
            The extended decomposition of R + K modes, and coefficients (m, R + K) of the further
            designs. Its `lost_energy_` remains that of the designs that were fitted.

        Raises:
            DataError: values are not finite.
        """
        num_designs, num_values = len(rows), len(self.mean_)
        num_modes = len(self.modes_)
        most_bytes = num_values * max(8 * num_designs, 4 * (num_modes + num_designs))
        limited = self.limited_ or most_bytes > self.max_bytes
        residuals = np.empty((0 if limited else num_designs, num_values))
        coefficients = np.empty((num_designs, num_modes))
        squares = np.empty(num_designs)
        for part, block in read_blocks(reader, rows, self.max_bytes // 8):
            squares[part] = np.einsum("nd,nd->n", block, block)
            block -= self.mean_
            coefficients[part] = self._take_out(block)
            if not limited:
                residuals[part] = block
        norms = checked_norms(squares, rows)
        pod = self.from_state({**self.config(), "limited": limited}, self.state())
        if limited:
            return pod, coefficients
        modes, singular, rotation = scipy.linalg.svd(
            residuals.T, full_matrices=False, overwrite_a=True, check_finite=False
        )
        # The modes, too, are rounded to float32.
        of_fields = max(round_off(reader, rows), float(np.finfo(np.float32).eps) / 2) * norms.max()
        precision = max(residuals.shape) * np.finfo(np.float64).eps * singular[0]
        kept = int(np.count_nonzero(singular > max(precision, of_fields)))
        pod.modes_ = np.vstack([self.modes_, modes.T[:kept].astype(np.float32)])
        return pod, np.hstack([coefficients, rotation[:kept].T * singular[:kept]])

    def _take_out(self, snapshots: Float64) -> Float64:
        """Coefficients (b, R) of centred snapshots (b, T * M), which keep what no mode holds."""
        coefficients = np.zeros((len(snapshots), len(self.modes_)))
        for _ in range(2):  # once more for what is left, as modes in float32 are a little oblique
            found = np.zeros_like(coefficients)
            for chunk in self._chunks():
                found += snapshots[:, chunk] @ self.modes_[:, chunk].T.astype(np.float64)
            for chunk in self._chunks():
                snapshots[:, chunk] -= found @ self.modes_[:, chunk].astype(np.float64)
            coefficients += found
        return coefficients

    def inverse_transform(self, coefficients: Float64) -> Float64:
        """Coefficients (q, R) to fields (q, T, M) in physical units."""
        fields = np.empty((len(coefficients), len(self.mean_)))
        for chunk in self._chunks():
            fields[:, chunk] = coefficients @ self.modes_[:, chunk].astype(np.float64)
        fields += self.mean_
        return fields.reshape(-1, *self.field_shape_)

    def inverse_transform_with_std(
        self, coefficients: Float64, variances: Float64
    ) -> tuple[Float64, NDArray[np.float32]]:
        """Fields and standard deviations of coefficients with independent variances, in one pass.

        Args:
            coefficients: (q, R) means.
            variances: (q, R).

        Returns:
            Both (q, T, M), in physical units.
        """
        fields = np.empty((len(coefficients), len(self.mean_)))
        std = np.empty(fields.shape, np.float32)
        for chunk in self._chunks():
            modes = self.modes_[:, chunk].astype(np.float64)
            fields[:, chunk] = coefficients @ modes
            std[:, chunk] = np.sqrt(variances @ np.square(modes, out=modes))
        fields += self.mean_
        shape = (-1, *self.field_shape_)
        return fields.reshape(shape), std.reshape(shape)

    def root_mean_square(self, residuals: Float64) -> NDArray[np.float32]:
        """Root mean square (T, M) over designs of fields without the mean.

        Args:
            residuals: (n, R) coefficients, such as errors of predicted ones.
        """
        result = np.empty(len(self.mean_), np.float32)
        for chunk in self._chunks():
            fields = residuals @ self.modes_[:, chunk].astype(np.float64)
            result[chunk] = np.sqrt(np.mean(np.square(fields), axis=0))
        return np.asarray(result.reshape(self.field_shape_))

    def _chunks(self) -> Iterator[slice]:
        size = max(1, CHUNK_VALUES // len(self.modes_))
        for start in range(0, len(self.mean_), size):
            yield slice(start, start + size)

    def config(self) -> Config:
        return {
            "max_bytes": self.max_bytes,
            "field_shape": list(self.field_shape_),
            "lost_energy": self.lost_energy_,
            "streamed": self.streamed_,
            "limited": self.limited_,
        }

    def state(self) -> State:
        """Mean and modes; the fitted coefficients belong to what was fitted to them."""
        return {"mean": self.mean_, "modes": self.modes_}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        pod = cls(config["max_bytes"])
        num_times, num_nodes = config["field_shape"]
        pod.field_shape_ = (num_times, num_nodes)
        pod.lost_energy_ = config["lost_energy"]
        pod.streamed_, pod.limited_ = config["streamed"], config["limited"]
        pod.mean_, pod.modes_ = state["mean"], state["modes"]
        return pod
