"""Cross-validation of regressions of POD coefficients, scored as errors of fields.

Shapes: n designs, P inputs, R modes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from joblib import Parallel, delayed, parallel_config
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Float64 = NDArray[np.float64]
Result = TypeVar("Result")


class Folds(NamedTuple):
    """Designs on which candidates are compared, and how they are held out.

    Attributes:
        points: (n, P) inputs, centred, in units of their median distance.
        coefficients: (n, R) of orthonormal modes, so that their error is the fields'.
        norms: (n,) Frobenius norms of the fields, mean included.
        held_out: of each fold the designs that are predicted from all others.
    """

    points: Float64
    coefficients: Float64
    norms: Float64
    held_out: list[NDArray[np.int64]]

    @classmethod
    def split(cls, points: Float64, coefficients: Float64, norms: Float64, num_folds: int) -> Self:
        """Folds of neighbours in the order given, which is to be random."""
        places = np.arange(len(points))
        held_out = np.array_split(places, min(num_folds, len(points)))
        return cls(points, coefficients, norms, held_out)

    def score(self, residuals: Float64) -> float:
        """Mean relative L2 error of fields; one that is zero everywhere has none, and is left out.

        Args:
            residuals: (n, R) errors of coefficients that were held out.
        """
        known = self.norms > 0
        return float(np.mean(np.linalg.norm(residuals[known], axis=1) / self.norms[known]))


def run_parallel(
    function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], num_jobs: int
) -> list[Result]:
    """A module's function applied to each of the arguments, in order, in some processes.

    Processes, as SciPy's LAPACK holds the interpreter's lock. Linear algebra has one thread in
    each: jobs don't compete for cores, and results don't depend on the number of jobs.
    """
    with threadpool_limits(1), parallel_config("loky", inner_max_num_threads=1):
        run = Parallel(n_jobs=num_jobs, max_nbytes=None)
        return list(run(delayed(function)(*values) for values in arguments))
