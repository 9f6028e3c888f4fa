"""Gaussian processes from designs to POD coefficients, one per mode, chosen by cross-validation.

Shapes: n designs, q designs asked for, P inputs, R modes, G modes with a process.

A kernel shared by all modes would be fitted to the noise of the weakest and predict the mean: each
mode has length scales and noise of its own, at the largest marginal likelihood. Only the family of
covariances is common, and chosen on the leading modes.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from .cross_validation import Folds, run_parallel
from .gaussian_process import (
    Conditioned,
    Covariance,
    Kind,
    condition,
    fit_theta,
    held_out_errors,
    posterior,
)

Float64 = NDArray[np.float64]

# Covariances are compared on the leading modes, which hold most of the field.
NUM_COMPARED_MODES = 8
# Their starts: length scales in median distances, and relative noise.
SCALE_STARTS, NOISE_STARTS = (0.3, 1.0, 3.0, 10.0), (1e-8, 1e-3)
# Further modes get processes a group at a time, for as long as each takes this share off the error.
GROUP, WORTHWHILE = 16, 2e-3


class Fitted(NamedTuple):
    """Theta (G, P + 1) and held-out errors (n, G) of the leading modes."""

    theta: Float64
    errors: Float64


class Completed(NamedTuple):
    """Processes of the leading modes, and what predicts the others.

    Attributes:
        theta: (G, P + 1) logarithms of length scales and relative noise.
        errors: (n, R) held out, of all modes.
        others: name of what predicts modes without a process; None when each has one.
    """

    theta: Float64
    errors: Float64
    others: str | None


def choose_kind(
    folds: Folds, max_length_scales: int, num_jobs: int
) -> tuple[Kind, Fitted, list[dict[str, Any]]]:
    """The kind of process with the least cross-validated error on the leading modes.

    Args:
        folds: the designs.
        max_length_scales: inputs up to which each may have a length scale of its own.
        num_jobs: processes of the machine.

    Returns:
        It, the leading modes fitted with it, and each kind with its `error` on these modes.
    """
    num_inputs, num_modes = folds.points.shape[1], folds.coefficients.shape[1]
    modes = range(min(NUM_COMPARED_MODES, num_modes))
    scalings = [False] * (num_inputs > 1) + [True] * (num_inputs <= max_length_scales)
    kinds = [Kind(covariance, own) for covariance in get_args(Covariance) for own in scalings]
    starts = [
        [np.log([scale] * num_inputs + [noise]) for scale in SCALE_STARTS] for noise in NOISE_STARTS
    ]
    fitted = _fit_modes(folds, [(kind, mode) for kind in kinds for mode in modes], starts, num_jobs)
    parts = [
        Fitted(
            fitted.theta[first : first + len(modes)], fitted.errors[:, first : first + len(modes)]
        )
        for first in range(0, len(fitted.theta), len(modes))
    ]
    scores = [folds.score(part.errors) for part in parts]
    best = int(np.argmin(scores))
    table = [{**kind._asdict(), "error": score} for kind, score in zip(kinds, scores, strict=True)]
    return kinds[best], parts[best], table


def fit_further_modes(
    leading: Fitted, folds: Folds, kind: Kind, max_modes: int, num_jobs: int
) -> Fitted:
    """Give modes processes, up to some number, for as long as that is worth its cost.

    Modes next to each other are alike: each starts from the theta that suits it best of the group
    before, which reached higher likelihoods than any fixed start, in half the time.

    Args:
        leading: the leading modes, as `choose_kind` fitted them.
        folds: the designs.
        kind: of the processes.
        max_modes: the largest G.
        num_jobs: processes of the machine.
    """
    most = min(max_modes, folds.coefficients.shape[1])
    fitted = Fitted(leading.theta[:most], leading.errors[:, :most])
    while len(fitted.theta) < most:
        first = len(fitted.theta)
        jobs = [(kind, mode) for mode in range(first, min(first + GROUP, most))]
        added = _fit_modes(folds, jobs, [list(fitted.theta[-GROUP:])], num_jobs)
        # Against the mean for all others: another predictor may be as good for a group, and yet
        # worse further on.
        before = folds.score(_with_others(fitted, folds.coefficients))
        fitted = Fitted(
            np.vstack([fitted.theta, added.theta]), np.hstack([fitted.errors, added.errors])
        )
        after = folds.score(_with_others(fitted, folds.coefficients))
        if after > (1 - WORTHWHILE) * before:
            break
    return fitted


def complete(fitted: Fitted, folds: Folds, others: dict[str, Float64]) -> Completed:
    """Leave modes without a process to the better of some other predictors.

    Args:
        fitted: the modes with one.
        folds: the designs.
        others: held-out errors (n, R) by name of the predictor.
    """
    if len(fitted.theta) == folds.coefficients.shape[1]:
        return Completed(*fitted, others=None)
    errors = {name: _with_others(fitted, values) for name, values in others.items()}
    best = min(errors, key=lambda name: folds.score(errors[name]))
    return Completed(fitted.theta, errors[best], best)


def _with_others(fitted: Fitted, errors: Float64) -> Float64:
    return np.hstack([fitted.errors, errors[:, len(fitted.theta) :]])


def _fit_modes(
    folds: Folds,
    jobs: list[tuple[Kind, int]],
    starts: list[list[Float64]],
    num_jobs: int,
) -> Fitted:
    """Theta (J, P + 1) and held-out errors (n, J) of J pairs of a kind and a mode."""
    mean, scale = _standardisation(folds.coefficients)
    # Contiguous, as they are after a transfer to another process: strides change the last bits.
    targets = np.ascontiguousarray(((folds.coefficients - mean) / scale).T)
    arguments = [(folds.points, targets[mode], kind, starts, folds.held_out) for kind, mode in jobs]
    thetas, errors = zip(*run_parallel(_fit_mode, arguments, num_jobs), strict=True)
    return Fitted(np.stack(thetas), np.stack(errors, axis=1) * scale[[mode for _, mode in jobs]])


def _fit_mode(
    points: Float64,
    target: Float64,
    kind: Kind,
    starts: list[list[Float64]],
    held_out: list[NDArray[np.int64]],
) -> tuple[Float64, Float64]:
    theta = fit_theta(points, target, kind, starts)
    return theta, held_out_errors(theta, points, target, kind.covariance, held_out)


def held_out_errors_of_modes(covariance: Covariance, theta: Float64, folds: Folds) -> Float64:
    """Errors (n, min(G, 8)) of the leading modes' coefficients, for theta (G, P + 1) as it is.

    Designs that are never held out have zero.
    """
    theta = theta[:NUM_COMPARED_MODES]
    leading = folds.coefficients[:, : len(theta)]
    mean, scale = _standardisation(leading)
    errors = [
        held_out_errors(own, folds.points, target, covariance, folds.held_out)
        for own, target in zip(theta, ((leading - mean) / scale).T, strict=True)
    ]
    return scale * np.stack(errors, axis=1)


class ModeProcesses:
    """Gaussian processes of the leading modes with constant means, conditioned on designs.

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
    def _conditioned(self) -> list[Conditioned]:
        """Made at the first prediction: whoever loads a surrogate may never ask for one."""
        return [
            condition(theta, self.points, target, self.covariance)
            for theta, target in zip(self.theta, self.targets.T, strict=True)
        ]

    def predict(self, points: Float64) -> tuple[Float64, Float64]:
        """Mean and variance, noise included, of the coefficients of points (q, P); both (q, G)."""
        mean = np.empty((len(points), len(self.theta)))
        variance = np.empty_like(mean)
        for mode, (theta, given) in enumerate(zip(self.theta, self._conditioned, strict=True)):
            mean[:, mode], variance[:, mode] = posterior(
                theta, self.points, self.covariance, given, points
            )
        return self.mean + self.scale * mean, np.square(self.scale) * variance


def _standardisation(coefficients: Float64) -> tuple[Float64, Float64]:
    """Mean and standard deviation (G,) over designs; 1 where there is no deviation."""
    scale = coefficients.std(axis=0)
    return coefficients.mean(axis=0), np.where(scale > 0, scale, 1.0)
