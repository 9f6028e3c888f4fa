"""What `benchmarks.throughput` measured, as a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import mean
from typing import Any

from .report import NOTHING, markdown

Values = dict[str, Any]

# The original research code on 2 cores whose large fp32 matrix product runs at so many GFLOP/s.
ORIGINAL_GFLOPS = 74.0
# Its samples per second, and how many times as fast ours is to be.
ORIGINAL = {"M4096": (1.16, 30.0), "M95008": (0.40, 90.0)}
SHARE_OF_MATRIX = 0.60
DEMO = "demo"
# Name of the training that levers are turned round of.
AS_IT_IS = "as it is"
PROCESS_EFFICIENCY = 0.85
# Held-out errors that the time to is told of.
ERRORS = (0.50, 0.30, 0.20, 0.10, 0.06)


def matrix_gflops(training: Values, precision: str) -> float:
    """Rate of the large matrix product, the mean of before and after the training [GFLOP/s]."""
    return float(mean(rates[precision] for rates in training["matrix_gflops"].values()))


def on_original_machine(samples_per_second: float, gflops: float) -> float:
    """Samples per second on a machine as fast as the original's, by large fp32 products."""
    return samples_per_second * ORIGINAL_GFLOPS / gflops


def speed_table(cases: Values) -> str:
    """Samples per second, and how many times the original's, with validation and all else."""
    head = ["case", "training", "stage", "channels", "samples/s", "with all else"]
    head += ["at 74 GFLOP/s", "original", "times as fast", "target", "POD [s]", "memory [GB]"]
    rows = []
    for case in (*ORIGINAL, DEMO):
        original, target = ORIGINAL.get(case, (None, None))
        for training in trainings(cases, case):
            for number, stage in enumerate(training["stages"]):
                rate = stage["samples_per_second_whole"]
                converted = on_original_machine(rate, matrix_gflops(training, "float32"))
                times = None if original is None else converted / original
                rows.append(
                    [
                        case,
                        training["name"],
                        training["steps"][number]["name"],
                        str(training["num_channels"]),
                        f"{stage['samples_per_second']:.1f}",
                        f"{rate:.1f}",
                        f"{converted:.1f}",
                        cell(original, "{:g}".format),
                        cell(times, "{:.1f}".format),
                        cell(target, "{:g}".format),
                        f"{training['seconds']['pod']:.1f}",
                        f"{1e-9 * training['peak_bytes']:.2f}",
                    ]
                )
    return markdown(head, rows)


def limit_table(cases: Values) -> str:
    """Achieved floating-point rates beside the matrix product's, of all whose steps were seen."""
    head = ["case", "training", "stage", "precision", "threads", "GFLOP per sample", "GFLOP/s"]
    head += ["matrix product", "share", "share of the fp32 product"]
    rows = []
    for case in cases:
        for training in trainings(cases, case):
            for stage, step in zip(training["stages"], training.get("steps", ()), strict=False):
                rate = stage["samples_per_second"] * step["gflop_per_sample"]
                limit = matrix_gflops(training, step["precision"])
                rows.append(
                    [
                        case,
                        training["name"],
                        step["name"],
                        step["precision"],
                        str(training["num_threads"]),
                        f"{step['gflop_per_sample']:.2f}",
                        f"{rate:.0f}",
                        f"{limit:.0f}",
                        f"{rate / limit:.0%}",
                        f"{rate / matrix_gflops(training, 'float32'):.0%}",
                    ]
                )
    return markdown(head, rows)


def profile_table(cases: Values) -> str:
    """Where the time of a step of the original's training goes."""
    columns = {
        f"{case}, {step['name']}": step["profile"]
        for case in ORIGINAL
        for training in trainings(cases, case)[:1]
        for step in training.get("steps", ())
    }
    operators = list(dict.fromkeys(name for shares in columns.values() for name in shares))
    rows = [
        [f"`{name}`", *(cell(shares.get(name), "{:.1%}".format) for shares in columns.values())]
        for name in operators
    ]
    return markdown(["operator", *columns], rows)


def lever_table(cases: Values) -> str:
    """What each lever does alone."""
    found = {training["name"]: training for training in trainings(cases, "levers")}
    base = found.pop(AS_IT_IS, None)
    if base is None:
        return ""
    rate = base["stages"][0]["samples_per_second"]
    rows = [[base["name"], f"{rate:.1f}", "1", f"{1e-9 * base['peak_bytes']:.2f}"]]
    for training in found.values():
        turned = training["stages"][0]["samples_per_second"]
        memory = f"{1e-9 * training['peak_bytes']:.2f}"
        rows.append([training["name"], f"{turned:.1f}", f"{turned / rate:.2f}", memory])
    for name, steps in base.items():
        if name.startswith("steps without ") and "steps" in base:
            whole = base["steps"][0]["samples_per_second"]
            turned = steps[0]["samples_per_second"]
            without = name.removeprefix("steps ")
            rows.append([without, f"{turned:.1f}", f"{turned / whole:.2f}", NOTHING])
    return markdown(["training", "samples/s", "by the first", "memory [GB]"], rows)


