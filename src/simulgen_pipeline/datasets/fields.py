"""Datasets for simulation fields, latents and predictions in HDF5, and for users' raw files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import h5py
from kedro.io import AbstractDataset, DatasetError

from simulgen_pipeline.data.fields import SimulationFields, new_hdf5_file, open_fields
from simulgen_pipeline.models.trained import LatentArrays, StoredLatents

from .versioned import VersionedPathDataset


class Writable(Protocol):
    """What knows how to write itself as a file of fields."""

    def save(self, path: Path) -> None: ...


class FieldsDataset(VersionedPathDataset[Writable, SimulationFields]):
    """Fields in canonical HDF5: anything that writes itself is saved, a lazy handle is loaded."""

    def load(self) -> SimulationFields:
        return open_fields(Path(self._get_load_path()))

    def save(self, data: Writable) -> None:
        data.save(Path(self._get_save_path()))


class LatentsDataset(VersionedPathDataset[StoredLatents, StoredLatents]):
    """Latents of all designs in HDF5: `main`, `hierarchical` and `design_ids`."""

    def load(self) -> StoredLatents:
        with h5py.File(Path(self._get_load_path()), "r") as file:
            ids = tuple(file["design_ids"].asstr()[()])
            return StoredLatents(LatentArrays(file["main"][()], file["hierarchical"][()]), ids)

    def save(self, data: StoredLatents) -> None:
        with new_hdf5_file(Path(self._get_save_path())) as file:
            file["main"], file["hierarchical"] = data.values
            file.create_dataset("design_ids", data=list(data.design_ids), dtype=h5py.string_dtype())


class PathDataset(AbstractDataset[Any, Path]):
    """A place on disk that a node reads or works in by itself, such as a user's raw file."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        return self._filepath

    def save(self, data: Any) -> None:
        raise DatasetError(f"{self._filepath} belongs to the user and is only read")

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
