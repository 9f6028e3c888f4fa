"""The baselines that a surrogate is measured against: POD + RBF and POD + Gaussian processes.

Shapes: N designs in all, n designs fitted, a designs added, q designs asked for, P parameters,
T time steps, M nodes, R modes, G modes with a Gaussian process.

What engineers use on finished simulations (Guo & Hesthaven 2018, Computer Methods in Applied
Mechanics and Engineering 341; EZyRB: Demo, Tezzele & Rozza 2018, Journal of Open Source Software
3), done with care: POD of whole trajectories without truncation, kernels chosen by
cross-validation, one Gaussian process per mode (one kernel for all collapses to the mean).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from simulgen_pipeline.data.artifact import Config, State, join_states, part_of
from simulgen_pipeline.data.design_scalers import FEWEST_DISTINCT
from simulgen_pipeline.data.errors import DataError

from .baseline_report import limits_of_refit, limits_reached, log_fit, suspects, warn_of_harm
from .baseline_tuning import POD_GPR, POD_RBF, BaselineConfig, points_of, tune
from .cross_validation import Folds
from .fitted_designs import FittedDesigns, finite_designs
from .mode_processes import ModeProcesses, held_out_errors_of_modes
from .radial_basis import RadialBasis, held_out_errors
from .refit_check import is_harmed
from .snapshots import FieldReader
from .trajectory_pod import TrajectoryPod

Float64 = NDArray[np.float64]

__all__ = ["POD_GPR", "POD_RBF", "BaselineConfig", "BaselinePrediction", "Baselines"]

logger = logging.getLogger(__name__)


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
        report: plain values: what was chosen, its cross-validated `error` and that of every
            candidate (Gaussian processes are compared on the leading modes, with length scales and
            noise of all designs), how many designs the models are fitted to, and which limits were
            reached; of a refit, `not_refitted`: the models that stayed as they were, and
            `suspect_rows`: the designs to look at if any did.
    """

    names: ClassVar[tuple[str, ...]] = (POD_RBF, POD_GPR)

    def __init__(self, pod: TrajectoryPod, report: Config, state: State) -> None:
        self.report = report
        self._pod, self._state = pod, state
        rbf, gpr = report[POD_RBF], report[POD_GPR]
        points, coefficients = state["points"], state["coefficients"]
        used = slice(rbf["num_designs"])
        self._kernel = RadialBasis(*(rbf[name] for name in RadialBasis._fields))
        self._rbf = self._rbf_for_gpr = self._kernel.fit(points[used], coefficients[used])
        # Where `pod_gpr` stays and `pod_rbf` does not, RBF of the designs it was fitted to.
        used = slice(gpr.get("num_rbf_designs", rbf["num_designs"]))
        if used.stop != rbf["num_designs"]:
            self._rbf_for_gpr = self._kernel.fit(points[used], coefficients[used])
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
        ordered: bool = False,
    ) -> Self:
        """Fit both baselines to the same designs.

        Args:
            reader: fields (N, T, M) in physical units.
            rows: (n,) the designs in `reader` to fit.
            designs: (n, P) their parameters, scaled to comparable ranges.
            config: limits of the cost.
            num_jobs: processes; the result does not depend on it.
            ordered: parameters come in order of their importance, as the principal components of
                pictures do; cross-validation then says how many of them to use.

        Raises:
            DataError: fewer than three distinct designs, fields that are all the same, or values
                that are not finite.
        """
        config, rows = config or BaselineConfig(), np.asarray(rows, dtype=np.int64)
        designs = finite_designs(designs, len(rows))
        distinct, group = np.unique(designs, axis=0, return_inverse=True)
        if len(distinct) < FEWEST_DISTINCT:
            raise DataError(
                f"Expected at least {FEWEST_DISTINCT} distinct designs to fit baselines to, got "
                f"{len(distinct)} in {len(rows)} rows. Simulate more designs or give training a "
                f"larger share of them."
            )
        # In random order, so that the designs within a limit are the first ones.
        order = np.random.default_rng(config.seed).permutation(len(distinct))
        members = [np.flatnonzero(group == number) for number in order]
        pod = TrajectoryPod(config.max_bytes).fit(reader, rows)
        assert pod.coefficients_ is not None
        assert pod.norms_ is not None
        coefficients = np.stack([pod.coefficients_[same].mean(axis=0) for same in members])
        norms = np.array([pod.norms_[same].mean() for same in members])

        tuned = tune(distinct[order], coefficients, norms, config, num_jobs, ordered)
        num_runs = np.array([len(same) for same in members])
        fitted = FittedDesigns(tuned.points, coefficients, num_runs, rows[np.concatenate(members)])
        report = {
            "num_parameters": designs.shape[1],
            "num_inputs": len(tuned.inputs["columns"]),
            "ignored_parameters": np.flatnonzero(np.ptp(designs, axis=0) == 0).tolist(),
            "repeated_designs": fitted.repeated,
            "num_designs": len(distinct),
            "num_tuning_designs": tuned.num_designs,
            "num_modes": len(pod.modes_),
            "lost_energy": pod.lost_energy_,
        }
        for model, chosen in ((POD_RBF, tuned.rbf), (POD_GPR, tuned.gpr)):
            used = min(len(distinct), config.max_designs[model])
            report[model] = {"num_designs": used, **chosen}
        report["limits_reached"] = limits_reached(report, config, pod.limited_)
        log_fit(report)
        theta, errors = tuned.completed.theta, tuned.completed.errors
        state = {
            **tuned.inputs,
            **fitted._asdict(),
            "rbf_std": pod.root_mean_square(tuned.rbf_errors),
            "theta": theta,
            "other_variances": np.mean(np.square(errors[:, len(theta) :]), axis=0),
        }
        return cls(pod, report, state)

    def refit(
        self,
        reader: FieldReader,
        rows: NDArray[np.int64],
        designs: Float64,
        config: BaselineConfig | None = None,
    ) -> Self:
        """The same models, with all that was chosen, given further designs as well.

        Nothing is tuned again, so that this takes a few linear solutions per model. What the added
        fields have outside of the modes gets modes of its own, in which the designs so far have
        nothing: theirs stay as they are, and so do the processes' length scales and noise. Added
        modes have no process; RBF predicts them for `pod_gpr` if every mode had one. The held-out
        errors behind `pod_rbf`'s standard deviation remain those of the first fit.

        A model that does not predict better with the added designs (`refit_check`) is given neither
        them nor their modes; a warning and the report name it, and the designs to look at.

        Args:
            reader: fields (N, T, M) in physical units.
            rows: (a,) the designs in `reader` to add.
            designs: (a, P) their parameters, scaled as those that were fitted.
            config: limits of the cost.

        Raises:
            DataError: the designs have another number of parameters, or values are not finite.
        """
        config, rows = config or BaselineConfig(), np.asarray(rows, dtype=np.int64)
        points = points_of(self._known_parameters(finite_designs(designs, len(rows))), self._state)
        pod, coefficients = self._pod.extended(reader, rows)
        # In random order, like those that were fitted: a limit may leave some out.
        order = np.random.default_rng(config.seed).permutation(len(rows))
        points, coefficients, rows = points[order], coefficients[order], rows[order]
        first = FittedDesigns(*(self._state[name] for name in FittedDesigns._fields))
        fitted = first.with_runs(points, coefficients, rows)
        harmed = self._harmed(first, fitted, config)
        outcome: Config = {"not_refitted": harmed, "suspect_rows": []}
        if harmed:
            errors = coefficients.copy()
            errors[:, : self.report["num_modes"]] -= self._rbf(points)
            outcome["suspect_rows"] = suspects(rows, np.linalg.norm(errors, axis=1))
            warn_of_harm(**outcome, num_added=len(rows))
            # The designs of a model that stays as it is are given no further runs either.
            new = first.are_new(points)
            fitted = first.with_runs(points[new], coefficients[new], rows[new])
        if harmed == list(self.names):
            return type(self)(self._pod, {**self.report, **outcome}, self._state)
        # An added mode is predicted from no design but the added ones: without them, by zero.
        variances = np.mean(np.square(fitted.coefficients[:, self.report["num_modes"] :]), axis=0)
        if POD_GPR in harmed:
            variances = np.zeros_like(variances)
        state = {
            **self._state,
            **fitted._asdict(),
            "other_variances": np.append(self._state["other_variances"], variances),
        }
        report = {
            **self.report,
            "repeated_designs": fitted.repeated,
            "num_designs": len(fitted.points),
            "num_modes": len(pod.modes_),
            **outcome,
        }
        for model, most in config.max_designs.items():
            report[model] = dict(self.report[model])
            if model not in harmed:
                report[model]["num_designs"] = min(len(fitted.points), most)
        if POD_GPR in harmed:
            report[POD_GPR].setdefault("num_rbf_designs", self.report[POD_RBF]["num_designs"])
        elif len(variances):
            report[POD_GPR]["other_modes"] = self.report[POD_GPR]["other_modes"] or POD_RBF
        of_fit = self.report["limits_reached"]
        report["limits_reached"] = limits_of_refit(report, config, pod.limited_, of_fit)
        logger.info(
            "Baselines refitted: %d designs, %d modes", report["num_designs"], len(pod.modes_)
        )
        return type(self)(pod, report, state)

    def _harmed(
        self, first: FittedDesigns, both: FittedDesigns, config: BaselineConfig
    ) -> list[str]:
        """Models that do not predict better with the added designs."""
        theta, covariance = self._processes.theta, self._processes.covariance
        errors_of: dict[str, Callable[[Folds], Float64 | None]] = {
            POD_RBF: partial(held_out_errors, self._kernel),
            POD_GPR: partial(held_out_errors_of_modes, covariance, theta),
        }
        harmed = []
        for model, most in config.max_designs.items():
            num_first = min(config.max_tuning_designs, self.report[model]["num_designs"])
            if is_harmed(errors_of[model], first, both, num_first, most, config.num_folds):
                harmed.append(model)
        return harmed

    def predict(self, designs: Float64, model: str) -> BaselinePrediction:
        """Predict the fields of designs.

        Args:
            designs: (q, P) parameters, scaled as those that were fitted.
            model: `pod_rbf` or `pod_gpr`.

        Raises:
            DataError: the designs have another number of parameters or are not finite, or there is
                no such model.
        """
        points = points_of(self._known_parameters(finite_designs(designs)), self._state)
        if model == POD_RBF:
            fields = self._pod.inverse_transform(self._rbf(points))
            return BaselinePrediction(fields, np.broadcast_to(self._state["rbf_std"], fields.shape))
        if model != POD_GPR:
            raise DataError(f"Expected one of {', '.join(self.names)}, got '{model}'.")
        mean, variance = self._processes.predict(points)
        other_variances = np.tile(self._state["other_variances"], (len(points), 1))
        others = np.zeros_like(other_variances)
        if self.report[POD_GPR]["other_modes"] == POD_RBF:
            others = self._rbf_for_gpr(points)[:, mean.shape[1] :]
        return BaselinePrediction(
            *self._pod.inverse_transform_with_std(
                np.hstack([mean, others]), np.hstack([variance, other_variances])
            )
        )

    def _known_parameters(self, designs: Float64) -> Float64:
        if designs.shape[1] != self.report["num_parameters"]:
            raise DataError(
                f"Expected designs of {self.report['num_parameters']} parameters, got "
                f"{designs.shape[1]}."
            )
        return designs

    def config(self) -> Config:
        return {"report": self.report, "pod": self._pod.config()}

    def state(self) -> State:
        return {**self._state, **join_states({"pod": self._pod})}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        pod = TrajectoryPod.from_state(config["pod"], part_of(state, "pod"))
        own = {name: value for name, value in state.items() if not name.startswith("pod/")}
        return cls(pod, config["report"], own)
