"""The baselines that a surrogate is measured against: POD + RBF and POD + Gaussian processes.

Shapes: N designs in all, n designs fitted, q designs asked for, P parameters, T time steps,
M nodes, R modes, G modes with a Gaussian process.

What engineers use on finished simulations (Guo & Hesthaven 2018, Computer Methods in Applied
Mechanics and Engineering 341; EZyRB: Demo, Tezzele & Rozza 2018, Journal of Open Source Software
3), done with care: POD of whole trajectories without truncation, kernels chosen by
cross-validation, one Gaussian process per mode (one kernel for all collapses to the mean).
"""

from __future__ import annotations

import logging
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial.distance import pdist

from simulgen_pipeline.data.artifact import Config, State, join_states, part_of
from simulgen_pipeline.data.errors import DataError

from . import gaussian_process, radial_basis
from .cross_validation import Folds
from .gaussian_process import Fitted, ModeProcesses
from .radial_basis import RadialBasis
from .trajectory_pod import FieldReader, TrajectoryPod

Float64 = NDArray[np.float64]

logger = logging.getLogger(__name__)

POD_RBF, POD_GPR = "pod_rbf", "pod_gpr"
# Modes that get processes at a time, and the share of the error that a group has to take away.
MODE_GROUP, WORTHWHILE = 16, 2e-3


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


class BaselinePrediction(NamedTuple):
    """Fields (q, T, M) and their standard deviations (q, T, M), in physical units."""

    fields: Float64
    std: NDArray[np.float32]


class Baselines:
    """POD + RBF and POD + Gaussian processes, fitted to one POD of the same trajectories.

    The standard deviation of `pod_rbf` is the root mean square of its held-out errors by time and
    node, the same for every design; that of `pod_gpr` is its posterior's. Parameters that do not
    vary are ignored; a design that occurs repeatedly counts once, with the mean of its fields.

    Attributes:
        report: what was chosen, the cross-validated error of each candidate, what was limited.
    """

    names: ClassVar[tuple[str, ...]] = (POD_RBF, POD_GPR)

    def __init__(self, pod: TrajectoryPod, report: Config, state: State) -> None:
        self.report = report
        self._pod, self._state = pod, state
        rbf, gpr = report[POD_RBF], report[POD_GPR]
        points, coefficients = state["points"], state["coefficients"]
        used = slice(rbf["num_designs"])
        chosen = RadialBasis(*(rbf[name] for name in RadialBasis._fields))
        self._rbf = chosen.fit(points[used], coefficients[used])
        used = slice(gpr["num_designs"])
        leading = coefficients[used, : gpr["num_modes"]]
        self._processes = ModeProcesses(gpr["covariance"], state["theta"], points[used], leading)

    @classmethod
    def fit(
        cls,
        reader: FieldReader,
        rows: NDArray[np.int64],
        designs: Float64,
        config: BaselineConfig | None = None,
        num_jobs: int = 1,
    ) -> Self:
        """Fit both baselines to the same designs.

        Args:
            reader: fields (N, T, M) in physical units.
            rows: (n,) the designs in `reader` to fit.
            designs: (n, P) their parameters, scaled to comparable ranges.
            config: limits of the cost.
            num_jobs: threads; the result does not depend on it.

        Raises:
            DataError: fewer than three distinct designs, fields that are all the same, or values
                that are not finite.
        """
        config, rows = config or BaselineConfig(), np.asarray(rows, dtype=np.int64)
        designs = _finite(designs)
        if len(designs) != len(rows):
            raise DataError(f"Expected a design for each of {len(rows)} rows, got {len(designs)}.")
        distinct, group = np.unique(designs, axis=0, return_inverse=True)
        if len(distinct) < 3:
            raise DataError(
                f"Expected at least 3 distinct designs to fit baselines to, got {len(distinct)} in "
                f"{len(rows)} rows. Simulate more designs or give training a larger share of them."
            )
        # In random order, so that the designs within a limit are the first ones.
        order = np.random.default_rng(config.seed).permutation(len(distinct))
        members = [np.flatnonzero(group == number) for number in order]
        inputs = _fit_inputs(distinct[order], config.max_tuning_designs)
        points = _points(distinct[order], inputs)

        pod = TrajectoryPod(config.max_bytes).fit(reader, rows)
        assert pod.coefficients_ is not None
        assert pod.norms_ is not None
        coefficients = np.stack([pod.coefficients_[same].mean(axis=0) for same in members])
        norms = np.array([pod.norms_[same].mean() for same in members])

        tuned = slice(config.max_tuning_designs)
        folds = Folds.split(points[tuned], coefficients[tuned], norms[tuned], config.num_folds)
        rbf, rbf_errors = _fit_rbf(folds, num_jobs)
        gpr, theta, errors = _fit_gpr(folds, rbf_errors, config, num_jobs)
        report = {
            "num_parameters": designs.shape[1],
            "ignored_parameters": np.flatnonzero(np.ptp(designs, axis=0) == 0).tolist(),
            "repeated_designs": [rows[same].tolist() for same in members if len(same) > 1],
            "num_designs": len(distinct),
            "num_tuning_designs": len(folds.points),
            "num_modes": len(pod.modes_),
            POD_RBF: {"num_designs": min(len(points), config.max_rbf_designs), **rbf},
            POD_GPR: {"num_designs": min(len(points), config.max_gp_designs), **gpr},
        }
        _log(report)
        state = {
            **inputs,
            "points": points,
            "coefficients": coefficients,
            "rbf_std": pod.root_mean_square(rbf_errors),
            "theta": theta,
            "variance_beyond": np.mean(np.square(errors[:, len(theta) :]), axis=0),
        }
        return cls(pod, report, state)

    def predict(self, designs: Float64, model: str) -> BaselinePrediction:
        """Predict the fields of designs.

        Args:
            designs: (q, P) parameters, scaled as those that were fitted.
            model: `pod_rbf` or `pod_gpr`.

        Raises:
            DataError: the designs have another number of parameters or are not finite, or there is
                no such model.
        """
        designs = _finite(designs)
        if designs.shape[1] != self.report["num_parameters"]:
            raise DataError(
                f"Expected designs of {self.report['num_parameters']} parameters, got "
                f"{designs.shape[1]}."
            )
        points = _points(designs, self._state)
        if model == POD_RBF:
            fields = self._pod.inverse_transform(self._rbf(points))
            return BaselinePrediction(fields, np.broadcast_to(self._state["rbf_std"], fields.shape))
        if model != POD_GPR:
            raise DataError(f"Expected one of {', '.join(self.names)}, got '{model}'.")
        mean, variance = self._processes.predict(points)
        beyond = np.broadcast_to(
            self._state["variance_beyond"], (len(points), len(self._state["variance_beyond"]))
        )
        rest = np.zeros_like(beyond)
        if self.report[POD_GPR]["beyond"] == POD_RBF:
            rest = self._rbf(points)[:, mean.shape[1] :]
        return BaselinePrediction(
            self._pod.inverse_transform(np.hstack([mean, rest])),
            self._pod.spread(np.hstack([variance, beyond])),
        )

    def config(self) -> Config:
        return {"report": self.report, "pod": self._pod.config()}

    def state(self) -> State:
        return {**self._state, **join_states({"pod": self._pod})}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        pod = TrajectoryPod.from_state(config["pod"], part_of(state, "pod"))
        own = {name: value for name, value in state.items() if not name.startswith("pod/")}
        return cls(pod, config["report"], own)