def process_table(cases: Values) -> str:
    """Throughput of processes and threads beside that of one process on as many threads."""
    found = {training["name"]: training for training in trainings(cases, "processes")}
    rates = {name: training["stages"][0]["samples_per_second"] for name, training in found.items()}
    rows = []
    for name, rate in rates.items():
        division, _, of = name.partition(", ")
        one = rates.get(f"1 of 2, {of}")
        share = None if one is None else rate / one
        rows.append([of, division, f"{rate:.1f}", cell(share, "{:.2f}".format)])
    return markdown(["training", "processes of threads", "samples/s", "by 1 of 2"], rows)


def error_table(cases: Values) -> str:
    """Time to errors of reconstruction of validation designs, preparation and POD included; of
    several seeds by the first."""
    head = ["case", "training", "precision", "POD [s]", "whole [s]"]
    head += [f"to {error:.0%} [s]" for error in ERRORS] + ["smallest error"]
    rows = []
    for case in (*ORIGINAL, DEMO, "accuracy"):
        first: dict[str, Values] = {}
        for training in trainings(cases, case):
            first.setdefault(training["name"], training)
        for training in first.values():
            seconds = training["seconds"]
            whole = sum(seconds.values())
            times = (time_to(training["errors"], error) for error in ERRORS)
            best = min((value for _, value in training["errors"]), default=None)
            precision = training["order"]["engine"]["precision"]
            rows.append(
                [case, training["name"], precision, f"{seconds['pod']:.1f}", f"{whole:.0f}"]
                + [cell(time, "{:.0f}".format) for time in times]
                + [cell(best, "{:.4f}".format)]
            )
    return markdown(head, rows)


def accuracy_table(cases: Values) -> str:
    """Errors of reconstruction on test designs, a column per seed."""
    found = trainings(cases, "accuracy")
    errors: dict[str, dict[int, float]] = {}
    for training in found:
        seed = training["order"]["engine"]["seed"]
        errors.setdefault(training["name"], {})[seed] = training["test_error"]
    seeds = list(dict.fromkeys(seed for by_seed in errors.values() for seed in by_seed))
    rows = [
        [name, *(f"{by_seed[seed]:.4f}" for seed in seeds), f"{mean(by_seed.values()):.4f}"]
        for name, by_seed in errors.items()
    ]
    return markdown(["training", *(f"seed {seed}" for seed in seeds), "mean"], rows)


def time_to(errors: Iterable[tuple[float, float]], wanted: float) -> float | None:
    """When an error was first as small as wanted, of pairs of seconds and error; None if never."""
    return next((seconds for seconds, error in errors if error <= wanted), None)


def trainings(cases: Values, case: str) -> list[Values]:
    """Those of a case that were measured and did not fail."""
    found = cases.get(case, {"trainings": []})["trainings"]
    return [training for training in found if "error" not in training]


def problems(cases: Values) -> str:
    """What failed."""
    lines = []
    for name, case in cases.items():
        for training in case["trainings"]:
            found = training.get("failed", {})
            if "error" in training:
                found = {"training": training["error"], **found}
            of = f"- {name}, {training['name']}"
            lines += [f"{of}: {what}: {said}" for what, said in found.items()]
    return "\n".join(lines)


def cell(value: float | None, show: Callable[[float], str]) -> str:
    """A cell of a table, of what may not be there."""
    return NOTHING if value is None else show(value)


SECTIONS: tuple[tuple[tuple[str, ...], str, Callable[[Values], str]], ...] = (
    (
        (*ORIGINAL, DEMO),
        "Training with the filters 1024, 512, 256, 128 and batch 16 at 50 times, and of the demo "
        "with the defaults, through the real loop. *samples/s*: median over epochs; *with all "
        "else*: with validation, logging, pictures and checkpoints; *at 74 GFLOP/s*: the latter, "
        "times 74 over the rate of a large fp32 product right before and after, as the original "
        "was measured. *One time a step* (`vae.time_patch=1`) has twice as many steps in time as "
        "preset 1.",
        speed_table,
    ),
    (
        (*ORIGINAL, "levers", DEMO),
        "Floating-point rates, of matrix products and convolutions, forward and backward. "
        f"Aimed at: {SHARE_OF_MATRIX:.0%} of the matrix product in the same precision.",
        limit_table,
    ),
    (tuple(ORIGINAL), "Shares of the time of a step, field posterior.", profile_table),
    (("levers",), "Levers, each turned round alone.", lever_table),
    (
        ("processes",),
        f"Processes: two of one thread are to reach {PROCESS_EFFICIENCY} of one of two.",
        process_table,
    ),
    (
        (*ORIGINAL, DEMO, "accuracy"),
        "Time to an error of the validation designs (relative L2): of their reconstruction, or of "
        "their prediction with the design posterior. `accuracy` is heat_pulse, by the first seed.",
        error_table,
    ),
    (
        ("accuracy",),
        "Relative L2 error of reconstruction on heat_pulse's test designs, with the original's "
        "parameters, but for those that are named, and the same number of epochs.",
        accuracy_table,
    ),
)


def page(cases: Values) -> str:
    """All tables for which something was measured, and what failed."""
    sections = [
        f"{text}\n\n{table(cases)}"
        for needed, text, table in SECTIONS
        if any(trainings(cases, case) for case in needed)
    ]
    failed = problems(cases)
    return "\n\n".join([*sections, *([failed] if failed else [])]) + "\n"
