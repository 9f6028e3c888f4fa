"""Fitted objects on disk: a folder with `config.json` and `state.safetensors`.

No pickle is involved, so that a folder from a stranger can be loaded without running its code.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from .errors import DataError
from .whole_files import flush

FORMAT_VERSION = 5

Config = dict[str, Any]
State = dict[str, NDArray[Any]]


class Artifact(Protocol):
    """What is fully described by JSON-able values and arrays."""

    def config(self) -> Config: ...

    def state(self) -> State: ...

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self: ...


A = TypeVar("A", bound=Artifact)


def save_artifact(artifact: Artifact, folder: Path) -> None:
    """Write an artifact's folder; it appears under its name only when it is complete.

    Raises:
        FileExistsError: the folder is already there.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; artifacts are never overwritten")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        config = {
            "format": type(artifact).__name__,
            "format_version": FORMAT_VERSION,
            **artifact.config(),
        }
        text = json.dumps(config, indent=2, allow_nan=False)
        (temporary / "config.json").write_text(text, encoding="utf-8")
        arrays = {name: np.asarray(value, order="C") for name, value in artifact.state().items()}
        save_file(arrays, temporary / "state.safetensors")
        for path in temporary.iterdir():
            flush(path)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_artifact(kind: type[A], folder: Path, *other_kinds: type[A]) -> A:
    """Rebuild an artifact, of one of some kinds, from its folder and nothing else.

    Raises:
        DataError: the folder is missing or damaged, holds another kind of artifact, or was written
            by a newer version of this project.
    """
    kinds = {known.__name__: known for known in (kind, *other_kinds)}
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError(f"config.json holds a {type(config).__name__}")
        state = load_file(folder / "state.safetensors")
    except (OSError, TypeError, ValueError, SafetensorError) as error:
        raise _unreadable(kind, folder, error) from error
    found, version = config.pop("format", None), config.pop("format_version", None)
    if found not in kinds:
        raise DataError(f"{folder} holds a {found}; expected a {' or a '.join(kinds)}.")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{folder} has format version {version}; this version of the project reads "
            f"{FORMAT_VERSION}. Use the version that wrote it, or train again."
        )
    try:
        return kinds[found].from_state(config, state)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        raise _unreadable(kind, folder, error) from error


def _unreadable(kind: type[Artifact], folder: Path, error: Exception) -> DataError:
    return DataError(
        f"{folder} is not a readable {kind.__name__}: {error}. Expected a folder with config.json "
        f"and state.safetensors, as it was written."
    )


def join_states(parts: Mapping[str, Artifact]) -> State:
    """The arrays of several artifacts in one, each name prefixed with `part/`."""
    return {
        f"{part}/{name}": value
        for part, artifact in parts.items()
        for name, value in artifact.state().items()
    }


def part_of(state: State, part: str) -> State:
    """The arrays that `join_states` stored for one part."""
    prefix = f"{part}/"
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
