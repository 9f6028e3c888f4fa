"""What is made of training processes that failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from simulgen_pipeline.training.errors import MEMORY_REMEDY, TIMEOUT_REMEDY
from simulgen_pipeline.training.failures import NUM_SHOWN_LINES, explain_failure, last_report
from simulgen_pipeline.training.worker import ERROR_FILE

REPORT = "vae decoder: epoch 7/40, loss 0.7577"
LOST = "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:50342"
# What torchrun says when process 1 is killed, and it ends process 0.
KILLED = """
Failures:
[1]:
  time      : 2026-11-23_06:02:06
  host      : localhost
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 12239)  (SIGTERM)
  error_file: <N/A>
  traceback : Signal 15 (SIGTERM) received by PID 12239
-------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-23_06:02:06
  host      : localhost
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 12240)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 12240
"""


# What NCCL's watchdog says before it aborts process 0, and torchrun's summary when process 1, which
# hung, did not end when it was told to.
WATCHDOG = "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)"
ABORTED = """
Failures:
[1]:
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 12240)  (SIGKILL)
  traceback : Signal 9 (SIGKILL) received by PID 12240
-------------------------------------------------------
Root Cause (first observed failure):
[0]:
  rank      : 0 (local_rank: 0)
  exitcode  : -6 (pid: 12239)  (SIGABRT)
  traceback : Signal 6 (SIGABRT) received by PID 12239
"""


def explained(
    folder: Path, output: str, *errors: tuple[int, str], report: str | None = REPORT
) -> str:
    """What is said of torchrun's output and of errors by process, the earliest first."""
    for seconds, (rank, text) in enumerate(errors):
        path = folder / ERROR_FILE.format(rank=rank)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (seconds, seconds))
    return explain_failure(folder, 1, output, last_report([report] if report else []))


def test_the_error_of_the_process_that_failed_first_is_told(tmp_path: Path) -> None:
    told = explained(tmp_path, "", (2, "first"), (0, "second"))
    assert told == "Training failed on process 2: first"


@pytest.mark.parametrize("errors", [[], [(0, LOST)]], ids=["no word", "another misses it"])
def test_a_killed_process_is_named_with_its_last_report_and_a_remedy(
    tmp_path: Path, errors: list[tuple[int, str]]
) -> None:
    told = explained(tmp_path, KILLED, *errors)
    assert told.startswith("Training process 1 was killed from outside")
    assert REPORT in told
    assert MEMORY_REMEDY in told


def test_a_process_that_misses_another_does_not_hide_its_error(tmp_path: Path) -> None:
    told = explained(tmp_path, "", (0, LOST), (1, "diverged"))
    assert told == "Training failed on process 1: diverged"


def test_an_error_comes_before_the_kill_that_ends_the_other_processes(tmp_path: Path) -> None:
    assert "process 0: diverged" in explained(tmp_path, KILLED, (0, "diverged"))


def test_an_end_without_a_word_is_told_with_the_last_output(tmp_path: Path) -> None:
    told = explained(tmp_path, "Segmentation fault")
    assert "torchrun's exit code 1" in told
    assert REPORT in told
    assert told.endswith("Segmentation fault")


@pytest.mark.parametrize("output", [KILLED, "Segmentation fault"])
def test_a_machine_that_only_joined_has_no_report_to_tell(tmp_path: Path, output: str) -> None:
    told = explained(tmp_path, output, report=None)
    assert "report" not in told
    assert ".  " not in told


def test_a_process_that_is_given_up_does_not_hide_who_waited_for_it(tmp_path: Path) -> None:
    waited = "No answer from process 1 within training.timeout."
    told = explained(tmp_path, KILLED, (2, LOST), (0, waited))
    assert told == f"Training failed on process 0: {waited}"


@pytest.mark.parametrize(
    "errors", [[], [(2, "NCCL error: remote process exited")]], ids=["no word", "another misses it"]
)
def test_an_abort_by_the_watchdog_of_nccl_is_told_with_a_remedy(
    tmp_path: Path, errors: list[tuple[int, str]]
) -> None:
    frames = [f"frame #{i}: clone" for i in range(100)]
    told = explained(tmp_path, "\n".join([WATCHDOG, *frames]) + ABORTED, *errors)
    assert told.startswith("A training process waited in vain for another one")
    assert TIMEOUT_REMEDY in told
    assert REPORT in told
    assert "killed" not in told.partition("Its last output")[0]
    assert told.endswith("received by PID 12239")
    assert told.count("\n") == NUM_SHOWN_LINES


def test_a_kill_by_torchrun_is_not_taken_for_want_of_memory(tmp_path: Path) -> None:
    told = explained(tmp_path, ABORTED)
    assert told.startswith("A training process ended without a word")
    assert MEMORY_REMEDY not in told
