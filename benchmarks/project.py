"""Runs the project's pipelines on a data set, as a user would, in a fresh copy of the project."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulgen_pipeline import Surrogate
from simulgen_pipeline.pipeline_registry import register_pipelines

from . import measure
from .data_sets import DataSet, Study

ROOT = Path(__file__).parents[1]
# What a run does after training; the rest of its time is training from raw data.
ASSESSMENT = re.compile("fit_baselines|assemble_surrogate|evaluate|draw_.*")


class Project:
    """A copy of the project in an empty folder.

    Args:
        folder: to copy to.
        logs: folder for the output of commands.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder, self.logs = folder, logs
        for name in ("conf/base", "conf/smoke", "src"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("pyproject.toml", "conf/logging.yml", ".telemetry"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "conf/local").mkdir()

    def run(
        self,
        data_set: DataSet,
        data: Path,
        pipeline: str,
        seed: int,
        environment: str | None,
        split: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Run a pipeline on a data set.

        Args:
            data_set: which.
            data: folder of all data sets.
            pipeline: its name.
            seed: of the training.
            environment: of Kedro, such as `smoke`; None is the default.
            split: parameters that draw one; None for the data set's own.

        Returns:
            `mode`, `seed`, and either `skipped` or `error` (the reason), or `seconds`,
            `training_seconds`, `peak_bytes`, `node_seconds`, what `measure.prediction_seconds`
            says of the VAE (and of its `fields_alone`), and `metrics`.
        """
        result: dict[str, Any] = {"mode": pipeline, "seed": seed}
        if pipeline not in register_pipelines():
            return result | {"skipped": "the project has no such pipeline"}
        command = [sys.executable, "-m", "kedro", "run", f"--pipeline={pipeline}"]
        command += [f"--env={environment}"] if environment else []
        folder = data / data_set.name
        parameters = {
            "simulations": (folder / "simulations.h5").resolve(),
            "designs": (folder / data_set.designs).resolve(),
            **(split or {"data.split.file": str((folder / "split.json").resolve())}),
            "training.seed": seed,
            "plots": "off",
            **dict(data_set.parameters),
        }
        joined = ",".join(f"{name}={value}" for name, value in parameters.items())
        measured = measure.run(
            [*command, f"--params={joined}"],
            self.folder,
            {**os.environ, "DO_NOT_TRACK": "1", "COLUMNS": "1000"},
            self.logs / f"{data_set.name}-{pipeline}-seed{seed}{split_name(split)}.log",
        )
        if measured.returncode:
            return result | {"error": last_words(measured.lines)}
        seconds = node_seconds(measured.lines)
        assessing = sum(seconds[name] for name in seconds if ASSESSMENT.fullmatch(name))
        surrogate = Surrogate.load(self.newest("data/06_models/surrogate"))
        return result | {
            "seconds": measured.seconds,
            "training_seconds": measured.seconds - assessing,
            "peak_bytes": measured.peak_bytes,
            "node_seconds": seconds,
            **prediction_seconds(surrogate.predict, Study(folder)),
            "fields_alone": prediction_seconds(surrogate.predict_fields, Study(folder)),
            "metrics": json.loads(self.newest("data/08_reporting/metrics.json").read_text()),
        }

    def newest(self, place: str) -> Path:
        """The newest version of a dataset, by the path the catalog has for it."""
        folder = self.folder / place
        return max(folder.iterdir()) / folder.name


def split_name(split: dict[str, str] | None) -> str:
    """What a log's name says of a split that was drawn."""
    return "" if split is None else f"-split{split['data.split.seed']}"


def node_seconds(lines: list[measure.Line]) -> dict[str, float]:
    """How long each node took, by the lines that Kedro logs at its start and end."""
    started: dict[str, float] = {}
    seconds = {}
    for line in lines:
        if found := re.search(r"Running node: (\w+)", line.text):
            started[found[1]] = line.seconds
        elif (found := re.search(r"Completed node: (\w+)", line.text)) and found[1] in started:
            seconds[found[1]] = line.seconds - started[found[1]]
    return seconds


def last_words(lines: list[measure.Line]) -> str:
    """The last line that says something: the message of what went wrong."""
    said = [line.text.strip() for line in lines if re.search(r"\w", line.text)]
    return said[-1] if said else "it said nothing"


def prediction_seconds(predict: Callable[[Any], object], study: Study) -> dict[str, float]:
    """How long it takes to predict, from parameters or from files of pictures."""

    def predict_rows(rows: NDArray[np.int64]) -> object:
        return predict(study.picture_files(rows) if study.has_pictures else study.designs[rows])

    # Predictions are repeated, and the command's log has their warnings once already.
    logging.getLogger("simulgen_pipeline").setLevel(logging.ERROR)
    return measure.prediction_seconds(predict_rows, study.parts["test"])
