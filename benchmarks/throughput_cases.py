"""The trainings whose speed is measured, by case."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from .step_rate import LEVERS
from .throughput_page import AS_IT_IS, DEMO

NODES = {"M4096": 4096, "M95008": 95_008}
HEAT_PULSE = "heat_pulse"
BY_STEP = "one time a step"
# Enough that most epochs have no validation: there are about fifteen in a training.
NUM_EPOCHS = 45
# With fewer an encoder, which is trained for a fifth of the epochs, has none but its first.
FEWEST_EPOCHS = 10
NUM_SLOW_EPOCHS = 4  # of trainings on 95,008 nodes without POD
NUM_ACCURACY_EPOCHS = 100
SEEDS = (0, 1, 2)

Values = dict[str, Any]


class Training(NamedTuple):
    """A training to be measured.

    Attributes:
        name: what distinguishes it in its case.
        data: which.
        vae, engine, memory: parameters; what is not given is as a user has it who sets nothing.
        steps: whether to look into its steps, too.
        levers: of the architecture, whose steps to measure without.
        environment: further variables.
        assess: whether to reconstruct the test designs.
    """

    name: str
    data: str
    vae: Values
    engine: Values | None = None
    memory: Literal["auto", "lazy"] = "auto"
    steps: bool = False
    levers: tuple[str, ...] = ()
    environment: dict[str, str] | None = None
    assess: bool = False


def original(num_epochs: int, **values: Any) -> Values:
    """Parameters of a VAE of the original's size, trained as it was, but for some values."""
    return {"preset": 1, "training": {"num_epochs": num_epochs}} | values


def of_nodes(data: str, options: argparse.Namespace) -> list[Training]:
    """The original's training, with every time step by itself, and with the posterior that is the
    default."""
    epochs = options.epochs
    return [
        Training("field posterior", data, original(epochs), steps=True),
        Training(BY_STEP, data, original(epochs, time_patch=1), steps=True),
        Training("design posterior", data, original(epochs, posterior="design"), steps=True),
    ]


def levers(options: argparse.Namespace) -> list[Training]:
    """The original's training, and the same with each of its levers turned round alone."""
    epochs, few, small, large = options.epochs, NUM_SLOW_EPOCHS, *NODES
    nodes: Values = {"reduction": "none"}
    return [
        Training(AS_IT_IS, small, original(epochs), levers=tuple(LEVERS)),
        Training("float32", small, original(epochs), {"precision": "float32"}, steps=True),
        Training("without POD", small, original(epochs, **nodes), steps=True),
        Training(BY_STEP, small, original(epochs, time_patch=1), steps=True),
        Training("compiled", small, original(epochs), {"compile": True}),
        Training("read by the batch", small, original(epochs), memory="lazy"),
        Training("size large", small, original(epochs, size="large"), steps=True),
        Training("without POD, M95008", large, original(min(few, epochs), **nodes), steps=True),
    ]


def demo(_: argparse.Namespace) -> list[Training]:
    """The demo's training with the defaults, in both precisions."""
    return [
        Training(precision, DEMO, {}, {"precision": precision}, steps=True)
        for precision in ("bfloat16", "float32")
    ]


def processes(options: argparse.Namespace) -> list[Training]:
    """The original's training, and the demo's with the defaults, on two threads, of one process and
    of two."""
    kinds: tuple[tuple[str, Values, str], ...] = (
        ("M4096", original(options.epochs), "auto"),
        ("M4096", original(options.epochs), "float32"),
        (DEMO, {}, "float32"),
    )
    return [
        Training(
            f"{num} of {threads}, {data}, {precision}",
            data,
            vae,
            {"num_processes": num, "precision": precision},
            environment={"OMP_NUM_THREADS": str(threads)},
        )
        for data, vae, precision in kinds
        for num, threads in ((1, 1), (1, 2), (2, 1))
    ]


def accuracy(options: argparse.Namespace) -> list[Training]:
    """The original's training on the nodes in float32, and with POD in the precision of `auto`,
    each with every time step by itself, and with two as one."""
    kinds: tuple[tuple[str, Values, str], ...] = (
        (f"nodes, float32, {BY_STEP}", {"reduction": "none", "time_patch": 1}, "float32"),
        ("nodes, float32", {"reduction": "none"}, "float32"),
        (f"POD, auto, {BY_STEP}", {"time_patch": 1}, "auto"),
        ("POD, auto", {}, "auto"),
    )
    return [
        Training(
            name,
            HEAT_PULSE,
            original(options.accuracy_epochs, **values),
            {"precision": precision, "seed": seed},
            assess=True,
        )
        for seed in options.seeds
        for name, values, precision in kinds
    ]


CASES: dict[str, Callable[[argparse.Namespace], list[Training]]] = {
    **{name: partial(of_nodes, name) for name in NODES},
    "levers": levers,
    "demo": demo,
    "processes": processes,
    "accuracy": accuracy,
}
