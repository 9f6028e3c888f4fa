"""The trainings of a study, one after another; none that is finished is lost when a run is killed.

A study's folder in the work folder holds `NAME.json`, the result of each finished member, and a
folder `NAME` for the member that is being trained.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.data.whole_files import whole_file
from simulgen_pipeline.training.work_folders import FINISHED_FILE, locked

logger = logging.getLogger(__name__)

Result = dict[str, Any]
# Trains with a split, given the member's name and a folder to work in.
Trainer = Callable[[str, Split, Path], Result]


def train_members(
    study: str, splits: Mapping[str, Split], determined_by: str, trainer: Trainer, work_folder: Path
) -> list[Result]:
    """Train all members of a study, but for those that an interrupted run has finished.

    The study's folder in `work_folder` is named by a hash of what determines its results, and stays
    until `clear_finished`.

    Args:
        study: its name.
        splits: members by name.
        determined_by: what determines results beside the splits.
        trainer: gives a member's result, plain values that survive JSON.
        work_folder: of all trainings.

    Raises:
        TrainingError: another run is at the same study.
    """
    parts = {name: split.model_dump(mode="json") for name, split in splits.items()}
    key = hashlib.sha256(json.dumps([determined_by, parts]).encode()).hexdigest()[:16]
    folder = work_folder / f"{study}-{key}"
    results = []
    with locked(folder, study):
        for number, (name, split) in enumerate(splits.items(), start=1):
            logger.info(
                "%s, training %d of %d: %s, %d designs",
                study,
                number,
                len(splits),
                name,
                len(split.train),
            )
            results.append(_result(folder, name, split, trainer))
        (folder / FINISHED_FILE).touch()
    return results


def _result(folder: Path, name: str, split: Split, trainer: Trainer) -> Result:
    path, own_folder = folder / f"{name}.json", folder / name
    if path.exists():
        logger.info("%s: taken from %s, where it was finished", name, path)
    else:
        own_folder.mkdir(exist_ok=True)  # it may hold an interrupted training, which goes on
        result = trainer(name, split, own_folder)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
    shutil.rmtree(own_folder, ignore_errors=True)
    stored: Result = json.loads(path.read_text(encoding="utf-8"))
    return stored
