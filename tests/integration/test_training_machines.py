"""Training on several machines: two torchrun agents on this one, which meet by c10d."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from simulgen_pipeline.training import machines
from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.machines import lead

from .small_training import (
    assert_equal_within_rounding,
    is_alive,
    train,
    train_on,
    wait_for,
    workers_of,
)

PROJECT = Path(__file__).parents[2]
ENDLESS = {"training": {"num_epochs": 100_000, "batch_size": 5, "patience": 1.0}}


@pytest.fixture
def rendezvous() -> str:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def joining(rendezvous: str) -> Iterator[subprocess.Popen[str]]:
    """Another machine's command."""
    with subprocess.Popen(
        [sys.executable, "-m", "kedro", "join", f"--rendezvous={rendezvous}"],
        cwd=PROJECT,
        env=os.environ | {"COLUMNS": "1000"},  # no line breaks in messages
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_two_machines_give_what_one_process_gives(prepared: Any, rendezvous: str) -> None:
    short = {"training": {"num_epochs": 2, "batch_size": 5}, "encoder_epochs": 0.5}
    one = train_on(prepared, 1, short)
    together = {"num_nodes": 2, "rendezvous": rendezvous, "precision": "float32"}
    with joining(rendezvous) as other:
        two = train(prepared, prepared.work / "two", short, num_processes=1, **together)
        # The next training of the same run, with uneven shards of three processes.
        again = train(prepared, prepared.work / "again", short | {"latent_size": 3}, **together)
        lead(rendezvous).dismiss()
        output, _ = other.communicate(timeout=30)
    assert other.returncode == 0, output
    assert_equal_within_rounding(two, one)
    assert again[0].network.architecture.latent_size == 3
    assert output.count("Training in ") == 2
    assert "has ended" in output


@pytest.mark.parametrize(
    ("killed", "said"),
    [
        ("kedro", rf"{socket.gethostname()} .* is gone: .*last checkpoint"),
        ("torchrun", "raining (failed on process|process ended)"),  # whichever is seen first
    ],
)
def test_a_machine_that_dies_ends_the_training_on_the_leader(
    killed: str, said: str, prepared: Any, rendezvous: str
) -> None:
    with joining(rendezvous) as other:
        killer = Thread(target=kill_when_training, args=(killed, other.pid, prepared.work))
        killer.start()
        with pytest.raises(TrainingError, match=f"(?s){said}"):
            train(prepared, prepared.work, ENDLESS, num_nodes=2, rendezvous=rendezvous)
        killer.join()
    wait_for(lambda: not workers_in(prepared.work), 30)


def kill_when_training(killed: str, command: int, work: Path) -> None:
    wait_for(lambda: list(work.rglob("stage-0-*.pt")), 60)
    process = psutil.Process(command)
    (process if killed == "kedro" else process.children()[0]).kill()


def workers_in(work: Path) -> list[psutil.Process]:
    """Processes of any machine with a folder in their command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(work) in part for part in process.info["cmdline"] or [])
    ]


def test_a_leader_that_is_killed_ends_the_training_on_all_machines(
    prepared: Any, rendezvous: str, tmp_path: Path
) -> None:
    import pickle

    (tmp_path / "prepared.pkl").write_bytes(pickle.dumps(prepared))
    leader = subprocess.Popen(
        [sys.executable, "-c", LEAD, str(tmp_path / "prepared.pkl"), rendezvous], cwd=PROJECT
    )
    try:
        with joining(rendezvous) as other:
            family = wait_for(lambda: workers_of(other.pid), 60)
            wait_for(lambda: list(prepared.work.rglob("stage-0-*.pt")), 60)
            leader.send_signal(signal.SIGKILL)
            output, _ = other.communicate(timeout=60)
            assert other.returncode == 1
            assert "gone without a word" in output
            wait_for(lambda: not [p for p in family if is_alive(p)], 30)
    finally:
        leader.kill()
        leader.wait()
    wait_for(lambda: not workers_in(prepared.work), 30)


LEAD = """
import pickle, sys
from tests.integration.test_training_machines import ENDLESS
from tests.integration.small_training import train
prepared = pickle.load(open(sys.argv[1], "rb"))
train(prepared, prepared.work, ENDLESS, num_nodes=2, rendezvous=sys.argv[2])
"""


def test_a_diverging_training_is_explained_on_every_machine(prepared: Any, rendezvous: str) -> None:
    bad = {"training": {"num_epochs": 4, "learning_rate": 1e30, "gradient_clip": 1e30}}
    with joining(rendezvous) as other:
        with pytest.raises(TrainingError, match=r"not finite in epoch \d+, batch \d+"):
            train(prepared, prepared.work, bad, num_nodes=2, rendezvous=rendezvous)
        output, _ = other.communicate(timeout=30)
    assert other.returncode == 1
    assert "Error: " in output


def test_a_machine_that_does_not_come_is_missed(
    prepared: Any, rendezvous: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "MEETING_TIMEOUT", 1.0)
    start = time.monotonic()
    with pytest.raises(TrainingError, match=f"came: none.*kedro join --rendezvous={rendezvous}"):
        train(prepared, prepared.work, num_nodes=2, rendezvous=rendezvous)
    assert time.monotonic() - start < 20
