"""A picture of a design that determines it: each colour shows one thing.

    red     conductivity of the plate; the inclusion is darker
    green   what the beam passes over: a line as wide as the beam
    blue    where the beam's centre goes: a thin line, brighter the faster the scan

The lines' edges are anti-aliased, so that a radius that differs by a fraction of a pixel shows.
Up in the picture is up on the plate.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree

from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig
from simulgen_pipeline.pipelines.demo_data.heat import (
    PLATE_CONDUCTIVITY,
    PLATE_WIDTH,
    SCAN_TIME,
    ScanDesign,
    beam_path,
    conductivity,
)
from simulgen_pipeline.pipelines.demo_data.study import (
    DESIGN_RANGES,
    scan_design,
)

PLATE_RED = 160  # red level of the plate's own conductivity
CENTRE_LINE_RADIUS = 0.25e-3  # half the width of the blue line [m]
NUM_PATH_POINTS = 2000  # of a path: 0.06 mm or less apart, which moves an edge by 0.001 mm


def draw_design(row: "pd.Series[Any]", config: DemoDataConfig) -> Image.Image:
    """Picture of one row of the designs table: `image_size` pixels square, RGB."""
    design = scan_design(row)
    pixel = PLATE_WIDTH / config.image_size
    centres = pixel * (np.arange(config.image_size) + 0.5)
    points = np.stack(np.meshgrid(centres, centres[::-1]))  # (2, rows, columns), row 0 on top
    distance = distance_to_path(design, points)
    red = PLATE_RED / PLATE_CONDUCTIVITY * conductivity(points)
    line, centre_line = (
        _coverage(radius - distance, pixel)
        for radius in (1e-3 * design.beam_radius_mm, CENTRE_LINE_RADIUS)
    )
    speed = design.scan_speed_mm_s / DESIGN_RANGES["scan_speed_mm_s"][1]
    levels = np.stack([red, 255 * line, 255 * speed * centre_line], axis=-1)
    return Image.fromarray(np.round(levels).clip(0, 255).astype(np.uint8))


def distance_to_path(design: ScanDesign, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance (...) [m] of points (2, ...) [m] to the beam's path; far from it, infinity."""
    path = beam_path(design, np.linspace(0.0, SCAN_TIME, NUM_PATH_POINTS))
    far = 2e-3 * design.beam_radius_mm
    distance, _ = KDTree(path.T).query(np.moveaxis(points, 0, -1), distance_upper_bound=far)
    return np.asarray(distance)


def _coverage(inside: NDArray[np.float64], pixel: float) -> NDArray[np.float64]:
    """Fraction of pixels covered by a shape whose straight edge is `inside` away, if positive."""
    return np.asarray((0.5 + inside / pixel).clip(0.0, 1.0))
