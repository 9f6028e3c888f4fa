"""Trainings that are disturbed: told clearly, no process left, the same bits in the end."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simulgen_pipeline.training import launch
from simulgen_pipeline.training.errors import DISK_REMEDY, TIMEOUT_REMEDY, TrainingError
from simulgen_pipeline.training.launch import is_running

from .test_training_machines import workers_in
from .test_training_processes import equal_weights, train, wait_for

SHORT: dict[str, Any] = {"training": {"num_epochs": 6, "batch_size": 5}, "encoder_epochs": 0.2}
# A worker to which something happens before one of the first stage's epochs (0 to 5).
FAULTY_WORKER = """
import os, signal, sys, time
from simulgen_pipeline.training import loop, worker

fault, before = sys.argv.pop(), int(sys.argv.pop())
epoch_of = loop.Trainer._epoch

def _epoch(self, epoch):
    folder, launcher, world = self.checkpoints.folder, int(sys.argv[2]), self.world
    if epoch == before and self.checkpoints.stage == "stage-0":
        exec(fault)
    return epoch_of(self, epoch)

loop.Trainer._epoch = _epoch
worker.main()
"""


@pytest.fixture
def disturbed(
    prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Trains with a fault, written as Python, before an epoch."""
    script, plain = tmp_path / "faulty_worker.py", launch.torchrun_command
    script.write_text(FAULTY_WORKER)

    def run(fault: str, before: int, num_processes: int = 2, **engine: Any) -> None:
        def faulty(*arguments: Any) -> list[str]:
            command = plain(*arguments)
            place = command.index("simulgen_pipeline.training.worker")
            worker = [str(script), *command[place + 1 :], str(before), fault]
            return [*command[: place - 1], *worker]  # without -m: a file, not a module

        with monkeypatch.context() as patched:
            patched.setattr(launch, "torchrun_command", faulty)
            train(prepared, prepared.work, SHORT, num_processes=num_processes, **engine)

    return run


@contextmanager
def nothing_left(work: Path) -> Iterator[None]:
    """Afterwards there is no process of the training, no lock, no unfinished file."""
    yield
    wait_for(lambda: not workers_in(work), 1.0)
    (folder,) = work.iterdir()
    assert not is_running(folder)
    assert not list(folder.glob("*.tmp"))


def checkpoints(work: Path) -> list[Path]:
    return sorted(work.glob("*/stage-0-*.pt"))


def test_a_process_of_two_that_is_killed_or_hangs(
    prepared: Any,
    disturbed: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A stopped process ends by no other signal than SIGKILL."""
    killed = "if world.rank == 1: os.kill(os.getpid(), signal.SIGKILL)"
    with (
        nothing_left(prepared.work),
        pytest.raises(TrainingError, match="^Training process 1 was killed from outside"),
    ):
        disturbed(killed, before=2)
    monkeypatch.setattr(launch, "GRACE", 1.0)
    stopped = "if world.rank == 1: os.kill(os.getpid(), signal.SIGSTOP)"
    with (
        nothing_left(prepared.work),
        pytest.raises(TrainingError, match="process 0: No answer from process 1 within") as error,
    ):
        disturbed(stopped, before=4, timeout=5)
    assert TIMEOUT_REMEDY in str(error.value)
    assert "Its epoch" not in str(error.value)
    with caplog.at_level("INFO"):
        resumed, _ = train(prepared, prepared.work, SHORT, num_processes=2)
    assert "resumed from the checkpoint after epoch 4" in caplog.text
    undisturbed, _ = train(prepared, prepared.work / "undisturbed", SHORT, num_processes=2)
    assert equal_weights(resumed, undisturbed)


def test_signals_a_full_disk_and_damaged_checkpoints(
    prepared: Any, disturbed: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """One after the other, to one training, which is at an epoch for the first time each time."""
    undisturbed, _ = train(prepared, prepared.work / "undisturbed", SHORT)
