"""What a training shows while it runs."""

import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simulgen_pipeline.training.picture import View
from simulgen_pipeline.training.progress import Progress

VIEW = View(torch.ones(3), torch.zeros(3))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows [s], to be set."""
    shown = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: shown[0])
    return shown


def test_a_picture_is_shown_under_its_stage_and_epoch(tmp_path: Path) -> None:
    progress = Progress(tmp_path, VIEW)
    progress.begin("end to end", first_epoch=10)
    assert progress.draws
    progress.show(torch.rand(4, 3), torch.rand(4, 3), 2)
    progress.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (image,) = events.Images("reconstruction/end_to_end")
    assert image.step == 12
    assert image.encoded_image_string.startswith(b"\x89PNG")


def test_a_training_that_goes_on_shows_its_curves_from_the_start(tmp_path: Path) -> None:
    rows = [{"epoch": i, "loss": 1.0 / i, "samples_per_second": 9.0} for i in (1.0, 2.0, 3.0)]
    progress = Progress(tmp_path)
    progress.begin("vae encoder", first_epoch=10)
    progress.resumed(rows[:2])
    progress.report(rows[2], num_epochs=4)
    progress.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    assert shown == [(11, 1.0), (12, 0.5), (13, pytest.approx(1 / 3))]


def test_an_epoch_is_told_with_losses_speed_memory_and_the_time_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, now: list[float]
) -> None:
    progress = Progress(tmp_path)
    progress.begin("vae", first_epoch=0)
    now[0] += 30
    row = {"epoch": 3, "loss": 0.5, "validation_reconstruction_error": 0.25}
    with caplog.at_level("INFO"):
        progress.report(row | {"validation_score": 0.25, "samples_per_second": 41.6}, 10)
    progress.close()
    told = r"vae: epoch 3/10, loss 0\.5000, validation reconstruction error 0\.2500, 42 designs/s, "
    assert re.fullmatch(rf"{told}\d+\.\d GiB( on the GPU)?, 1:10 left", caplog.messages[-1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="tells of the GPU's memory")
def test_the_memory_that_is_told_is_that_of_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = SimpleNamespace(rss=5.25 * 2**30)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: used)
    progress = Progress(tmp_path)
    progress.begin("vae", 0)
    with caplog.at_level("INFO"):
        progress.report({"epoch": 1, "loss": 0.5, "samples_per_second": 9.0}, num_epochs=1)
    progress.close()
    assert ", 5.2 GiB, " in caplog.text


def test_a_long_epoch_is_told_while_it_lasts_and_has_no_curves_yet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, now: list[float]
) -> None:
    caplog.set_level("INFO")
    progress = Progress(tmp_path)
    progress.begin("vae", first_epoch=0)
    progress.resumed([{"epoch": 1, "loss": 1.0}], batch=50, num_batches=200)
    assert caplog.messages[-1] == "vae: resumed from the checkpoint after batch 50 of epoch 2"
    row = {"epoch": 2, "loss": 0.5, "samples_per_second": 41.6}
    now[0] += 4  # too short to tell how long it takes: much of it was spent on starting
    progress.report(row, 4, (100, 200))
    assert len(caplog.messages) == 1
    now[0] += 6  # 10 seconds for half an epoch, and 2.25 are left
    progress.report(row, 4, (150, 200))
    progress.close()
    assert re.fullmatch(
        r"vae: epoch 2/4, batch 150/200, loss 0\.5000, 42 designs/s, .*, 0:45 left",
        caplog.messages[-1],
    )
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1]


def test_the_first_line_waits_until_it_can_tell_how_long_it_takes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, now: list[float]
) -> None:
    caplog.set_level("INFO")
    progress = Progress(tmp_path)
    progress.begin("vae", first_epoch=0)
    for epoch, seconds in ((1, 2.0), (2, 4.0), (3, 5.0), (4, 8.0), (10, 9.0)):
        now[0] = 100.0 + seconds
        progress.report({"epoch": epoch, "loss": 0.5, "samples_per_second": 9.0}, 10)
    progress.close()
    assert [re.findall(r"epoch (\d+)/", line)[0] for line in caplog.messages] == ["3", "10"]


@pytest.mark.parametrize(("has_folder", "view"), [(False, VIEW), (True, None)])
def test_only_the_process_that_reports_draws(
    tmp_path: Path, has_folder: bool, view: View | None
) -> None:
    assert not Progress(tmp_path if has_folder else None, view).draws


def test_why_networks_are_not_compiled_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Progress(None).not_compiled(RuntimeError("not the main process"))
    progress = Progress(tmp_path)
    for name in ("vae decoder", "vae encoder"):
        progress.begin(name, 0)
        progress.not_compiled(RuntimeError("no C++\ncompiler"))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "vae decoder: torch.compile failed, going on without it (no C++ compiler)"
    )


def test_a_worker_starts_without_matplotlib() -> None:
    code = "import sys, simulgen_pipeline.training.worker; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
