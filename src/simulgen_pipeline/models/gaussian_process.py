"""Gaussian processes from designs to POD coefficients: one per mode, chosen by cross-validation.

Shapes: n designs, q designs asked for, P inputs, G modes.

A process is that of scikit-learn's `GaussianProcessRegressor` with an amplitude times a Matern
correlation plus white noise (a test compares them). Here the gradient of the likelihood costs a
matrix product instead of n x n x P differences, which makes the fit about ten times faster.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

from .cross_validation import Folds, run_parallel

Float64 = NDArray[np.float64]
Covariance = Literal["matern_1.5", "matern_2.5", "squared_exponential"]

# Covariances are compared on the leading modes, which hold most of the field.
NUM_COMPARED_MODES = 8
# Starts and bounds of length scales, in median distances, and of the noise's variance relative to
# the amplitude, whose lower bound is also the jitter that keeps factorisations stable.
SCALE_STARTS, SCALE_BOUNDS = (0.3, 1.0, 3.0, 10.0), (0.05, 1e3)
NOISE_STARTS, NOISE_BOUNDS = (1e-8, 1e-3), (1e-12, 10.0)
OPTIONS = {"maxiter": 100, "ftol": 1e-7, "gtol": 1e-3}


class _Correlation(NamedTuple):
    """At distances r: the correlation k(r), and -k'(r) / r, which gradients need."""

    value: Float64
    slope: Float64


def _correlation(covariance: Covariance, first: Float64, second: Float64) -> _Correlation:
    """Of points in units of length scales (Rasmussen & Williams 2006, section 4.2)."""
    squared = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)
    squared -= 2 * first @ second.T
    if first is second:
        np.fill_diagonal(squared, 0.0)
    np.maximum(squared, 0.0, out=squared)  # round-off
    if covariance == "squared_exponential":
        value = np.exp(-0.5 * squared)
        return _Correlation(value, value)
    scaled = np.sqrt((3 if covariance == "matern_1.5" else 5) * squared)
    decay = np.exp(-scaled)
    if covariance == "matern_1.5":
        return _Correlation((1 + scaled) * decay, 3 * decay)
    return _Correlation((1 + scaled + scaled**2 / 3) * decay, (5 / 3) * (1 + scaled) * decay)


def _factor(correlation: Float64, theta: Float64) -> Float64:
    """Cholesky factor of the correlation with noise."""
    noisy = correlation.copy()
    noisy.flat[:: len(noisy) + 1] += np.exp(theta[-1])
    return np.asarray(cholesky(noisy, lower=True, overwrite_a=True, check_finite=False))


def _condition(
    theta: Float64, points: Float64, target: Float64, covariance: Covariance
) -> tuple[Float64, Float64]:
    """Cholesky factor (n, n) and weights (n,) of a process given its target.

    Noise that suited fewer designs may be below the round-off of more: it is raised until enough.
    """
    scaled = points / np.exp(theta[:-1])
    correlation = _correlation(covariance, scaled, scaled).value
    while True:
        try:
            factor = _factor(correlation, theta)
        except np.linalg.LinAlgError:
            theta = np.append(theta[:-1], theta[-1] + np.log(10))
        else:
            return factor, cho_solve((factor, True), target, check_finite=False)


def log_marginal_likelihood(
    theta: Float64, points: Float64, target: Float64, covariance: Covariance
) -> tuple[float, Float64]:
    """Log marginal likelihood at the best amplitude, and its gradient.

    With the covariance s^2 (k + noise I), the best s^2 is y' (k + noise I)^-1 y / n (Rasmussen &
    Williams 2006, equations 5.8 and 5.9).

    Args:
        theta: (P + 1,) logarithms of the length scales and of the relative noise.
        points: (n, P).
        target: (n,).
        covariance: which correlation k is.
    """
    n = len(points)
    scaled = points / np.exp(theta[:-1])
    correlation = _correlation(covariance, scaled, scaled)
    try:
        factor = _factor(correlation.value, theta)
    except np.linalg.LinAlgError:
        return -1e25, np.zeros_like(theta)
    weights = cho_solve((factor, True), target, check_finite=False)
    amplitude = max(float(target @ weights) / n, np.finfo(np.float64).tiny)
    value = -0.5 * n * (np.log(2 * np.pi * amplitude) + 1) - np.log(np.diag(factor)).sum()
    inverse = lapack.dpotri(factor, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    outer = np.outer(weights, weights / amplitude) - inverse
    slopes = outer * correlation.slope
    # sum_ij slopes_ij (x_ip - x_jp)^2 / 2 for every p, without the n x n x P differences.
    scales = slopes.sum(axis=1) @ np.square(scaled) - (scaled * (slopes @ scaled)).sum(axis=0)
    return float(value), np.append(scales, 0.5 * np.exp(theta[-1]) * np.trace(outer))


def fit_theta(
    points: Float64, target: Float64, covariance: Covariance, anisotropic: bool
) -> Float64:
    """Length scales and noise of the largest marginal likelihood.

    The likelihood often has two maxima, smooth with noise and rough without: L-BFGS-B climbs from
    the best start of either kind, and the higher one is taken.

    Returns:
        (P + 1,) logarithms, equal for all inputs unless anisotropic.
    """
    num_inputs = points.shape[1]
    num_scales = num_inputs if anisotropic else 1

    def expand(theta: Float64) -> Float64:
        return np.append(np.broadcast_to(theta[:-1], num_inputs), theta[-1])

    def loss(theta: Float64) -> tuple[float, Float64]:
        value, gradient = log_marginal_likelihood(expand(theta), points, target, covariance)
        scales = gradient[:-1] if anisotropic else gradient[:-1].sum(keepdims=True)
        return -value, -np.append(scales, gradient[-1])

    bounds = np.log([SCALE_BOUNDS] * num_scales + [NOISE_BOUNDS])
    found = []
    for noise in NOISE_STARTS:
        starts = [np.log([scale] * num_scales + [noise]) for scale in SCALE_STARTS]
        start = min(starts, key=lambda theta: loss(theta)[0])
        found.append(
            minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIONS)
        )
    return expand(min(found, key=lambda result: float(result.fun)).x)


