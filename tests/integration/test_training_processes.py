"""Training in processes of its own: resumed, divided, failing, watched.

What does not depend on how processes are started runs in the test's own.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from simulgen_pipeline.training import data
from simulgen_pipeline.training.checkpoints import read_sealed
from simulgen_pipeline.training.errors import TrainingError

from .small_training import (
    assert_equal_within_rounding,
    equal_weights,
    is_alive,
    train,
    train_on,
    undisturbed,
    wait_for,
    workers_of,
)


@pytest.mark.usefixtures("in_this_process")
def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(prepared: Any) -> None:
    first, history = train(prepared, prepared.work / "a")
    second, _ = train(prepared, prepared.work / "b")
    other, _ = train(prepared, prepared.work / "c", seed=1)
    assert equal_weights(first, second)
    assert not equal_weights(first, other)
    assert len(history) == 6 + 3  # the decoder's epochs, then the encoder's
    assert history["epoch"].tolist() == list(range(1, 10))
    for column in ("reconstruction", "kl_main", "kl_level_1", "learning_rate", "gradient_norm"):
        assert np.isfinite(history[column].iloc[:6]).all()


def test_several_threads_give_the_same_bits_each_time(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    wide = {"filters": (256, 192, 128), "training": {"num_epochs": 3, "batch_size": 8}}
    first, _ = train(prepared, prepared.work / "a", wide)
    second, _ = train(prepared, prepared.work / "b", wide)
    assert equal_weights(first, second)


@pytest.mark.usefixtures("in_this_process")
def test_a_batch_in_pieces_gives_what_a_whole_one_gives(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixing = {"posterior": "field", "augmentation": {"mixup_probability": 0.5}}
    for config in ({}, mixing):
        whole = train_on(prepared, 1, config)
        with monkeypatch.context() as patched:
            patched.setattr(data, "PIECE_BYTES", 1)  # a design each
            in_pieces = train_on(
                SimpleNamespace(**{**vars(prepared), "work": prepared.work / "p"}), 1, config
            )
        assert_equal_within_rounding(in_pieces, whole)


def test_pieces_of_a_batch_are_reduced_once_over_processes(
    prepared: Any, disturbed: Callable[..., Any]
) -> None:
    expected = train_on(prepared, 2, {})
    small = "from simulgen_pipeline.training import data; data.PIECE_BYTES = 1"
    result = disturbed(small, before=0, num_processes=2, precision="float32")
    assert_equal_within_rounding(result, expected)


def test_any_number_of_processes_gives_what_one_gives(prepared: Any) -> None:
    """In shards of unequal size: of 5 designs, and of 2, where the third process has none."""
    assert len(prepared.split.validation) < 3  # nor any to validate on
    for batch_size, numbers in ((5, (2, 3)), (2, (3,))):
        short = {"training": {"num_epochs": 2, "batch_size": batch_size}, "encoder_epochs": 0.5}
        one = train_on(prepared, 1, short)
        for num_processes in numbers:
            assert_equal_within_rounding(train_on(prepared, num_processes, short), one)


MUON = """
import sys
import torch
from torch import nn
from simulgen_pipeline.training.optimizers import Muon
from simulgen_pipeline.training.worker import leave
from simulgen_pipeline.training.world import find_world, joined

world = find_world(leads=True)
torch.manual_seed(0)
shapes = ((6, 4), (5, 5), (6, 4), (6, 4), (6, 4), (5, 5), (6, 4))
with joined(world, timeout=60.0):
    matrices = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    muon = Muon(matrices, weight_decay=0.1, world=world)
    for group in muon.param_groups:
        group["lr"] = 0.02
    for _ in range(3):
        for matrix in matrices:
            matrix.grad = torch.randn_like(matrix)
        muon.step()
    torch.save([matrix.detach() for matrix in matrices], sys.argv[1] + "/%d.pt" % world.rank)
leave()  # as workers do
"""


def test_every_process_gets_all_of_muons_updates_in_their_places(tmp_path: Path) -> None:
    (tmp_path / "muon.py").write_text(MUON)
    results = []
    for size in (1, 3):
        folder = tmp_path / str(size)
        folder.mkdir()
        where = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={size}"]
        command = [sys.executable, "-m", "torch.distributed.run", *where, str(tmp_path / "muon.py")]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, str(folder)], env=environment, check=True, capture_output=True)
        results += [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]
    alone, *together = results
    for matrices in together:
        for matrix, first, expected in zip(matrices, together[0], alone, strict=True):
            assert torch.equal(matrix, first)
            torch.testing.assert_close(matrix, expected)


# A worker that looks at its losses after every step, and dies once a checkpoint is written.
RUN_AND_DIE = """
import os, signal, sys
from simulgen_pipeline.training import checkpoints, loop, worker

save, killed_after = checkpoints.Checkpoints.save, sys.argv.pop()
loop.STEPS_PER_LOOK = 1

