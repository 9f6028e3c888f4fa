"""Starts training processes with torchrun and brings back what they trained."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pandas as pd
import psutil
import torch
from safetensors import SafetensorError
from torch import Tensor

from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.data.whole_files import UNFINISHED

from .checkpoints import DAMAGED, read_sealed
from .device import (
    choose_device,
    choose_num_processes,
    memory_environment,
    network_environment,
    thread_environment,
)
from .errors import TIMEOUT_REMEDY, TrainingError, explain
from .failures import explain_failure, last_report
from .heartbeat import HEARTBEAT_FILE, START_ALLOWANCE, Listener
from .job import TRAINED_FILE, Arrays, Job, job_key, write_job
from .machines import Meeting, lead
from .work_folders import is_finished, locked, work_folders
from .worker import ERROR_FILE, LEADER, LOG_MARK, MEMBER

logger = logging.getLogger(__name__)

# Seconds that processes get to end by themselves before they are killed.
GRACE = 10.0
# Seconds in which torchrun's agents, which all start at about the same time, find each other.
JOIN_TIMEOUT = 300
# Seconds between two looks at the other machines.
WATCH_INTERVAL = 1.0
# Lines of unmarked output kept for an error: stack traces of every process, and torchrun's summary.
NUM_TAIL_LINES = 2000


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
    key = job_key(job, arrays, open_fields(job.fields), num_processes, _num_threads(num_processes))
    folder = work_folder / f"{job.name}-{key}"
    if not folder.exists():
        _tell_of_unfinished(work_folder, job.name)
    with locked(folder, job.name):
        trained = _finished(folder, job.name)
        if trained is None:
            for pattern in (ERROR_FILE.format(rank="*"), f"*{UNFINISHED}", HEARTBEAT_FILE):
                for old in folder.glob(pattern):
                    old.unlink()
            _write(folder, job, arrays)
            if leader is None:
                run_torchrun(folder, num_processes, timeout=engine.timeout)
            else:
                with leader.call(folder, engine.num_nodes, engine.num_processes) as meeting:
                    run_torchrun(folder, num_processes, meeting, engine.timeout)
            trained = _result(folder)
        return trained


def _num_threads(num_processes: int) -> str | None:
    """Of a process, where they decide in which order numbers are added."""
    if choose_device(0).type == "cuda":
        return None
    return (thread_environment(num_processes) | os.environ)["OMP_NUM_THREADS"]


def _finished(folder: Path, name: str) -> Trained | None:
    """What was trained to the end here before, if it is whole."""
    path = folder / TRAINED_FILE
    if not path.exists():
        return None
    try:
        trained = _result(folder)
    except DAMAGED as error:
        logger.warning("%s is damaged (%s); its last checkpoint is used", path, error)
        path.unlink()
        return None
    logger.info("%s: taken from %s, where it was trained to the end", name, folder)
    return trained


def _tell_of_unfinished(work_folder: Path, name: str) -> None:
    """Warn of an interrupted training that a new one of the same kind does not go on with."""
    for folder in work_folders(work_folder):
        if folder.name.startswith(f"{name}-") and not is_finished(folder):
            logger.warning(
                "%s: starts anew. %s holds an unfinished one, of other data, values, code, number "
                "of processes or threads, or another kind of machine; its own command goes on with "
                "it, kedro prune --keep=K --interrupted removes it.",
                name,
                folder,
            )


def _write(folder: Path, job: Job, arrays: Arrays) -> None:
    try:
        write_job(folder, job, arrays)
    except (OSError, SafetensorError) as error:
        raise TrainingError(explain(error)) from error


def _result(folder: Path) -> Trained:
    content = read_sealed(folder / TRAINED_FILE, torch.device("cpu"))
    return Trained(content["weights"], pd.DataFrame(content["history"]))


def torchrun_command(folder: Path, num_processes: int, meeting: Meeting | None) -> list[str]:
    """The command that starts a job's workers on this machine."""
    if meeting is None:
        where = ["--standalone", "--local-addr=127.0.0.1"]  # the machine's name may be unknown
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
        "simulgen_pipeline.training.torchrun",
        *where,
        f"--nproc-per-node={num_processes}",
        "-m",
        "simulgen_pipeline.training.worker",
        str(folder),
        str(os.getpid()),
        LEADER if meeting is None or meeting.leads else MEMBER,
    ]


