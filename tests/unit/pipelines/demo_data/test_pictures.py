"""A picture determines its design: every parameter is read back from the pixels.

Tolerances are far below the spread of the designs: 0.02 mm in positions (range 12 mm or more),
0.1 degrees (20), 0.02 mm/s (5) and 0.01 mm in the beam's radius (0.4).
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import fsolve

from simulgen_pipeline.pipelines.demo_data import heat, pictures, study
from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig

TOLERANCE = heat.ScanDesign(
    scan_height_mm=0.02,
    scan_angle_deg=0.1,
    scan_speed_mm_s=0.02,
    beam_radius_mm=0.01,
    inclusion_x_mm=0.02,
)
CONFIG = DemoDataConfig(num_designs=12)


def levels(design_row: int, config: DemoDataConfig = CONFIG) -> NDArray[np.float64]:
    """Colour levels (rows, columns, 3) of one design's picture."""
    designs, _ = study.sample_designs(config)
    return np.asarray(pictures.draw_design(designs.iloc[design_row], config), dtype=float)


def recovered(picture: NDArray[np.float64]) -> heat.ScanDesign:
    """Design read from a picture by moments of its colours, knowing nothing of how it was drawn.

    The line is a stadium of half length a and radius r: area 4 a r + pi r^2, and second moment
    along its axis 4 a^3 r / 3 + pi a^2 r^2 + 8 a r^3 / 3 + pi r^4 / 4.
    """
    size = len(picture)
    pixel = 1e3 * heat.PLATE_WIDTH / size  # [mm]
    ticks = pixel * (np.arange(size) + 0.5)
    x, y = np.meshgrid(ticks, ticks[::-1])

    hole = picture[0, 0, 0] - picture[:, :, 0]
    inclusion_x = (hole * x).sum() / hole.sum()

    line = picture[:, :, 1] / 255
    area = line.sum() * pixel**2
    centre_x, centre_y = (line * x).sum() / line.sum(), (line * y).sum() / line.sum()
    covariance = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=line.ravel(), ddof=0)
    spread, axes = np.linalg.eigh(covariance)
    slope = axes[1, 1] / axes[0, 1]

    def mismatch(guess: NDArray[np.float64]) -> list[float]:
        a, r = guess
        moment = 4 * a**3 * r / 3 + np.pi * a**2 * r**2 + 8 * a * r**3 / 3 + np.pi * r**4 / 4
        return [4 * a * r + np.pi * r**2 - area, moment / area - spread[1]]

    half_length, radius = fsolve(mismatch, [12.0, 2.0])
    return heat.ScanDesign(
        scan_height_mm=centre_y + slope * (1e3 * heat.PLATE_WIDTH / 2 - centre_x),
        scan_angle_deg=np.rad2deg(np.arctan(slope)),
        scan_speed_mm_s=2 * half_length / heat.SCAN_TIME,
        beam_radius_mm=radius,
        inclusion_x_mm=inclusion_x,
    )


@pytest.mark.parametrize("design_row", range(12))
def test_design_is_recovered_from_its_picture(design_row: int) -> None:
    designs, _ = study.sample_designs(CONFIG)
    true = study.scan_design(designs.iloc[design_row])
    for name, found in recovered(levels(design_row))._asdict().items():
        expected = pytest.approx(getattr(true, name), abs=getattr(TOLERANCE, name))
        assert found == expected, name


@pytest.mark.parametrize("design_row", range(3))
def test_brightness_of_blue_tells_the_speed(design_row: int) -> None:
    designs, _ = study.sample_designs(CONFIG)
    picture = levels(design_row)
    speed = picture[:, :, 2].max() / 255 * study.DESIGN_RANGES["scan_speed_mm_s"][1]
    assert speed == pytest.approx(designs["scan_speed_mm_s"].iloc[design_row], abs=0.02)


def test_small_change_of_the_radius_shows_on_both_edges_of_the_line() -> None:
    designs, _ = study.sample_designs(CONFIG)
    row = designs.iloc[0].copy()
    before = np.asarray(pictures.draw_design(row, CONFIG), dtype=float)
    row["beam_radius_mm"] += 0.02  # an eighth of a pixel
    after = np.asarray(pictures.draw_design(row, CONFIG), dtype=float)
    grown = (after - before)[:, :, 1]
    assert (grown >= 0).all()
    assert (grown > 20).any(axis=0).sum() > 80  # nearly every column that the line crosses


def test_picture_is_an_rgb_square_with_up_on_top() -> None:
    config = DemoDataConfig(num_designs=12, image_size=64)
    designs, _ = study.sample_designs(config)
    row = designs.iloc[0].copy()
    row["scan_height_mm"], row["scan_angle_deg"] = 26.0, 0.0
    image = pictures.draw_design(row, config)
    assert (image.mode, image.size) == ("RGB", (64, 64))
    green = np.asarray(image, dtype=float)[:, :, 1]
    assert green[:32].sum() > 10 * green[32:].sum()
