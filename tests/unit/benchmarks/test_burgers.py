"""The Burgers solver against characteristics, its exact balance, and the benchmark's numbers."""

import numpy as np
import pytest

from benchmarks import burgers

DESIGN = np.array([[0.8, 1.0]])
# Of the data set that published figures are for: the first simulation at its second output.
PLACES, VALUES = [0, 400, 500, 700], [0.00270628114, 0.559350491, 0.69998455, 0.288395166]


def characteristics(x: np.ndarray, time: float) -> np.ndarray:
    """Exact solution before the shock: u = u0(x - u t), by Newton's method from the left."""
    amplitude, width = DESIGN[0]
    u = amplitude * np.exp(-0.5 * (x / width) ** 2)
    for _ in range(50):
        foot = x - u * time
        initial = amplitude * np.exp(-0.5 * (foot / width) ** 2)
        slope = -foot / width**2 * initial
        u = u - (u - initial) / (1 + slope * time)
    return u


def error(num_intervals: int) -> float:
    fields = burgers.simulate(DESIGN, num_intervals + 1, num_intervals, num_intervals)
    x = burgers.nodes(num_intervals + 1)
    inner = np.abs(x) < 2  # the exact solution has no second pulse coming round the ring
    true = characteristics(x, burgers.END_TIME)[inner]
    return float(np.linalg.norm(fields[0, 1, inner] - true) / np.linalg.norm(true))


def test_errors_fall_with_the_step() -> None:
    errors = np.array([error(num_intervals) for num_intervals in (60, 120, 240)])
    assert errors[-1] < 0.02
    orders = np.log2(errors[:-1] / errors[1:])
    assert (orders > 0.7).all(), (errors, orders)


def test_a_step_solves_its_equations_on_the_whole_ring() -> None:
    rng = np.random.default_rng(0)
    u = 0.1 + rng.random((50, 3))
    new = burgers.advance(u, ratio=0.2)
    left = np.roll(new, 1, axis=0)
    assert new - u + 0.2 * new * (new - left) == pytest.approx(np.zeros_like(u), abs=1e-14)


def test_sum_falls_by_what_upwinding_dissipates_and_by_nothing_else() -> None:
    u = np.random.default_rng(1).random((40, 2))
    new = burgers.advance(u, ratio=0.3)
    jumps = new - np.roll(new, 1, axis=0)
    expected = u.sum(axis=0) - 0.15 * np.square(jumps).sum(axis=0)
    assert new.sum(axis=0) == pytest.approx(expected, rel=1e-13)


def test_values_stay_between_those_of_the_start_and_the_ring_is_closed() -> None:
    fields = burgers.simulate(DESIGN, num_nodes=101, num_steps=100, steps_per_output=10)
    assert fields.shape == (1, 11, 101)
    assert fields.max() <= fields[0, 0].max()
    assert fields.min() >= fields[0, 0].min()
    assert (fields[..., 0] == fields[..., -1]).all()


def test_a_ring_that_does_not_close_is_refused() -> None:
    with pytest.raises(ArithmeticError, match="did not close"):
        burgers.advance(np.full((4, 1), 1.0) + np.arange(4)[:, None], ratio=1e3)


def test_benchmark_numbers_are_those_of_the_published_set() -> None:
    designs = burgers.all_designs()
    assert designs.shape == (441, 2)
    np.testing.assert_allclose(designs[[0, 1, -1]], [[0.7, 0.9], [0.7, 0.91], [0.9, 1.1]])
    ratio = (burgers.END_TIME / burgers.NUM_STEPS) / (6 / (burgers.NUM_NODES - 1))
    u = 0.7 * np.exp(-0.5 * (burgers.nodes()[:-1, None] / 0.9) ** 2)
    for _ in range(burgers.STEPS_PER_OUTPUT):
        u = burgers.advance(u, ratio)
    np.testing.assert_allclose(u[PLACES, 0], VALUES, rtol=1e-6)
