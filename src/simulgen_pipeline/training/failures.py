"""Why training processes failed, from what they and torchrun left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .errors import MEMORY_REMEDY, TIMEOUT_REMEDY
from .worker import ERROR_FILE

# How torchrun reports that the process which ended first did so by SIGKILL. It lists those that it
# killed itself as well, before.
KILLED = re.compile(
    r"^Root Cause.*?rank\s*: (\d+) \(local_rank: \d+\)\s+exitcode\s*: -9\b",
    re.MULTILINE | re.DOTALL,
)
# How a process says that it lost another one.
MISSES_ANOTHER = re.compile(r"connection (closed|reset)|remote process exited", re.IGNORECASE)
# How NCCL's watchdog says that another process does not answer, before it aborts its own.
WAITED = re.compile(r"caught collective operation timeout", re.IGNORECASE)
# Lines of output that are shown: torchrun's summary, some 30 for three processes, and before it
# what they said themselves.
NUM_SHOWN_LINES = 80


def last_report(reports: Sequence[str]) -> str:
    """A sentence on the last of what a training logged, if it did: in most cases an epoch."""
    return f" Its last report: {reports[-1]}." if reports else ""


def explain_failure(folder: Path, code: int, output: str, last: str) -> str:
    """What went wrong, from the process that failed first.

    Args:
        code: torchrun's exit code.
        output: its last lines, more than are shown: stack traces of NCCL's threads are long.
        last: `last_report` of the training here.
    """
    errors = sorted(folder.glob(ERROR_FILE.format(rank="*")), key=lambda p: p.stat().st_mtime)
    told = [(path.stem.rpartition("-")[2], path.read_text(encoding="utf-8")) for path in errors]
    # Who misses another process is not who failed first.
    told.sort(key=lambda error: MISSES_ANOTHER.search(error[1]) is not None)
    shown = "\n".join(output.splitlines()[-NUM_SHOWN_LINES:])
    if not told or MISSES_ANOTHER.search(told[0][1]):
        if WAITED.search(output):
            return (
                f"A training process waited in vain for another one, longer than "
                f"training.timeout. {TIMEOUT_REMEDY}{last} Its last output:\n{shown}"
            )
        killed = KILLED.search(output)
        if killed is not None:
            return (
                f"Training process {killed[1]} was killed from outside, most likely by the "
                f"operating system for want of memory.{last} {MEMORY_REMEDY}"
            )
    if told:
        return f"Training failed on process {told[0][0]}: {told[0][1]}"
    return (
        f"A training process ended without a word (torchrun's exit code {code}). The same command "
        f"goes on from the last checkpoint.{last} Its last output:\n{shown}"
    )
