"""What a machine does that joins a run on another one."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

from .device import choose_num_processes
from .errors import TrainingError
from .job import JOB_FILE
from .launch import run_torchrun
from .machines import (
    INTERVAL,
    STORE_TIMEOUT,
    Call,
    Machine,
    Meeting,
    wait_until,
)
from .rendezvous import address_towards, is_open, split_rendezvous

logger = logging.getLogger(__name__)


def join(rendezvous: str, patience: float) -> None:
    """Take part in the trainings of the run at HOST:PORT until that has ended.

    Args:
        rendezvous: HOST:PORT that the run was given.
        patience: how long to wait for the run [s].

    Raises:
        ValueError: the rendezvous is not HOST:PORT.
        TrainingError: there is no run, it is gone without a word, or a training failed.
    """
    member = Member(rendezvous, patience)
    logger.info("Joined the run at %s", rendezvous)
    while (call := member.next_call()) is not None:
        logger.info("Training in %s; the run at %s says how it goes", call.folder, rendezvous)
        with member.answer(call) as meeting:
            run_torchrun(call.folder, choose_num_processes(call.num_processes), meeting)
    logger.info("The run at %s has ended", rendezvous)


class Member:
    """Follows the calls of a run on another machine.

    Raises:
        TrainingError: no run is there within `patience` seconds.
    """

    def __init__(self, rendezvous: str, patience: float) -> None:
        self.rendezvous = rendezvous
        host, port = split_rendezvous(rendezvous)
        logger.info("Waiting for a run at %s", rendezvous)
        if not wait_until(lambda: is_open(host, port), patience):
            raise TrainingError(
                f"No run with rendezvous={rendezvous} within {patience / 60:g} min. Start "
                f"`kedro run --params=training.num_nodes=...,training.rendezvous={rendezvous}` on "
                f"{host}; a firewall must let this machine reach its port {port}. A run opens it "
                f"when its first training begins: if the data take longer to prepare, wait longer "
                f"with --patience."
            )
        self._address, self._num_calls = address_towards(host, port), 0
        with _in_touch(rendezvous):
            self._store = TCPStore(host, port, None, False, STORE_TIMEOUT)
            self.number = self._store.add("members", 1)
            machine = Machine(name=socket.gethostname(), address=self._address)
            self._store.set(f"member-{self.number}", machine.model_dump_json())

    def next_call(self) -> Call | None:
        """The next training that this machine is called to, or None when the run has ended.

        Raises:
            TrainingError: the run is gone without a word.
        """
        while True:
            with _in_touch(self.rendezvous):
                self._store.add(f"beats-{self.number}", 1)
                if self._store.check([f"call-{self._num_calls + 1}"]):
                    self._num_calls += 1
                    text = self._store.get(f"call-{self._num_calls}")
                    call = Call.model_validate_json(text)
                    if self.number in call.members:
                        return call
                    logger.warning("The run has enough machines and does without this one so far")
                elif self._store.check(["over"]):
                    self._store.set(f"left-{self.number}", "")
                    return None
            time.sleep(INTERVAL)

    @contextmanager
    def answer(self, call: Call) -> Iterator[Meeting]:
        """Take part in a training, which runs in this context, and report how it ends.

        Raises:
            TrainingError: its folder is not seen from this machine, or the run is gone without a
                word.
        """
        problem = ""
        try:
            if not (call.folder / JOB_FILE).exists():
                raise TrainingError(
                    f"Expected the training's files in {call.folder} on {socket.gethostname()} "
                    f"too, found none: the project must be on a file system that all machines see "
                    f"at the same path."
                )
            yield Meeting(
                self.rendezvous,
                call.run_id,
                len(call.members) + 1,
                self._address,
                leads=False,
                check=lambda: self._check(call),
            )
        except TrainingError as error:
            problem = str(error)
            # Processes that miss the leader's may fail before its silence is noticed.
            with _in_touch(self.rendezvous, f" What was seen here: {error}"):
                self._store.add(f"beats-{self.number}", 1)
            raise
        except BaseException as error:
            problem = f"stopped: {error!r}"
            raise
        finally:
            with suppress(DistError):
                self._store.set(call.end(self.number), problem)

    def _check(self, call: Call) -> None:
        with _in_touch(self.rendezvous):
            self._store.add(f"beats-{self.number}", 1)
            failed = self._store.check([f"failed-{call.number}"])
        if failed:
            raise TrainingError(f"The run at {self.rendezvous} has failed, and says why there.")


@contextmanager
def _in_touch(rendezvous: str, seen: str = "") -> Iterator[None]:
    """Say in plain words that the store does not answer, and what else was seen."""
    try:
        yield
    except DistError as error:
        raise TrainingError(
            f"The run at {rendezvous} has gone without a word: it was killed, or the network "
            f"failed. Start it again, and `kedro join` here; it goes on from the last checkpoint."
            f"{seen}"
        ) from error
