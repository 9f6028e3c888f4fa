"""A picture of a design that determines it: each colour shows one thing.

    red     conductivity of the plate; the inclusion is darker
    green   what the beam passes over: a line as wide as the beam, as long as the scan
    blue    the same line, brighter the faster the beam

The line's edges are anti-aliased, so that a radius that differs by a fraction of a pixel shows.
Up in the picture is up on the plate.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig
from simulgen_pipeline.pipelines.demo_data.heat import (
    PLATE_CONDUCTIVITY,
    PLATE_WIDTH,
    SCAN_TIME,
    ScanDesign,
    conductivity,
    scan_path,
)
from simulgen_pipeline.pipelines.demo_data.study import (
    DESIGN_RANGES,
    scan_design,
)

PLATE_RED = 160  # red level of the plate's own conductivity


def draw_design(row: "pd.Series[Any]", config: DemoDataConfig) -> Image.Image:
    """Picture of one row of the designs table: `image_size` pixels square, RGB."""
    design = scan_design(row)
    pixel = PLATE_WIDTH / config.image_size
    centres = pixel * (np.arange(config.image_size) + 0.5)
    points = np.stack(np.meshgrid(centres, centres[::-1]))  # (2, rows, columns), row 0 on top
    red = PLATE_RED / PLATE_CONDUCTIVITY * conductivity(design, points)
    line = 255 * line_coverage(design, points, pixel)
    speed = design.scan_speed_mm_s / DESIGN_RANGES["scan_speed_mm_s"][1]
    levels = np.stack([red, line, speed * line], axis=-1)
    return Image.fromarray(np.round(levels).clip(0, 255).astype(np.uint8))


def line_coverage(
    design: ScanDesign, points: NDArray[np.float64], pixel: float
) -> NDArray[np.float64]:
    """Fraction of each pixel that lies within one beam radius of the beam's path.

    Args:
        points: pixel centres (2, ...) [m].
        pixel: side of a pixel [m].

    Returns:
        Coverage (...) from 0 to 1; exact but for the path's curved ends and its slant.
    """
    start, direction = scan_path(design)
    offset = points - start.reshape(2, *[1] * (points.ndim - 1))
    along = np.tensordot(direction, offset, axes=1)
    length = 1e-3 * design.scan_speed_mm_s * SCAN_TIME
    nearest = np.clip(along, 0.0, length)
    across = direction[0] * offset[1] - direction[1] * offset[0]
    distance = np.hypot(along - nearest, across)
    coverage = 0.5 + (1e-3 * design.beam_radius_mm - distance) / pixel
    return np.asarray(coverage.clip(0.0, 1.0))
