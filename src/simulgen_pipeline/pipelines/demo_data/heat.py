"""Heat conduction in a thin steel plate scanned by a laser: P1 elements, Crank-Nicolson.

    rho c dT/dt - div(k grad T) + (h / d) T = q(x, t) / d,    k dT/dn = 0 on the edges,    T(0) = 0

T is the rise above ambient temperature [K], averaged over the thickness d. The edges are insulated:
their area is small beside that of the two faces, through which the plate loses heat (h, per area of
plate). q is a Gaussian beam of fixed absorbed power that weaves across the line it follows, as in
welding. The conductivity k jumps inside a circular inclusion in the middle of the plate. Nothing
melts, and no property depends on temperature.

Shapes: T output times, M nodes, E triangles, Q quadrature points of all triangles, S time steps
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.spatial import Delaunay
from skfem import Basis, BilinearForm, ElementTriP1, MeshTri
from skfem.helpers import dot, grad

Array = NDArray[np.float64]

PLATE_WIDTH = 40e-3  # [m]
PLATE_THICKNESS = 0.5e-3  # [m]
HEAT_CAPACITY = 7900.0 * 560.0  # density times specific heat of stainless steel [J/(m^3 K)]
PLATE_CONDUCTIVITY = 20.0  # stainless steel [W/(m K)]
INCLUSION_CONDUCTIVITY = 4.0  # a ceramic [W/(m K)]
INCLUSION_RADIUS = 5e-3  # [m]
INTERFACE_WIDTH = 0.5e-3  # half width of the transition at the inclusion's rim [m]
HEAT_LOSS = 2000.0  # shielding gas on one face, a cooled backing on the other [W/(m^2 K)]
ABSORBED_POWER = 50.0  # [W]
SCAN_TIME = 3.0  # [s]

NUM_LLOYD_STEPS = 40
QUADRATURE_ORDER = 6
STEPS_AT_A_TIME = 14  # of the beam's movement; the fewer, the smaller what it reaches
BEAM_CUTOFF = 3.0  # the beam ends at this many radii, where it is 1.5e-8 of its peak


class ScanDesign(NamedTuple):
    """One design: the line that the beam follows, how it weaves across it, and its size."""

    scan_start_mm: float  # x at which the beam is switched on
    scan_height_mm: float  # y of the line
    scan_speed_mm_s: float  # along the line
    weave_amplitude_mm: float  # furthest from the line
    weave_frequency_hz: float
    beam_radius_mm: float  # where intensity is 1/e^2 of its peak


class PlateModel(NamedTuple):
    """What all designs share: mesh, mass matrix and quadrature."""

    mesh: MeshTri
    basis: Basis
    mass: sp.csr_array  # (M, M) diagonal, area of plate per node [m^2]
    points: Array  # (2, Q) quadrature points [m]
    weights: sp.csr_array  # (M, Q) hat functions times quadrature weights [m^2]


def plate_mesh(num_nodes: int, seed: int, width: float = PLATE_WIDTH) -> MeshTri:
    """Unstructured triangle mesh of the square plate: random points evened out by Lloyd's method.

    Args:
        num_nodes: number of nodes, corners and edges included.
        seed: of the first guess of the interior nodes.
        width: side of the plate [m].

    Returns:
        Mesh with nodes `p` (2, M) [m] and triangles `t` (3, E).
    """
    num_per_side = round(np.sqrt(num_nodes * np.sqrt(3) / 2))  # spacing of equilateral triangles
    side = np.arange(num_per_side) / num_per_side
    zero, one = np.zeros_like(side), np.ones_like(side)
    edges = np.concatenate(
        [np.stack(xy, 1) for xy in ((side, zero), (one, side), (1 - side, one), (zero, 1 - side))]
    )
    num_interior = num_nodes - len(edges)
    margin = 0.5 / num_per_side
    interior = np.random.default_rng(seed).uniform(margin, 1 - margin, (num_interior, 2))
    for _ in range(NUM_LLOYD_STEPS):
        points = np.concatenate([edges, interior])
        interior = _triangle_centroids(points, _triangles(points))[len(edges) :]
    points = np.concatenate([edges, interior])
    return MeshTri(width * points.T.copy(), _triangles(points).T.copy())


def _triangles(points: Array) -> NDArray[np.int64]:
    """Delaunay triangles (E, 3) of points (M, 2), without the flat ones between edge nodes."""
    triangles: NDArray[np.int64] = Delaunay(points).simplices.astype(np.int64)
    return triangles[np.abs(_areas(points, triangles)) > 1e-9]


def _areas(points: Array, triangles: NDArray[np.int64]) -> Array:
    """Signed areas (E,)."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    ab, ac = b - a, c - a
    return 0.5 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])


def _triangle_centroids(points: Array, triangles: NDArray[np.int64]) -> Array:
    """Centroid (M, 2) of the triangles around each node: stands in for that of its Voronoi cell."""
    area = np.abs(_areas(points, triangles))
    moment = area[:, None] * points[triangles].mean(1)
    total, sums = np.zeros(len(points)), np.zeros_like(points)
    for corner in triangles.T:
        np.add.at(total, corner, area)
        np.add.at(sums, corner, moment)
    return sums / total[:, None]


