"""What tests share: shape checks of annotated tensors, seeds, and a small travelling pulse.

Shapes: N designs, T time steps, M nodes (values per time step), d space dimensions.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import install_import_hook

# Test files run beside each other, and train on small data: training processes take one core each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Before the modules are imported; they carry no checks outside tests.
install_import_hook(
    [
        "simulgen_pipeline.models.conditioner",
        "simulgen_pipeline.models.design_sampler",
        "simulgen_pipeline.models.distributions",
        "simulgen_pipeline.models.latent_prior",
        "simulgen_pipeline.models.latents",
        "simulgen_pipeline.models.layers",
        "simulgen_pipeline.models.picture_networks",
        "simulgen_pipeline.models.vae",
        "simulgen_pipeline.training.field_augmentation",
        "simulgen_pipeline.training.losses",
        "simulgen_pipeline.training.objectives",
        "simulgen_pipeline.training.picture_augmentation",
    ],
    "beartype.beartype",
)

NUM_DESIGNS, NUM_TIMES, NUM_NODES, COMPONENTS = 24, 12, 30, 2


@pytest.fixture
def full_device() -> Path:
    """A file to which nothing can be written, as if its disk were full."""
    path = Path("/dev/full")
    if not path.exists():
        pytest.skip("this system has no /dev/full, which stands for a full disk")
    return path


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same global random numbers in every test, whichever tests run before it."""
    torch.manual_seed(0)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also in tests that a shell runs in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def pulse() -> SimpleNamespace:
    """A pulse that travels along a bar, for designs of its speed and (over a decade) its width.

    Attributes:
        fields: (N, T, M) float32; two values per mesh node, the pulse and its slope, interleaved.
        designs: (N, 2) with the index `id`.
        ids, time (T,) [s], coordinates (M / 2, d) [m], cells (M / 2 - 1, 2).
    """
    rng = np.random.default_rng(0)
    strata = (np.stack([rng.permutation(NUM_DESIGNS) for _ in range(2)]) + 0.5) / NUM_DESIGNS
    ids = [f"run_{i:02d}" for i in range(NUM_DESIGNS)]
    designs = pd.DataFrame(
        {"speed": 0.4 + 0.8 * strata[0], "width": 0.08 * 12 ** strata[1]},
        index=pd.Index(ids, name="id"),
    )
    time = np.linspace(0.0, 1.0, NUM_TIMES)
    x = np.linspace(0.0, 1.0, NUM_NODES // COMPONENTS)
    speed, width = (designs[name].to_numpy()[:, None, None] for name in designs)
    distance = (x - 0.1 - speed * time[:, None]) / width  # (N, T, M / 2)
    height = np.exp(-0.5 * distance**2)
    fields = np.stack([height, -distance * height], axis=-1).reshape(NUM_DESIGNS, NUM_TIMES, -1)
    return SimpleNamespace(
        fields=fields.astype(np.float32),
        designs=designs,
        ids=ids,
        time=time,
        coordinates=np.stack([x, np.zeros_like(x)], axis=1),
        cells=np.stack([np.arange(len(x) - 1), np.arange(1, len(x))], axis=1),
    )


@pytest.fixture
def write_pulse(tmp_path: Path, pulse: SimpleNamespace) -> Callable[..., Path]:
    """Writes the pulse as a user would, with all optional items; each can be replaced or left out.

    Keywords: `name` of the file, `field` (name of the dataset), `fields`, `components`, `time`,
    `coordinates`, `cells`, `design_ids`; None leaves an optional item out.
    """

    def write(name: str = "simulations.h5", field: str = "fields", **items: Any) -> Path:
        content = {
            "fields": pulse.fields,
            "components": COMPONENTS,
            "time": pulse.time,
            "coordinates": pulse.coordinates,
            "cells": pulse.cells,
            "design_ids": pulse.ids,
        }
        assert items.keys() <= content.keys()
        content |= items
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file[field] = content["fields"]
            attributes = file[field].attrs
            attributes["name"], attributes["units"] = "displacement", "mm"
            if content["components"] is not None:
                attributes["components"] = content["components"]
            for item in ("time", "coordinates", "cells", "design_ids"):
                if content[item] is not None:
                    file[item] = content[item]
        return path

    return write


@pytest.fixture
def write_designs(tmp_path: Path) -> Callable[..., Path]:
    """Writes text as a CSV file, in an encoding."""

    def write(text: str, encoding: str = "utf-8", name: str = "designs.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return path

    return write
