"""What the baselines choose by cross-validation, and what that may cost.

Shapes: n distinct designs, d of them tuned on, q designs asked for, P parameters, I inputs,
R modes, G modes with a Gaussian process.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial.distance import pdist

from simulgen_pipeline.data.artifact import Config, State

from . import radial_basis
from .cross_validation import Folds
from .mode_processes import Completed, choose_kind, complete, fit_further_modes
from .radial_basis import RadialBasis, held_out_errors

Float64 = NDArray[np.float64]

POD_RBF, POD_GPR = "pod_rbf", "pod_gpr"
# Fewer designs are tuned sooner than other processes have started.
FEWEST_DESIGNS_FOR_JOBS = 100
# Numbers of principal components that are compared as inputs, beside all of them.
INPUT_COUNTS = (2, 4, 8, 16, 24, 32, 48, 64, 96)


class BaselineConfig(BaseModel):
    """What the baselines may cost; a limit that is reached is reported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_folds: int = Field(5, ge=2, description="folds of the cross-validation")
    max_tuning_designs: int = Field(
        500, ge=3, description="designs for cross-validation and for length scales"
    )
    max_rbf_designs: int = Field(4000, ge=3, description="designs that the RBF is fitted to")
    max_gp_designs: int = Field(1000, ge=3, description="designs that the processes are given")
    max_gp_modes: int = Field(128, ge=1, description="modes with a Gaussian process of their own")
    max_length_scales: int = Field(
        16, ge=1, description="inputs up to which each may have a length scale of its own"
    )
    max_bytes: int = Field(
        2**30, ge=2**16, description="memory for snapshots in float64; larger ones are streamed"
    )
    seed: int = Field(0, ge=0, description="of the folds, and of the designs within a limit")

    @property
    def max_designs(self) -> dict[str, int]:
        """Designs that each model is fitted to at most."""
        return {POD_RBF: self.max_rbf_designs, POD_GPR: self.max_gp_designs}


class Tuned(NamedTuple):
    """What was chosen.

    Attributes:
        inputs: `columns` of the parameters that count, their `centre` and typical `distance`.
        points: (n, I) designs as kernels see them.
        num_designs: d.
        rbf: report on the RBF: options, error, candidates.
        rbf_errors: (d, R) of held-out coefficients.
        gpr: report on the processes.
        completed: theta of the processes, and held-out errors (d, R) of all modes.
    """

    inputs: State
    points: Float64
    num_designs: int
    rbf: Config
    rbf_errors: Float64
    gpr: Config
    completed: Completed


def tune(
    designs: Float64,
    coefficients: Float64,
    norms: Float64,
    config: BaselineConfig,
    num_jobs: int,
    ordered: bool,
) -> Tuned:
    """Choose inputs, kernels and length scales by cross-validation.

    Args:
        designs: (n, P) distinct, in random order: the first are tuned on.
        coefficients: (n, R) of their fields.
        norms: (n,) Frobenius norms of their fields, mean included.
        config: limits of the cost.
        num_jobs: processes of the machine.
        ordered: parameters come in order of their importance: choose how many to use.
    """
    tuned = slice(config.max_tuning_designs)

    def folds_of(num_inputs: int) -> tuple[State, Float64, Folds]:
        inputs = _fit_inputs(designs, num_inputs, config.max_tuning_designs)
        points = points_of(designs, inputs)
        values = points[tuned], coefficients[tuned], norms[tuned]
        return inputs, points, Folds.split(*values, config.num_folds)

    num_inputs = designs.shape[1]
    if ordered:
        counts = [count for count in INPUT_COUNTS if count < num_inputs] + [num_inputs]
        num_inputs = min(counts, key=lambda count: _quick_error(folds_of(count)[2]))
    inputs, points, folds = folds_of(num_inputs)
    if len(folds.points) < FEWEST_DESIGNS_FOR_JOBS:
        num_jobs = 1
    rbf, rbf_errors = _fit_rbf(folds, num_jobs)
    gpr, completed = _fit_gpr(folds, rbf_errors, config, num_jobs)
    return Tuned(inputs, points, len(folds.points), rbf, rbf_errors, gpr, completed)


def _fit_inputs(designs: Float64, num_inputs: int, most: int) -> State:
    """Which of the first parameters vary, their mean, and the median distance of (some) designs."""
    columns = np.flatnonzero(np.ptp(designs[:, :num_inputs], axis=0) > 0)
    distance = np.median(pdist(designs[:most, columns]))
    return {
        "columns": columns,
        "centre": designs[:, columns].mean(axis=0),
        "distance": np.array([distance]),
    }


def points_of(designs: Float64, inputs: State) -> Float64:
    """Designs (q, P) as kernels see them: centred, in units of the median distance."""
    points = (designs[:, inputs["columns"]] - inputs["centre"]) / inputs["distance"]
    return np.ascontiguousarray(points)


def _quick_error(folds: Folds) -> float:
    """Least cross-validated error of a few kernels, to compare inputs by."""
    quick = [RadialBasis(kernel, 1, 1.0, s) for kernel in ("linear", "cubic") for s in (0.0, 1e-2)]
    errors = [held_out_errors(candidate, folds) for candidate in quick]
    return min((folds.score(e) for e in errors if e is not None), default=np.inf)


def _fit_rbf(folds: Folds, num_jobs: int) -> tuple[Config, Float64]:
    """Report and held-out errors (n, R)."""
    chosen, errors, candidates = radial_basis.choose(folds, num_jobs)
    return {**chosen._asdict(), "error": folds.score(errors), "candidates": candidates}, errors


def _fit_gpr(
    folds: Folds, rbf_errors: Float64, config: BaselineConfig, num_jobs: int
) -> tuple[Config, Completed]:
    kind, leading, candidates = choose_kind(folds, config.max_length_scales, num_jobs)
    fitted = fit_further_modes(leading, folds, kind, config.max_gp_modes, num_jobs)
    completed = complete(fitted, folds, {POD_RBF: rbf_errors, "mean": folds.coefficients})
    num_modes = len(completed.theta)
    energies = np.square(folds.coefficients).sum(axis=0)
    report = {
        **kind._asdict(),
        "num_modes": num_modes,
        "energy": float(energies[:num_modes].sum() / energies.sum()),
        "other_modes": completed.others,
        "error": folds.score(completed.errors),
        "candidates": candidates,
    }
    return report, completed
