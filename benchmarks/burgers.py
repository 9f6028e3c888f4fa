"""The parametric inviscid Burgers problem of the LaSDI papers (Fries, He & Choi 2022).

    u_t + u u_x = 0 on [-3, 3], periodic,    u(0) = a exp(-x^2 / (2 w^2))

Backward Euler in time, first-order upwind differences in space (u is positive): the new value of a
node solves a quadratic equation in that of its left neighbour. (Computer Methods in Applied
Mechanics and Engineering 399.)

Shapes: N designs, T output times, X nodes, the last being the first again
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARAMETERS = ("a", "w")
AMPLITUDES, WIDTHS = np.linspace(0.7, 0.9, 21), np.linspace(0.9, 1.1, 21)
NUM_NODES, NUM_STEPS, STEPS_PER_OUTPUT = 1001, 1000, 5
HALF_LENGTH, END_TIME = 3.0, 1.0
# The ring is closed when going round once more would change a node by no more than round-off.
ROUND_OFF = 1e-15


def all_designs() -> Array:
    """The grid of designs (N, 2): amplitude, width."""
    return np.array([(a, w) for a in AMPLITUDES for w in WIDTHS])


def nodes(num_nodes: int = NUM_NODES) -> Array:
    """(X,) positions."""
    return np.linspace(-HALF_LENGTH, HALF_LENGTH, num_nodes)


def output_times() -> Array:
    """(T,)"""
    return np.linspace(0.0, END_TIME, NUM_STEPS + 1)[::STEPS_PER_OUTPUT]


def simulate(
    designs: Array,
    num_nodes: int = NUM_NODES,
    num_steps: int = NUM_STEPS,
    steps_per_output: int = STEPS_PER_OUTPUT,
) -> NDArray[np.float32]:
    """Fields (N, T, X) of designs (N, 2)."""
    amplitude, width = designs.T
    x = nodes(num_nodes)[:-1, None]
    u = amplitude * np.exp(-0.5 * (x / width) ** 2)  # (X - 1, N): a node's designs side by side
    ratio = (END_TIME / num_steps) / (2 * HALF_LENGTH / (num_nodes - 1))
    outputs = [u]
    for step in range(1, num_steps + 1):
        u = advance(u, ratio)
        if step % steps_per_output == 0:
            outputs.append(u)
    ring = np.stack(outputs).transpose(2, 1, 0)
    return np.concatenate([ring, ring[:, :1]], axis=1).transpose(0, 2, 1).astype(np.float32)


def advance(u: Array, ratio: float) -> Array:
    """One step of positive values (X - 1, N) around the ring, `ratio` = time step / node distance.

    With p = 1 - ratio new[i - 1], a node's new value is the positive root of
    ratio new[i]^2 + p new[i] = u[i], written without cancellation.
    """
    new = np.empty_like(u)
    left = u[-1]  # a guess, put right by going round once more until nothing changes
    for going_round in range(3):
        for i, old in enumerate(u):
            p = 1 - ratio * left
            left = 2 * old / (p + np.sqrt(p * p + 4 * ratio * old))
            if going_round and np.abs(left - new[i]).max() <= ROUND_OFF:
                return new
            new[i] = left
    raise ArithmeticError(
        f"The ring of {len(u)} nodes did not close in three rounds: expected a time step of at "
        f"most the node distance over the speed, got the ratio {ratio:g}."
    )
