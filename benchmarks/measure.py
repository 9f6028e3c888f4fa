"""Runs a command and says how long it took, how much memory it needed, and what it printed when;
times a prediction.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

SAMPLE_INTERVAL = 0.1  # [s] between looks at the memory

# A prediction of one design, and of a batch, is timed so often; the least time counts, and only the
# processor's, for others may use the machine too.
NUM_REPEATS_OF_ONE, NUM_REPEATS_OF_BATCH = 30, 5
BATCH_DESIGNS = 100


class Line(NamedTuple):
    """A line of output, and the seconds after the start when it came."""

    seconds: float
    text: str


class Measured(NamedTuple):
    """How a command went.

    Attributes:
        returncode: 0 if it succeeded.
        seconds: from its start to its end.
        peak_bytes: largest resident memory of the command with all its descendants; pages that
            they share count once for each.
        lines: of both its outputs.
    """

    returncode: int
    seconds: float
    peak_bytes: int
    lines: list[Line]


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> Measured:
    """Run a command in a folder; its output also goes to a file, line by line.

    Whatever ends this function early ends the command and its descendants too.
    """
    start = time.perf_counter()
    process = psutil.Popen(
        list(command),
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    peak, lines, ended = [0], [], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_INTERVAL):
            peak[0] = max(peak[0], resident_bytes(process))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        with process.stdout as output, log.open("w", encoding="utf-8") as file:
            for text in output:
                lines.append(Line(time.perf_counter() - start, text.rstrip()))
                file.write(text)
                file.flush()
        returncode = process.wait()
    finally:
        ended.set()
        watcher.join()
        end_tree(process)
    return Measured(returncode, time.perf_counter() - start, peak[0], lines)


def resident_bytes(process: psutil.Process) -> int:
    """Resident memory of a process with all its descendants."""
    total = 0
    for member in family(process):
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def end_tree(process: psutil.Process) -> None:
    """Kill what is left of a process and its descendants."""
    for member in family(process):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and its descendants, none if it has ended."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def prediction_seconds(
    predict: Callable[[NDArray[np.int64]], object], rows: NDArray[np.int64]
) -> dict[str, float]:
    """Processor time that a prediction takes on one thread, once there has been one.

    Args:
        predict: predicts the designs of some rows.
        rows: of designs to ask for, again where there are not enough.

    Returns:
        `seconds_of_one` of a design alone, `seconds_per_design` of a batch of 100.
    """
    batch = np.resize(rows, BATCH_DESIGNS)
    with threadpool_limits(1):
        of_one = _least_seconds(lambda: predict(rows[:1]), NUM_REPEATS_OF_ONE)
        of_batch = _least_seconds(lambda: predict(batch), NUM_REPEATS_OF_BATCH)
    return {"seconds_of_one": of_one, "seconds_per_design": of_batch / BATCH_DESIGNS}


def _least_seconds(work: Callable[[], Any], num_repeats: int) -> float:
    work()
    seconds = []
    for _ in range(num_repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)