def save_and_die(self, epoch, content, batch=0):
    save(self, epoch, content, batch)
    if killed_after == f"{self.stage} {epoch} {batch}":
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints.Checkpoints.save = save_and_die
worker.main()
"""


@pytest.mark.parametrize(
    ("killed_after", "place", "num_processes"),
    [
        ("stage-0 0 1", "batch 1 of epoch 1", 1),
        ("stage-0 3 0", "epoch 3", 1),
        ("stage-0 3 1", "batch 1 of epoch 4", 1),
        ("stage-0 3 1", "batch 1 of epoch 4", 2),
        ("stage-0 6 0", "epoch 6", 1),
        ("stage-1 1 0", "epoch 1", 1),
    ],
)
def test_a_training_killed_by_sigkill_goes_on_to_the_same_bits(
    prepared: Any,
    known: dict[int, Any],
    killed_after: str,
    place: str,
    num_processes: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from simulgen_pipeline.training import launch

    script = tmp_path / "run_and_die.py"
    script.write_text(RUN_AND_DIE)
    plain = launch.torchrun_command

    def dying(folder: Path, num_processes: int, meeting: None) -> list[str]:
        command = plain(folder, num_processes, meeting)
        at = command.index("simulgen_pipeline.training.worker")
        # Without -m: a file, not a module.
        return [*command[: at - 1], str(script), *command[at + 1 :], killed_after]

    with monkeypatch.context() as patched:
        patched.setattr(launch, "torchrun_command", dying)
        with pytest.raises(TrainingError, match="goes on from the last checkpoint"):
            train(prepared, prepared.work, num_processes=num_processes)
    with caplog.at_level("INFO"):
        resumed, history = train(prepared, prepared.work, num_processes=num_processes)
    assert f"resumed from the checkpoint after {place}" in caplog.text
    expected = undisturbed(prepared, known, num_processes=num_processes)
    assert equal_weights(expected, resumed)
    assert history["epoch"].tolist() == list(range(1, 10))


LAUNCHER = """
import pickle, sys
from pathlib import Path
from small_training import train

train(pickle.load(open(sys.argv[1], "rb")), Path(sys.argv[2]), {"training": {"num_epochs": 200}})
"""


def test_launcher_and_whole_tree_are_killed_and_the_same_bits_come_out(
    prepared: Any, tmp_path: Path
) -> None:
    """torchrun puts workers into sessions of their own, so no signal reaches them."""
    script, pickled = tmp_path / "launcher.py", tmp_path / "prepared.pkl"
    script.write_text(LAUNCHER)
    pickled.write_bytes(pickle.dumps(prepared))
    command = [sys.executable, str(script), str(pickled), str(prepared.work)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}

    def newest() -> int:
        paths = prepared.work.glob("*/stage-0-*.pt")
        return max((int(path.stem.split("-")[2]) for path in paths), default=0)

    def kill(is_whole_tree: bool) -> None:
        reached = newest()
        assert reached < 150  # there is something left to train
        launcher = subprocess.Popen(command, env=environment)
        try:
            wait_for(lambda: newest() > reached + 5, 60)
            family = workers_of(launcher.pid)
            for process in [launcher, *(family if is_whole_tree else [])]:
                process.send_signal(signal.SIGKILL)
            launcher.wait()
            wait_for(lambda: not [p for p in family if is_alive(p)], 30)
        finally:
            launcher.kill()

    kill(is_whole_tree=False)
    kill(is_whole_tree=True)
    long = {"training": {"num_epochs": 200}}
    resumed, history = train(prepared, prepared.work, long)
    expected, _ = train(prepared, prepared.work.parent / "undisturbed", long)
    assert equal_weights(resumed, expected)
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))


@pytest.mark.usefixtures("in_this_process")
def test_a_second_run_on_the_same_work_folder_says_so_and_stops(prepared: Any) -> None:
    from filelock import FileLock

    train(prepared, prepared.work)
    (folder,) = prepared.work.iterdir()
    with FileLock(folder / ".lock"), pytest.raises(TrainingError, match="Another run is training"):
        train(prepared, prepared.work)


def test_a_diverging_training_names_epoch_batch_and_term(prepared: Any) -> None:
    with pytest.raises(TrainingError, match=r"not finite in epoch \d+, batch \d+") as error:
        train(
            prepared,
            prepared.work,
            {"training": {"num_epochs": 4, "learning_rate": 1e30, "gradient_clip": 1e30}},
        )
    assert "Lower the learning rate" in str(error.value)
    assert "process 0" in str(error.value)
    assert "Traceback" in str(error.value)


@pytest.mark.usefixtures("in_this_process")
def test_tensorboard_has_every_term(prepared: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(prepared, prepared.work)
    (run,) = (prepared.logs / "vae").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    wanted = {"loss", "reconstruction", "kl_main", "kl_level_1", "kl_weight", "learning_rate"}
    wanted |= {"gradient_norm", "validation_prediction_error", "validation_reconstruction_error"}
    assert wanted <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 10))
    pictures = ["reconstruction/vae_decoder", "reconstruction/vae_encoder"]
    assert sorted(events.Tags()["images"]) == pictures


@pytest.mark.usefixtures("in_this_process")
def test_finished_work_is_taken_up_and_cleared_only_afterwards(
    prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from simulgen_pipeline.training.work_folders import clear_finished

    first, _ = train(prepared, prepared.work)
    with caplog.at_level("INFO"):
        again, _ = train(prepared, prepared.work)
    assert "trained to the end" in caplog.text
    assert equal_weights(first, again)
    (folder,) = prepared.work.iterdir()
    assert read_sealed(folder / "trained.pt", torch.device("cpu"))["weights"]
    clear_finished(prepared.work)
    assert list(prepared.work.iterdir()) == []


@pytest.mark.usefixtures("in_this_process")
def test_finished_work_that_was_damaged_is_made_again_from_its_last_checkpoint(
    prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = train(prepared, prepared.work)
    (folder,) = prepared.work.iterdir()
    content = bytearray((folder / "trained.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "trained.pt").write_bytes(content)
    with caplog.at_level("INFO"):
        again, _ = train(prepared, prepared.work)
    assert f"{folder / 'trained.pt'} is damaged" in caplog.text
    assert "resumed from the checkpoint after epoch 6" in caplog.text
    assert equal_weights(first, again)
