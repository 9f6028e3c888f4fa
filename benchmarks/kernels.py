"""EZyRB's radial basis functions and Gaussian processes, tuned by cross-validation.

Shapes: n designs, q designs asked for, P inputs, R POD modes, G modes with a Gaussian process
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from ezyrb import GPR, RBF, Approximation
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

Array = NDArray[np.float64]

NUM_FOLDS, FOLD_SEED = 5, 0
# Inputs have about unit range.
SMOOTHINGS = (0.0, 1e-4, 1e-2)
WIDTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
MULTIQUADRIC_SMOOTHINGS = (0.0, 1e-8, 1e-4)
# One process per mode is slow: the leading modes get one, until what is left of the energy (the sum
# of squares) is this share, at most this many. The tuned radial basis functions predict the rest.
ENERGY_LEFT, MOST_PROCESSES = 1e-6, 64
MOST_LENGTH_SCALES = 16  # with more inputs (components of pictures) one serves all
MOST_TUNING_DESIGNS = 300  # for length scales and noise; predictions are from all designs
NUM_COMPARED_MODES = 8
SMOOTHNESS = 2.5
# Length scale and noise that the search for the largest likelihood starts from. From one start it
# often ends on a poor local maximum: validation errors of heat_pulse are a fifth larger then.
STARTS = ((0.3, 1e-6), (1.0, 1e-2))


class Folds(NamedTuple):
    """Designs to compare candidates on.

    Attributes:
        coefficients: (n, R) of orthonormal modes, so that their errors are those of fields.
        norms: (n,) of the fields.
        held_out: rows of each fold.
    """

    coefficients: Array
    norms: Array
    held_out: list[NDArray[np.int64]]

    @classmethod
    def split(cls, coefficients: Array, norms: Array) -> Folds:
        """Random folds."""
        order = np.random.default_rng(FOLD_SEED).permutation(len(norms))
        return cls(coefficients, norms, np.array_split(order, NUM_FOLDS))

    def error(self, points: Array, make: Callable[[], Approximation]) -> float:
        """Mean relative L2 error of held-out designs at points (n, P); infinite if singular."""
        residuals = self.coefficients.copy()
        rows = np.arange(len(points))
        for held_out in self.held_out:
            fitted = np.setdiff1d(rows, held_out)
            approximation = make()
            try:
                approximation.fit(points[fitted], self.coefficients[fitted])
            except (np.linalg.LinAlgError, ValueError):  # singular, or fewer designs than terms
                return np.inf
            predicted = approximation.predict(points[held_out])
            residuals[held_out] -= predicted.reshape(len(held_out), -1)
        error = float(np.mean(np.linalg.norm(residuals, axis=1) / self.norms))
        return error if np.isfinite(error) else np.inf


def rbf_candidates() -> Iterator[dict[str, Any]]:
    """Options of EZyRB's `RBF`."""
    for kernel in ("linear", "cubic", "quintic", "thin_plate_spline"):
        for smooth in SMOOTHINGS:
            yield {"kernel": kernel, "epsilon": 1.0, "smooth": smooth}
    for epsilon in WIDTHS:
        for smooth in MULTIQUADRIC_SMOOTHINGS:
            yield {"kernel": "multiquadric", "epsilon": epsilon, "smooth": smooth}


def choose_rbf(points: Array, folds: Folds) -> tuple[float, dict[str, Any]]:
    """The smallest cross-validated error on designs at points (n, P), and the options it takes."""
    scored = [
        (folds.error(points, lambda options=options: RBF(**options)), options)  # type: ignore[misc]
        for options in rbf_candidates()
    ]
    return min(scored, key=lambda pair: pair[0])


class ModeProcesses(Approximation):  # type: ignore[misc]
    """One Gaussian process per leading mode, an anisotropic Matern kernel plus noise.

    Args:
        rbf: options of the radial basis functions for the modes without a process.

    Attributes:
        num_processes: G.
    """

    def __init__(self, rbf: dict[str, Any]) -> None:
        self._rbf = RBF(**rbf)

    def fit(self, points: Array, values: Array) -> None:
        """Fit to coefficients (n, R) at points (n, P), the leading modes first."""
        energies = np.square(values).sum(axis=0)
        left = 1 - np.cumsum(energies) / energies.sum()
        self.num_processes = min(int(np.argmax(left <= ENERGY_LEFT)) + 1, MOST_PROCESSES)
        leading = values[:, : self.num_processes].T
        self._processes = [fit_process(points, target) for target in leading]
        self._rbf.fit(points, values)

    def predict(self, new_point: Array) -> Array:
        """Coefficients (q, R) at points (q, P)."""
        predicted: Array = self._rbf.predict(new_point).copy()
        for mode, process in enumerate(self._processes):
            predicted[:, mode] = np.ravel(process.predict(new_point))
        return predicted


def fit_process(points: Array, target: Array) -> GPR:
    """A process for one quantity (n,), its hyperparameters at the largest marginal likelihood."""
    order = np.random.default_rng(FOLD_SEED).permutation(len(points))[:MOST_TUNING_DESIGNS]
    processes = [
        fit_kernel(start_kernel(points.shape[1], *start), points[order], target[order])
        for start in STARTS
    ]
    best = max(processes, key=lambda process: process.model.log_marginal_likelihood_value_)
    if len(order) == len(points):
        return best
    return fit_kernel(fixed(best.model.kernel_), points, target)


def start_kernel(num_inputs: int, scale: float, noise: float) -> Kernel:
    """A Matern kernel plus noise, for targets of unit variance."""
    scales = np.full(num_inputs if num_inputs <= MOST_LENGTH_SCALES else 1, scale)
    matern = Matern(scales, (1e-2, 1e3), nu=SMOOTHNESS)
    return ConstantKernel(1.0, (1e-4, 1e6)) * matern + WhiteKernel(noise, (1e-12, 10.0))


def fit_kernel(kernel: Kernel, points: Array, target: Array) -> GPR:
    """EZyRB's process with this kernel, which is improved from where it is."""
    process = GPR(kernel, optimization_restart=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a scale at its bound is an answer
        process.fit(points, target)
    return process


def fixed(kernel: Kernel) -> Kernel:
    """The same kernel, with nothing left to be fitted."""
    names = [name for name in kernel.get_params() if name.endswith("_bounds")]
    return kernel.set_params(**dict.fromkeys(names, "fixed"))


def process_error(points: Array, folds: Folds) -> float:
    """Cross-validated error of the leading modes at points (n, P), by one process each.

    Hyperparameters are those of all designs; the error of the other modes is left out.
    """
    squared = np.zeros(len(points))
    for target in folds.coefficients[:, :NUM_COMPARED_MODES].T:
        kernel = fixed(fit_process(points, target).model.kernel_)
        for held_out in folds.held_out:
            fitted = np.setdiff1d(np.arange(len(points)), held_out)
            process = fit_kernel(kernel, points[fitted], target[fitted])
            squared[held_out] += (
                np.ravel(process.predict(points[held_out])) - target[held_out]
            ) ** 2
    return float(np.mean(np.sqrt(squared) / folds.norms))
