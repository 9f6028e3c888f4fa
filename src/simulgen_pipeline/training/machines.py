"""Machines that train together: where they meet, what they are called to, who is still there.

The machine that a run was started on leads. Its process holds a store of keys and values at the
rendezvous for as long as it lives; the others are members, each with a number. Torchrun's agents
meet in the same store (c10d).

    members           how many have registered
    member-M          a member's name and address
    beats-M           grows as long as member M lives
    call-N            the N-th training, and which members it calls
    end-N-M           how it ended for a member: nothing, or what went wrong
    failed-N          it failed, and members stop it
    over              the run has ended
    left-M            the member has read that
"""

from __future__ import annotations

import atexit
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

from .errors import TrainingError
from .rendezvous import address_towards, split_rendezvous

logger = logging.getLogger(__name__)

# Seconds that the leader waits for members at a training's start.
MEETING_TIMEOUT = 600.0
# Seconds without a sign of life after which a member is taken for dead.
LOST_AFTER = 60.0
# Seconds between two looks into the store, at each of which a member gives a sign of life.
INTERVAL = 1.0
# Seconds in which members that live give a sign of life for sure, or end what they do.
ANSWER_TIMEOUT = 10.0
# Seconds for a connection, and for an answer of the store.
STORE_TIMEOUT = timedelta(seconds=60)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(_Message):
    """A member, by its name and the address that the leader reaches it by."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


class Call(_Message):
    """What members are called to: the job in a folder, with processes on each machine."""

    number: int
    folder: Path
    num_processes: Literal["auto"] | int
    members: tuple[int, ...]

    @property
    def run_id(self) -> str:
        """Torchrun's name for this attempt at the job."""
        return f"{self.folder.name}-{self.number}"

    def end(self, member: int) -> str:
        """The key of how it ended for a member."""
        return f"end-{self.number}-{member}"


@dataclass(frozen=True)
class Meeting:
    """What torchrun needs to know of a training on several machines.

    Attributes:
        rendezvous: HOST:PORT of the store.
        run_id: of this attempt at the job.
        num_nodes: machines, the leader included.
        address: this machine's, on the way to the others.
        leads: whether this machine speaks and writes for all.
        check: raises a TrainingError if the others cannot go on.
    """

    rendezvous: str
    run_id: str
    num_nodes: int
    address: str
    leads: bool
    check: Callable[[], None]


@cache
def lead(rendezvous: str) -> Leader:
    """Lead the machines that join this process at HOST:PORT, until it ends.

    Raises:
        TrainingError: the address is not this machine's, or the port is taken.
    """
    leader = Leader(rendezvous)
    atexit.register(leader.dismiss)
    return leader


