"""A picture determines its design: every parameter is read back from the pixels.

Tolerances are far below the spread of the designs: 0.05 mm in positions (range 2.5 mm or more),
0.02 mm/s (3.5), 0.005 Hz (0.7) and 0.01 mm in the beam's radius (0.3).
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brute, least_squares

from simulgen_pipeline.pipelines.demo_data import heat, pictures, study
from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig

TOLERANCE = heat.ScanDesign(
    scan_start_mm=0.05,
    scan_height_mm=0.05,
    scan_speed_mm_s=0.02,
    weave_amplitude_mm=0.05,
    weave_frequency_hz=0.005,
    beam_radius_mm=0.01,
)
CONFIG = DemoDataConfig(num_designs=12)


def levels(design_row: int, config: DemoDataConfig = CONFIG) -> NDArray[np.float64]:
    """Colour levels (rows, columns, 3) of one design's picture."""
    designs, _ = study.sample_designs(config)
    return np.asarray(pictures.draw_design(designs.iloc[design_row], config), dtype=float)


def recovered(picture: NDArray[np.float64]) -> heat.ScanDesign:
    """Design read from a picture: speed and ends of the thin line, its wave, the wide line's edge.

    The pixels of the thin line, weighted by their brightness, lie on a wave whose frequency is
    sought over more than the whole range and whose start, height and amplitude then follow.
    """
    size = len(picture)
    pixel = 1e3 * heat.PLATE_WIDTH / size  # [mm]
    ticks = pixel * (np.arange(size) + 0.5)
    x, y = np.meshgrid(ticks, ticks[::-1])
    thin = picture[:, :, 2] / picture[:, :, 2].max()
    speed = picture[:, :, 2].max() / 255 * study.DESIGN_RANGES["scan_speed_mm_s"][1]
    on = thin > 0.3
    x_on, y_on, weight = x[on], y[on], thin[on]
    start, middle = x_on.min() + 0.25, (y_on.max() + y_on.min()) / 2
    swing = (y_on.max() - y_on.min()) / 2 - 0.25

    def misfit(guess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of the pixels to the wave, to first order in its slope."""
        frequency, start, middle, swing = guess
        phase = 2 * np.pi * frequency * (x_on - start) / speed
        slope = 2 * np.pi * frequency / speed * swing * np.cos(phase)
        return np.asarray(weight * (y_on - middle - swing * np.sin(phase)) / np.hypot(1, slope))

    (frequency,) = np.atleast_1d(
        brute(
            lambda f: np.square(misfit(np.array([f[0], start, middle, swing]))).sum(),
            [slice(0.3, 1.7, 0.005)],
            finish=None,
        )
    )
    frequency, start, middle, swing = least_squares(
        misfit, [frequency, start, middle, swing], loss="soft_l1", f_scale=0.1
    ).x
    # Both lines end above the same crest, each as far from it as half its width.
    above = y > np.floor((middle + swing) / pixel) * pixel
    green, blue = (
        pixel * (level * above).sum(axis=0).max() for level in (picture[:, :, 1] / 255, thin)
    )
    radius = green - blue + 0.25
    return heat.ScanDesign(start, middle, speed, swing, frequency, radius)


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
    row["scan_height_mm"] = 30.0
    image = pictures.draw_design(row, config)
    assert (image.mode, image.size) == ("RGB", (64, 64))
    green = np.asarray(image, dtype=float)[:, :, 1]
    assert green[:32].sum() > 10 * green[32:].sum()
