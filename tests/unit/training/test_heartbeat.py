"""Signs of life of a training, as its launcher sees them."""

import os
import time
from pathlib import Path

import pytest

from simulgen_pipeline.training import heartbeat
from simulgen_pipeline.training.heartbeat import Heartbeat, Listener


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the time is, in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_silence_counts_from_the_last_touch(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "heartbeat"
    listener, beating = Listener(path), Heartbeat(path)
    clock[0] += 1000
    assert listener.silence() == 0  # nothing is heard of it yet: it may be reading its data
    beating.beat()
    assert listener.silence() == 0
    clock[0] += 30
    assert listener.silence() == 30
    os.utime(path, (1.0, 1.0))  # another machine's clock may be behind
    assert listener.silence() == 0
    clock[0] += 5
    assert listener.silence() == 5


def test_it_beats_once_a_second_at_most(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "heartbeat"
    beating = Heartbeat(path)
    beating.beat()
    path.unlink()
    clock[0] += heartbeat.BEAT_INTERVAL / 2
    beating.beat()
    assert not path.exists()
    clock[0] += heartbeat.BEAT_INTERVAL / 2
    beating.beat()
    assert path.exists()