class Leader:
    """Calls members to trainings."""

    def __init__(self, rendezvous: str) -> None:
        self.rendezvous = rendezvous
        host, port = split_rendezvous(rendezvous)
        try:
            self._store = TCPStore(host, port, None, True, STORE_TIMEOUT, wait_for_workers=False)
        except DistError as error:
            raise TrainingError(
                f"Expected that rendezvous={rendezvous} is an address of this machine "
                f"({socket.gethostname()}) and a free port of it: kedro run is for that machine, "
                f"kedro join for the others. {error}"
            ) from error
        self._port, self._num_calls = port, 0
        self._beats: dict[int, tuple[int, float]] = {}  # the last seen, and when it was new

    @contextmanager
    def call(
        self, folder: Path, num_nodes: int, num_processes: Literal["auto"] | int
    ) -> Iterator[Meeting]:
        """Wait for members and call them to the job in a folder, which runs in this context.

        Raises:
            TrainingError: too few came, or one of them failed or is gone.
        """
        members = self._gather(num_nodes - 1)
        machines = {member: self._machine(member) for member in members}
        self._num_calls += 1
        call = Call(
            number=self._num_calls,
            folder=folder.resolve(),
            num_processes=num_processes,
            members=members,
        )
        logger.info("Training together with %s", ", ".join(map(str, machines.values())))
        self._store.set(f"call-{call.number}", call.model_dump_json())
        meeting = Meeting(
            self.rendezvous,
            call.run_id,
            num_nodes,
            address_towards(machines[members[0]].address, self._port),
            leads=True,
            check=lambda: self._check(call, machines),
        )
        try:
            yield meeting
        except BaseException as error:
            self._store.set(f"failed-{call.number}", "")
            if isinstance(error, TrainingError):
                self._name_the_lost(call, machines, error)
            raise
        wait_until(lambda: all(self._has_ended(call, member) for member in members), ANSWER_TIMEOUT)

    def dismiss(self) -> None:
        """Tell the members that the run has ended."""
        with suppress(DistError):
            present = [m for m in self._members() if self._silence(m) < ANSWER_TIMEOUT]
            self._store.set("over", "")
            wait_until(
                lambda: all(self._store.check([f"left-{member}"]) for member in present),
                ANSWER_TIMEOUT,
            )

    def _gather(self, num_members: int) -> tuple[int, ...]:
        """The first members that are there, when there are enough."""

        def present() -> tuple[int, ...]:
            return tuple(m for m in self._members() if self._silence(m) < LOST_AFTER)[:num_members]

        if len(present()) < num_members:
            logger.info(
                "Waiting for %d other machine(s). On each: kedro join --rendezvous=%s",
                num_members,
                self.rendezvous,
            )
        wait_until(lambda: len(present()) >= num_members, MEETING_TIMEOUT)
        members = present()
        if len(members) < num_members:
            came = ", ".join(str(self._machine(m)) for m in members) or "none"
            raise TrainingError(
                f"Expected {num_members} other machine(s) within {MEETING_TIMEOUT:g} s, came: "
                f"{came}. Start `kedro join --rendezvous={self.rendezvous}` on each of the others "
                f"and see what it says; a firewall must let them reach this machine's port "
                f"{self._port}."
            )
        return members

    def _members(self) -> range:
        return range(1, self._store.add("members", 0) + 1)

    def _machine(self, member: int) -> Machine:
        return Machine.model_validate_json(self._store.get(f"member-{member}"))

    def _silence(self, member: int) -> float:
        """Seconds since a sign of life of a member was first seen."""
        beat, now = self._store.add(f"beats-{member}", 0), time.monotonic()
        if member not in self._beats or self._beats[member][0] != beat:
            self._beats[member] = (beat, now)
        return now - self._beats[member][1]

    def _has_ended(self, call: Call, member: int) -> bool:
        return self._store.check([call.end(member)])

    def _check(self, call: Call, machines: dict[int, Machine]) -> None:
        for member, machine in machines.items():
            if self._has_ended(call, member):
                problem = self._store.get(call.end(member)).decode()
                if problem:
                    raise TrainingError(f"On {machine}: {problem}")
            if self._silence(member) > LOST_AFTER:
                raise TrainingError(f"No sign of life of {machine} for {LOST_AFTER:g} s.")

    def _name_the_lost(
        self, call: Call, machines: dict[int, Machine], error: TrainingError
    ) -> None:
        """Blame a failure on the machines that are gone, if there are any."""
        start = time.monotonic()

        def lost() -> list[Machine]:
            silent = [m for m in machines if self._silence(m) > time.monotonic() - start]
            return [machines[m] for m in silent if not self._has_ended(call, m)]

        wait_until(lambda: not lost(), ANSWER_TIMEOUT)
        if names := ", ".join(map(str, lost())):
            raise TrainingError(
                f"Training failed because {names} is gone: `kedro join` has ended there, or the "
                f"machine or the network failed. Start it and this command again; they go on from "
                f"the last checkpoint. What was seen here: {error}"
            ) from error


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not (is_true := condition()) and time.monotonic() < end:
        time.sleep(INTERVAL / 4)
    return is_true
