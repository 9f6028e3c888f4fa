"""Makes benchmark data sets: `python -m benchmarks.make_data FOLDER [--set NAME ...]`.

Shapes: N designs, P parameters, T times, M values per time, H picture height, W picture width
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from simulgen_pipeline.data.fields import FieldMetadata, write_fields

from . import burgers, heat_pulse, smithers
from .data_sets import DATA_SETS

logger = logging.getLogger(__name__)

SPLIT_SEED = 0


class Content(NamedTuple):
    """What a data set's folder holds.

    Attributes:
        fields: (N, T, M).
        metadata: times, mesh, name.
        designs: a table of N rows, or pictures (N, H, W) of unsigned bytes.
        num_validation, num_test: designs in these parts.
        licence: text to go with the data.
    """

    fields: NDArray[np.float32]
    metadata: FieldMetadata
    designs: pd.DataFrame | NDArray[np.uint8]
    num_validation: int
    num_test: int
    licence: str | None = None


def make(name: str, folder: Path) -> None:
    """Write one data set to `folder/name`, complete or not at all."""
    content = MAKERS[name](folder)
    with TemporaryDirectory(dir=folder, prefix=f".{name}.") as temporary:
        made = Path(temporary) / name
        made.mkdir()
        write(made, content)
        os.replace(made, folder / name)


def write(folder: Path, content: Content) -> None:
    """Write simulations, designs, split and licence to an empty folder."""
    num_designs = len(content.fields)
    blocks = [(np.arange(num_designs), {"fields": content.fields})]
    write_fields(folder / "simulations.h5", num_designs, blocks, content.metadata)
    if isinstance(content.designs, pd.DataFrame):
        content.designs.to_csv(folder / "designs.csv", index=False, float_format="%.10g")
    else:
        (folder / "images").mkdir()
        for number, picture in enumerate(content.designs):
            Image.fromarray(picture).save(folder / "images" / f"design_{number:04d}.png")
    split = random_split(num_designs, content.num_validation, content.num_test)
    (folder / "split.json").write_text(json.dumps(split), encoding="utf-8")
    if content.licence is not None:
        (folder / "LICENSE.rst").write_text(content.licence, encoding="utf-8")


def random_split(num_designs: int, num_validation: int, num_test: int) -> dict[str, list[int]]:
    """Row numbers of the parts: of a random order the first, the last, and what is between."""
    order = np.random.default_rng(SPLIT_SEED).permutation(num_designs)
    validation, train, test = np.split(order, [num_validation, num_designs - num_test])
    parts = {"train": train, "validation": validation, "test": test}
    return {part: sorted(rows.tolist()) for part, rows in parts.items()}


def _heat_pulse(_: Path) -> Content:
    designs = heat_pulse.sample_designs(seed=0)
    return _pulse_content(designs, pd.DataFrame(designs, columns=list(heat_pulse.PARAMETERS)))


def _heat_pulse_images(_: Path) -> Content:
    designs = heat_pulse.sample_designs(seed=1)
    designs[:, heat_pulse.PARAMETERS.index("speed")] = heat_pulse.COMMON_SPEED
    pulses = [heat_pulse.initial_pulse(design, heat_pulse.NUM_CELLS) for design in designs]
    levels = np.round(255 * np.stack(pulses).astype(np.float32))
    return _pulse_content(designs, np.asarray(levels, dtype=np.uint8))


def _pulse_content(
    parameters: NDArray[np.float64], designs: pd.DataFrame | NDArray[np.uint8]
) -> Content:
    metadata = FieldMetadata(
        name="temperature",
        time=heat_pulse.output_times(),
        coordinates=heat_pulse.cell_centres(),
    )
    return Content(heat_pulse.simulate(parameters), metadata, designs, 20, 40)


def _burgers(_: Path) -> Content:
    designs = burgers.all_designs()
    metadata = FieldMetadata(
        name="velocity", time=burgers.output_times(), coordinates=burgers.nodes()[:, None]
    )
    table = pd.DataFrame(designs, columns=list(burgers.PARAMETERS))
    return Content(burgers.simulate(designs), metadata, table, 9, 353)


def _unsteady_heat(folder: Path) -> Content:
    study = smithers.read_unsteady_heat(smithers.wheel(folder))
    # The package does not say the time step: times are scaled to [0, 1].
    time = np.linspace(0.0, 1.0, study.fields.shape[1])
    metadata = FieldMetadata(
        "temperature", time=time, coordinates=study.coordinates, cells=study.cells
    )
    return _published_content(study, metadata)


def _elastic_block(folder: Path) -> Content:
    study = smithers.read_elastic_block(smithers.wheel(folder))
    metadata = FieldMetadata(
        "displacement", components=2, coordinates=study.coordinates, cells=study.cells
    )
    return _published_content(study, metadata)


def _published_content(study: smithers.Published, metadata: FieldMetadata) -> Content:
    num_designs, num_parameters = study.parameters.shape
    names = [f"mu_{i}" for i in range(num_parameters)]
    table = pd.DataFrame(study.parameters, columns=names)
    num_validation, num_test = num_designs // 10, num_designs // 5
    return Content(study.fields, metadata, table, num_validation, num_test, study.licence)


# By name; each is given the folder of all data sets, for what it has to fetch.
MAKERS: dict[str, Callable[[Path], Content]] = {
    "unsteady_heat": _unsteady_heat,
    "elastic_block": _elastic_block,
    "heat_pulse": _heat_pulse,
    "heat_pulse_images": _heat_pulse_images,
    "burgers": _burgers,
}


def main(arguments: list[str]) -> None:
    """Make the data sets that are asked for and not there yet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_data", description=__doc__)
    parser.add_argument("folder", type=Path, help="gets a folder per data set")
    parser.add_argument(
        "--set", nargs="+", choices=DATA_SETS, default=list(DATA_SETS), dest="names", metavar="NAME"
    )
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        place = options.folder / name
        if place.exists():
            logger.info("%s is there already", place)
        elif name not in MAKERS:
            logger.info("%s cannot be made here. %s", name, DATA_SETS[name].how)
        else:
            make(name, options.folder)
            logger.info("%s is made", place)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(sys.argv[1:])
