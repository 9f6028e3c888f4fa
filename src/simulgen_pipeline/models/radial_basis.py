"""Radial basis functions (RBF) from designs to POD coefficients, chosen by cross-validation.

Shapes: n designs, P inputs, R modes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from .cross_validation import Folds, run_parallel

Float64 = NDArray[np.float64]


class RadialBasis(NamedTuple):
    """Options of `scipy.interpolate.RBFInterpolator`, for points in units of their median distance.

    Attributes:
        kernel: its name.
        degree: of the polynomial beside it.
        epsilon: inverse width, where the kernel has one.
        smoothing: 0 interpolates.
    """

    kernel: str
    degree: int
    epsilon: float
    smoothing: float

    def fit(self, points: Float64, coefficients: Float64) -> RBFInterpolator:
        """A callable from points (q, P) to coefficients (q, R)."""
        return RBFInterpolator(points, coefficients, **self._asdict())


def candidates() -> list[RadialBasis]:
    """Kernels that need no width with their least degree and the next, and multiquadrics."""
    polyharmonic = [
        RadialBasis(kernel, degree, 1.0, smoothing)
        for kernel, least in (("linear", 0), ("thin_plate_spline", 1), ("cubic", 1), ("quintic", 2))
        for degree in (least, least + 1)
        for smoothing in (0.0, 1e-4, 1e-2)
    ]
    multiquadric = [
        RadialBasis("multiquadric", degree, epsilon, smoothing)
        for epsilon in (0.25, 0.5, 1.0, 2.0, 4.0)
        for degree in (0, 1, 2)
        for smoothing in (0.0, 1e-8, 1e-6, 1e-4)
    ]
    return polyharmonic + multiquadric


def held_out_errors(candidate: RadialBasis, folds: Folds) -> Float64 | None:
    """Errors (n, R) of held-out coefficients; None where the system of equations is singular.

    Designs that are never held out have zero.
    """
    num_designs, num_inputs = folds.points.shape
    num_fitted = num_designs - max(len(held_out) for held_out in folds.held_out)
    if math.comb(num_inputs + candidate.degree, candidate.degree) > num_fitted:
        return None  # fewer designs than terms of the polynomial
    errors = np.zeros_like(folds.coefficients)
    for held_out in folds.held_out:
        fitted = np.setdiff1d(np.arange(num_designs), held_out)
        try:
            model = candidate.fit(folds.points[fitted], folds.coefficients[fitted])
        except np.linalg.LinAlgError:
            return None
        errors[held_out] = folds.coefficients[held_out] - model(folds.points[held_out])
    return errors if np.isfinite(errors).all() else None


def _score(candidate: RadialBasis, folds: Folds) -> float | None:
    errors = held_out_errors(candidate, folds)
    return None if errors is None else folds.score(errors)


def choose(folds: Folds, num_jobs: int) -> tuple[RadialBasis, Float64, list[dict[str, Any]]]:
    """The candidate of least cross-validated error.

    Returns:
        It, its held-out errors (n, R), and each candidate's options and `error` (None: singular).
    """
    tried = candidates()
    scores = run_parallel(_score, ((candidate, folds) for candidate in tried), num_jobs)
    table = [
        {**candidate._asdict(), "error": score}
        for candidate, score in zip(tried, scores, strict=True)
    ]
    best = tried[int(np.argmin([math.inf if score is None else score for score in scores]))]
    errors = held_out_errors(best, folds)
    # Distinct points never make the linear kernel singular: one candidate always remains.
    assert errors is not None
    return best, errors, table
