"""Fields of any number of nodes for measuring speed: pulses of heat that travel in a plane.

The exact solution of the equation of `heat_pulse.py` in an infinite plane, at points drawn at
random in the unit square: an unstructured mesh costs training as much as any other.

Shapes: N designs, T output times, M nodes
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import FieldMetadata, write_fields

from .heat_pulse import DIFFUSIVITY, LOSS_RATE, PARAMETERS, Array, output_times, sample_designs

NUM_DESIGNS = 64
# Narrower than those of `heat_pulse.py`: the POD has a few hundred modes.
NARROWING = 0.6


def write_pulses(folder: Path, num_nodes: int, num_designs: int = NUM_DESIGNS) -> None:
    """Write `simulations.h5` and `designs.csv` to a folder, a design at a time."""
    designs = sample_designs(seed=0)[:num_designs]
    nodes = np.random.default_rng(0).random((num_nodes, 2))
    time = output_times()
    blocks = (
        (np.array([row]), {"fields": field(design, nodes, time)[None]})
        for row, design in enumerate(designs)
    )
    metadata = FieldMetadata(name="temperature", time=time, coordinates=nodes)
    write_fields(folder / "simulations.h5", num_designs, blocks, metadata)
    pd.DataFrame(designs, columns=list(PARAMETERS)).to_csv(folder / "designs.csv", index=False)


def field(design: Array, nodes: Array, time: Array) -> NDArray[np.float32]:
    """Field (T, M) of a design (4,) at nodes (M, 2) and times (T,)."""
    x0, y0, width, speed = design
    width = NARROWING * width
    spread = width**2 + 2 * DIFFUSIVITY * time  # (T,)
    along = nodes[:, 0] - (x0 + speed * time)[:, None]  # (T, M)
    distance = along**2 + (nodes[:, 1] - y0) ** 2
    height = width**2 / spread * np.exp(-LOSS_RATE * time)
    values = height[:, None] * np.exp(-0.5 * distance / spread[:, None])
    return np.asarray(values, np.float32)
