"""Reading a user's simulations, whatever their format, into the canonical form.

Shapes: N designs, T time steps, M nodes (values per time step).
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .config import DataConfig
from .errors import DataError
from .fields import (
    BLOCK_BYTES,
    FieldMetadata,
    Range,
    SimulationFields,
    link_fields,
    write_fields,
)

SUFFIXES = (".h5", ".hdf5", ".pickle", ".pkl", ".npy", ".npz")
# What NumPy and pickle raise for a file that is damaged or of another kind.
UNREADABLE = (
    EOFError,
    OSError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
)
LAYOUT = "[num_designs, num_time_steps, num_nodes]"


@dataclass(frozen=True)
class IngestedSimulations:
    """A user's simulations, seen once from end to end: finite everywhere, and fingerprinted.

    Attributes:
        source: a handle on an HDF5 file, used in place, or an array (N, T, M) of another format.
        metadata: of the selection.
        fingerprint: SHA-256 of the selected values' shape, type and bytes.
    """

    source: SimulationFields | NDArray[Any]
    metadata: FieldMetadata
    fingerprint: str

    def save(self, path: Path) -> None:
        """Write the canonical file: a reference to an HDF5 source, or the values of an array."""
        if isinstance(self.source, SimulationFields):
            link_fields(path, self.source, self.fingerprint)
        else:
            blocks = ((rows, {"fields": values}) for rows, values in _array_blocks(self.source))
            write_fields(path, len(self.source), blocks, self.metadata, self.fingerprint)


def ingest(path: Path, config: DataConfig) -> IngestedSimulations:
    """Open, select and check simulations in one streaming pass.

    Raises:
        DataError: the file is missing, of an unknown format, of the wrong rank or type, holds
            values that are not finite, or describes its mesh, times or ids inconsistently.
    """
    if not path.exists():
        raise DataError(
            f"There are no simulations at {path}. Expected a file ({', '.join(SUFFIXES)}); make "
            f"the demo data with `kedro run --pipeline=demo_data`, or name your file with "
            f"--params=simulations=PATH."
        )
    if path.is_dir() or path.suffix.lower() not in SUFFIXES:
        found = "a folder" if path.is_dir() else f"the suffix '{path.suffix}'"
        raise DataError(
            f"Simulations are one file that ends in {', '.join(SUFFIXES)}; {path} is {found}. "
            f"Store the array {LAYOUT} in one of these formats."
        )
    source: SimulationFields | NDArray[Any]
    if path.suffix.lower() in (".h5", ".hdf5"):
        source = _open_hdf5(path, config)
        metadata = source.metadata
        blocks = source.blocks()
    else:
        array = _load_array(path, config.field)
        _check_array(path, array.shape, array.dtype)
        _check_ranges(path, array.shape, 1, config)
        source = array[:, _slice(config.time_range), _slice(config.node_range)]
        metadata = FieldMetadata()
        blocks = _array_blocks(source)
    try:
        fingerprint = _check_and_fingerprint(path, source.shape, blocks)
    except OSError as error:
        raise DataError(f"{path} cannot be read to its end: {error}. Write it again.") from error
    return IngestedSimulations(source, metadata, fingerprint)


def _open_hdf5(path: Path, config: DataConfig) -> SimulationFields:
    try:
        with h5py.File(path, "r") as file:
            names = [name for name, item in file.items() if isinstance(item, h5py.Dataset)]
            if config.field not in names:
                raise DataError(
                    f"{path} has no dataset '{config.field}'; it has {', '.join(names) or 'none'}. "
                    f"Name the one that holds {LAYOUT} with --params=data.field=NAME."
                )
            shape, dtype = file[config.field].shape, file[config.field].dtype
    except OSError as error:
        raise DataError(f"{path} is not a readable HDF5 file: {error}. Write it again.") from error
    _check_array(path, shape, dtype)
    try:
        metadata = SimulationFields(path, config.field).metadata
    except (OSError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: one of the optional items (attributes name, units, components; datasets "
            f"time, coordinates, cells, design_ids) cannot be read: {error}. Correct or remove it."
        ) from error
    _check_metadata(path, shape, metadata)
    _check_ranges(path, shape, metadata.components, config)
    return SimulationFields(path, config.field, config.time_range, config.node_range)


def _load_array(path: Path, field: str) -> NDArray[Any]:
    try:
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        if path.suffix.lower() == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                names = archive.files
                name = names[0] if len(names) == 1 else field
                if name not in names:
                    raise DataError(
                        f"{path} holds the arrays {', '.join(names)}; expected a single one, or "
                        f"one named '{field}'. Name it with --params=data.field=NAME."
                    )
                return np.asarray(archive[name])
        with path.open("rb") as file:
            value = _ArrayUnpickler(file).load()
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} cannot be read as a NumPy array: {error}. Store the array {LAYOUT} again, "
            f"best as HDF5."
        ) from error
    if not isinstance(value, np.ndarray):
        raise DataError(
            f"{path} holds a {type(value).__name__}; expected a pickled NumPy array {LAYOUT}."
        )
    return value


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays of numbers and nothing else, so that a file cannot run code."""

    ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.numeric", "_frombuffer"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(
                f"it refers to {module}.{name}, and only plain NumPy arrays are unpickled, because "
                f"unpickling anything else can run code"
            )
        return super().find_class(module, name)


