"""Simulation fields in their canonical HDF5 form: a lazy handle to read, functions to write.

Shapes: N designs, T time steps, M nodes (values per time step), d space dimensions.

Layout of a file: dataset `fields` (N, T, M), float32 or float64, or a link to such a dataset in
another file; optional attributes `name`, `units`, `components` (values per mesh node, interleaved);
optional datasets `time` (T,) [s], `coordinates` (M / components, d) [m], `cells` (connectivity),
`design_ids` (N,). A file that this project writes may also hold `offset` and `scale` (M,): values
are then read as (fields - offset) / scale, so that scaled fields need no copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError
from .whole_files import whole_file

Range = tuple[int, int]
Blocks = Iterable[tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]]

# Memory that one block of designs may take while streaming.
BLOCK_BYTES = 256 * 2**20
# HDF5 chunks hold one design, unless it is larger than this.
CHUNK_BYTES = 2**30


@dataclass(frozen=True)
class FieldMetadata:
    """What is known of a field beside its values; None where the file does not say."""

    name: str = "field"
    units: str = "1"
    components: int = 1
    time: NDArray[np.float64] | None = None  # (T,) output times [s]
    coordinates: NDArray[np.float64] | None = None  # (M / components, d) node positions [m]
    cells: NDArray[np.int64] | None = None  # (num_cells, nodes per cell)
    design_ids: tuple[str, ...] | None = None

    def select(self, time_range: Range | None, node_range: Range | None) -> FieldMetadata:
        """The metadata of a selection; cells are kept whose nodes are all in it."""
        time, coordinates, cells = self.time, self.coordinates, self.cells
        if time_range is not None and time is not None:
            time = time[slice(*time_range)]
        if node_range is not None:
            start, end = (bound // self.components for bound in node_range)
            if coordinates is not None:
                coordinates = coordinates[start:end]
            if cells is not None:
                cells = cells[((cells >= start) & (cells < end)).all(axis=1)] - start
        return replace(self, time=time, coordinates=coordinates, cells=cells)


@dataclass(frozen=True)
class SimulationFields:
    """A lazy, picklable handle on fields (N, T, M) in an HDF5 file.

    Nothing is read before `read` or `blocks`, and then one block of designs at a time.

    Attributes:
        path: the HDF5 file.
        dataset: name of the dataset in it.
        time_range, node_range: half-open selection along T and M; None is all.
    """

    path: Path
    dataset: str = "fields"
    time_range: Range | None = None
    node_range: Range | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, T, M) of the selection."""
        with self._open() as file:
            n, t, m = file[self.dataset].shape
        return n, _length(self.time_range, t), _length(self.node_range, m)

    @property
    def metadata(self) -> FieldMetadata:
        """Name, units, mesh, times and ids of the selection."""
        with self._open() as file:
            return _read_metadata(file, self.dataset).select(self.time_range, self.node_range)

    @property
    def fingerprint(self) -> str:
        """Identifies the values of the selection; empty in a file that was not ingested."""
        with self._open() as file:
            return _text(file.attrs.get("fingerprint", ""))

    def read(self, rows: ArrayLike) -> NDArray[Any]:
        """The fields (len(rows), T, M) of some designs, in the order given."""
        rows = np.asarray(rows, dtype=np.int64)
        times, nodes = _slice(self.time_range), _slice(self.node_range)
        _, num_times, num_nodes = self.shape
        with self._open() as file:
            dataset = file[self.dataset]
            is_scaled = "scale" in file
            offset, scale = (file[name][()] if is_scaled else None for name in ("offset", "scale"))
            dtype = np.float32 if is_scaled else dataset.dtype
            values = np.empty((len(rows), num_times, num_nodes), dtype)
            for place, row in enumerate(rows):  # h5py takes ten times as long for a list of rows
                field = dataset[row, times, nodes]
                values[place] = (field - offset) / scale if is_scaled else field
        return values

    def blocks(
        self, rows: ArrayLike | None = None, max_bytes: int = BLOCK_BYTES
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Pairs of row numbers (n,) and their fields (n, T, M), a bounded block at a time."""
        n, t, m = self.shape
        rows = np.arange(n) if rows is None else np.asarray(rows, dtype=np.int64)
        size = max(1, max_bytes // (8 * t * m))
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            yield block, self.read(block)

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        with h5py.File(self.path, "r") as file:
            link = file.get(self.dataset, getlink=True)
            if isinstance(link, h5py.ExternalLink) and file.get(self.dataset) is None:
                raise DataError(
                    f"{link.filename} is gone: {self.path} only refers to it. Expected the "
                    f"simulations where they were when they were ingested; put the file back or "
                    f"run the data preparation again."
                )
            yield file


def _length(selected: Range | None, full: int) -> int:
    return full if selected is None else selected[1] - selected[0]


def _slice(selected: Range | None) -> slice:
    return slice(None) if selected is None else slice(*selected)


def _text(value: object) -> str:
    value = np.asarray(value).item()  # some programs store a single value as an array of one
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_metadata(file: h5py.File, dataset: str) -> FieldMetadata:
    attributes = file[dataset].attrs
    ids = file["design_ids"][()] if "design_ids" in file else None

    def array(name: str, dtype: type) -> NDArray[Any] | None:
        return np.asarray(file[name], dtype=dtype) if name in file else None

    return FieldMetadata(
        name=_text(attributes.get("name", "field")),
        units=_text(attributes.get("units", "1")),
        components=int(np.asarray(attributes.get("components", 1)).item()),
        time=array("time", np.float64),
        coordinates=array("coordinates", np.float64),
        cells=array("cells", np.int64),
        design_ids=None if ids is None else tuple(_text(i) for i in ids),
    )


def write_fields(
    path: Path, num_designs: int, blocks: Blocks, metadata: FieldMetadata, fingerprint: str = ""
) -> None:
    """Write arrays block by block, chunked by design; the file appears only when it is complete.

    Args:
        path: the file to make; its folder is made too.
        num_designs: N.
        blocks: pairs of consecutive rows (n,) and, by dataset name, arrays (n, T, M) for them;
            one of the names is `fields`.
        metadata: name, units, mesh, times and ids.
        fingerprint: identifies the values.
    """
    with new_hdf5_file(path) as file:
        for rows, arrays in blocks:
            for name, values in arrays.items():
                if name not in file:
                    _create(file, name, num_designs, values)
                file[name][int(rows[0]) : int(rows[-1]) + 1] = values
        _write_metadata(file, metadata, fingerprint)


def link_fields(
    path: Path,
    source: SimulationFields,
    fingerprint: str = "",
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> None:
    """Write a file that refers to fields elsewhere instead of copying them.

    Args:
        path: the file to make.
        source: the fields referred to; its selection is kept as attributes.
        fingerprint: identifies the values.
        scaling: offset (M,) and scale (M,) that readers are to apply.
    """
    with source._open() as file:  # a link to a link is resolved to its end
        end = file[source.dataset]
        target = (Path(end.file.filename).resolve(), end.name)
    with new_hdf5_file(path) as file:
        file["fields"] = h5py.ExternalLink(str(target[0]), target[1])
        for name, selected in (
            ("time_range", source.time_range),
            ("node_range", source.node_range),
        ):
            if selected is not None:
                file.attrs[name] = selected
        if scaling is not None:
            file["offset"], file["scale"] = scaling
        # The mesh is stored whole: it is selected, like the values, when it is read.
        whole = replace(source, time_range=None, node_range=None).metadata
        _write_metadata(file, whole, fingerprint, on_fields=False)


def open_fields(path: Path) -> SimulationFields:
    """A handle on a file that `write_fields` or `link_fields` made."""
    with h5py.File(path, "r") as file:
        times, nodes = _stored_range(file, "time_range"), _stored_range(file, "node_range")
    return SimulationFields(path, time_range=times, node_range=nodes)


def _stored_range(file: h5py.File, name: str) -> Range | None:
    if name not in file.attrs:
        return None
    start, end = file.attrs[name]
    return int(start), int(end)


@contextmanager
def new_hdf5_file(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to write, which appears under its name only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        yield file


def _create(file: h5py.File, name: str, num_designs: int, values: NDArray[Any]) -> None:
    _, t, m = values.shape
    chunk_times = max(1, min(t, CHUNK_BYTES // (m * values.dtype.itemsize)))
    file.create_dataset(name, (num_designs, t, m), values.dtype, chunks=(1, chunk_times, m))


def _write_metadata(
    file: h5py.File, metadata: FieldMetadata, fingerprint: str, on_fields: bool = True
) -> None:
    file.attrs["fingerprint"] = fingerprint
    if on_fields:
        attributes = file["fields"].attrs
        attributes["name"], attributes["units"] = metadata.name, metadata.units
        attributes["components"] = metadata.components
    for name in ("time", "coordinates", "cells"):
        values = getattr(metadata, name)
        if values is not None:
            file[name] = values
    if metadata.design_ids is not None:
        file.create_dataset("design_ids", data=list(metadata.design_ids), dtype=h5py.string_dtype())
