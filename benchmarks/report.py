"""Results of data sets as Markdown tables."""

from __future__ import annotations

from .data_sets import DATA_SETS
from .outcome import (
    MODES,
    Result,
    baseline_errors,
    best_competitor,
    champion,
    modes_of,
    runs_of,
    vae_errors,
    verdicts,
)

NOTHING = "-"
# What competitors and modes have in common.
MEASURED = ("seconds", "seconds_of_one", "seconds_per_design", "peak_bytes")


def error_table(results: dict[str, Result]) -> str:
    """Mean / worst error over the test designs, a row per data set."""
    head = ["data set", "EZyRB, defaults", "EZyRB, tuned", "nearest design"]
    head += ["our POD + RBF", "our POD + GP", "VAE reconstruction"]
    head += [f"VAE prediction, `{mode}`" for mode in MODES]
    head += ["champion"]
    rows = []
    for name, result in results.items():
        nearest = best_competitor(result, "nearest_design")
        cells = [
            name,
            best_competitor(result, "_default"),
            best_competitor(result, "_tuned"),
            None if nearest is None else nearest.errors,
            baseline_errors(result, "pod_rbf"),
            baseline_errors(result, "pod_gpr"),
            vae_errors(result, next(iter(modes_of(result)), ""), "reconstruction", "test"),
            *(vae_errors(result, mode, "prediction", "test") for mode in MODES),
            champion(result),
        ]
        rows.append([NOTHING if cell is None else str(cell) for cell in cells])
    return markdown(head, rows)


def cost_table(results: dict[str, Result]) -> str:
    """Time and memory, a row per data set and model."""
    head = ["data set", "model", "training [s]", "whole command [s]"]
    head += ["prediction of one design [ms]", "of 100 [ms each]", "peak memory [GB]"]
    rows = []
    for name, result in results.items():
        for competitor, figures in result["competition"].items():
            if "errors" in figures:
                costs = [figures[key] for key in ("fit_seconds", *MEASURED)]
                rows.append([name, competitor, *_costs(*costs)])
        for mode in modes_of(result):
            runs = runs_of(result, mode)
            costs = [max(run[key] for run in runs) for key in ("training_seconds", *MEASURED)]
            rows.append([name, f"`{mode}`", *_costs(*costs)])
            alone = [run["fields_alone"] for run in runs if "fields_alone" in run]
            if alone:
                times = [f"{1e3 * max(of[key] for of in alone):.3g}" for key in MEASURED[1:3]]
                rows.append([name, f"`{mode}`, fields alone", NOTHING, NOTHING, *times, NOTHING])
    return markdown(head, rows)


def _costs(
    training: float, whole: float, of_one: float, per_design: float, peak_bytes: float
) -> list[str]:
    figures = (training, whole, 1e3 * of_one, 1e3 * per_design, peak_bytes / 1e9)
    return [f"{figure:.3g}" for figure in figures]


def sample_table(results: dict[str, Result]) -> str:
    """Distances to the nearest training design: of simulations drawn from the prior, of real ones.

    A row per data set; means over seeds, of the VAE of `full_vae`.
    """
    parts = ("samples", "train", "validation", "test")
    rows = []
    for name, result in results.items():
        runs = [run["metrics"]["generation"] for run in runs_of(result, "full_vae")]
        if runs:
            distances = [[run["distance_to_training"][part] for run in runs] for part in parts]
            rows.append([name, *(f"{sum(of) / len(of):.3g}" for of in distances)])
    return markdown(["data set", *parts], rows)


def targets(results: dict[str, Result]) -> list[str]:
    """What was set out for, met or missed."""
    return [
        f"- {name}: {line}"
        for name, result in results.items()
        for line in verdicts(result, DATA_SETS[name])
    ]


def problems(results: dict[str, Result]) -> list[str]:
    """What was skipped or failed."""
    lines: list[str] = []
    for name, result in results.items():
        steps = [(run["mode"], run) for run in result["project"]]
        steps += result["competition"].items()
        lines += [
            f"- {name}, {step}: {kind}: {figures[kind]}"
            for step, figures in steps
            for kind in ("skipped", "error")
            if kind in figures
        ]
    return lines


def page(results: dict[str, Result]) -> str:
    """All tables, and what went wrong."""
    sections = [
        "Relative L2 error, mean / worst over the test designs (and seeds). Competitors are fitted "
        "to all designs that are not for test, unless the data set says otherwise.",
        error_table(results),
        "Measured by revision: " + ", ".join(f"{n} {_revision(of)}" for n, of in results.items()),
        "What was set out for:",
        "\n".join(targets(results)),
        "Time and memory: the longest and the largest over seeds. Predictions: "
        "processor time on one thread, after loading; those of the VAE come with "
        "their spread, but for fields alone (`predict_fields`).",
        cost_table(results),
        "Simulations drawn from the VAE's prior: mean relative L2 distance to the nearest training "
        "design, beside that of real designs (of training designs: to the nearest other one).",
        sample_table(results),
        *(["\n".join(problems(results))] if problems(results) else []),
    ]
    return "\n\n".join(sections) + "\n"


def _revision(result: Result) -> str:
    """The commit, the day, and the number of threads where that was not left to the project."""
    when = [str(result.get("date"))[:10]]
    if threads := result.get("machine", {}).get("omp_num_threads"):
        when.append(f"OMP_NUM_THREADS={threads}")
    return f"{str(result.get('code_revision'))[:7]} ({', '.join(when)})"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