def _check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) != 3 or 0 in shape:
        raise DataError(
            f"{path} holds an array of shape {list(shape)}; expected {LAYOUT}, none of them 0. "
            f"A static simulation has one time step: [num_designs, 1, num_nodes]."
        )
    if dtype not in (np.float32, np.float64):
        raise DataError(
            f"{path} holds values of type {dtype}; expected float32 or float64. Convert them."
        )


def _check_metadata(path: Path, shape: tuple[int, int, int], metadata: FieldMetadata) -> None:
    num_designs, num_times, num_values = shape
    components = metadata.components
    if components < 1 or num_values % components:
        raise DataError(
            f"{path} says components={components}, which does not divide its {num_values} values "
            f"per time step. Correct the attribute."
        )
    num_nodes = num_values // components
    for name, rank, expected, per in (
        ("time", 1, num_times, "time step"),
        ("coordinates", 2, num_nodes, "mesh node"),
        ("design_ids", 1, num_designs, "design"),
    ):
        values = getattr(metadata, name)
        if values is not None and (np.ndim(values) != rank or len(values) != expected):
            wanted = f"[{expected}]" if rank == 1 else f"[{expected}, num_dimensions]"
            raise DataError(
                f"{path}: `{name}` has the shape {list(np.shape(values))}; expected {wanted}, one "
                f"per {per}. Correct or remove it."
            )
    ids = metadata.design_ids
    if ids is not None and len(set(ids)) < len(ids):
        repeated = sorted(name for name, count in Counter(ids).items() if count > 1)
        raise DataError(f"{path}: design_ids are not unique: {', '.join(repeated[:5])}.")
    cells = metadata.cells
    if cells is not None and (cells.ndim != 2 or ((cells < 0) | (cells >= num_nodes)).any()):
        raise DataError(
            f"{path}: `cells` must be (num_cells, nodes per cell) with node numbers from 0 to "
            f"{num_nodes - 1}. Correct or remove it."
        )


def _check_ranges(path: Path, shape: tuple[int, ...], components: int, config: DataConfig) -> None:
    for name, selected, size in (
        ("data.time_range", config.time_range, shape[1]),
        ("data.node_range", config.node_range, shape[2]),
    ):
        if selected is not None and selected[1] > size:
            raise DataError(
                f"{name}={list(selected)} does not fit {path}, which has {size} there. Expected a "
                f"half-open range [start, end] with end <= {size}."
            )
    if config.node_range is not None and any(bound % components for bound in config.node_range):
        raise DataError(
            f"data.node_range={list(config.node_range)} cuts through a mesh node of {path}, which "
            f"has {components} values per node. Give multiples of {components}."
        )


def _check_and_fingerprint(
    path: Path,
    shape: tuple[int, ...],
    blocks: Iterator[tuple[NDArray[np.int64], NDArray[Any]]],
) -> str:
    digest = hashlib.sha256(repr(shape).encode())
    for rows, values in blocks:
        finite = np.isfinite(values)
        if not finite.all():
            design, time, node = np.argwhere(~finite)[0]
            raise DataError(
                f"{path} holds {np.count_nonzero(~finite)} values that are not finite (NaN or "
                f"infinite) among designs {rows[0]} to {rows[-1]}, the first at design "
                f"{rows[design]}, time step {time}, node {node} of the selection. They are not "
                f"repaired: remove or recompute these simulations."
            )
        if rows[0] == 0:  # once, so that the size of blocks does not count
            digest.update(values.dtype.str.encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _array_blocks(array: NDArray[Any]) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    size = max(1, BLOCK_BYTES // (8 * array.shape[1] * array.shape[2]))
    for start in range(0, len(array), size):
        rows = np.arange(start, min(start + size, len(array)))
        yield rows, np.asarray(array[start : start + size])


def _slice(selected: Range | None) -> slice:
    return slice(None) if selected is None else slice(*selected)
