"""A pulse of heat that is carried along and spreads on the unit square, by finite volumes.

    u_t + c u_x = k (u_xx + u_yy) - r u,    u = 0 outside,    u(0) = exp(-|x - x0|^2 / (2 s^2))

Cells are advected by upwind fluxes with van Leer's limiter (van Leer 1974, Journal of Computational
Physics 14), diffuse by the five-point stencil, and advance by Heun's method: second order in space
and time where the limiter is idle. Cells outside the square are held at zero.

Shapes: N designs, T output times, S cells per side
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARAMETERS = ("x0", "y0", "width", "speed")
LOWEST, HIGHEST = np.array([0.15, 0.25, 0.04, 0.2]), np.array([0.40, 0.75, 0.10, 0.8])
COMMON_SPEED = 0.5  # of all designs whose picture says the rest
NUM_DESIGNS, NUM_TIMES, NUM_CELLS = 200, 50, 64
END_TIME, STEPS_PER_OUTPUT = 0.8, 20
DIFFUSIVITY, LOSS_RATE = 2e-3, 0.5


def sample_designs(seed: int) -> Array:
    """A Latin hypercube of designs (N, 4): centre x0, y0, width s, speed c."""
    rng = np.random.default_rng(seed)
    strata = [rng.permutation(NUM_DESIGNS) + rng.random(NUM_DESIGNS) for _ in PARAMETERS]
    unit = np.stack(strata, axis=1) / NUM_DESIGNS
    return np.asarray(LOWEST + unit * (HIGHEST - LOWEST))


def cell_centres(num_cells: int = NUM_CELLS) -> Array:
    """(S^2, 2) x and y, rows of equal y after each other."""
    centres = (np.arange(num_cells) + 0.5) / num_cells
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def output_times(num_times: int = NUM_TIMES) -> Array:
    """(T,)"""
    return np.linspace(0.0, END_TIME, num_times)


def simulate(
    designs: Array,
    num_cells: int = NUM_CELLS,
    num_times: int = NUM_TIMES,
    steps_per_output: int = STEPS_PER_OUTPUT,
) -> NDArray[np.float32]:
    """Fields (N, T, S^2) of designs (N, 4), rows of equal y after each other."""
    fields = np.empty((len(designs), num_times, num_cells**2), np.float32)
    times = output_times(num_times)
    step = (times[1] - times[0]) / steps_per_output
    for design, field in zip(designs, fields, strict=True):
        u = initial_pulse(design, num_cells)
        field[0] = u.ravel()
        for output in field[1:]:
            for _ in range(steps_per_output):
                slope = rate(u, design[3])
                u = u + step / 2 * (slope + rate(u + step * slope, design[3]))
            output[:] = u.ravel()
    return fields


def initial_pulse(design: Array, num_cells: int) -> Array:
    """(S, S) of a design (4,); rows are y, columns are x."""
    x, y = cell_centres(num_cells).T.reshape(2, num_cells, num_cells)
    x0, y0, width, _ = design
    return np.asarray(np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / width**2))


def rate(u: Array, speed: float) -> Array:
    """Time derivative (S, S) of a field (S, S) that moves towards larger x."""
    num_cells = len(u)
    padded = np.zeros((num_cells + 2, num_cells + 2))
    padded[1:-1, 1:-1] = u
    neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    diffusion = DIFFUSIVITY * num_cells**2 * (neighbours - 4 * u)

    differences = np.diff(padded[1:-1], axis=1)  # (S, S + 1) across each face
    before, after = differences[:, :-1], differences[:, 1:]
    product, total = before * after, before + after
    monotone = product > 0
    # The harmonic mean of both differences; zero where the field has an extremum.
    slope = np.divide(2 * product, total, out=np.zeros_like(u), where=monotone)
    outflow = speed * (u + slope / 2)  # through the face at larger x
    advection = num_cells * np.diff(outflow, axis=1, prepend=0.0)
    return diffusion - advection - LOSS_RATE * u
