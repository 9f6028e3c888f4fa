"""What tests of models share: fields in memory.

Shapes: N designs, T time steps, M nodes.
"""

import numpy as np
import pytest


class ArrayReader:
    """Fields (N, T, M) in memory, which remembers the largest block that was read."""

    def __init__(self, fields: np.ndarray) -> None:
        self.fields, self.most_read = fields, 0

    @property
    def shape(self) -> tuple[int, int, int]:
        n, t, m = self.fields.shape
        return n, t, m

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.most_read = max(self.most_read, len(rows))
        return self.fields[rows]


@pytest.fixture(scope="session")
def array_reader() -> type[ArrayReader]:
    """Makes a reader of fields."""
    return ArrayReader
