"""What a training shows while it runs."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simulgen_pipeline.training.picture import View
from simulgen_pipeline.training.progress import Progress

VIEW = View(torch.ones(3), torch.zeros(3))


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
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(tmp_path)
    progress.begin("vae", first_epoch=0)
    now[0] += 30
    row = {"epoch": 3, "loss": 0.5, "validation_reconstruction_error": 0.25}
    with caplog.at_level("INFO"):
        progress.report(row | {"validation_score": 0.25, "samples_per_second": 41.6}, 10)
    progress.close()
    told = r"vae: epoch 3/10, loss 0\.5000, validation reconstruction error 0\.2500, 42 designs/s, "
    assert re.fullmatch(rf"{told}\d+\.\d GiB( on the GPU)?, 1:10 left", caplog.messages[-1])


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
