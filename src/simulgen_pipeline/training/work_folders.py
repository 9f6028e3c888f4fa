"""Folders of trainings: locked while a run is in one, kept while it is needed, then removed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import TrainingError
from .job import TRAINED_FILE

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
# Seconds to wait for a lock: who only looks whether one is held has it for a moment.
LOCK_PATIENCE = 1.0
# What trains many models in one folder puts this file there when all of them are done.
FINISHED_FILE = "finished"


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Make a work folder and keep other runs out of it.

    Raises:
        TrainingError: another run is in it.
    """
    lock = _acquired(
        folder / LOCK_FILE,
        f"Another run is training the same {name} in {folder}. Wait for it or stop it.",
    )
    try:
        yield
    finally:
        lock.release()


def lock_all(work_folder: Path) -> FileLock:
    """Keep other runs out of all folders of trainings, until the lock is released or the process
    ends.

    Raises:
        TrainingError: another run has them.
    """
    return _acquired(
        _lock_of_all(work_folder),
        f"Another run is training in {work_folder}. Wait for it or stop it (one that was "
        f"interrupted in a notebook ends with its kernel).",
    )


def work_folders(work_folder: Path) -> list[Path]:
    """The folders of all trainings: running, interrupted or finished and not cleared yet."""
    folders = sorted(lock.parent for lock in work_folder.glob(f"*/{LOCK_FILE}"))
    return [folder for folder in folders if not folder.is_symlink()]


def is_running(folder: Path) -> bool:
    """Whether a run is in a training's folder."""
    return _is_held(folder / LOCK_FILE)


def is_in_use(work_folder: Path) -> bool:
    """Whether a run has all trainings to itself."""
    return _is_held(_lock_of_all(work_folder))


def _lock_of_all(work_folder: Path) -> Path:
    """Beside the folder, which is empty when nothing is trained."""
    place = work_folder.resolve()
    return place.with_name(f"{place.name}{LOCK_FILE}")


def _acquired(path: Path, refusal: str) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=LOCK_PATIENCE)
    except Timeout as error:
        raise TrainingError(refusal) from error
    return lock


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def is_finished(folder: Path) -> bool:
    """Whether all that a folder is for has been trained."""
    return any((folder / name).exists() for name in (TRAINED_FILE, FINISHED_FILE))


def remove_training(folder: Path) -> None:
    """Remove a training's folder; what is left of it, if this is interrupted, is not finished.

    Raises:
        TrainingError: a run is in it.
    """
    with locked(folder, folder.name):
        for name in (TRAINED_FILE, FINISHED_FILE):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def clear_finished(work_folder: Path) -> None:
    """Remove the folders of trainings that have ended and whose results are saved elsewhere."""
    for folder in work_folders(work_folder):
        if not is_finished(folder):
            logger.info(
                "%s holds an unfinished training: its command goes on, or remove it with kedro "
                "prune --keep=K --interrupted",
                folder,
            )
            continue
        try:
            remove_training(folder)
        except (OSError, TrainingError) as error:
            logger.info("%s stays: %s", folder, error)
