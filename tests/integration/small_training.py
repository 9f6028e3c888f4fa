"""A small VAE trained in processes of its own, and what tests ask of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from simulgen_pipeline.training.config import EngineConfig, VaeConfig
from simulgen_pipeline.training.fit import fit_vae

SMALL: dict[str, Any] = {
    "filters": (16, 12),
    "num_blocks": 1,
    "latent_size": 4,
    "hierarchical_latent_size": 2,
    "training": {"num_epochs": 6, "batch_size": 5, "patience": 1.0},
    "encoder_epochs": 0.5,
}


def train(prepared: Any, work: Path, config: dict[str, Any] | None = None, **engine: Any) -> Any:
    """Train a small VAE; weights by name, and the history."""
    vae, history = fit_vae(
        prepared.channels,
        prepared.table,
        prepared.split,
        prepared.representation,
        prepared.design_scaler,
        VaeConfig(**(SMALL | (config or {}))),
        EngineConfig(checkpoint_interval=0, **engine),
        "auto",
        work,
        prepared.logs,
    )
    return vae, history


def undisturbed(prepared: Any, known: dict[int, Any], num_processes: int) -> Any:
    """What comes of a training to which nothing happens."""
    if num_processes not in known:
        work = prepared.work.parent / "undisturbed"
        known[num_processes], _ = train(prepared, work, num_processes=num_processes)
    return known[num_processes]


def equal_weights(a: Any, b: Any) -> bool:
    """Whether two trained VAEs have the same bits."""
    left, right = a.network.state_dict(), b.network.state_dict()
    return all(torch.equal(value, right[name]) for name, value in left.items())


def train_on(prepared: Any, num_processes: int, config: dict[str, Any]) -> Any:
    """The same by some number of processes, in float32."""
    work = prepared.work / f"{num_processes}"
    return train(prepared, work, config, num_processes=num_processes, precision="float32")


def assert_equal_within_rounding(result: Any, expected: Any) -> None:
    """The same weights and figures, from trainings too short for rounding errors to grow."""
    (vae, history), (expected_vae, expected_history) = result, expected
    weights = vae.network.state_dict()
    for name, value in expected_vae.network.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
    for column in ("loss", "gradient_norm", "validation_score"):
        np.testing.assert_allclose(history[column], expected_history[column], rtol=1e-4)


def workers_of(pid: int) -> list[psutil.Process]:
    """torchrun and its workers, once there are any."""
    family = psutil.Process(pid).children(recursive=True)
    return family if len(family) >= 2 else []


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """The condition's value as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s")
