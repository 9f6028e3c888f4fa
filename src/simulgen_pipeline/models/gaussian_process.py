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
OPTIONS = {"maxiter": 200, "ftol": 1e-9, "gtol": 1e-4}


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
    scaled = points / np.exp(theta[:-1])
    correlation = _correlation(covariance, scaled, scaled)
    try:
        factor = _factor(correlation.value, theta)
    except np.linalg.LinAlgError:
        return -1e25, np.zeros_like(theta)
    value, weights, amplitude = _likelihood(factor, target)
    inverse = lapack.dpotri(factor, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    outer = np.outer(weights, weights / amplitude) - inverse
    slopes = outer * correlation.slope
    # sum_ij slopes_ij (x_ip - x_jp)^2 / 2 for every p, without the n x n x P differences.
    scales = slopes.sum(axis=1) @ np.square(scaled) - (scaled * (slopes @ scaled)).sum(axis=0)
    return value, np.append(scales, 0.5 * np.exp(theta[-1]) * np.trace(outer))


def _likelihood(factor: Float64, target: Float64) -> tuple[float, Float64, float]:
    """Log marginal likelihood, weights (n,) and the best amplitude."""
    n = len(target)
    weights = cho_solve((factor, True), target, check_finite=False)
    amplitude = max(float(target @ weights) / n, np.finfo(np.float64).tiny)
    value = -0.5 * n * (np.log(2 * np.pi * amplitude) + 1) - np.log(np.diag(factor)).sum()
    return float(value), weights, amplitude


class Kind(NamedTuple):
    """A covariance, and whether each input has a length scale of its own."""

    covariance: Covariance
    anisotropic: bool


def fit_theta(
    points: Float64, target: Float64, kind: Kind, start_groups: list[list[Float64]]
) -> Float64:
    """Length scales and noise of the largest marginal likelihood.

    Args:
        points: (n, P).
        target: (n,).
        kind: of the process.
        start_groups: L-BFGS-B climbs from the best start (P + 1,) of each group; the highest end
            is taken, as the likelihood often has several maxima.

    Returns:
        (P + 1,) logarithms, the length scales equal unless anisotropic.
    """
    num_inputs = points.shape[1]
    num_scales = num_inputs if kind.anisotropic else 1

    def expand(free: Float64) -> Float64:
        return np.append(np.broadcast_to(free[:-1], num_inputs), free[-1])

    def loss(free: Float64) -> tuple[float, Float64]:
        value, gradient = log_marginal_likelihood(expand(free), points, target, kind.covariance)
        scales = gradient[:-1] if kind.anisotropic else gradient[:-1].sum(keepdims=True)
        return -value, -np.append(scales, gradient[-1])

    def height(theta: Float64) -> float:
        return _likelihood(_condition(theta, points, target, kind.covariance)[0], target)[0]

    bounds = np.log([SCALE_BOUNDS] * num_scales + [NOISE_BOUNDS])
    ends = []
    for starts in start_groups:
        start = max(starts, key=height)[-num_scales - 1 :]
        ends.append(
            minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIONS)
        )
    return expand(min(ends, key=lambda end: float(end.fun)).x)


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


class Fitted(NamedTuple):
    """Theta (G, P + 1) and held-out errors (n, G) of the leading modes."""

    theta: Float64
    errors: Float64


def _fit_mode(
    folds: Folds, mode: int, kind: Kind, start_groups: list[list[Float64]]
) -> tuple[Float64, Float64]:
    mean, scale = _standardisation(folds.coefficients[:, mode])
    target = (folds.coefficients[:, mode] - mean) / scale
    theta = fit_theta(folds.points, target, kind, start_groups)
    errors = held_out_errors(theta, folds.points, target, kind.covariance, folds.held_out)
    return theta, scale * errors


def choose(
    folds: Folds, max_length_scales: int, num_jobs: int
) -> tuple[Kind, Fitted, list[dict[str, Any]]]:
    """The kind of least cross-validated error on the leading modes, which hold most of the field.

    Args:
        folds: the designs.
        max_length_scales: inputs up to which each may have a length scale of its own.
        num_jobs: processes.

    Returns:
        It, what was fitted, and each kind with its `error` on these modes.
    """
    num_inputs, num_modes = folds.points.shape[1], folds.coefficients.shape[1]
    modes = range(min(NUM_COMPARED_MODES, num_modes))
    scalings = [False] * (num_inputs > 1) + [True] * (num_inputs <= max_length_scales)
    kinds = [Kind(covariance, own) for covariance in get_args(Covariance) for own in scalings]
    starts = [
        [np.log([scale] * num_inputs + [noise]) for scale in SCALE_STARTS] for noise in NOISE_STARTS
    ]
    leading = folds._replace(coefficients=folds.coefficients[:, : len(modes)])
    jobs = [(leading, mode, kind, starts) for kind in kinds for mode in modes]
    results = run_parallel(_fit_mode, jobs, num_jobs)
    fitted = [
        _joined(results[first : first + len(modes)]) for first in range(0, len(jobs), len(modes))
    ]
    scores = [folds.score(candidate.errors) for candidate in fitted]
    table = [{**kind._asdict(), "error": score} for kind, score in zip(kinds, scores, strict=True)]
    best = int(np.argmin(scores))
    return kinds[best], fitted[best], table


def extend(fitted: Fitted, folds: Folds, kind: Kind, num_modes: int, num_jobs: int) -> Fitted:
    """Fit the next modes; each starts from the theta that suits it best of the last ones.

    Modes next to each other are alike, which reaches higher likelihoods than any fixed start.
    """
    first = len(fitted.theta)
    modes = range(first, min(first + num_modes, folds.coefficients.shape[1]))
    starts = [list(fitted.theta[-num_modes:])]
    results = run_parallel(_fit_mode, [(folds, mode, kind, starts) for mode in modes], num_jobs)
    added = _joined(results)
    return Fitted(np.vstack([fitted.theta, added.theta]), np.hstack([fitted.errors, added.errors]))


def _joined(results: list[tuple[Float64, Float64]]) -> Fitted:
    thetas, errors = zip(*results, strict=True)
    return Fitted(np.stack(thetas), np.stack(errors, axis=1))


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
