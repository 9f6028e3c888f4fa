"""Measures the project and its competition: `python -m benchmarks.run --data FOLDER --out FOLDER`.

Writes NAME.json for each data set and, of all that are in the output folder, `table.md`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from simulgen_pipeline.data.whole_files import whole_file

from . import measure
from .data_sets import DATA_SETS, DataSet, missing_files
from .outcome import MODES
from .project import ROOT, Project, last_words
from .report import page

logger = logging.getLogger(__name__)

COMPETITION = "competition"
PACKAGES = ("simulgen-pipeline", "torch", "numpy", "scipy", "scikit-learn", "kedro", "ezyrb")


def main(arguments: list[str]) -> None:
    """Measure the data sets that are there, one after the other."""
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "logs").mkdir(exist_ok=True)
    for name in options.names:
        missing = missing_files(DATA_SETS[name], options.data)
        if missing:
            logger.info("%s: skipped, there is no %s. %s", name, missing[0], DATA_SETS[name].how)
            continue
        result = measure_set(DATA_SETS[name], options)
        write(options.out / f"{name}.json", json.dumps(result, indent=1) + "\n")
        write(options.out / "table.md", page(results_in(options.out)))
    logger.info("%s", (options.out / "table.md").resolve())


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="has a folder per data set")
    parser.add_argument("--out", type=Path, required=True, help="gets results, table and logs")
    parser.add_argument(
        "--set", nargs="+", choices=DATA_SETS, default=list(DATA_SETS), dest="names", metavar="NAME"
    )
    parser.add_argument(
        "--mode",
        nargs="+",
        default=[*MODES, COMPETITION],
        dest="modes",
        metavar="MODE",
        help=f"pipelines, in this order, and `{COMPETITION}`; default: all",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the trainings")
    parser.add_argument("--env", help="Kedro environment, such as smoke, to try the harness")
    return parser.parse_args(arguments)


def measure_set(data_set: DataSet, options: argparse.Namespace) -> dict[str, Any]:
    """The result of one data set."""
    result: dict[str, Any] = {
        "data_set": data_set.name,
        "shape": data_set.shape,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_revision": code_revision(),
        "versions": versions(),
        "machine": machine(),
        "seeds": options.seeds,
        "environment": options.env or "default",
        "parameters": dict(data_set.parameters),
        "project": [],
        "competition": {},
    }
    modes = [mode for mode in options.modes if mode != COMPETITION]
    for seed in options.seeds if modes else []:
        with TemporaryDirectory(prefix="benchmark.", ignore_cleanup_errors=True) as temporary:
            project = Project(Path(temporary), options.out / "logs")
            for mode in modes:
                run = project.run(data_set, options.data, mode, seed, options.env)
                result["project"].append(run)
                tell(data_set, f"{mode}, seed {seed}", run)
    for competitor in competitors() if COMPETITION in options.modes else ():
        figures = measure_competitor(data_set, competitor, options)
        result["competition"][competitor] = figures
        tell(data_set, competitor, figures)
    return result


def competitors() -> list[str]:
    """Names of the competitors, none where EZyRB is not installed."""
    if find_spec("ezyrb") is None:
        logger.info("The competition is skipped: EZyRB is not installed, see benchmarks/README.md.")
        return []
    from .competition import COMPETITORS

    return list(COMPETITORS)


def measure_competitor(
    data_set: DataSet, competitor: str, options: argparse.Namespace
) -> dict[str, Any]:
    """What `benchmarks.competition` measures, with the time and memory of its process."""
    with TemporaryDirectory(prefix="benchmark.") as temporary:
        file = Path(temporary) / "result.json"
        folder = (options.data / data_set.name).absolute()
        command = [sys.executable, "-m", "benchmarks.competition", str(folder), competitor]
        log = options.out / "logs" / f"{data_set.name}-{competitor}.log"
        measured = measure.run([*command, str(file)], ROOT, os.environ, log)
        if measured.returncode:
            return {"error": last_words(measured.lines)}
        figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return figures | {"seconds": measured.seconds, "peak_bytes": measured.peak_bytes}


def tell(data_set: DataSet, step: str, figures: dict[str, Any]) -> None:
    """Log how a step went."""
    if "seconds" in figures:
        logger.info("%s: %s: %.0f s", data_set.name, step, figures["seconds"])
    for kind in ("skipped", "error"):
        if kind in figures:
            logger.info("%s: %s: %s: %s", data_set.name, step, kind, figures[kind])


def results_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Results that are in a folder, in the order of the data sets."""
    paths = {name: folder / f"{name}.json" for name in DATA_SETS}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.is_file()
    }


def write(path: Path, text: str) -> None:
    """A file that is there complete or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def code_revision() -> str | None:
    """The commit, with a plus if files differ from it; None outside a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def versions() -> dict[str, str]:
    """Of Python and the packages that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the times depend on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "num_cores": psutil.cpu_count(logical=False),
        "num_threads": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(sys.argv[1:])
