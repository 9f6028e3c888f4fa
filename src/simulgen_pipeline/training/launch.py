"""Starts training processes with torchrun and brings back what they trained."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pandas as pd
from filelock import FileLock, Timeout
from safetensors.torch import load_file
from torch import Tensor

from simulgen_pipeline.data.fields import open_fields

from .device import choose_num_processes, network_environment, thread_environment
from .errors import MEMORY_REMEDY, TrainingError
from .job import HISTORY_FILE, WEIGHTS_FILE, Arrays, Job, job_key, write_job
from .machines import Meeting, lead
from .worker import ERROR_FILE, LEADER, LOG_MARK, MEMBER

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
# What trains many models in one folder puts this file there when all of them are done.
FINISHED_FILE = "finished"
# Seconds that processes get to end by themselves before they are killed.
GRACE = 10.0
# Seconds in which torchrun's agents, which all start at about the same time, find each other.
JOIN_TIMEOUT = 300
# Seconds between two looks at the other machines.
WATCH_INTERVAL = 1.0
# How torchrun reports a process that ended by SIGKILL.
KILLED = re.compile(r"rank\s*: (\d+) \(local_rank: \d+\)\s+exitcode\s*: -9\b")
# How a process says that it lost another one.
MISSES_ANOTHER = re.compile(r"connection (closed|reset)|remote process exited", re.IGNORECASE)
# Lines of unmarked output kept for an error.
NUM_TAIL_LINES = 30


@dataclass(frozen=True)
class Trained:
    """Weights of the trained objective by name, and a row per epoch."""

    weights: dict[str, Tensor]
    history: pd.DataFrame


def train(job: Job, arrays: Arrays, work_folder: Path) -> Trained:
    """Run a job in processes of its own, from its last checkpoint if it was interrupted.

    The job's folder in `work_folder` is named by a hash of what determines the result, and stays
    until `clear_finished`, so that neither a kill nor a later failure loses a training.

    With several machines, this one leads: it waits for the others, calls them to the job, and
    speaks and writes for all.

    Raises:
        TrainingError: a process or another machine failed, or did not come, or another run is
            training the same.
    """
    engine = job.engine
    leader = lead(engine.rendezvous) if engine.rendezvous is not None else None
    num_processes = choose_num_processes(job.engine.num_processes)
    key = job_key(job, arrays, open_fields(job.fields), num_processes)
    folder = work_folder / f"{job.name}-{key}"
    with locked(folder, job.name):
        if not (folder / WEIGHTS_FILE).exists():
            write_job(folder, job, arrays)
            for old in folder.glob(ERROR_FILE.format(rank="*")):
                old.unlink()
            if leader is None:
                run_torchrun(folder, num_processes)
            else:
                with leader.call(folder, engine.num_nodes, engine.num_processes) as meeting:
                    run_torchrun(folder, num_processes, meeting)
        else:
            logger.info("%s: taken from %s, where it was trained to the end", job.name, folder)
        return _result(folder)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Make a work folder and keep other runs out of it.

    Raises:
        TrainingError: another run is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrainingError(
            f"Another run is training the same {name} in {folder}. Wait for it or stop it."
        ) from error
    try:
        yield
    finally:
        lock.release()


def work_folders(work_folder: Path) -> list[Path]:
    """The folders of all trainings: running, interrupted or finished and not cleared yet."""
    folders = sorted(lock.parent for lock in work_folder.glob(f"*/{LOCK_FILE}"))
    return [folder for folder in folders if not folder.is_symlink()]


def is_running(folder: Path) -> bool:
    """Whether a run is in a training's folder."""
    try:
        with FileLock(folder / LOCK_FILE, timeout=0):
            return False
    except Timeout:
        return True


def remove_training(folder: Path) -> None:
    """Remove a training's folder; what is left of it, if this is interrupted, is not finished.

    Raises:
        TrainingError: a run is in it.
    """
    with locked(folder, folder.name):
        for name in (WEIGHTS_FILE, FINISHED_FILE):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def clear_finished(work_folder: Path) -> None:
    """Remove the folders of trainings that have ended and whose results are saved elsewhere."""
    for folder in work_folders(work_folder):
        if not any((folder / name).exists() for name in (WEIGHTS_FILE, FINISHED_FILE)):
            logger.info(
                "%s holds an unfinished training: its command goes on, or remove it with kedro "
                "prune --keep=K --interrupted",
                folder,
            )
            continue
        try:
            remove_training(folder)
        except (OSError, TrainingError) as error:
            logger.info("%s stays: %s", folder, error)


