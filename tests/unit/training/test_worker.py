"""What a training process leaves when it fails."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from simulgen_pipeline.training import worker
from simulgen_pipeline.training.errors import DISK_REMEDY, TIMEOUT_REMEDY
from simulgen_pipeline.training.worker import report
from simulgen_pipeline.training.world import World

WAITED = RuntimeError("Timed out waiting 600000ms for recv operation to complete")


def world(rank: int, size: int) -> World:
    return World(rank, size, torch.device("cpu"), is_main=rank == 0, is_one_machine=True)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LAST_WORDS", 0.0)


@pytest.mark.parametrize(
    ("size", "named"), [(2, "process 1"), (3, "process 1, 2"), (1, "another process")]
)
def test_who_waited_in_vain_names_those_who_did_not(tmp_path: Path, size: int, named: str) -> None:
    report(tmp_path, world(0, size), WAITED)
    told = (tmp_path / "error-0.txt").read_text()
    assert told.startswith(f"No answer from {named} within training.timeout. {TIMEOUT_REMEDY}")
    assert str(WAITED) in told


def test_a_process_that_is_done_leaves_at_once_with_all_that_it_said() -> None:
    """Not through what is registered for the interpreter's end, which may abort."""
    script = (
        "import atexit\n"
        "from simulgen_pipeline.training.worker import leave\n"
        "atexit.register(print, 'the end')\n"
        "print('done')\n"
        "leave()\n"
    )
    left = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (left.returncode, left.stdout) == (0, "done\n")


def test_processes_that_waited_too_are_not_blamed(tmp_path: Path) -> None:
    for rank in (3, 1, 0):
        report(tmp_path, world(rank, 4), WAITED)
    assert "No answer from process 2 within" in (tmp_path / "error-0.txt").read_text()


def test_other_errors_blame_nobody(tmp_path: Path) -> None:
    report(tmp_path, world(1, 2), ValueError("shapes differ"))
    assert (tmp_path / "error-1.txt").read_text().startswith("shapes differ")


def test_an_error_that_does_not_fit_on_the_disk_is_logged(
    tmp_path: Path, full_device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "error-0.txt.tmp").symlink_to(full_device)
    error = OSError(28, "No space left on device")
    error.add_note("It happened in vae decoder, epoch 3.")
    report(tmp_path, world(0, 1), error)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "It happened in vae decoder, epoch 3. The disk is full." in record.getMessage()
    assert DISK_REMEDY in record.getMessage()
    assert list(tmp_path.iterdir()) == []
