"""Trainings that are disturbed: told clearly, no process left, the same bits in the end."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simulgen_pipeline.training import launch
from simulgen_pipeline.training.errors import (
    DISK_REMEDY,
    MEMORY_REMEDY,
    TIMEOUT_REMEDY,
    TrainingError,
)
from simulgen_pipeline.training.work_folders import is_running

from .small_training import equal_weights, train, undisturbed, wait_for
from .test_training_machines import workers_in

# The system gives 64 MiB more, and what is wanted is 256.
HUNGRY = """
import resource, torch
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**26, resource.RLIM_INFINITY))
torch.ones(2**26)
"""


@contextmanager
def nothing_left(work: Path) -> Iterator[None]:
    """Afterwards there is no process of the training, and no lock."""
    yield
    wait_for(lambda: not workers_in(work), 1.0)
    (folder,) = work.iterdir()
    assert not is_running(folder)


def test_a_process_of_two_that_is_killed_or_hangs(
    prepared: Any,
    disturbed: Callable[..., None],
    known: dict[int, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    killed = "if world.rank == 1: os.kill(os.getpid(), signal.SIGKILL)"
    with (
        nothing_left(prepared.work),
        pytest.raises(TrainingError, match=r"^Training process 1 was killed from outside"),
    ):
        disturbed(killed, before=2, num_processes=2)
    monkeypatch.setattr(launch, "GRACE", 1.0)
    stopped = "if world.rank == 1: os.kill(os.getpid(), signal.SIGSTOP)"  # SIGTERM does not end it
    with (
        nothing_left(prepared.work),
        pytest.raises(TrainingError, match="process 0: No answer from process 1 within") as error,
    ):
        disturbed(stopped, before=4, num_processes=2, timeout=8)
    assert TIMEOUT_REMEDY in str(error.value)
    assert "It happened in vae decoder, epoch 5." in str(error.value)
    with caplog.at_level("INFO"):
        resumed, _ = train(prepared, prepared.work, num_processes=2)
    assert "resumed from the checkpoint after epoch 4" in caplog.text
    assert equal_weights(resumed, undisturbed(prepared, known, num_processes=2))


@pytest.mark.usefixtures("interruptible")
def test_signals_hangs_little_memory_then_a_full_disk_then_a_damaged_checkpoint(
    prepared: Any,
    disturbed: Callable[..., None],
    known: dict[int, Any],
    full_device: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ctrl-C is sent to torchrun as well by a terminal, but not to the workers."""
    with nothing_left(prepared.work), pytest.raises(SystemExit) as left:
        disturbed("os.kill(launcher, signal.SIGTERM); time.sleep(60)", before=2)
    assert left.value.code == 128 + signal.SIGTERM
    assert (
        caplog.messages[-1] == "Stopped. The same command goes on from the last checkpoint, if any."
    )

    monkeypatch.setattr(launch, "GRACE", 1.0)
    hung = "os.kill(os.getpid(), signal.SIGSTOP)"  # alone: no other process waits for it
    with nothing_left(prepared.work), pytest.raises(TrainingError) as error:
        disturbed(hung, before=2, timeout=4)
    said = "Its last report: vae decoder: resumed from the checkpoint after epoch 2."
    assert f"Training has not gone on for 4 seconds. {said} {TIMEOUT_REMEDY}" in str(error.value)

    orphaned = "os.kill(os.getppid(), signal.SIGKILL); os.kill(os.getpid(), signal.SIGSTOP)"
    with nothing_left(prepared.work), pytest.raises(TrainingError):
        disturbed(orphaned, before=2)  # torchrun is gone while its worker hangs

    interrupted = "for p in (launcher, os.getppid()): os.kill(p, signal.SIGINT)\ntime.sleep(60)"
    with nothing_left(prepared.work), pytest.raises(KeyboardInterrupt):
        disturbed(interrupted, before=3)

    with nothing_left(prepared.work), pytest.raises(TrainingError, match="allocate") as error:
        disturbed(HUNGRY, before=4)
    assert f"Memory did not suffice. {MEMORY_REMEDY}" in str(error.value)
    assert "It happened in vae decoder, epoch 5." in str(error.value)

    full = f"(folder / 'stage-0-00000005-00000000.pt.tmp').symlink_to('{full_device}')"
    with nothing_left(prepared.work), pytest.raises(TrainingError, match="No space left") as error:
        disturbed(full, before=4)
    assert DISK_REMEDY in str(error.value)
    (folder,) = prepared.work.iterdir()
    assert f"{folder / 'stage-0-00000005-00000000.pt'} does not fit on its disk" in str(error.value)
    assert not list(folder.glob("*.tmp"))

    before, newest = sorted(folder.glob("stage-*"))
    assert (before.name, newest.name) == (
        "stage-0-00000003-00000000.pt",
        "stage-0-00000004-00000000.pt",
    )
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    caplog.clear()
    with caplog.at_level("INFO"):
        resumed, _ = train(prepared, prepared.work, num_processes=1)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warning.startswith(f"{newest} is damaged")
    assert "resumed from the checkpoint after epoch 3" in caplog.text
    assert equal_weights(resumed, undisturbed(prepared, known, num_processes=1))
