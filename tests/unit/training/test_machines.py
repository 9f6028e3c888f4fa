"""Who leads, who joins, and what they tell each other."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from simulgen_pipeline.training import join, machines
from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.job import JOB_FILE
from simulgen_pipeline.training.join import Member
from simulgen_pipeline.training.machines import Call, Leader, Meeting


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (machines, join):
        monkeypatch.setattr(module, "INTERVAL", 0.02)
    monkeypatch.setattr(machines, "ANSWER_TIMEOUT", 0.5)
    monkeypatch.setattr(machines, "MEETING_TIMEOUT", 5.0)


@pytest.fixture
def rendezvous() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def leader(rendezvous: str) -> Leader:
    return Leader(rendezvous)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / JOB_FILE).write_text("{}")
    return tmp_path


@pytest.fixture
def others() -> Any:
    """Machines that do their part at the same time as the test."""
    with ThreadPoolExecutor() as pool:
        yield pool


def take_part(member: Member, work: Callable[[Meeting], None]) -> int:
    """Follow calls until the run has ended; their number."""
    num_calls = 0
    while (call := member.next_call()) is not None:
        with member.answer(call) as meeting:
            work(meeting)
        num_calls += 1
    return num_calls


def work_until_stopped(meeting: Meeting) -> None:
    while True:
        meeting.check()


def fail(meeting: Meeting) -> None:
    raise TrainingError("out of memory")


def test_members_follow_every_call_until_the_run_has_ended(
    leader: Leader, rendezvous: str, folder: Path, others: ThreadPoolExecutor
) -> None:
    seen: list[Meeting] = []
    ends = [others.submit(take_part, Member(rendezvous, 5), seen.append) for _ in range(2)]
    for number in (1, 2):
        with leader.call(folder, 3, "auto") as meeting:
            assert meeting.leads
            assert (meeting.num_nodes, meeting.address) == (3, "127.0.0.1")
            assert meeting.run_id == f"{folder.name}-{number}"
        assert [m.run_id for m in seen[-2:]] == [meeting.run_id] * 2
    assert not any(m.leads for m in seen)
    leader.dismiss()
    assert [end.result(5) for end in ends] == [2, 2]


def test_a_member_that_fails_is_named_with_its_reason(
    leader: Leader, rendezvous: str, folder: Path, others: ThreadPoolExecutor
) -> None:
    end = others.submit(take_part, Member(rendezvous, 5), fail)
    with (
        pytest.raises(TrainingError, match=rf"^On {socket.gethostname()} .*: out of memory"),
        leader.call(folder, 2, 1) as meeting,
    ):
        work_until_stopped(meeting)
    assert_failed(end, "out of memory")


def test_members_stop_when_the_leader_fails(
    leader: Leader, rendezvous: str, folder: Path, others: ThreadPoolExecutor
) -> None:
    end = others.submit(take_part, Member(rendezvous, 5), work_until_stopped)
    with pytest.raises(TrainingError, match=r"^not finite"), leader.call(folder, 2, 1):
        raise TrainingError("not finite")
    assert_failed(end, "has failed")


def test_a_member_whose_processes_miss_those_of_a_killed_run_blames_the_run(
    rendezvous: str, folder: Path
) -> None:
    host, port = rendezvous.split(":")
    stores = [TCPStore(host, int(port), None, True, wait_for_workers=False)]
    member = Member(rendezvous, 5)
    call = Call(number=1, folder=folder, num_processes=1, members=(member.number,))
    stores[0].set("call-1", call.model_dump_json())
    assert member.next_call() == call

    def miss_another(meeting: Meeting) -> None:
        stores.clear()  # the run is killed, and its store goes with it
        raise TrainingError("Connection closed by peer")

    with (
        pytest.raises(TrainingError, match=r"gone without a word.*seen here: Connection closed"),
        member.answer(call) as meeting,
    ):
        miss_another(meeting)


def test_a_silent_member_is_taken_for_dead(
    leader: Leader, rendezvous: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "LOST_AFTER", 0.3)
    Member(rendezvous, 5)
    with (
        pytest.raises(TrainingError, match=rf"{socket.gethostname()} .* is gone.*No sign of life"),
        leader.call(folder, 2, 1) as meeting,
    ):
        work_until_stopped(meeting)
    monkeypatch.setattr(machines, "MEETING_TIMEOUT", 0.0)  # nor is it called again
    with pytest.raises(TrainingError, match="came: none"), leader.call(folder, 2, 1):
        pass


def test_a_folder_that_a_member_does_not_see_is_reported(
    leader: Leader, rendezvous: str, tmp_path: Path, others: ThreadPoolExecutor
) -> None:
    end = others.submit(take_part, Member(rendezvous, 5), work_until_stopped)
    with (
        pytest.raises(TrainingError, match="file system that all machines see at the same path"),
        leader.call(tmp_path, 2, 1) as meeting,
    ):
        work_until_stopped(meeting)
    assert_failed(end, "at the same path")


def test_a_machine_too_many_waits(
    leader: Leader, rendezvous: str, folder: Path, others: ThreadPoolExecutor
) -> None:
    members = [Member(rendezvous, 5) for _ in range(2)]
    ends = [others.submit(take_part, member, lambda meeting: None) for member in members]
    with leader.call(folder, 2, 1) as meeting:
        assert meeting.num_nodes == 2
    leader.dismiss()
    assert [end.result(5) for end in ends] == [1, 0]


def test_too_few_machines_are_told_apart_from_none(
    leader: Leader, rendezvous: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Member(rendezvous, 5)
    monkeypatch.setattr(machines, "MEETING_TIMEOUT", 0.1)
    with (
        pytest.raises(
            TrainingError,
            match=rf"2 other machine.*came: {socket.gethostname()} .*--rendezvous={rendezvous}",
        ),
        leader.call(folder, 3, 1),
    ):
        pass


def test_a_run_that_is_not_there_is_missed(rendezvous: str) -> None:
    with pytest.raises(TrainingError, match=f"No run with rendezvous={rendezvous}.*firewall"):
        Member(rendezvous, 0.1)


def test_a_port_that_is_taken_is_reported(leader: Leader, rendezvous: str) -> None:
    with pytest.raises(TrainingError, match=f"rendezvous={rendezvous} is an address of this"):
        Leader(rendezvous)


def assert_failed(end: Future[int], reason: str) -> None:
    with pytest.raises(TrainingError, match=reason):
        end.result(5)
