"""Gaussian process regression of one quantity: likelihood, its maximum, held-out errors, posterior.

Shapes: n designs, q designs asked for, P inputs.

The process is that of scikit-learn's `GaussianProcessRegressor` with an amplitude times a Matern
correlation plus white noise (a test compares them). Here the gradient of the likelihood costs a
matrix product instead of n x n x P differences, which makes the fit about ten times faster.

`theta` (P + 1,) holds the logarithms of the length scales, in the units of the points, and of the
noise's variance relative to the amplitude.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

Float64 = NDArray[np.float64]
Covariance = Literal["matern_1.5", "matern_2.5", "squared_exponential"]

# Of length scales, for points in units of their median distance, and of the relative noise, whose
# lower bound is also the jitter that keeps factorisations stable.
SCALE_BOUNDS, NOISE_BOUNDS = (0.05, 1e3), (1e-12, 10.0)
# Much looser tolerances stop on the plateau where all is noise; with ftol a thousand times tighter
# it took a third to a half more evaluations, to the same errors (heat pulse, unsteady heat).
OPTIONS = {"maxiter": 200, "ftol": 1e-6, "gtol": 1e-4}


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


class Conditioned(NamedTuple):
    """Cholesky factor (n, n) of k + noise I, weights (k + noise I)^-1 y (n,), best amplitude."""

    factor: Float64
    weights: Float64
    amplitude: float

    @property
    def log_likelihood(self) -> float:
        """Logarithm of the marginal likelihood of the targets."""
        constant = len(self.weights) * (np.log(2 * np.pi * self.amplitude) + 1)
        return float(-0.5 * constant - np.log(np.diag(self.factor)).sum())


def _conditioned(factor: Float64, target: Float64) -> Conditioned:
    weights = cho_solve((factor, True), target, check_finite=False)
    amplitude = max(float(target @ weights) / len(target), np.finfo(np.float64).tiny)
    return Conditioned(factor, weights, amplitude)


def condition(
    theta: Float64, points: Float64, target: Float64, covariance: Covariance
) -> Conditioned:
    """A process given its targets (n,) at points (n, P).

    Noise that suited fewer designs may be below the round-off of more: it is raised until enough.
    """
    scaled = points / np.exp(theta[:-1])
    correlation = _correlation(covariance, scaled, scaled).value
    while True:
        try:
            return _conditioned(_factor(correlation, theta), target)
        except np.linalg.LinAlgError:
            if theta[-1] > np.log(NOISE_BOUNDS[1]):  # more noise than signal cannot be round-off
                raise
            theta = np.append(theta[:-1], theta[-1] + np.log(10))


def log_marginal_likelihood(
    theta: Float64, points: Float64, target: Float64, covariance: Covariance
) -> tuple[float, Float64]:
    """Log marginal likelihood at the best amplitude, and its gradient.

    With the covariance s^2 (k + noise I), the best s^2 is y' (k + noise I)^-1 y / n (Rasmussen &
    Williams 2006, equations 5.8 and 5.9). The gradient is with respect to theta.
    """
    scaled = points / np.exp(theta[:-1])
    correlation = _correlation(covariance, scaled, scaled)
    try:
        given = _conditioned(_factor(correlation.value, theta), target)
    except np.linalg.LinAlgError:
        return -1e25, np.zeros_like(theta)
    inverse = lapack.dpotri(given.factor, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    outer = np.outer(given.weights, given.weights / given.amplitude) - inverse
    slopes = outer * correlation.slope
    # sum_ij slopes_ij (x_ip - x_jp)^2 / 2 for every p, without the n x n x P differences.
    scales = slopes.sum(axis=1) @ np.square(scaled) - (scaled * (slopes @ scaled)).sum(axis=0)
    return given.log_likelihood, np.append(scales, 0.5 * np.exp(theta[-1]) * np.trace(outer))


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
        return condition(theta, points, target, kind.covariance).log_likelihood

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

    Targets that are never held out have zero.

    Rasmussen & Williams 2006, section 5.4.2, with folds instead of single designs: the errors e of
    a fold f solve (K^-1)_ff e = (K^-1 y)_f.
    """
    given = condition(theta, points, target, covariance)
    inverse = cho_solve((given.factor, True), np.eye(len(target)), check_finite=False)
    errors = np.zeros_like(target)
    for fold in held_out:
        errors[fold] = np.linalg.solve(inverse[np.ix_(fold, fold)], given.weights[fold])
    return errors


def posterior(
    theta: Float64,
    points: Float64,
    covariance: Covariance,
    conditioned: Conditioned,
    new_points: Float64,
) -> tuple[Float64, Float64]:
    """Mean and variance, noise included, both (q,) (Rasmussen & Williams 2006, algorithm 2.1).

    Args:
        theta: (P + 1,).
        points: (n, P) that the process is conditioned on.
        covariance: which correlation.
        conditioned: on the targets at the points.
        new_points: (q, P).
    """
    scales, noise = np.exp(theta[:-1]), np.exp(theta[-1])
    across = _correlation(covariance, new_points / scales, points / scales).value
    half = solve_triangular(conditioned.factor, across.T, lower=True, check_finite=False)
    unexplained = np.maximum(1 - np.square(half).sum(axis=0), 0.0)
    return across @ conditioned.weights, conditioned.amplitude * (noise + unexplained)
