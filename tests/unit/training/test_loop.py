"""The training loop on a problem of one number, without processes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.training.checkpoints import Checkpoints
from simulgen_pipeline.training.config import EngineConfig, OptimisationConfig
from simulgen_pipeline.training.loop import CheckpointsDifferError, Trainer
from simulgen_pipeline.training.progress import Progress

NUM_EPOCHS = 12
SPLIT = Split(train=tuple(range(4)), validation=(4, 5), test=())
OPTIMISATION = OptimisationConfig(
    num_epochs=NUM_EPOCHS, batch_size=2, learning_rate=0.1, warm_up=0.0, weight_decay=0.0
)


class Valley(nn.Module):
    """The square of the distance from 3, whose gradient explodes between two shares of progress."""

    noise_size, needs_partners = 1, False

    def __init__(self, explodes: tuple[float, float]) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))
        self.explodes = explodes

    def forward(self, batch: Tensor, noise: Tensor, progress: float) -> dict[str, Tensor]:
        start, end = self.explodes
        slope = -1e6 if start <= progress < end else 1.0
        return {"loss": slope * (self.place - 3.0).square().expand(len(batch))}

    def validate(self, batch: Tensor) -> dict[str, Tensor]:
        return {"score": (self.place - 3.0).abs().expand(len(batch))}


def trainer_of(folder: Path, explodes: tuple[float, float]) -> Trainer:
    world: Any = SimpleNamespace(
        rank=0,
        size=1,
        device=torch.device("cpu"),
        is_main=True,
        wrap=lambda module: module,
        sum=lambda values: values.clone(),
    )
    data: Any = SimpleNamespace(num_channels=1, batch=lambda rows: torch.zeros(len(rows)))
    return Trainer(
        Valley(explodes),
        data,
        SPLIT,
        OPTIMISATION,
        EngineConfig(precision="float32", checkpoint_interval=0),
        world,
        Checkpoints(folder, "stage-0", 0),
        Progress(folder / "logs"),
    )


def rates(rows: list[dict[str, float]]) -> list[float]:
    return [row["learning_rate"] for row in rows]


def test_a_training_that_goes_astray_goes_on_from_its_best_weights_at_half_the_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = trainer_of(tmp_path / "usual", (2.0, 2.0))
    expected = rates(usual.run())
    assert usual.state.rate_scale == 1.0
    astray = trainer_of(tmp_path / "astray", (0.5, 0.55))
    rows = astray.run()
    epoch = NUM_EPOCHS // 2
    assert rows[epoch]["gradient_norm"] > 1e4 * rows[epoch - 1]["gradient_norm"]
    assert rates(rows)[: epoch + 1] == expected[: epoch + 1]
    assert rates(rows)[epoch + 1 :] == pytest.approx([r / 2 for r in expected[epoch + 1 :]])
    assert rows[-1]["validation_score"] < rows[epoch - 1]["validation_score"]


@pytest.mark.parametrize("last_epoch", [5, 6, 7, 9])
def test_a_training_that_went_back_is_resumed_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_epoch: int
) -> None:
    whole = trainer_of(tmp_path / "whole", (0.5, 0.55))
    rows = whole.run()
    interrupted = trainer_of(tmp_path / "interrupted", (0.5, 0.55))
    epoch_of = interrupted._epoch

    def until(epoch: int) -> dict[str, float]:
        if epoch == last_epoch:
            raise KeyboardInterrupt
        return epoch_of(epoch)

    monkeypatch.setattr(interrupted, "_epoch", until)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    resumed = trainer_of(tmp_path / "interrupted", (0.5, 0.55))
    for row, expected in zip(resumed.run(), rows, strict=True):
        assert row | {"samples_per_second": 0} == expected | {"samples_per_second": 0}
    assert torch.equal(resumed.objective.place, whole.objective.place)
    assert resumed.state.rate_scale == 0.5


def test_processes_that_see_different_checkpoints_do_not_train(tmp_path: Path) -> None:
    trainer_of(tmp_path, (2.0, 2.0)).run()
    one_of_two = trainer_of(tmp_path, (2.0, 2.0))
    world: Any = one_of_two.world
    world.size, world.sum = 2, lambda epoch: epoch  # the other one found none, and is at epoch 0
    with pytest.raises(CheckpointsDifferError, match=f"after epoch {NUM_EPOCHS} here and another"):
        one_of_two.run()
