"""The demo's design study: which designs are simulated, and their simulation on all CPUs.

Shapes: N designs, T output times, M nodes
"""

import logging
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray
from scipy.stats import qmc

from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig
from simulgen_pipeline.pipelines.demo_data.heat import (
    SCAN_TIME,
    PlateModel,
    ScanDesign,
    plate_mesh,
    plate_model,
    simulate_design,
)

logger = logging.getLogger(__name__)

# Lowest and highest value of each design parameter. The beam stays clear of the plate's edges and
# narrow (its radius is at most 5% of the plate's width), and is soon elsewhere in one design than
# in another: what it leaves behind moves, and no fixed set of few modes can follow.
DESIGN_RANGES: dict[str, tuple[float, float]] = {
    "scan_start_mm": (6.0, 10.0),
    "scan_height_mm": (18.5, 21.5),
    "scan_speed_mm_s": (4.5, 8.0),
    "weave_amplitude_mm": (2.0, 4.5),
    "weave_frequency_hz": (0.5, 1.2),
    "beam_radius_mm": (1.6, 1.9),
}
DESIGN_DECIMALS = 4  # so that a design read back from CSV is the one that was simulated


def sample_designs(config: DemoDataConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two Latin hypercubes in the same box: the designs, and those held back for prediction.

    Returns:
        Two tables with a column `id` and one column per design parameter, units in the names.
    """
    return (
        _latin_hypercube("design", config.num_designs, np.random.default_rng([config.seed, 0])),
        _latin_hypercube("new", config.num_held_back, np.random.default_rng([config.seed, 1])),
    )


def _latin_hypercube(prefix: str, num_designs: int, rng: np.random.Generator) -> pd.DataFrame:
    low, high = np.array(list(DESIGN_RANGES.values())).T
    unit = qmc.LatinHypercube(len(low), rng=rng).random(num_designs)
    values = np.round(low + unit * (high - low), DESIGN_DECIMALS)
    designs = pd.DataFrame(values, columns=list(DESIGN_RANGES))
    designs.insert(0, "id", [f"{prefix}_{i:04d}" for i in range(num_designs)])
    return designs


def scan_design(row: "pd.Series[Any]") -> ScanDesign:
    """Design of one row of a table that `sample_designs` made."""
    return ScanDesign(**{name: float(row[name]) for name in DESIGN_RANGES})


def output_times(config: DemoDataConfig) -> NDArray[np.float64]:
    """Output times (T,) [s]."""
    return np.linspace(0.0, SCAN_TIME, config.num_times)


def simulate(
    designs: pd.DataFrame, config: DemoDataConfig, num_workers: int | None = None
) -> NDArray[np.float32]:
    """Simulate every design; the result does not depend on the number of processes.

    Args:
        designs: table of N designs, as `sample_designs` returns.
        config: mesh and times.
        num_workers: processes; by default the CPUs that this process may use.

    Returns:
        Temperature rise (N, T, M) [K] at `output_times` and the nodes of `plate_mesh`.
    """
    num_designs, num_workers = len(designs), num_workers or cpu_count()
    fields = np.empty((num_designs, config.num_times, config.num_nodes), dtype=np.float32)
    logger.info("Simulating %d designs on %d processes", num_designs, num_workers)
    jobs = (delayed(_simulate_one)(scan_design(row), config) for _, row in designs.iterrows())
    results = Parallel(n_jobs=num_workers, return_as="generator")(jobs)
    for index, field in enumerate(results):
        fields[index] = field
        if 10 * (index + 1) // num_designs > 10 * index // num_designs:
            logger.info("Simulated %d of %d designs", index + 1, num_designs)
    return fields


def _simulate_one(design: ScanDesign, config: DemoDataConfig) -> NDArray[np.float32]:
    model = _model(config.num_nodes, config.seed)
    return simulate_design(design, model, config.num_times, config.num_substeps).astype(np.float32)


@lru_cache(maxsize=1)
def _model(num_nodes: int, seed: int) -> PlateModel:
    """Made once per process: cheaper than sending it along with each design."""
    return plate_model(plate_mesh(num_nodes, seed))
