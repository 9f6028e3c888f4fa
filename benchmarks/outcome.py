"""What came out for a data set: errors over seeds, the best of several, targets met or missed.

A result is what `benchmarks.run` writes for a data set: `project` (a list of runs, one per mode and
seed) and `competition` (by competitor). Errors are relative L2, on test designs unless said
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .data_sets import CHAMPION_FACTOR, SAMPLES_FACTOR, DataSet, Target

Result = dict[str, Any]
Run = dict[str, Any]

MODES = ("full_vae", "conditioner_only", "end_to_end")
OWN_BASELINES = ("pod_rbf", "pod_gpr")


class Errors(NamedTuple):
    """Mean over designs and seeds, worst of all designs and seeds."""

    mean: float
    worst: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} / {self.worst:.3g}"

    @classmethod
    def over_seeds(cls, measured: Iterable[dict[str, float]]) -> Errors | None:
        """Of the errors of one model by several seeds; None of none."""
        figures = list(measured)
        if not figures:
            return None
        means = [figure["relative_l2_mean"] for figure in figures]
        return cls(sum(means) / len(means), max(figure["relative_l2_max"] for figure in figures))


class Best(NamedTuple):
    """A model of several, and its errors."""

    name: str
    errors: Errors

    def __str__(self) -> str:
        return f"{self.errors} ({self.name})"


def best_competitor(result: Result, ending: str = "", part: str = "test") -> Best | None:
    """The competitor with the smallest mean error, of those whose names end in some way.

    `part` is `test`, or `test_by_train` for those fitted to the training designs alone.
    """
    found = [
        Best(name, errors)
        for name, figures in result["competition"].items()
        if name.endswith(ending) and "errors" in figures
        if (errors := Errors.over_seeds([figures["errors"][part]])) is not None
    ]
    return min(found, key=lambda best: best.errors.mean, default=None)


def runs_of(result: Result, mode: str) -> list[Run]:
    """The runs of a mode that succeeded, one per seed."""
    return [run for run in result["project"] if run["mode"] == mode and "metrics" in run]


def modes_of(result: Result) -> list[str]:
    """The modes that succeeded."""
    return [mode for mode in MODES if runs_of(result, mode)]


def vae_errors(result: Result, mode: str, kind: str, part: str) -> Errors | None:
    """`reconstruction` or `prediction` errors of the VAE on a part."""
    return Errors.over_seeds(run["metrics"][kind][part] for run in runs_of(result, mode))


def baseline_errors(result: Result, name: str) -> Errors | None:
    """Errors of one of the project's own baselines: every mode fits the same."""
    mode = next(iter(modes_of(result)), "")
    return Errors.over_seeds(
        run["metrics"]["baselines"][name]["test"] for run in runs_of(result, mode)
    )


def best_own_baseline(result: Result) -> Best | None:
    """The better of the project's own baselines."""
    found = [
        Best(name, errors)
        for name in OWN_BASELINES
        if (errors := baseline_errors(result, name)) is not None
    ]
    return min(found, key=lambda best: best.errors.mean, default=None)


def champion_part(run: Run, part: str) -> dict[str, float]:
    """Errors of a run's champion on a part."""
    metrics = run["metrics"]
    name = metrics["champion"]
    figures = metrics["prediction"] if name == "vae" else metrics["baselines"][name]
    return dict(figures[part])


def champion(result: Result) -> Best | None:
    """The champions of the mode in which they are best on the validation designs."""

    def validation(mode: str) -> float:
        errors = Errors.over_seeds(
            champion_part(run, "validation") for run in runs_of(result, mode)
        )
        return float("inf") if errors is None else errors.mean

    mode = min(modes_of(result), key=validation, default="")
    runs = runs_of(result, mode)
    errors = Errors.over_seeds(champion_part(run, "test") for run in runs)
    if errors is None:
        return None
    return Best(", ".join(sorted({run["metrics"]["champion"] for run in runs})), errors)


def best_mode(result: Result, modes: list[str]) -> Best | None:
    """The VAE's prediction by the mode, of some, that is best on the validation designs."""

    def validation(mode: str) -> float:
        errors = vae_errors(result, mode, "prediction", "validation")
        return float("inf") if errors is None else errors.mean

    mode = min(modes, key=validation, default="")
    errors = vae_errors(result, mode, "prediction", "test")
    return None if errors is None else Best(mode, errors)