def _result(folder: Path) -> Trained:
    history = json.loads((folder / HISTORY_FILE).read_text(encoding="utf-8"))
    return Trained(load_file(folder / WEIGHTS_FILE), pd.DataFrame(history))


def torchrun_command(folder: Path, num_processes: int, meeting: Meeting | None) -> list[str]:
    """The command that starts a job's workers on this machine."""
    if meeting is None:
        where = ["--standalone"]
    else:
        where = [
            f"--nnodes={meeting.num_nodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={meeting.rendezvous}",
            f"--rdzv-id={meeting.run_id}",
            f"--rdzv-conf=is_host=0,join_timeout={JOIN_TIMEOUT}",  # the leader's process hosts it
            f"--local-addr={meeting.address}",  # the machine's name may mean nothing to others
        ]
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *where,
        f"--nproc-per-node={num_processes}",
        "-m",
        "simulgen_pipeline.training.worker",
        str(folder),
        str(os.getpid()),
        LEADER if meeting is None or meeting.leads else MEMBER,
    ]


def run_torchrun(folder: Path, num_processes: int, meeting: Meeting | None = None) -> None:
    """Run a job's workers on this machine to their end.

    Raises:
        TrainingError: a process failed, or another machine did.
    """
    environment = thread_environment(num_processes)
    if meeting is not None:
        environment |= network_environment(meeting.address)
    tail: deque[str] = deque(maxlen=NUM_TAIL_LINES)
    reports: deque[str] = deque(["none"], maxlen=1)
    with subprocess.Popen(
        torchrun_command(folder, num_processes, meeting),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment | os.environ,
    ) as process:
        try:
            with _sigterm_as_exit(), _watched(process, meeting):
                assert process.stdout is not None
                for line in process.stdout:
                    _relay(line.rstrip("\n"), tail, reports)
                code = process.wait()
        except BaseException:
            _stop(process)
            raise
    if code != 0:
        raise TrainingError(_explain(folder, code, tail, reports[-1]))


@contextmanager
def _watched(process: subprocess.Popen[str], meeting: Meeting | None) -> Iterator[None]:
    """Stop torchrun when the other machines cannot go on, and raise what they said."""
    if meeting is None:
        yield
        return
    ended, troubles = threading.Event(), list[TrainingError]()

    def watch() -> None:
        while not ended.wait(WATCH_INTERVAL):
            try:
                meeting.check()
            except TrainingError as error:
                troubles.append(error)
                _stop(process)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(2 * GRACE)  # it may wait for a machine that is off
    if troubles and process.returncode != 0:
        raise troubles[0]


def _relay(line: str, tail: deque[str], reports: deque[str]) -> None:
    """Log a worker's line at its own level; keep it, and anything else, for an error."""
    mark, _, rest = line.partition("|")
    if mark == LOG_MARK:
        level, _, message = rest.partition("|")
        reports.append(message)
        logger.log(logging.getLevelNamesMapping().get(level, logging.INFO), "%s", message)
    elif line:
        tail.append(line)
        logger.debug("%s", line)


def _explain(folder: Path, code: int, tail: deque[str], report: str) -> str:
    """What went wrong, from the process that failed first.

    Args:
        code: torchrun's exit code.
        tail: its last output.
        report: the last that the training logged, which names its epoch.
    """
    errors = sorted(folder.glob(ERROR_FILE.format(rank="*")), key=lambda p: p.stat().st_mtime)
    told = [(path.stem.rpartition("-")[2], path.read_text(encoding="utf-8")) for path in errors]
    # Who misses another process is not who failed first.
    told.sort(key=lambda error: MISSES_ANOTHER.search(error[1]) is not None)
    output = "\n".join(tail)
    killed = KILLED.search(output)
    if killed is not None and (not told or MISSES_ANOTHER.search(told[0][1])):
        return (
            f"Training process {killed[1]} was killed from outside, most likely by the operating "
            f"system for want of memory. Its last report: {report}. {MEMORY_REMEDY}"
        )
    if told:
        return f"Training failed on process {told[0][0]}: {told[0][1]}"
    return (
        f"A training process ended without a word (torchrun's exit code {code}). The same command "
        f"goes on from the last checkpoint. Its last report: {report}. Its last output:\n{output}"
    )


def _stop(process: subprocess.Popen[str]) -> None:
    """End torchrun, which ends its workers."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind the stack like Ctrl-C does, so that the processes are stopped too."""

    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's; workers still watch this process
        return
    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