def held_out_errors(
    theta: Float64,
    points: Float64,
    target: Float64,
    covariance: Covariance,
    held_out: list[NDArray[np.int64]],
) -> Float64:
    """Errors (n,) of held-out targets, in closed form, for length scales and noise of all designs.

    Rasmussen & Williams 2006, section 5.4.2, with folds instead of single designs: the errors e of
    a fold f solve (K^-1)_ff e = (K^-1 y)_f.
    """
    factor, weights = _condition(theta, points, target, covariance)
    inverse = cho_solve((factor, True), np.eye(len(factor)), check_finite=False)
    errors = np.empty_like(target)
    for fold in held_out:
        errors[fold] = np.linalg.solve(inverse[np.ix_(fold, fold)], weights[fold])
    return errors


class Kind(NamedTuple):
    """A covariance, and whether each input has a length scale of its own."""

    covariance: Covariance
    anisotropic: bool


def _fit_mode(
    points: Float64, target: Float64, kind: Kind, held_out: list[NDArray[np.int64]]
) -> tuple[Float64, Float64]:
    theta = fit_theta(points, target, *kind)
    return theta, held_out_errors(theta, points, target, kind.covariance, held_out)


def fit_modes(
    folds: Folds, modes: slice, kinds: list[Kind], num_jobs: int
) -> list[tuple[Float64, Float64]]:
    """For each kind, theta (G, P + 1) and held-out errors (n, G) of some modes."""
    mean, scale = _standardisation(folds.coefficients[:, modes])
    targets = ((folds.coefficients[:, modes] - mean) / scale).T
    arguments = [
        (folds.points, target, kind, folds.held_out) for kind in kinds for target in targets
    ]
    fitted = run_parallel(_fit_mode, arguments, num_jobs)
    num_modes = len(targets)
    return [
        (
            np.stack([theta for theta, _ in fitted[start : start + num_modes]]),
            np.stack([errors for _, errors in fitted[start : start + num_modes]], axis=1) * scale,
        )
        for start in range(0, len(fitted), num_modes)
    ]


def choose(
    folds: Folds, max_length_scales: int, num_jobs: int
) -> tuple[Kind, list[dict[str, Any]]]:
    """The kind of least cross-validated error on the leading modes.

    Args:
        folds: the designs.
        max_length_scales: inputs up to which each may have a length scale of its own.
        num_jobs: threads.

    Returns:
        It, and each kind with its `error` on these modes.
    """
    num_inputs = folds.points.shape[1]
    scalings = [False] * (num_inputs > 1) + [True] * (num_inputs <= max_length_scales)
    kinds = [Kind(covariance, own) for covariance in get_args(Covariance) for own in scalings]
    fitted = fit_modes(folds, slice(NUM_COMPARED_MODES), kinds, num_jobs)
    scores = [folds.score(errors) for _, errors in fitted]
    table = [{**kind._asdict(), "error": score} for kind, score in zip(kinds, scores, strict=True)]
    return kinds[int(np.argmin(scores))], table


class ModeProcesses:
    """Gaussian processes of the modes with constant means, conditioned on designs.

    Args:
        covariance: the correlation, common to all modes.
        theta: (G, P + 1) logarithms of length scales and relative noise.
        points: (n, P) inputs, centred, in units of their median distance.
        coefficients: (n, G).
    """

    def __init__(
        self, covariance: Covariance, theta: Float64, points: Float64, coefficients: Float64
    ) -> None:
        self.covariance, self.theta, self.points = covariance, theta, points
        self.mean, self.scale = _standardisation(coefficients)
        self.targets = (coefficients - self.mean) / self.scale

    @cached_property
    def _conditioned(self) -> list[tuple[Float64, Float64]]:
        """Computed at the first prediction: whoever loads a surrogate may never ask for one."""
        return [
            _condition(theta, self.points, target, self.covariance)
            for theta, target in zip(self.theta, self.targets.T, strict=True)
        ]

    def predict(self, points: Float64) -> tuple[Float64, Float64]:
        """Mean and variance, noise included, of the coefficients of points (q, P); both (q, G)."""
        mean = np.empty((len(points), len(self.theta)))
        variance = np.empty_like(mean)
        for mode, (factor, weights) in enumerate(self._conditioned):
            scales, noise = np.exp(self.theta[mode, :-1]), np.exp(self.theta[mode, -1])
            across = _correlation(self.covariance, points / scales, self.points / scales).value
            mean[:, mode] = across @ weights
            half = solve_triangular(factor, across.T, lower=True, check_finite=False)
            explained = np.square(half).sum(axis=0)
            amplitude = self.targets[:, mode] @ weights / len(weights)
            variance[:, mode] = amplitude * (noise + np.maximum(1 - explained, 0.0))
        return self.mean + self.scale * mean, np.square(self.scale) * variance


def _standardisation(coefficients: Float64) -> tuple[Float64, Float64]:
    """Mean and standard deviation (G,) over designs; 1 where there is no deviation."""
    scale = coefficients.std(axis=0)
    return coefficients.mean(axis=0), np.where(scale > 0, scale, 1.0)
