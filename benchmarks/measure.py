"""Runs a command and says how long it took, how much memory it needed, and what it printed when."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

SAMPLE_INTERVAL = 0.1  # [s] between looks at the memory


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