def _finite(designs: Float64) -> Float64:
    designs = np.asarray(designs, dtype=np.float64)
    if designs.ndim != 2:
        raise DataError(f"Expected designs (number, parameters), got shape {designs.shape}.")
    wrong = np.flatnonzero(~np.isfinite(designs).all(axis=1))
    if len(wrong):
        raise DataError(f"Expected finite designs, got others at places {wrong[:5].tolist()}.")
    return designs


def _fit_inputs(designs: Float64, most: int) -> State:
    """Which parameters vary, their mean, and the median distance of (some of) the designs."""
    columns = np.flatnonzero(np.ptp(designs, axis=0) > 0)
    distance = np.median(pdist(designs[:most, columns]))
    return {
        "columns": columns,
        "centre": designs[:, columns].mean(axis=0),
        "distance": np.array([distance]),
    }


def _points(designs: Float64, inputs: State) -> Float64:
    """Designs (q, P) as kernels see them: centred, in units of the median distance."""
    return np.asarray((designs[:, inputs["columns"]] - inputs["centre"]) / inputs["distance"])


def _fit_rbf(folds: Folds, num_jobs: int) -> tuple[Config, Float64]:
    """Report and held-out errors (n, R)."""
    chosen, errors, candidates = radial_basis.choose(folds, num_jobs)
    return {**chosen._asdict(), "error": folds.score(errors), "candidates": candidates}, errors


def _fit_gpr(
    folds: Folds, rbf_errors: Float64, config: BaselineConfig, num_jobs: int
) -> tuple[Config, Float64, Float64]:
    """Report, theta (G, P + 1), and held-out errors (n, R) with those of the modes beyond G.

    Modes get processes, a group after the other, for as long as that is worth its cost.
    """
    kind, fitted, candidates = gaussian_process.choose(folds, config.max_length_scales, num_jobs)
    most = min(config.max_gp_modes, folds.coefficients.shape[1])
    fitted = Fitted(fitted.theta[:most], fitted.errors[:, :most])
    beyond, errors = _completed(fitted, folds, rbf_errors)
    while len(fitted.theta) < most:
        before = folds.score(errors)
        group = min(MODE_GROUP, most - len(fitted.theta))
        fitted = gaussian_process.extend(fitted, folds, kind, group, num_jobs)
        beyond, errors = _completed(fitted, folds, rbf_errors)
        if folds.score(errors) > (1 - WORTHWHILE) * before:
            break
    num_modes = len(fitted.theta)
    energies = np.square(folds.coefficients).sum(axis=0)
    report = {
        **kind._asdict(),
        "num_modes": num_modes,
        "energy": float(energies[:num_modes].sum() / energies.sum()),
        "beyond": beyond,
        "limited": num_modes == config.max_gp_modes < len(energies),
        "error": folds.score(errors),
        "candidates": candidates,
    }
    return report, fitted.theta, errors


def _completed(fitted: Fitted, folds: Folds, rbf_errors: Float64) -> tuple[str | None, Float64]:
    """What predicts modes without a process best, and all held-out errors (n, R) then."""
    num_modes = len(fitted.theta)
    if num_modes == folds.coefficients.shape[1]:
        return None, fitted.errors
    choices = {
        name: np.hstack([fitted.errors, others[:, num_modes:]])
        for name, others in ((POD_RBF, rbf_errors), ("mean", folds.coefficients))
    }
    best = min(choices, key=lambda name: folds.score(choices[name]))
    return best, choices[best]


def _log(report: Config) -> None:
    if report["repeated_designs"]:
        logger.warning(
            "Designs that occur repeatedly count once in the baselines, with the mean of their "
            "fields: rows %s",
            report["repeated_designs"],
        )
    for name in (POD_RBF, POD_GPR):
        logger.info(
            "%s: %s, cross-validated error %.2e on %d designs",
            name,
            report[name].get("kernel") or report[name]["covariance"],
            report[name]["error"],
            report["num_tuning_designs"],
        )