def training_minutes(result: Result, mode: str) -> float:
    """Longest training of a mode from raw data, over seeds, with the VAE that it starts from."""
    minutes = 0.0
    for run in runs_of(result, mode):
        seconds = run["training_seconds"]
        if mode != "full_vae":
            before = next(r for r in runs_of(result, "full_vae") if r["seed"] == run["seed"])
            # The conditioner that came with the VAE is not what this mode starts from.
            nodes = before["node_seconds"]
            own = nodes["train_conditioner"] + nodes["refit_conditioner"]
            seconds += before["training_seconds"] - own
        minutes = max(minutes, seconds / 60)
    return minutes


def samples_distance(runs: list[Run]) -> float | None:
    """Mean distance of the prior's samples to the training designs, relative to test designs'."""
    found = [run["metrics"]["generation"]["distance_to_training"] for run in runs]
    if not found:
        return None
    return float(sum(d["samples"] for d in found) / sum(d["test"] for d in found))


def verdicts(result: Result, data_set: DataSet) -> list[str]:
    """Of each target whether it was met."""
    lines = [line for target in data_set.targets if (line := _verdict(result, target)) is not None]
    reached, rival = champion(result), best_competitor(result)
    same_designs = best_competitor(result, part="test_by_train")
    if reached is not None and rival is not None and same_designs is not None:
        factor = reached.errors.mean / rival.errors.mean
        on_same_designs = reached.errors.mean / same_designs.errors.mean
        lines.append(
            f"champion at most {CHAMPION_FACTOR} times the best competitor: "
            f"{_met(factor <= CHAMPION_FACTOR)} ({factor:.3g}; {on_same_designs:.3g} of the best "
            f"that is fitted to training designs alone)"
        )
    own = best_own_baseline(result)
    if reached is not None and own is not None:
        factor = reached.errors.mean / own.errors.mean
        lines.append(
            f"champion at most {CHAMPION_FACTOR} times the better of the project's own baselines: "
            f"{_met(factor <= CHAMPION_FACTOR)} ({factor:.3g})"
        )
    distance = samples_distance(runs_of(result, "full_vae"))
    if distance is not None:
        is_near = 1 / SAMPLES_FACTOR <= distance <= SAMPLES_FACTOR
        lines.append(
            f"samples of the prior as far from the training designs as test designs, within a "
            f"factor of {SAMPLES_FACTOR}: {_met(is_near)} ({distance:.3g} times as far)"
        )
    vae = best_mode(result, modes_of(result))
    if reached is not None and vae is not None and "vae" not in reached.name:
        factor = vae.errors.mean / reached.errors.mean
        why = f"; likely because it is {data_set.for_kernels}" if data_set.for_kernels else ""
        lines.append(f"champion {reached.name}: the VAE's error is {factor:.3g} times its{why}")
    return lines


def _verdict(result: Result, target: Target) -> str | None:
    if target.model == "champion":
        best = champion(result)
    elif target.model == "reconstruction":
        errors = vae_errors(result, "full_vae", "reconstruction", "test")
        best = None if errors is None else Best("full_vae", errors)
    else:
        modes = modes_of(result) if target.model == "vae" else [target.model]
        if target.minutes is not None:  # of those that end in time, if there are any
            modes = [m for m in modes if training_minutes(result, m) <= target.minutes] or modes
        best = best_mode(result, modes)
    rival = best_competitor(result)
    if best is None or (target.share_of_best is not None and rival is None):
        return None
    limit = target.mean
    if target.share_of_best is not None and rival is not None:
        limit = target.share_of_best * rival.errors.mean
    wanted, met = [], True
    if limit is not None:
        wanted.append(f"{limit:.3g}")
        met &= best.errors.mean <= limit
    if target.worst is not None:
        wanted.append(f"{target.worst:.3g}")
        met &= best.errors.worst <= target.worst
    text = f"{target.model} {' / '.join(wanted)}"
    if target.minutes is not None:
        minutes = training_minutes(result, best.name)
        text += f" in {target.minutes:g} min"
        met &= minutes <= target.minutes
        return f"{text}: {_met(met)} ({best.name}, {minutes:.1f} min)"
    return f"{text}: {_met(met)} ({best.name})"


def _met(met: bool) -> str:
    return "met" if met else "**missed**"
