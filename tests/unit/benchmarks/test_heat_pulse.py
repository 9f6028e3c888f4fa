"""The pulse's solver against closed forms, and the benchmark's numbers."""

import numpy as np
import pytest

from benchmarks import heat_pulse

# Wide enough for coarse cells, and far from the walls all the time.
DESIGN = np.array([0.40, 0.5, 0.07, 0.25])
END = 0.4
# Of the data set that published figures are for: its designs, and the first simulation's values.
FIRST_AND_LAST_DESIGN = [
    [0.2820657682, 0.48815466, 0.04914868668, 0.3687387483],
    [0.2694874507, 0.3267955532, 0.08453637854, 0.2083140753],
]
PLACES = [0, 20, 49], [31, 31, 31], [18, 25, 36]  # time, row, column
VALUES = [0.98659134, 0.5357331, 0.28008235]


def free_pulse(num_cells: int, time: float) -> np.ndarray:
    """Exact field (S^2,) on a plane without walls: a Gaussian that moves, spreads and fades."""
    x, y = heat_pulse.cell_centres(num_cells).T
    x0, y0, width, speed = DESIGN
    squared = width**2 + 2 * heat_pulse.DIFFUSIVITY * time
    distance = (x - x0 - speed * time) ** 2 + (y - y0) ** 2
    peak = width**2 / squared * np.exp(-heat_pulse.LOSS_RATE * time)
    return peak * np.exp(-0.5 * distance / squared)


def error(num_cells: int) -> float:
    """Relative L2 error at END; time steps shrink with the square of the cells, as they must."""
    num_steps = round(40 * (num_cells / 32) ** 2)
    fields = heat_pulse.simulate(DESIGN[None], num_cells, 3, num_steps)
    true = free_pulse(num_cells, END)
    return float(np.linalg.norm(fields[0, 1] - true) / np.linalg.norm(true))


def test_errors_fall_almost_with_the_square_of_the_cell_size() -> None:
    errors = [error(num_cells) for num_cells in (32, 64, 128)]
    assert errors[-1] < 0.01
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 1.7).all(), (errors, orders)


def test_heat_is_only_lost_at_its_rate_while_the_pulse_is_inside() -> None:
    fields = heat_pulse.simulate(DESIGN[None], num_cells=64, num_times=11)[0].astype(np.float64)
    time = heat_pulse.output_times(11)
    kept = time <= END
    expected = fields[0].sum() * np.exp(-heat_pulse.LOSS_RATE * time[kept])
    assert fields[kept].sum(axis=1) == pytest.approx(expected, rel=1e-5)


def test_centre_moves_with_the_speed() -> None:
    fields = heat_pulse.simulate(DESIGN[None], num_cells=64, num_times=3)[0].astype(np.float64)
    x, y = heat_pulse.cell_centres(64).T
    middle = fields[1] / fields[1].sum()
    assert middle @ x == pytest.approx(DESIGN[0] + DESIGN[3] * END, abs=1e-4)
    assert middle @ y == pytest.approx(DESIGN[1], abs=1e-6)


def test_heat_leaves_through_the_walls_and_is_never_negative() -> None:
    fast = np.array([[0.40, 0.5, 0.06, 0.8]])
    fields = heat_pulse.simulate(fast, num_cells=32, num_times=5)[0]
    assert fields.min() > -1e-12
    assert fields.max() <= 1
    assert fields[-1].sum() < 0.6 * fields[0].sum() * np.exp(-heat_pulse.LOSS_RATE * 0.8)


def test_designs_are_a_latin_hypercube_in_their_ranges() -> None:
    designs = heat_pulse.sample_designs(seed=0)
    unit = (designs - heat_pulse.LOWEST) / (heat_pulse.HIGHEST - heat_pulse.LOWEST)
    strata = np.sort(np.floor(unit * heat_pulse.NUM_DESIGNS), axis=0)
    assert (strata == np.arange(heat_pulse.NUM_DESIGNS)[:, None]).all()


def test_benchmark_numbers_are_those_of_the_published_set() -> None:
    designs = heat_pulse.sample_designs(seed=0)
    np.testing.assert_allclose(designs[[0, -1]], FIRST_AND_LAST_DESIGN, rtol=1e-9)
    field = heat_pulse.simulate(designs[:1])[0].reshape(50, 64, 64)
    np.testing.assert_allclose(field[PLACES], VALUES, rtol=1e-5)
