"""The demo's solver against closed forms, with its orders of convergence."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.integrate import quad_vec

from simulgen_pipeline.pipelines.demo_data import heat

Array = NDArray[np.float64]

DESIGN = heat.ScanDesign(
    scan_start_mm=8.0,
    scan_height_mm=21.0,
    scan_speed_mm_s=7.0,
    weave_amplitude_mm=3.0,
    weave_frequency_hz=1.0,
    beam_radius_mm=1.8,
)
LOSS_RATE = heat.HEAT_LOSS / (heat.HEAT_CAPACITY * heat.PLATE_THICKNESS)  # [1/s]


@pytest.fixture(scope="module")
def model() -> heat.PlateModel:
    return heat.plate_model(heat.plate_mesh(1500, seed=0))


def relative_l2(model: heat.PlateModel, field: Array, true: Array) -> float:
    """In the norm of L2 on the plate; fields are (M,)."""
    area = model.mass.diagonal()
    return float(np.sqrt((area * (field - true) ** 2).sum() / (area * true**2).sum()))


def plate_capacity(model: heat.PlateModel) -> sp.csr_array:
    return heat.PLATE_THICKNESS * heat.HEAT_CAPACITY * model.mass


def manufactured_error(num_nodes: int, num_steps: int) -> float:
    """Error at the end for T = sin(t) cos(a x) cos(2 a y), a = pi / width, k = 20 + 10 sin(a x).

    No heat flows through the edges; the source is what the heat equation gives for this T.
    """
    model = heat.plate_model(heat.plate_mesh(num_nodes, seed=0))
    a, end = np.pi / heat.PLATE_WIDTH, 2.0
    (x, y), time = model.points, end * (np.arange(num_steps) + 0.5) / num_steps
    k, k_slope = 20 + 10 * np.sin(a * x), 10 * a * np.cos(a * x)
    shape, slope = np.cos(a * x) * np.cos(2 * a * y), -a * np.sin(a * x) * np.cos(2 * a * y)
    conduction = 5 * a**2 * k * shape - k_slope * slope  # -div(k grad shape)
    steady = heat.PLATE_THICKNESS * conduction + heat.HEAT_LOSS * shape
    transient = heat.PLATE_THICKNESS * heat.HEAT_CAPACITY * shape
    loads = np.outer(model.weights @ steady, np.sin(time))
    loads += np.outer(model.weights @ transient, np.cos(time))
    stiffness = heat.stiffness_matrix(model, k)
    field = heat.crank_nicolson(plate_capacity(model), stiffness, loads, end / num_steps, num_steps)
    x, y = model.mesh.p
    return relative_l2(model, field[-1], np.sin(end) * np.cos(a * x) * np.cos(2 * a * y))


def analytic_rise(points: Array, time: float) -> Array:
    """Rise (M,) [K] at points (2, M) under the beam, in a plate without inclusion.

    The source is Gaussian with variance (radius / 2)^2 along each axis; what it leaves behind stays
    Gaussian with a variance that grows by 2 k / (rho c) per second. Insulated edges mirror it.
    """
    diffusivity = heat.PLATE_CONDUCTIVITY / heat.HEAT_CAPACITY

    def rate(at: float) -> Array:
        beam = heat.beam_path(DESIGN, np.array([at]))[:, 0]
        variance = (0.5e-3 * DESIGN.beam_radius_mm) ** 2 + 2 * diffusivity * (time - at)
        rise = np.full(points.shape[1], heat.ABSORBED_POWER * np.exp(-LOSS_RATE * (time - at)))
        for coordinate, centre in zip(points, beam, strict=True):
            images = np.array([centre, -centre, 2 * heat.PLATE_WIDTH - centre])
            squares = (coordinate[:, None] - images) ** 2
            rise *= np.exp(-squares / (2 * variance)).sum(1) / np.sqrt(2 * np.pi * variance)
        return np.asarray(rise / (heat.HEAT_CAPACITY * heat.PLATE_THICKNESS))

    return np.asarray(quad_vec(rate, 0.0, time, epsrel=1e-8, norm="max")[0])


def test_error_falls_with_the_square_of_the_element_size() -> None:
    coarse, fine = manufactured_error(200, 160), manufactured_error(3200, 160)
    order = np.log(coarse / fine) / np.log(4)  # sixteen times the nodes: a quarter of the size
    assert order == pytest.approx(2.0, abs=0.2)
    assert fine < 2e-3


def test_error_falls_with_the_square_of_the_time_step(model: heat.PlateModel) -> None:
    exact, coarse, fine = (heat.simulate_design(DESIGN, model, 11, n)[-1] for n in (128, 8, 16))
    order = np.log2(relative_l2(model, coarse, exact) / relative_l2(model, fine, exact))
    assert order == pytest.approx(2.0, abs=0.15)


def test_moving_beam_approaches_the_analytic_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat, "INCLUSION_CONDUCTIVITY", heat.PLATE_CONDUCTIVITY)
    errors = []
    for num_nodes in (1000, 4000):
        model = heat.plate_model(heat.plate_mesh(num_nodes, seed=0))
        field = heat.simulate_design(DESIGN, model, num_times=5, num_substeps=60)[-1]
        errors.append(relative_l2(model, field, analytic_rise(model.mesh.p, heat.SCAN_TIME)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.3)
    assert errors[1] < 0.01


def test_stored_heat_is_absorbed_heat_less_losses(model: heat.PlateModel) -> None:
    stored = heat.simulate_design(DESIGN, model, 50, 4) @ plate_capacity(model).diagonal()  # [J]
    time = np.linspace(0, heat.SCAN_TIME, 50)
    expected = heat.ABSORBED_POWER * -np.expm1(-LOSS_RATE * time) / LOSS_RATE
    scheme_error = (
        LOSS_RATE * time[1] / 4
    ) ** 2 / 12  # Crank-Nicolson's, of a decaying exponential
    np.testing.assert_allclose(stored, expected, rtol=1.1 * scheme_error)


def test_every_time_step_balances_to_round_off(model: heat.PlateModel) -> None:
    stored = heat.simulate_design(DESIGN, model, 50, 1) @ plate_capacity(model).diagonal()
    lost = LOSS_RATE * 0.5 * (stored[1:] + stored[:-1])
    gained = np.diff(stored) * 49 / heat.SCAN_TIME
    np.testing.assert_allclose(gained + lost, heat.ABSORBED_POWER, rtol=1e-9)


def test_loads_carry_the_absorbed_power_at_the_beam(model: heat.PlateModel) -> None:
    time = np.linspace(0.0, heat.SCAN_TIME, 2 * heat.STEPS_AT_A_TIME + 1)
    loads = heat.beam_loads(DESIGN, model, time)
    np.testing.assert_allclose(loads.sum(0), heat.ABSORBED_POWER, rtol=1e-12)
    beam = heat.beam_path(DESIGN, time)
    np.testing.assert_allclose(model.mesh.p @ loads / heat.ABSORBED_POWER, beam, atol=2e-6)


def test_plate_is_nowhere_colder_than_ambient_nor_molten(model: heat.PlateModel) -> None:
    field = heat.simulate_design(DESIGN, model, 50, 4)
    assert not field[0].any()
    assert field.min() >= -1e-9
    assert 300 < field.max() < 1300


def test_beam_weaves_across_its_line() -> None:
    time = np.array([0.0, 0.25, 0.5, 0.75, 1.0])  # a period, by quarters
    x, y = 1e3 * heat.beam_path(DESIGN, time)
    np.testing.assert_allclose(x, 8.0 + 7.0 * time)
    np.testing.assert_allclose(y, 21.0 + 3.0 * np.array([0, 1, 0, -1, 0]), atol=1e-12)


def test_inclusion_matters_only_once_the_heat_gets_there(
    model: heat.PlateModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_inclusion = heat.simulate_design(DESIGN, model, 16, 8)
    monkeypatch.setattr(heat, "INCLUSION_CONDUCTIVITY", heat.PLATE_CONDUCTIVITY)
    without = heat.simulate_design(DESIGN, model, 16, 8)
    change = np.linalg.norm(with_inclusion - without, axis=1)
    change /= np.linalg.norm(without, axis=1).clip(1e-9)
    assert change[2] < 0.01
    assert change[-1] > 0.1


def test_conductivity_jumps_smoothly_at_the_rim() -> None:
    middle, radius = heat.PLATE_WIDTH / 2, heat.INCLUSION_RADIUS
    x = middle + np.array([0.0, radius, radius + 3e-3])
    values = heat.conductivity(np.stack([x, np.full(3, middle)]))
    inside, outside = heat.INCLUSION_CONDUCTIVITY, heat.PLATE_CONDUCTIVITY
    np.testing.assert_allclose(values, [inside, (inside + outside) / 2, outside], rtol=1e-4)


@pytest.mark.parametrize("num_nodes", [100, 2000])
@pytest.mark.parametrize("seed", [0, 1])
def test_mesh_covers_the_plate_without_slivers(num_nodes: int, seed: int) -> None:
    mesh = heat.plate_mesh(num_nodes, seed)
    assert mesh.p.shape == (2, num_nodes)
    corners = mesh.p.T[mesh.t]  # (3, E, 2)
    a, b, c = (np.roll(corners, -i, axis=0) for i in range(3))
    cross = np.cross(np.append(b - a, 0 * a[..., :1], -1), np.append(c - a, 0 * a[..., :1], -1))
    angles = np.arctan2(np.abs(cross[..., 2]), ((b - a) * (c - a)).sum(-1))
    assert np.rad2deg(angles).min() > 20
    assert np.abs(cross[0, :, 2]).sum() / 2 == pytest.approx(heat.PLATE_WIDTH**2, rel=1e-12)


def test_mesh_follows_from_the_seed() -> None:
    first, again, other = (heat.plate_mesh(300, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.p, again.p)
    np.testing.assert_array_equal(first.t, again.t)
    assert not np.allclose(first.p, other.p)