def plate_model(mesh: MeshTri) -> PlateModel:
    """Assemble what does not depend on the design."""
    basis = Basis(mesh, ElementTriP1(), intorder=QUADRATURE_ORDER)
    points = np.asarray(basis.global_coordinates())  # (2, E, Q / E)
    columns = np.arange(points[0].size).reshape(points[0].shape)
    parts = [
        sp.coo_array(
            (
                (np.asarray(hat[0]) * basis.dx).ravel(),
                (np.broadcast_to(nodes[:, None], columns.shape).ravel(), columns.ravel()),
            ),
            shape=(mesh.p.shape[1], columns.size),
        )
        for hat, nodes in zip(basis.basis, basis.element_dofs, strict=True)
    ]
    weights = sp.csr_array(sum(parts[1:], start=parts[0]))
    mass = sp.csr_array(sp.diags_array(weights.sum(1)))
    return PlateModel(mesh, basis, mass, points.reshape(2, -1), weights)


def stiffness_matrix(model: PlateModel, conductivity: Array) -> sp.csr_array:
    """Conduction in the plate and loss through its faces (M, M) [W/K].

    Args:
        model: of M nodes and Q quadrature points.
        conductivity: at the quadrature points (Q,) [W/(m K)].
    """
    form = BilinearForm(lambda u, v, w: w["conductivity"] * dot(grad(u), grad(v)))
    at_points = conductivity.reshape(model.basis.dx.shape)  # (E, Q / E)
    conduction = sp.csr_array(form.assemble(model.basis, conductivity=at_points))
    return PLATE_THICKNESS * conduction + HEAT_LOSS * model.mass


def conductivity(points: Array) -> Array:
    """Conductivity at points: plate outside, inclusion inside, smooth over about one element.

    Args:
        points: (2, ...) [m].

    Returns:
        Conductivity (...) [W/(m K)].
    """
    distance = np.hypot(points[0] - PLATE_WIDTH / 2, points[1] - PLATE_WIDTH / 2)
    outside: Array = 0.5 * (1 + np.tanh((distance - INCLUSION_RADIUS) / INTERFACE_WIDTH))
    return INCLUSION_CONDUCTIVITY + (PLATE_CONDUCTIVITY - INCLUSION_CONDUCTIVITY) * outside


def beam_path(design: ScanDesign, time: NDArray[np.floating]) -> Array:
    """Centre of the beam (2, S) [m] at times (S,) [s]."""
    swing = np.sin(2 * np.pi * design.weave_frequency_hz * time)
    x = design.scan_start_mm + design.scan_speed_mm_s * time
    y = design.scan_height_mm + design.weave_amplitude_mm * swing
    return 1e-3 * np.stack([x, y])


def beam_loads(design: ScanDesign, model: PlateModel, time: NDArray[np.floating]) -> Array:
    """Absorbed power per node, summing to ABSORBED_POWER at each time.

    Args:
        time: (S,) [s].

    Returns:
        Loads (M, S) [W].
    """
    radius = 1e-3 * design.beam_radius_mm
    steps = np.arange(0, len(time), STEPS_AT_A_TIME)[1:]
    parts = np.split(beam_path(design, time), steps, axis=1)
    loads = np.hstack([_deposited(path, radius, model) for path in parts])
    loads *= ABSORBED_POWER / loads.sum(0)
    return loads


def _deposited(path: Array, radius: float, model: PlateModel) -> Array:
    """Power per node (M, S), in no units, of a beam at places (2, S) that are near each other."""
    reach = BEAM_CUTOFF * radius
    low, high = path.min(axis=1, keepdims=True) - reach, path.max(axis=1, keepdims=True) + reach
    near = np.flatnonzero(((model.points > low) & (model.points < high)).all(axis=0))
    (x, y), (beam_x, beam_y) = model.points[:, near, None], path
    profile = np.exp(-2 * ((x - beam_x) ** 2 + (y - beam_y) ** 2) / radius**2)  # (Q near, S)
    return np.asarray(model.weights[:, near] @ profile)


def crank_nicolson(
    mass: sp.csr_array, stiffness: sp.csr_array, loads: Array, time_step: float, num_substeps: int
) -> Array:
    """Solve mass dT/dt + stiffness T = load from T = 0 with one factorisation.

    Args:
        mass: (M, M) [J/K].
        stiffness: (M, M) [W/K].
        loads: (M, S) in the middle of each time step [W].
        time_step: [s].
        num_substeps: time steps per output; divides S.

    Returns:
        Temperature rise (S / num_substeps + 1, M) [K], the initial zero included.
    """
    factors = splu(
        (mass + 0.5 * time_step * stiffness).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    field = np.zeros(mass.shape[0])
    output = [field]
    for step, load in enumerate(np.ascontiguousarray(loads.T), start=1):
        field = field + factors.solve(time_step * (load - stiffness @ field))
        if step % num_substeps == 0:
            output.append(field)
    return np.stack(output)


def simulate_design(
    design: ScanDesign, model: PlateModel, num_times: int, num_substeps: int
) -> Array:
    """Temperature rise (T, M) [K] of one design at equal steps of time from 0 to SCAN_TIME."""
    num_steps = (num_times - 1) * num_substeps
    time_step = SCAN_TIME / num_steps
    return crank_nicolson(
        PLATE_THICKNESS * HEAT_CAPACITY * model.mass,
        stiffness_matrix(model, conductivity(model.points)),
        beam_loads(design, model, time_step * (np.arange(num_steps) + 0.5)),
        time_step,
        num_substeps,
    )
