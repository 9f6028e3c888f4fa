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
    beating.beat()
    assert listener.silence() == 0
    for seconds in (8, 16, 24):
        clock[0] += 8
        assert listener.silence() == seconds
    os.utime(path, (1.0, 1.0))  # another machine's clock may be behind
    assert listener.silence() == 0
    clock[0] += 5
    assert listener.silence() == 5


def test_before_the_first_touch_it_may_start_and_read_its_data(
    tmp_path: Path, clock: list[float]
) -> None:
    path = tmp_path / "heartbeat"
    listener = Listener(path)
    for _ in range(62):
        clock[0] += heartbeat.LONGEST_LOOK
        silence = listener.silence()
    assert silence == 620 - heartbeat.START_ALLOWANCE
    assert not listener.has_heard
    Heartbeat(path).beat()
    assert listener.silence() == 0
    assert listener.has_heard


def test_time_in_which_nobody_looked_hardly_counts(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "heartbeat"
    listener = Listener(path)
    Heartbeat(path).beat()
    listener.silence()
    clock[0] += 3600  # both processes were suspended
    assert listener.silence() == heartbeat.LONGEST_LOOK


def test_a_disk_that_is_away_for_a_moment_is_no_matter(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "heartbeat"
    listener, beating = Listener(path), Heartbeat(path)
    beating.beat()
    assert listener.silence() == 0

    def stale(*arguments: object, **options: object) -> None:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patched:
        for name in ("stat", "touch"):
            patched.setattr(Path, name, stale)
        clock[0] += 5
        beating.beat()
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
