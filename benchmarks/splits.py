"""Measures the calibration over random splits: `python -m benchmarks.splits --data D --out O`.

A spread that is calibrated on one split's validation designs holds on its test designs by luck, in
part. So `full_vae` (or `end_to_end`, after it) is trained on several random splits, with parts of
the sizes that the data set's own split has; what its intervals cover is averaged. The values that
`data_sets` names were chosen on the validation designs of the data set's own split, which random
splits share out among all parts. Writes NAME.splits.json for each data set (of `end_to_end`
NAME.end_to_end.splits.json), and of all that are in the output folder `calibration.md`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .data_sets import DATA_SETS, DataSet, Study, missing_files
from .outcome import samples_distance
from .project import Project
from .report import markdown
from .run import code_revision, machine, tell, versions, write

logger = logging.getLogger(__name__)

# Each with the pipelines that are run for it; the last one is measured.
MODES = {"full_vae": ("full_vae",), "end_to_end": ("full_vae", "end_to_end")}
FIGURES = ("coverage_90", "coverage_90_active", "error_rank_correlation")


def main(arguments: list[str]) -> None:
    """Measure the data sets that are there, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.splits", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="has a folder per data set")
    parser.add_argument("--out", type=Path, required=True, help="gets results, table and logs")
    parser.add_argument(
        "--set", nargs="+", choices=DATA_SETS, default=list(DATA_SETS), dest="names", metavar="NAME"
    )
    parser.add_argument("--mode", choices=MODES, default="full_vae")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)), help="of the split")
    parser.add_argument("--env", help="Kedro environment, such as smoke, to try the harness")
    options = parser.parse_args(arguments)
    (options.out / "logs").mkdir(parents=True, exist_ok=True)
    for name in options.names:
        missing = missing_files(DATA_SETS[name], options.data)
        if missing:
            logger.info("%s: skipped, there is no %s. %s", name, missing[0], DATA_SETS[name].how)
            continue
        measure_splits(DATA_SETS[name], options)


def measure_splits(data_set: DataSet, options: argparse.Namespace) -> None:
    """A training on each random split; what is there is written after each.

    Those that the folder has already, of the same revision, packages, machine and values, are not
    run again.
    """
    same = {
        "data_set": data_set.name,
        "code_revision": code_revision(),
        "versions": versions(),
        "machine": machine(),
        "environment": options.env or "default",
        "parameters": dict(data_set.parameters),
    }
    path = options.out / _file_name(data_set.name, options.mode)
    result: dict[str, Any] = {**same, "runs": _runs_so_far(path, same)}
    known = [run["split_seed"] for run in result["runs"]]
    parts = Study(options.data / data_set.name).parts
    num_designs = sum(len(rows) for rows in parts.values())
    split = {
        f"data.split.{part}": str(len(parts[part]) / num_designs) for part in ("validation", "test")
    }
    for seed in [seed for seed in options.seeds if seed not in known]:
        with TemporaryDirectory(prefix="benchmark.", ignore_cleanup_errors=True) as temporary:
            project = Project(Path(temporary), options.out / "logs")
            drawn = {"data.split.seed": str(seed), **split}
            for pipeline in MODES[options.mode]:
                run = project.run(data_set, options.data, pipeline, 0, options.env, drawn)
                if "metrics" not in run:
                    break
        result["runs"].append({**run, "split_seed": seed})
        tell(data_set, f"split {seed}", run)
        write(path, json.dumps(result, indent=1) + "\n")
        write(options.out / "calibration.md", page(options.out))


def _file_name(data_set: str, mode: str) -> str:
    """Of the results of a data set."""
    return f"{data_set}.splits.json" if mode == "full_vae" else f"{data_set}.{mode}.splits.json"


def _runs_so_far(path: Path, same: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a result that succeeded, if these values of it are the same, code included."""
    revision = same["code_revision"]
    if not path.is_file() or revision is None or revision.endswith("+"):
        return []
    result = json.loads(path.read_text(encoding="utf-8"))
    if {name: value for name, value in result.items() if name != "runs"} != same:
        return []
    return [run for run in result["runs"] if "metrics" in run]


def page(folder: Path) -> str:
    """A table of the results in a folder, a row per data set and mode."""
    head = ["data set", "mode", "splits", "90% intervals cover", "where the field is active"]
    head += ["rank correlation", "prediction", "reconstruction", "samples / test designs"]
    head += ["champion", "champion / best", "seeds", "revision"]
    rows = []
    for name, mode in product(DATA_SETS, MODES):
        path = folder / _file_name(name, mode)
        if not path.is_file():
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        runs, revision = result["runs"], str(result.get("code_revision"))[:7]
        metrics = [run["metrics"] for run in runs if "metrics" in run]
        cells = [_over_splits([m["uncertainty"]["test"].get(f) for m in metrics]) for f in FIGURES]
        cells += [
            _over_splits([m[kind]["test"]["relative_l2_mean"] for m in metrics])
            for kind in ("prediction", "reconstruction")
        ]
        cells.append(_over_splits([samples_distance([run]) for run in runs if "metrics" in run]))
        champions = ", ".join(sorted({m["champion"] for m in metrics})) or "-"
        cells += [champions, _over_splits([_regret(m) for m in metrics])]
        seeds = ", ".join(str(run["split_seed"]) for run in runs)
        rows.append([name, f"`{mode}`", f"{len(metrics)} of {len(runs)}", *cells, seeds, revision])
    text = (
        "Test designs of random splits: mean (least to most) over splits. *Samples / test "
        "designs*: mean distance of samples of the VAE's prior to the nearest training design, by "
        "that of test designs. *Champion / best*: the champion's mean error by that of the best "
        "of the project's own models in its run."
    )
    return f"{text}\n\n{markdown(head, rows)}\n"


def _regret(metrics: dict[str, Any]) -> float:
    """The champion's error on the test designs by that of the model that is best on them."""
    models = {"vae": metrics["prediction"], **metrics["baselines"]}
    errors = {name: figures["test"]["relative_l2_mean"] for name, figures in models.items()}
    return float(errors[metrics["champion"]] / min(errors.values()))


def _over_splits(figures: list[float | None]) -> str:
    known = [figure for figure in figures if figure is not None]
    if not known:
        return "-"
    return f"{np.mean(known):.3g} ({min(known):.3g} to {max(known):.3g})"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(sys.argv[1:])
