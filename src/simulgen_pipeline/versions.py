"""Versions on disk: how large they are, what each run saved, and how to load what a run loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from kedro.io import AbstractVersionedDataset, DataCatalog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .data.errors import DataError

WORK_FOLDER = "work_folder"
MANIFEST = "run_manifest"
# Datasets of a run that the table names; the largest come first.
NUM_NAMED = 3

# What is shown in a terminal and pasted from there.
Word = Annotated[str, Field(pattern=r"^[\w.@:-]+$")]


class Manifest(BaseModel):
    """What a run was given and which version of every dataset it loaded or saved."""

    model_config = ConfigDict(frozen=True)

    run_id: Word
    status: Word = Field(description="success or failed")
    pipelines: tuple[Word, ...]
    environment: str | None
    parameters: dict[str, Any]
    code_revision: str | None
    loaded: dict[str, str] = Field(
        description="version, or place where there are no versions, by dataset"
    )
    saved: dict[str, str] = Field(description="version by dataset")


@dataclass(frozen=True)
class Stored:
    """A dataset of the catalog on this machine's disk.

    Attributes:
        path: of its file or folder, as the catalog says; with versions, the folder of them all.
        versions: those that are complete, newest first; None for a dataset without versions.
    """

    path: Path
    versions: list[str] | None


def find_stored(catalog: DataCatalog, names: Iterable[str]) -> dict[str, Stored]:
    """The catalog's datasets that are on this machine's disk, by name.

    Args:
        names: of datasets that the catalog knows by a pattern only, such as `plot_latents`.
    """
    found = {}
    for name in sorted({*catalog, *names}):
        dataset = catalog.get(name)
        path = getattr(dataset, "_filepath", None)
        if path is None or not Path(path).is_absolute():  # in memory, or in a cloud
            continue
        versions = None
        if isinstance(dataset, AbstractVersionedDataset) and dataset.resolve_save_version():
            versions = dataset.list_versions(full_path=False)
        found[name] = Stored(Path(path), versions)
    return found


def read_manifest(stored: Mapping[str, Stored], run_id: str) -> Manifest:
    """The manifest of a run.

    Raises:
        DataError: there is none of this run, or it is not what a run writes.
    """
    if run_id not in run_ids(stored):
        newest = ", ".join(run_ids(stored)[:NUM_NAMED]) or "there are none"
        raise DataError(f"There is no manifest of a run {run_id!r}; the newest: {newest}.")
    folder = stored[MANIFEST].path
    path = folder / run_id / folder.name
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"The manifest {path} cannot be read: {error}.") from error
    except ValidationError as error:
        problems = (
            ".".join(str(part) for part in problem["loc"]) + f" {problem['msg']}"
            for problem in error.errors()
        )
        raise DataError(
            f"{path} is not a manifest as a run writes it: {'; '.join(problems).strip()}. Repair "
            f"it, or remove {path.parent}: what it names then counts as used by no run."
        ) from error


def run_ids(stored: Mapping[str, Stored]) -> list[str]:
    """The runs that have a manifest, newest first."""
    return (stored[MANIFEST].versions or []) if MANIFEST in stored else []


def load_versions(manifest: Manifest, stored: Mapping[str, Stored]) -> str | None:
    """The option of `kedro run` that loads the versions which a run loaded; None if it loaded none.

    Raises:
        DataError: the manifest names a dataset or a version that is not there.
    """
    pairs = []
    for name, version in sorted(manifest.loaded.items()):
        if name not in stored:
            raise DataError(
                f"Run {manifest.run_id} loaded {name!r}, which is no dataset of this catalog; it "
                f"may be known at the run's code revision, {manifest.code_revision}."
            )
        known = stored[name].versions
        if known is None:  # a file or folder of the user's
            continue
        if version not in known:
            raise DataError(
                f"Run {manifest.run_id} loaded version {version!r} of {name}, which is not in "
                f"{stored[name].path}; there are: {', '.join(known) or 'none'}."
            )
        pairs.append(f"{name}:{version}")
    return f"--load-versions={','.join(pairs)}" if pairs else None


def show_sizes(stored: Mapping[str, Stored], project: Path) -> str:
    """A line per dataset in the project's folder, largest first, and the total."""
    paths = {dataset.path for dataset in stored.values()}
    sizes = {
        name: size_of(dataset.path)
        for name, dataset in stored.items()
        if dataset.path.is_relative_to(project)
        and not paths.intersection(dataset.path.parents)  # counted there already
        and dataset.path.exists()
    }
    lines = [f"{'dataset':<30}{'versions':>10}{'size':>12}"]
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        versions = stored[name].versions
        number = "-" if versions is None else len(versions)
        lines.append(f"{name:<30}{number:>10}{readable(sizes[name]):>12}")
    return "\n".join([*lines, f"{'total':<40}{readable(sum(sizes.values())):>12}"])


def show_runs(stored: Mapping[str, Stored]) -> str:
    """A line per run that has a manifest, newest first: what it saved that is still there.

    Raises:
        DataError: a manifest is not what a run writes.
    """
    lines = [f"{'run id':<26}{'pipeline':<20}{'status':<10}{'size':>10}  saved"]
    for run_id in run_ids(stored):
        manifest = read_manifest(stored, run_id)
        sizes = {
            name: size_of(stored[name].path / version)
            for name, version in manifest.saved.items()
            if name in stored and version in (stored[name].versions or [])
        }
        names = sorted(sizes, key=lambda name: -sizes[name])
        saved = ", ".join(names[:NUM_NAMED]) or "-"
        if len(names) > NUM_NAMED:
            saved += f" and {len(names) - NUM_NAMED} more"
        pipelines = ",".join(manifest.pipelines)
        size = readable(sum(sizes.values()))
        lines.append(f"{run_id:<26}{pipelines:<20}{manifest.status:<10}{size:>10}  {saved}")
    return "\n".join(lines)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed."""
    if not path.is_dir():
        return path.lstat().st_size if path.exists() else 0
    size = 0
    for folder, _, files in os.walk(path):
        for file in files:
            with suppress(FileNotFoundError):  # a run may be writing
                size += (Path(folder) / file).lstat().st_size
    return size


def readable(size: float) -> str:
    """A number of bytes as text."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
