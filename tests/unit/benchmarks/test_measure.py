"""Commands and how their time and memory are taken."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import measure

HOLD = "x = bytearray(150_000_000); time.sleep(0.6)"


def python(code: str, tmp_path: Path) -> measure.Measured:
    command = [sys.executable, "-c", f"import subprocess, sys, time; {code}"]
    return measure.run(command, tmp_path, os.environ, tmp_path / "log.txt")


def test_lines_come_with_their_times_and_go_to_the_log(tmp_path: Path) -> None:
    measured = python("print('one', flush=True); time.sleep(0.5); print('two')", tmp_path)
    assert [line.text for line in measured.lines] == ["one", "two"]
    assert measured.lines[1].seconds - measured.lines[0].seconds == pytest.approx(0.5, abs=0.4)
    assert measured.seconds >= measured.lines[1].seconds
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n"
    assert measured.returncode == 0


def test_memory_of_children_counts(tmp_path: Path) -> None:
    child = f"subprocess.run([sys.executable, '-c', 'import time; {HOLD}'])"
    assert python(HOLD, tmp_path).peak_bytes > 150e6
    assert python(child, tmp_path).peak_bytes > 150e6
    assert python("pass", tmp_path).peak_bytes < 100e6


def test_a_failure_is_reported_with_what_it_said(tmp_path: Path) -> None:
    measured = python("sys.exit('no such thing')", tmp_path)
    assert measured.returncode == 1
    assert measured.lines[-1].text == "no such thing"


def test_an_interrupt_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    popen = psutil.Popen

    def remember(*arguments: object, **keywords: object) -> psutil.Popen:
        started.append(popen(*arguments, **keywords))
        return started[-1]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(psutil, "Popen", remember)
    monkeypatch.setattr(measure, "Line", interrupt)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        python("print('one', flush=True); time.sleep(60)", tmp_path)
    assert started[0].wait(timeout=10) != 0
    assert time.perf_counter() - start < 30


def test_a_prediction_is_timed_alone_and_in_a_batch_by_its_fastest_repeat() -> None:
    asked = []

    def predict(rows: np.ndarray) -> None:
        asked.append(rows.tolist())
        end = time.process_time() + (0.2 if len(asked) % 2 else 0.01)
        while time.process_time() < end:
            continue
        time.sleep(0.05)  # others' time

    repeats = {"NUM_REPEATS_OF_ONE": 4, "NUM_REPEATS_OF_BATCH": 3, "BATCH_DESIGNS": 5}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in repeats.items():
            patch.setattr(measure, name, value)
        found = measure.prediction_seconds(predict, np.array([7, 8, 9]))
    assert asked == 5 * [[7]] + 4 * [[7, 8, 9, 7, 8]]
    assert 0.01 <= found["seconds_of_one"] < 0.2
    assert 0.01 / 5 <= found["seconds_per_design"] < 0.2 / 5
