"""The training loop on a problem of one number, without processes."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.training import loop
from simulgen_pipeline.training.checkpoints import Checkpoints, CheckpointsDifferError
from simulgen_pipeline.training.config import EngineConfig, OptimisationConfig
from simulgen_pipeline.training.data import Rows
from simulgen_pipeline.training.errors import TrainingDivergedError
from simulgen_pipeline.training.loop import Trainer
from simulgen_pipeline.training.optimizers import Muon
from simulgen_pipeline.training.progress import Progress
from simulgen_pipeline.training.world import World

NUM_EPOCHS = 12
SPLIT = Split(train=tuple(range(4)), validation=(4, 5), test=())
OPTIMISATION = OptimisationConfig(
    num_epochs=NUM_EPOCHS, batch_size=2, learning_rate=0.1, warm_up=0.0, weight_decay=0.0
)


class Valley(nn.Module):
    """The square of the distance from 3, steep between two shares of progress."""

    noise_size, needs_partners = 1, False

    def __init__(
        self, explodes: tuple[float, float], slope: float = -1e6, usual: float = 1.0
    ) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))
        self.explodes, self.slope, self.usual = explodes, slope, usual

    def forward(self, batch: Tensor, noise: Tensor, progress: float) -> dict[str, Tensor]:
        start, end = self.explodes
        slope = self.slope if start <= progress < end else self.usual
        distance = slope * (self.place - 3.0).square().expand(len(batch))
        return {"loss": distance, "distance": distance}

    def validate(self, batch: Tensor) -> dict[str, Tensor]:
        return {"score": (self.place - 3.0).abs().expand(len(batch))}


def trainer_of(
    folder: Path,
    objective: nn.Module,
    precision: str = "float32",
    num_processes: int = 1,
    split: Split = SPLIT,
    optimisation: OptimisationConfig = OPTIMISATION,
    device: str = "cpu",
) -> Trainer:
    """A training by the last of some processes, whose others do nothing."""
    world: Any = SimpleNamespace(
        rank=num_processes - 1,
        size=num_processes,
        device=torch.device(device),
        is_main=num_processes == 1,
        wrap=lambda module: module,
        sum=lambda values: values.clone(),
    )
    progress = Progress(folder / "logs")
    progress.begin("valley", 0)
    data: Any = SimpleNamespace(
        num_channels=1,
        pieces=lambda rows: [rows],
        batch=lambda rows: torch.zeros(len(rows)),
        batches=lambda wanted: (torch.zeros(len(rows.designs)) for rows in wanted),
    )
    return Trainer(
        objective,
        data,
        split,
        optimisation,
        EngineConfig(precision=precision, checkpoint_interval=0),  # type: ignore[arg-type]
        world,
        Checkpoints(folder, "stage-0", 0),
        progress,
    )


def rates(rows: list[dict[str, float]]) -> list[float]:
    return [row["learning_rate"] for row in rows]


def test_a_training_that_goes_astray_goes_on_from_its_best_weights_at_half_the_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = trainer_of(tmp_path / "usual", Valley((2.0, 2.0)))
    expected = rates(usual.run())
    assert usual.state.rate_scale == 1.0
    astray = trainer_of(tmp_path / "astray", Valley((0.5, 0.55)))
    rows = astray.run()
    epoch = NUM_EPOCHS // 2
    assert rows[epoch]["gradient_norm"] > 1e4 * rows[epoch - 1]["gradient_norm"]
    assert rates(rows)[: epoch + 1] == expected[: epoch + 1]
    assert rates(rows)[epoch + 1 :] == pytest.approx([r / 2 for r in expected[epoch + 1 :]])
    assert rows[-1]["validation_score"] < rows[epoch - 1]["validation_score"]


class Overfitted(Valley):
    """Its validation designs are at 1, which is passed on the way to 3."""

    def __init__(self) -> None:
        super().__init__((2.0, 2.0))

    def validate(self, batch: Tensor) -> dict[str, Tensor]:
        return {"score": (self.place - 1.0).abs().expand(len(batch))}


def test_early_stopping_ends_training_and_keeps_the_best_weights(tmp_path: Path) -> None:
    hasty = OPTIMISATION.model_copy(update={"learning_rate": 0.3, "patience": 0.25})
    trainer = trainer_of(tmp_path, Overfitted(), optimisation=hasty)
    rows = trainer.run()
    scores = [row["validation_score"] for row in rows]
    best = int(np.argmin(scores))
    assert len(rows) == best + 1 + 4 < NUM_EPOCHS  # more than a quarter of 12 epochs
    assert scores[best] < 0.5 * scores[-1]
    assert abs(float(trainer.objective.place.detach()) - 1.0) == pytest.approx(scores[best])


def test_early_stopping_does_not_end_a_training_after_a_restart(tmp_path: Path) -> None:
    values = {"learning_rate": 0.3, "patience": 0.25, "first_period": 0.25}
    restarted = OPTIMISATION.model_copy(update=values)
    trainer = trainer_of(tmp_path, Overfitted(), optimisation=restarted)
    rows = trainer.run()
    best = int(np.argmin([row["validation_score"] for row in rows]))
    assert len(rows) == NUM_EPOCHS > best + 1 + 4
    assert abs(float(trainer.objective.place.detach()) - 1.0) < 0.3


def test_without_validation_designs_it_trains_to_the_end_and_keeps_the_last_weights(
    tmp_path: Path,
) -> None:
    split = SPLIT.model_copy(update={"validation": ()})
    trainer = trainer_of(tmp_path, Valley((2.0, 2.0)), split=split)
    places = []
    epoch_of = trainer._epoch

    def noted(epoch: int) -> dict[str, float]:
        row = epoch_of(epoch)
        places.append(float(trainer.objective.place.detach()))
        return row

    trainer._epoch = noted  # type: ignore[method-assign]
    rows = trainer.run()
    assert len(rows) == len(set(places)) == NUM_EPOCHS  # no patience ends it
    assert float(trainer.objective.place.detach()) == places[-1]
    assert not any(name.startswith("validation_") for row in rows for name in row)


def test_without_validation_designs_an_epoch_astray_is_not_kept(tmp_path: Path) -> None:
    split = SPLIT.model_copy(update={"validation": ()})
    trainer = trainer_of(tmp_path, Valley((1 - 1 / NUM_EPOCHS, 1.0)), split=split)
    rows = trainer.run()
    assert rows[-1]["gradient_norm"] > 1e4 * rows[-2]["gradient_norm"]
    best = trainer.objective.place.detach()
    assert abs(float(best) - 3.0) < 10  # not where the explosion led


@pytest.mark.parametrize("last_epoch", [5, 6, 7, 9])
def test_a_training_that_went_back_is_resumed_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_epoch: int
) -> None:
    whole = trainer_of(tmp_path / "whole", Valley((0.5, 0.55)))
    rows = whole.run()
    interrupted = trainer_of(tmp_path / "interrupted", Valley((0.5, 0.55)))
    epoch_of = interrupted._epoch

    def until(epoch: int) -> dict[str, float]:
        if epoch == last_epoch:
            raise KeyboardInterrupt
        return epoch_of(epoch)

    monkeypatch.setattr(interrupted, "_epoch", until)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    resumed = trainer_of(tmp_path / "interrupted", Valley((0.5, 0.55)))
    for row, expected in zip(resumed.run(), rows, strict=True):
        assert row | {"samples_per_second": 0} == expected | {"samples_per_second": 0}
    assert torch.equal(resumed.objective.place, whole.objective.place)
    assert resumed.state.rate_scale == 0.5


@pytest.mark.parametrize("last_step", [1, 2, 4, 7, 9])
@pytest.mark.parametrize("steps_per_look", [1, 2, 3])
def test_a_training_is_resumed_within_an_epoch_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_step: int, steps_per_look: int
) -> None:
    long = OPTIMISATION.model_copy(update={"batch_size": 1, "num_epochs": 3})  # of four steps each
    whole = trainer_of(tmp_path / "whole", Valley((2.0, 2.0)), optimisation=long)
    rows = whole.run()
    monkeypatch.setattr(loop, "STEPS_PER_LOOK", steps_per_look)
    (tmp_path / "interrupted").mkdir()
    interrupted = trainer_of(tmp_path / "interrupted", Valley((2.0, 2.0)), optimisation=long)
    do_step = interrupted._step

    def until(step: int, *rest: Any) -> Any:
        if step == last_step:
            raise KeyboardInterrupt
        return do_step(step, *rest)

    monkeypatch.setattr(interrupted, "_step", until)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run()
    resumed = trainer_of(tmp_path / "interrupted", Valley((2.0, 2.0)), optimisation=long)
    seen = []
    do_step_again = resumed._step

    def noted(step: int, *rest: Any) -> Any:
        seen.append(step)
        return do_step_again(step, *rest)

    monkeypatch.setattr(resumed, "_step", noted)
    for row, expected in zip(resumed.run(), rows, strict=True):
        assert row | {"samples_per_second": 0} == expected | {"samples_per_second": 0}
    epoch, place = divmod(last_step, 4)
    assert seen == list(range(4 * epoch + place // steps_per_look * steps_per_look, 12))
    assert torch.equal(resumed.objective.place, whole.objective.place)


class FailingAtStep(Valley):
    """A valley whose term is not finite from some step of 120 an epoch on."""

    def __init__(self, step: int) -> None:
        super().__init__((2.0, 2.0))
        self.step = step

    def forward(self, batch: Tensor, noise: Tensor, progress: float) -> dict[str, Tensor]:
        terms = super().forward(batch, noise, progress)
        is_bad = round(progress * 240) >= self.step
        size = torch.full_like(terms["loss"], float("inf") if is_bad else 1.0)
        return terms | {"size": size.detach()}


LONG = OPTIMISATION.model_copy(update={"batch_size": 1, "num_epochs": 2})
LONG_SPLIT = Split(train=tuple(range(120)), validation=(120, 121), test=())


@pytest.mark.parametrize("is_due", [True, False])
def test_a_long_epoch_is_looked_at_every_50_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_due: bool
) -> None:
    trainer = trainer_of(tmp_path, Valley((2.0, 2.0)), split=LONG_SPLIT, optimisation=LONG)
    told: list[Any] = []
    saved: list[tuple[int, int]] = []
    monkeypatch.setattr(trainer.progress, "is_due", lambda: is_due)
    monkeypatch.setattr(
        trainer.progress, "report", lambda row, num_epochs, within=None: told.append(within)
    )
    monkeypatch.setattr(trainer.checkpoints, "is_due", lambda: is_due)
    monkeypatch.setattr(
        trainer.checkpoints, "save", lambda epoch, content, batch: saved.append((epoch, batch))
    )
    trainer.run()
    within = [(50, 120), (100, 120)] if is_due else []
    assert told == 2 * [*within, None]
    at_looks = [(0, 50), (0, 100), (1, 0), (1, 50), (1, 100), (2, 0)] if is_due else []
    assert saved == [*at_looks, (2, 0)]


def test_a_divergence_in_a_long_epoch_is_told_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(tmp_path, FailingAtStep(180), split=LONG_SPLIT, optimisation=LONG)
    seen = []
    monkeypatch.setattr(trainer.progress, "goes_on", lambda: seen.append(None))
    with pytest.raises(TrainingDivergedError, match=r"size is not finite in epoch 2, batch 61\. "):
        trainer.run()
    assert 220 <= len(seen) < 240  # steps, and some batches of validation designs


def test_what_it_started_from_is_not_judged_again_within_the_first_epoch(tmp_path: Path) -> None:
    valley = Valley((2.0, 2.0))
    valley.place.data.fill_(3.0)  # nothing can better it
    trainer = trainer_of(tmp_path, valley, split=LONG_SPLIT, optimisation=LONG)
    trainer._validate()
    valley.place.data.fill_(2.0)
    trainer.state.steps = [{"loss": 1.0, "distance": 1.0, "learning_rate": 0.1, "gradient_norm": 1}]
    trainer._save()
    resumed = trainer_of(tmp_path, Valley((2.0, 2.0)), split=LONG_SPLIT, optimisation=LONG)
    resumed.run()
    assert resumed.state.best_score == 0.0
    assert float(resumed.objective.place.detach()) == 3.0


def test_going_back_forgets_the_momentum_of_every_optimizer(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Valley((2.0, 2.0)))
    matrix = nn.Parameter(torch.randn(3, 2))
    trainer.optimizers.append(Muon([matrix], weight_decay=0.0, world=trainer.world))
    for parameter in (trainer.objective.place, matrix):
        parameter.grad = torch.ones_like(parameter)
    for optimizer in trainer.optimizers:
        optimizer.step()
    assert all(optimizer.state for optimizer in trainer.optimizers)
    trainer._go_back()
    assert not any(optimizer.state for optimizer in trainer.optimizers)


def test_a_training_whose_checkpoints_are_all_damaged_starts_anew_to_the_same_bits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = trainer_of(tmp_path, Valley((0.5, 0.55)))
    whole.run()
    damaged = sorted(tmp_path.glob("*.pt"), reverse=True)
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    again = trainer_of(tmp_path, Valley((0.5, 0.55)))
    again.run()
    newest, oldest = [r.getMessage() for r in caplog.records if "is damaged" in r.getMessage()]
    assert newest.startswith(str(damaged[0]))
    assert newest.endswith("the one before is used")
    assert oldest.startswith(str(damaged[1]))
    assert oldest.endswith("its stage starts anew")
    assert len(again.state.history) == NUM_EPOCHS
    assert torch.equal(again.objective.place, whole.objective.place)


def test_processes_that_see_different_checkpoints_do_not_train(tmp_path: Path) -> None:
    trainer_of(tmp_path, Valley((2.0, 2.0))).run()
    one_of_two = trainer_of(tmp_path, Valley((2.0, 2.0)))
    world: Any = one_of_two.world
    world.size, world.sum = 2, lambda epoch: epoch  # the other one found none, and is at epoch 0
    with pytest.raises(CheckpointsDifferError, match=f"after epoch {NUM_EPOCHS} here and another"):
        one_of_two.run()


def test_processes_that_see_checkpoints_of_different_batches_do_not_train(tmp_path: Path) -> None:
    before = trainer_of(tmp_path, Valley((2.0, 2.0)), split=LONG_SPLIT, optimisation=LONG)
    before.state.steps = [{"loss": 1.0}] * 50
    before._save()
    one_of_two = trainer_of(tmp_path, Valley((2.0, 2.0)), split=LONG_SPLIT, optimisation=LONG)
    world: Any = one_of_two.world
    world.size, world.sum = 2, lambda place: place + torch.tensor([0.0, 100.0])
    with pytest.raises(CheckpointsDifferError, match="after batch 50 of epoch 1 here and another"):
        one_of_two.run()


def test_a_step_that_float16_skips_is_not_taken_for_a_training_gone_astray(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Valley((0.5, 0.55), 1e36), "float16")
    rows = trainer.run()
    epoch = NUM_EPOCHS // 2
    assert np.isnan(rows[epoch]["gradient_norm"])  # beyond float32 with the loss scaled
    assert np.isfinite([row["gradient_norm"] for row in rows[epoch + 1 :]]).all()
    assert trainer.state.rate_scale == 1.0
    assert rows[-1]["validation_score"] < rows[epoch - 1]["validation_score"]


@pytest.mark.parametrize(
    ("precision", "num_processes", "where", "has_other_remedy"),
    [
        ("float32", 1, r"in epoch 7, batch 1\. ", False),
        ("bfloat16", 1, r"in epoch 7, batch 1\. ", True),
        ("float32", 2, r"in epoch 7, batch 1 on process 1\. ", False),
    ],
)
def test_a_divergence_is_told_with_term_place_and_remedy(
    tmp_path: Path, precision: str, num_processes: int, where: str, has_other_remedy: bool
) -> None:
    valley = Valley((0.5, 0.55), float("nan"))
    trainer = trainer_of(tmp_path, valley, precision, num_processes)
    told = rf"distance is not finite {where}Lower the learning rate \(now 0\.1\)"
    with pytest.raises(TrainingDivergedError, match=told) as error:
        trainer.run()
    assert error.value.__notes__ == ["It happened in valley, epoch 7."]
    assert ("training.precision=float32" in str(error.value)) == has_other_remedy


class Overflown(Valley):
    """A valley with a term without gradient that is infinite from the seventh epoch on."""

    def forward(self, batch: Tensor, noise: Tensor, progress: float) -> dict[str, Tensor]:
        terms = super().forward(batch, noise, progress)
        size = torch.full_like(terms["loss"], float("inf") if progress >= 0.5 else 1.0)
        return terms | {"size": size.detach()}


def test_a_term_that_leaves_gradients_finite_is_told_too(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Overflown((1.0, 1.0)))
    with pytest.raises(TrainingDivergedError, match=r"size is not finite in epoch 7, batch 1\. "):
        trainer.run()


def test_any_error_is_told_with_its_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(tmp_path, Valley((2.0, 2.0)))

    def failing(wanted: list[Rows]) -> Iterator[Tensor]:
        if trainer.state.epoch == 4:
            torch.empty(2**50)
        return (torch.zeros(len(rows.designs)) for rows in wanted)

    monkeypatch.setattr(trainer.data, "batches", failing)
    with pytest.raises(RuntimeError, match="can't allocate memory") as error:
        trainer.run()
    assert error.value.__notes__ == ["It happened in valley, epoch 5."]


class Narrow(nn.Module):
    """Learns a line through a matrix product, and remembers in which type it was computed."""

    noise_size, needs_partners = 1, False

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen: set[torch.dtype] = set()

    def forward(self, batch: Tensor, noise: Tensor, progress: float) -> dict[str, Tensor]:
        told = self.layer(batch[:, None])
        self.seen.add(told.dtype)
        return {"loss": (told[:, 0] - 3.0).square()}

    def validate(self, batch: Tensor) -> dict[str, Tensor]:
        return {"score": (self.layer(batch[:, None])[:, 0] - 3.0).abs()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_learns_on_a_cpu_with_weights_in_float32(
    tmp_path: Path, precision: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    narrow = Narrow()
    trainer = trainer_of(tmp_path, narrow, precision)
    assert f"valley: matrix products in {precision}" in caplog.text
    rows = trainer.run()
    assert narrow.seen == {getattr(torch, precision)}
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    state = [
        v
        for optimizer in trainer.optimizers
        for values in optimizer.state.values()
        for v in values.values()
    ]
    for value in [*narrow.parameters(), *state]:
        assert value.dtype is torch.float32


def adamw_and_muon(
    objective: Narrow, _: OptimisationConfig, world: World
) -> list[torch.optim.Optimizer]:
    layer = objective.layer
    return [torch.optim.AdamW([layer.bias]), Muon([layer.weight], weight_decay=0.0, world=world)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("culprit", ["weight", "bias"])
def test_gradients_beyond_float16_move_no_weight_of_any_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, culprit: str, value: float
) -> None:
    monkeypatch.setattr(loop, "optimizers_for", adamw_and_muon)
    narrow = Narrow()
    trainer = trainer_of(tmp_path, narrow, "float16")
    parameter: nn.Parameter = getattr(narrow.layer, culprit)
    parameter.register_hook(lambda gradient: torch.full_like(gradient, value))
    scale = trainer.scaler.get_scale()
    rows = trainer.run()
    assert all(np.isnan(row["gradient_norm"]) for row in rows)
    assert [len(optimizer.state) for optimizer in trainer.optimizers] == [0, 0]  # never stepped
    assert trainer.scaler.get_scale() < scale


def test_two_optimizers_both_step_in_float16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "optimizers_for", adamw_and_muon)
    trainer = trainer_of(tmp_path, Narrow(), "float16")
    rows = trainer.run()
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert [len(optimizer.state) for optimizer in trainer.optimizers] == [1, 1]


class Slopes(nn.Module):
    """Two weights on slopes of 30 and 0.4 for ever."""

    noise_size, needs_partners = 1, False

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(2))
        self.gradients: list[Tensor] = []
        self.weights.register_post_accumulate_grad_hook(self._note)

    def _note(self, weights: Tensor) -> None:
        assert weights.grad is not None
        self.gradients.append(weights.grad)  # clipped in place before the optimizer sees it

    def forward(self, batch: Tensor, noise: Tensor, progress: float) -> dict[str, Tensor]:
        return {"loss": (self.weights @ torch.tensor([30.0, 0.4])).expand(len(batch))}

    def validate(self, batch: Tensor) -> dict[str, Tensor]:
        return {"score": self.weights.sum().expand(len(batch))}


@pytest.mark.parametrize(("largest", "expected"), [(1.0, 1.0), (1e3, (30**2 + 0.4**2) ** 0.5)])
def test_gradients_are_clipped_to_the_largest_norm(
    tmp_path: Path, largest: float, expected: float
) -> None:
    slopes = Slopes()
    optimisation = OPTIMISATION.model_copy(update={"gradient_clip": largest})
    rows = trainer_of(tmp_path, slopes, optimisation=optimisation).run()
    norms = [float(gradient.norm()) for gradient in slopes.gradients]
    assert norms == pytest.approx([expected] * len(norms), rel=1e-4)
    told = [row["gradient_norm"] for row in rows]  # before they are clipped
    assert told == pytest.approx([(30**2 + 0.4**2) ** 0.5] * len(rows))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_training_on_a_gpu_is_taken_up_from_its_checkpoint(
    tmp_path: Path, precision: str
) -> None:
    first, again = Valley((2.0, 2.0)), Valley((2.0, 2.0))
    rows = trainer_of(tmp_path, first, precision, device="cuda").run()
    assert first.place.is_cuda
    taken_up = trainer_of(tmp_path, again, precision, device="cuda")
    assert taken_up.run() == rows  # to the end, with nothing left to do
    assert again.place.is_cuda
    assert torch.equal(again.place, first.place)


def test_weights_decay(tmp_path: Path) -> None:
    ends = []
    for decay in (0.0, 0.5):
        valley = Valley((2.0, 2.0), usual=0.0)  # no gradient
        valley.place.data.fill_(1.0)
        optimisation = OPTIMISATION.model_copy(update={"weight_decay": decay})
        split = SPLIT.model_copy(update={"validation": ()})  # the last weights are kept
        rows = trainer_of(tmp_path / str(decay), valley, "float32", 1, split, optimisation).run()
        ends.append(float(valley.place.detach()))
    assert ends[0] == 1.0
    steps = 2 * np.array(rates(rows))  # two of an epoch, at about its mean rate
    assert ends[1] == pytest.approx(np.exp(-0.5 * steps.sum()), rel=0.02)


def test_a_training_that_betters_nothing_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    valley = Valley((2.0, 2.0))
    trainer_of(tmp_path / "bettered", valley).run()
    assert "no epoch was better" not in caplog.text
    valley.place.data.fill_(3.0)  # the bottom
    decaying = OPTIMISATION.model_copy(update={"weight_decay": 0.5})  # which leads away from there
    trainer_of(tmp_path / "at best", valley, optimisation=decaying).run()
    assert "valley: no epoch was better than what it started from, which is kept" in caplog.text
    assert float(valley.place.detach()) == 3.0
