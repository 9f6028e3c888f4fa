"""Trajectories as snapshots: read a block at a time, checked, with the round-off they carry.

Shapes: N designs in all, n designs read, b designs of a block, T time steps, M nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simulgen_pipeline.data.errors import DataError

Float64 = NDArray[np.float64]


class FieldReader(Protocol):
    """Fields that are read by design, such as a lazy handle on a file."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, T, M)."""
        ...

    def read(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """The fields (len(rows), T, M) of some designs, in the order given."""
        ...


def read_blocks(
    reader: FieldReader, rows: NDArray[np.int64], max_bytes: int, start: int = 0
) -> Iterator[tuple[slice, Float64]]:
    """Places among `rows` from `start` on, and their snapshots (b, T * M) in float64."""
    _, num_times, num_nodes = reader.shape
    size = max(1, max_bytes // (8 * num_times * num_nodes))
    for first in range(start, len(rows), size):
        part = slice(first, min(first + size, len(rows)))
        fields = reader.read(rows[part])
        yield part, np.array(fields, dtype=np.float64).reshape(len(fields), -1)


def round_off(reader: FieldReader, rows: NDArray[np.int64]) -> float:
    """Of the values of fields, and of sums over as many designs, relative to their norm."""
    dtype = reader.read(rows[:1]).dtype
    of_values = float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps) / 2
    return max(of_values, len(rows) * float(np.finfo(np.float64).eps))


def checked_norms(squares: Float64, rows: NDArray[np.int64]) -> Float64:
    """Roots (n,) of squared norms.

    Raises:
        DataError: some are not finite.
    """
    wrong = rows[~np.isfinite(squares)]
    if len(wrong):
        raise DataError(
            f"The fields of {len(wrong)} designs are not finite (rows "
            f"{', '.join(map(str, wrong[:5]))}{', ...' if len(wrong) > 5 else ''}). Expected "
            f"finite values; leave these designs out or repair them."
        )
    return np.sqrt(squares)
