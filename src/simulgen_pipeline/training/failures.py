"""Why training processes failed, from what they and torchrun left."""

from __future__ import annotations

import re
from pathlib import Path

from .errors import MEMORY_REMEDY, TIMEOUT_REMEDY
from .worker import ERROR_FILE

# How torchrun reports a process that ended by SIGKILL.
KILLED = re.compile(r"rank\s*: (\d+) \(local_rank: \d+\)\s+exitcode\s*: -9\b")
# How a process says that it lost another one.
MISSES_ANOTHER = re.compile(r"connection (closed|reset)|remote process exited", re.IGNORECASE)
# How NCCL's watchdog says that another process does not answer, before it aborts its own.
WAITED = re.compile(r"caught collective operation timeout", re.IGNORECASE)


def explain_failure(folder: Path, code: int, output: str, report: str | None) -> str:
    """What went wrong, from the process that failed first.

    Args:
        code: torchrun's exit code.
        output: its last lines.
        report: the last that the training logged here, which names its epoch.
    """
    errors = sorted(folder.glob(ERROR_FILE.format(rank="*")), key=lambda p: p.stat().st_mtime)
    told = [(path.stem.rpartition("-")[2], path.read_text(encoding="utf-8")) for path in errors]
    # Who misses another process is not who failed first.
    told.sort(key=lambda error: MISSES_ANOTHER.search(error[1]) is not None)
    last = "" if report is None else f" Its last report: {report}."
    killed = KILLED.search(output)
    if killed is not None and (not told or MISSES_ANOTHER.search(told[0][1])):
        return (
            f"Training process {killed[1]} was killed from outside, most likely by the operating "
            f"system for want of memory.{last} {MEMORY_REMEDY}"
        )
    if told:
        return f"Training failed on process {told[0][0]}: {told[0][1]}"
    remedy = "The same command goes on from the last checkpoint."
    if WAITED.search(output):
        remedy = f"It waited for another one longer than training.timeout. {TIMEOUT_REMEDY}"
    return (
        f"A training process ended without a word (torchrun's exit code {code}). {remedy}{last} "
        f"Its last output:\n{output}"
    )
