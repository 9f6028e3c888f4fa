"""Removing old versions: the newest K of every dataset stay, and what their runs loaded."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .data.errors import DataError
from .training.errors import TrainingError
from .training.work_folders import is_in_use, is_running, remove_training, work_folders
from .versions import MANIFEST, WORK_FOLDER, Stored, read_manifest, readable, run_ids, size_of

# The form of versions that Kedro gives; others were made by hand and stay.
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}\.\d{3}Z")
# Versions are moved here, beside the others, before they are deleted: one level too deep to be
# found as a version, whatever is left of them when the deletion is interrupted.
TRASH = ".removed"


@dataclass
class Plan:
    """What a prune removes and what it leaves.

    Attributes:
        goes: folders of versions, by dataset.
        stays: folders of versions, by dataset.
        named: versions that stay, though old, because a run of what stays loaded them, or because
            one of the newest runs saved them.
        trash: what an interrupted prune has left; it goes.
        interrupted: folders of trainings that nothing is at.
        with_interrupted: whether these go.
        running: folders of trainings that a run is at, or that of all; beside them nothing is
            removed.
        outside: datasets that are not in the project's folder and stay as they are.
    """

    with_interrupted: bool
    goes: dict[str, list[Path]] = field(default_factory=dict)
    stays: dict[str, list[Path]] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    trash: list[Path] = field(default_factory=list)
    interrupted: list[Path] = field(default_factory=list)
    running: list[Path] = field(default_factory=list)
    outside: dict[str, Path] = field(default_factory=dict)

    @property
    def folders(self) -> list[Path]:
        """All that goes."""
        trainings = self.interrupted if self.with_interrupted else []
        return [*_all(self.goes), *self.trash, *trainings]


def plan_prune(
    stored: Mapping[str, Stored], keep: int, project: Path, with_interrupted: bool = False
) -> Plan:
    """Choose what goes.

    The newest `keep` versions of every dataset stay, and of the newest `keep` manifests every
    version that they name, so that these runs stay complete. So do the versions that the
    runs of any of these loaded, and the manifests of all runs of which a version stays.

    Args:
        with_interrupted: whether the work of interrupted trainings goes too.

    Raises:
        DataError: a manifest cannot be read, so that it is unknown what its run needs.
    """
    plan = Plan(with_interrupted)
    used = _used(stored, keep)
    seen = set()
    # The manifests come last, when it is known which runs they are needed for.
    for name, dataset in sorted(stored.items(), key=lambda item: item[0] == MANIFEST):
        place = dataset.path.resolve()
        if dataset.versions is None or place in seen or not place.is_dir():
            continue
        seen.add(place)
        if not place.is_relative_to(project.resolve()):
            plan.outside[name] = place
            continue
        if name == MANIFEST:
            used |= {place / folder.name for folder in _all(plan.stays)}
        _plan_dataset(plan, name, place, dataset.versions, keep, used)
    _plan_trainings(plan, stored[WORK_FOLDER].path.resolve(), project)
    return plan


def _used(stored: Mapping[str, Stored], keep: int) -> set[Path]:
    """What the newest runs loaded and saved; and what the runs of the newest versions loaded, what
    the runs of that loaded, and so on: a version has the name of the run that saved it."""
    used = set()
    runs = _by_kedro(run_ids(stored))
    all_versions = [dataset.versions or [] for dataset in stored.values()]
    to_trace = {version for versions in all_versions for version in _by_kedro(versions)[:keep]}
    traced = set()
    while to_trace:
        run_id = to_trace.pop()
        if run_id not in runs:  # it was killed, or its manifest removed
            continue
        traced.add(run_id)
        manifest = read_manifest(stored, run_id)
        to_trace |= set(manifest.loaded.values()) - traced
        named = [*manifest.loaded.items()]
        if run_id in runs[:keep]:
            named += manifest.saved.items()
        used |= {stored[name].path.resolve() / version for name, version in named if name in stored}
    return used


def _plan_dataset(
    plan: Plan, name: str, place: Path, versions: list[str], keep: int, used: set[Path]
) -> None:
    # An incomplete version, of a run that writes it or was killed, does not count as one of the
    # newest, and goes when it is older than those.
    newest = _by_kedro(versions)[:keep]
    oldest_to_stay = newest[-1] if len(newest) == keep else ""
    for folder in sorted(place.iterdir()):
        if folder.is_symlink() or not folder.is_dir():
            continue
        if folder.name == TRASH:
            plan.trash.append(folder)
        if not VERSION.fullmatch(folder.name):
            continue
        is_old = folder.name < oldest_to_stay
        side = plan.goes if is_old and folder not in used else plan.stays
        side.setdefault(name, []).append(folder)
        if is_old and folder in used and name != MANIFEST:
            plan.named.append(f"{name}:{folder.name}")


def _plan_trainings(plan: Plan, place: Path, project: Path) -> None:
    trainings = work_folders(place)
    plan.running = [folder for folder in trainings if is_running(folder)]
    if not plan.running and is_in_use(place):  # between two trainings
        plan.running = [place]
    if place.is_relative_to(project.resolve()):
        plan.interrupted = [folder for folder in trainings if folder not in plan.running]
    elif trainings:
        plan.outside[WORK_FOLDER] = place


def _by_kedro(versions: Iterable[str]) -> list[str]:
    return [version for version in versions if VERSION.fullmatch(version)]


def _all(by_dataset: Mapping[str, list[Path]]) -> list[Path]:
    return [folder for folders in by_dataset.values() for folder in folders]


def show_plan(plan: Plan) -> str:
    """A table of what goes and what stays, by dataset and in total."""
    lines = [_row("dataset", "goes", "stays")]
    lines += [
        _row(name, _sum(plan.goes.get(name, [])), _sum(plan.stays.get(name, [])))
        for name in sorted({*plan.goes, *plan.stays})
    ]
    lines.append(_row("total", _sum(_all(plan.goes)), _sum(_all(plan.stays))))
    if plan.named:
        lines.append(f"Old, but used by a run that stays: {', '.join(plan.named)}")
    if plan.trash:
        lines.append(f"Left by an interrupted prune, goes: {_sum(plan.trash)}")
    fate = "goes" if plan.with_interrupted else "stays without --interrupted"
    lines += [f"Interrupted training, {fate}: {_size(f)} in {f}" for f in plan.interrupted]
    lines += [f"Running training: {_size(f)} in {f}" for f in plan.running]
    lines += [f"Outside of the project, stays: {n} in {f}" for n, f in plan.outside.items()]
    return "\n".join(lines)


def _row(name: str, goes: str, stays: str) -> str:
    return f"{name:<30}{goes:>18}{stays:>18}"


def _size(*folders: Path) -> str:
    return readable(sum(map(size_of, folders)))


def _sum(folders: list[Path]) -> str:
    return f"{len(folders)}: {_size(*folders)}" if folders else "-"


def carry_out(plan: Plan) -> None:
    """Remove what goes; a version is whole under its name or not there at all.

    Raises:
        DataError: something could not be removed.
        TrainingError: a training is running.
    """
    if plan.running:
        raise TrainingError(
            f"A training is running in {plan.running[0]}, which may need old versions. Nothing was "
            f"removed; prune when it has ended."
        )
    try:
        for trash in plan.trash:
            shutil.rmtree(trash)
        for folder in _all(plan.goes):
            trash = folder.parent / TRASH
            trash.mkdir()
            os.replace(folder, trash / folder.name)
            shutil.rmtree(trash)
        for folder in plan.interrupted if plan.with_interrupted else []:
            remove_training(folder)
    except OSError as error:
        raise DataError(
            f"Not everything could be removed: {error}. Every version is whole or gone; the same "
            f"command goes on when the cause is out of the way."
        ) from error