def run_torchrun(
    folder: Path,
    num_processes: int,
    meeting: Meeting | None = None,
    timeout: float = float("inf"),
) -> None:
    """Run a job's workers on this machine to their end.

    Args:
        timeout: seconds that a process which trains alone may take for a batch. Several wait for
            each other, and are given as much again to say which of them does not answer.

    Raises:
        TrainingError: a process failed or hangs, or another machine failed.
    """
    patience = timeout if num_processes == 1 and meeting is None else 2 * timeout
    environment = thread_environment(num_processes) | memory_environment()
    if meeting is not None:
        environment |= network_environment(meeting.address)
    tail: deque[str] = deque(maxlen=NUM_TAIL_LINES)
    reports: deque[str] = deque(maxlen=1)
    with subprocess.Popen(
        torchrun_command(folder, num_processes, meeting),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment | os.environ,
    ) as process:
        try:
            watch = _watched(process, folder, meeting, patience, reports)
            with _signals_as_exits() as exits, watch:
                assert process.stdout is not None
                for line in process.stdout:
                    _relay(line.rstrip("\n"), tail, reports)
                code = process.wait()
                if exits:
                    raise exits[0]
        except BaseException as error:
            _stop(process)
            is_stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            if is_stopped and (meeting is None or meeting.leads):
                logger.warning(
                    "Stopped. The same command goes on from the last checkpoint, if any."
                )
            raise
    if code != 0:
        raise TrainingError(explain_failure(folder, code, "\n".join(tail), last_report(reports)))


@contextmanager
def _watched(
    process: subprocess.Popen[str],
    folder: Path,
    meeting: Meeting | None,
    patience: float,
    reports: Sequence[str],
) -> Iterator[None]:
    """Stop torchrun when it does not end after a failure, when training does not go on for longer
    than `patience` [s], or when other machines cannot go on.

    A process that hangs may not end when torchrun tells it to. What other machines said is raised.
    """
    ended, troubles = threading.Event(), list[TrainingError]()
    listener = Listener(folder / HEARTBEAT_FILE)

    def watch() -> None:
        while not ended.wait(WATCH_INTERVAL):
            try:
                if meeting is not None:
                    meeting.check()
                if listener.silence() > patience:
                    what = f"gone on for {patience:.0f} seconds"
                    if not listener.has_heard:
                        what = f"begun within {START_ALLOWANCE + patience:.0f} seconds"
                    raise TrainingError(
                        f"Training has not {what}.{last_report(reports)} {TIMEOUT_REMEDY}"
                    )
            except TrainingError as error:
                troubles.append(error)
                _stop(process)
                return
            if any(folder.glob(ERROR_FILE.format(rank="*"))):
                if not ended.wait(GRACE):
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


def _stop(process: subprocess.Popen[str]) -> None:
    """End torchrun, which ends its workers; kill what does not end."""
    try:
        workers = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        workers = []
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()


@contextmanager
def _signals_as_exits() -> Iterator[list[BaseException]]:
    """Let SIGTERM unwind the stack like Ctrl-C does, so that the processes are stopped too.

    What was raised is listed as well: raised where errors are ignored, such as when an object is
    finalised, it would be lost.
    """
    exits: list[BaseException] = []

    def leave(signum: int, frame: FrameType | None) -> None:
        exits.append(KeyboardInterrupt() if signum == signal.SIGINT else SystemExit(128 + signum))
        raise exits[-1]

    if threading.current_thread() is not threading.main_thread():
        yield exits  # signals are the main thread's; workers still watch this process
        return
    known = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    previous = {n: handler for n, handler in known.items() if handler is not signal.SIG_IGN}
    for number in previous:
        signal.signal(number, leave)
    try:
        yield exits
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
