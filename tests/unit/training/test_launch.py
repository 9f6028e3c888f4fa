"""How training processes are started."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from simulgen_pipeline.training import launch
from simulgen_pipeline.training.errors import DISK_REMEDY, TrainingError
from simulgen_pipeline.training.job import TRAINED_FILE
from simulgen_pipeline.training.launch import _tell_of_unfinished, _write, torchrun_command
from simulgen_pipeline.training.machines import Meeting
from simulgen_pipeline.training.work_folders import LOCK_FILE


def meeting(leads: bool) -> Meeting:
    return Meeting("node1:29400", "vae-0123-1", 3, "10.0.0.2", leads, check=lambda: None)


def test_one_machine_needs_no_rendezvous() -> None:
    command = torchrun_command(Path("work/vae-0123"), 2, None)
    assert "--standalone" in command
    assert "--local-addr=127.0.0.1" in command  # which needs no name of this machine
    assert "--nproc-per-node=2" in command
    assert not [argument for argument in command if "rdzv" in argument]
    assert command[-3:] == ["work/vae-0123", str(os.getpid()), "leader"]


@pytest.mark.parametrize(("leads", "role"), [(True, "leader"), (False, "member")])
def test_several_machines_meet_at_the_rendezvous(leads: bool, role: str) -> None:
    command = torchrun_command(Path("work/vae-0123"), 4, meeting(leads))
    assert "--standalone" not in command
    wanted = {
        "--nnodes=3",
        "--nproc-per-node=4",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=node1:29400",
        "--rdzv-id=vae-0123-1",
        "--local-addr=10.0.0.2",
    }
    assert wanted <= set(command)
    assert command[-1] == role
    (conf,) = [a for a in command if a.startswith("--rdzv-conf=")]
    assert "is_host=0" in conf  # the run's process holds the store, whichever agent comes first


def test_a_job_that_does_not_fit_on_the_disk_is_told_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(launch, "write_job", fail)
    job: Any = None
    with pytest.raises(TrainingError, match="No space left on device") as error:
        _write(tmp_path, job, {})
    assert DISK_REMEDY in str(error.value)


def test_an_unfinished_training_that_is_not_gone_on_with_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("vae-1", "vae-2", "conditioner-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / LOCK_FILE).touch()
    (tmp_path / "vae-2" / TRAINED_FILE).touch()  # finished, and not cleared yet
    _tell_of_unfinished(tmp_path, "vae")
    (message,) = caplog.messages
    assert message.startswith(f"vae: starts anew. {tmp_path / 'vae-1'} holds an unfinished one")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("number", "exit_of_it"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_a_training_even_if_its_exception_is_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    exit_of_it: type[BaseException],
) -> None:
    def lose(*arguments: object) -> None:
        with suppress(BaseException):
            os.kill(os.getpid(), number)
            time.sleep(1)

    before = signal.getsignal(number)
    command = [sys.executable, "-c", "print('a line'); raise SystemExit(1)"]
    monkeypatch.setattr(launch, "torchrun_command", lambda *arguments: command)
    monkeypatch.setattr(launch, "_relay", lose)
    with pytest.raises(exit_of_it):
        launch.run_torchrun(tmp_path, 1)
    assert signal.getsignal(number) is before
