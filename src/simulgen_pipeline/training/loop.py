"""The one training loop, for every objective and any number of processes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.dropout import Dropout

from .checkpoints import Checkpoints, check_same_place
from .config import EngineConfig, OptimisationConfig
from .data import Indices, Rows, TrainingData
from .device import autocast, choose_precision, seed_device
from .errors import TrainingDivergedError, explain_divergence
from .execution import compile_networks, keep_less
from .objectives import Batch, Objective, Terms
from .optimizers import optimizers_for
from .progress import Progress
from .schedule import has_restarted, learning_rate
from .world import World, of_piece

# The validation designs are evaluated about this many times in a training.
NUM_VALIDATIONS = 15
# A picture is drawn after every so many of them, and of the best weights at the end.
VALIDATIONS_PER_PICTURE = 8
# Within an epoch losses are looked at after every so many steps, and a checkpoint may be due.
STEPS_PER_LOOK = 50
# A training has gone astray when an epoch's mean gradient norm is this many times the usual one.
ASTRAY = 100.0

Row = dict[str, float]


@dataclass
class Progressed:
    """How far a training has come, beside weights and optimizer.

    Attributes:
        epoch: epochs done.
        steps: of the next epoch a row per step done.
        best_score: of the weights that are kept, which may be those it started from.
        trained_score, best_epoch: the best since it started, which early stopping waits for.
        rate_scale: factor on the learning rate, halved each time that the training went astray.
        history: a row per epoch.
    """

    epoch: int = 0
    steps: list[Row] = field(default_factory=list)
    best_score: float = float("inf")
    trained_score: float = float("inf")
    best_epoch: int = 0
    rate_scale: float = 1.0
    history: list[Row] = field(default_factory=list)


class Trainer:
    """Trains an objective from its last checkpoint, or from the start, to its best weights.

    The validation designs tell which those are; where there are none, they are the last.
    """

    def __init__(
        self,
        objective: nn.Module,
        data: TrainingData,
        split: Split,
        optimisation: OptimisationConfig,
        engine: EngineConfig,
        world: World,
        checkpoints: Checkpoints,
        progress: Progress,
    ) -> None:
        self.data, self.split, self.config, self.world = data, split, optimisation, world
        self.checkpoints, self.progress, self.seed = checkpoints, progress, engine.seed
        self.precision = choose_precision(
            engine.precision, world.device, data.num_channels, objective
        )
        progress.rounds(self.precision)
        self.objective = objective.to(world.device)
        if engine.gradient_checkpointing:
            keep_less(self.objective)
        if engine.compile:
            compile_networks(self.objective, progress.not_compiled)
        self.dropouts = [
            module
            for module in self.objective.modules()
            if isinstance(module, Dropout) and module.probability > 0
        ]
        self.wrapped = world.wrap(self.objective)
        self.parameters = [p for p in self.objective.parameters() if p.requires_grad]
        self.optimizers = optimizers_for(self.objective, optimisation, world)
        self.scaler = torch.amp.GradScaler(
            world.device.type, enabled=self.precision is torch.float16
        )
        self.num_epochs = optimisation.epochs(len(split.train))
        self.steps_per_epoch = optimisation.steps_per_epoch(len(split.train))
        self.validate_every = max(1, self.num_epochs // NUM_VALIDATIONS)
        self.show_every = VALIDATIONS_PER_PICTURE * self.validate_every
        self.best_weights = _copy(self.objective.state_dict())
        self.state = Progressed()

    def run(self) -> list[Row]:
        """Train; the objective ends with the weights of the best epoch. Returns a row per epoch.

        Raises:
            TrainingDivergedError: a loss became NaN or infinite.
        """
        try:
            return self._run()
        except Exception as error:
            error.add_note(f"It happened in {self.progress.name}, epoch {self.state.epoch + 1}.")
            raise

    def _run(self) -> list[Row]:
        self._resume()
        if self.state.epoch == 0 and not self.state.steps:
            self._validate()  # what it starts from may be hard to better
        self.progress.start_clock()
        while self.state.epoch < self.num_epochs:
            if self._has_waited_enough():
                self.progress.stopped_early(self.state.epoch, self.state.best_epoch)
                break
            row = self._epoch(self.state.epoch)
            self.state.epoch += 1
            if self.state.epoch % self.validate_every == 0 or self.state.epoch == self.num_epochs:
                row |= self._validate()
                if self.state.epoch % self.show_every == 0:
                    self._show()
            if self._is_astray(row):
                self._go_back()
            elif not self.split.validation:  # the last weights are the best
                self.best_weights = _copy(self.objective.state_dict())
            self.state.history.append(row)
            self.progress.report(row, self.num_epochs)
            self._save_if_due()
        if self.state.trained_score > self.state.best_score:
            self.progress.bettered_nothing()
        if self.world.is_main:
            self._save()  # so that a later stage's kill does not lose this one
        self.objective.load_state_dict(self.best_weights)
        self._show()
        return self.state.history

    def _has_waited_enough(self) -> bool:
        waited = self.state.epoch - self.state.best_epoch
        if not self.split.validation or waited <= self.config.patience * self.num_epochs:
            return False
        num_steps = self.num_epochs * self.steps_per_epoch
        return not has_restarted(self.state.epoch * self.steps_per_epoch, num_steps, self.config)

    def _is_astray(self, row: Row) -> bool:
        norms = np.array([earlier["gradient_norm"] for earlier in self.state.history])
        usual = norms[~np.isnan(norms)]
        return bool(usual.size) and row["gradient_norm"] > ASTRAY * float(np.median(usual))

    def _go_back(self) -> None:
        """Return to the best weights, and go on from there at half the learning rate.

        Deep networks of sines that learn fast for long can end up where gradients are huge and
        point nowhere, and do not come back by themselves.
        """
        self.objective.load_state_dict(self.best_weights)
        for optimizer in self.optimizers:
            optimizer.state.clear()
        self.state.rate_scale /= 2
        self.progress.went_back(self.state.epoch)

    def _epoch(self, epoch: int) -> Row:
        """One pass over the training designs, or what is left of it."""
        self.wrapped.train()
        start, num_before = time.perf_counter(), len(self.state.steps)
        num_steps = self.steps_per_epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.split.train)
        size = min(self.config.batch_size, len(order))
        pieces = self.data.pieces(self._places(size))
        parts = [order[i * size : (i + 1) * size] for i in range(num_before, num_steps)]
        wanted = [Rows(part[piece].tolist()) for part in parts for piece in pieces]
        if self.objective.needs_partners:  # the next design of the whole batch
            next_one = [np.roll(part, -1)[piece].tolist() for part in parts for piece in pieces]
            wanted = [Rows(w.designs, p) for w, p in zip(wanted, next_one, strict=True)]
        batches = self.data.batches(wanted)
        for first in range(num_before, num_steps, STEPS_PER_LOOK):
            num_now = min(STEPS_PER_LOOK, num_steps - first)
            self._steps(epoch * num_steps + first, num_now, size, pieces, batches)
            if first + num_now < num_steps:
                if self.progress.is_due():  # a mean over all steps so far takes its time
                    row = self._row(epoch, num_before, start)
                    self.progress.report(row, self.num_epochs, (first + num_now, num_steps))
                self._save_if_due()
        row = self._row(epoch, num_before, start)
        self.state.steps = []
        return row

    def _row(self, epoch: int, num_before: int, start: float) -> Row:
        """Means over the steps of an epoch, of which so many were done before this process began at
        some time."""
        steps = self.state.steps
        row = {name: _mean([step[name] for step in steps]) for name in steps[0]}
        size = min(self.config.batch_size, len(self.split.train))
        seconds = time.perf_counter() - start
        row["samples_per_second"] = size * (len(steps) - num_before) / seconds
        return {"epoch": epoch + 1, **row}

    def _steps(
        self,
        first: int,
        num_steps: int,
        num_designs: int,
        pieces: list[Indices],
        batches: Iterator[Batch],
    ) -> None:
        """Some optimizer steps, from the training's step `first` on, and their rows.

        Terms are summed over processes once for all: each reduction is a wait for the slowest.
        """
        steps = [
            self._step(first + i, num_designs, pieces, islice(batches, len(pieces)))
            for i in range(num_steps)
        ]
        totals = self._finite([terms for terms, _ in steps], first)
        self.state.steps += [row | terms for (_, row), terms in zip(steps, totals, strict=True)]

    def _places(self, num_designs: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """This process's share of a global batch; if none is left for it, one without weight."""
        mine = np.arange(num_designs)[self.world.rank :: self.world.size]
        return mine if len(mine) else np.array([0])

    def _step(
        self, step: int, num_designs: int, pieces: list[Indices], batches: Iterable[Batch]
    ) -> tuple[Terms, Row]:
        """One optimizer step on a global batch, of which this process has its share in pieces.

        Args:
            step: of the training.
            num_designs: in the global batch.
            pieces: places in it of the designs of each piece.
            batches: the pieces.

        Returns this process's share of each term of the loss, and what is the same for all.
        """
        self.progress.goes_on()
        num_steps = self.num_epochs * self.steps_per_epoch
        rate = self.state.rate_scale * learning_rate(step, num_steps, self.config)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        noise = self._noise(step, num_designs)
        # A process with no design left takes one along without weight, to join the reduction.
        weight = 1.0 if self.world.rank < num_designs else 0.0
        mine: Terms = {}
        for piece, batch in zip(pieces, batches, strict=True):
            own = noise[piece].to(self.world.device)
            self._share_dropout(piece, step, num_designs)
            with of_piece(self.wrapped, is_last=piece is pieces[-1]):
                with autocast(self.world.device, self.precision):
                    terms: Terms = self.wrapped(batch, own, step / num_steps)
                share = {n: weight * term.float().sum() / num_designs for n, term in terms.items()}
                # The wrapper averages gradients over processes; the loss is a mean over the batch.
                self.scaler.scale(share["loss"] * self.world.size).backward()
            mine = {n: term.detach() + mine.get(n, 0.0) for n, term in share.items()}
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip))
        is_beyond = False
        if not np.isfinite(norm):  # on every process, as gradients are the same
            self._finite([mine], step)
            if self.scaler.is_enabled():  # gradients beyond float16: nobody takes this step
                is_beyond, norm = True, float("nan")
        for optimizer in self.optimizers:
            if not is_beyond:
                self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        return mine, {"learning_rate": rate, "gradient_norm": norm}

    def _noise(self, step: int, num_designs: int) -> Tensor:
        """Standard normal noise of the whole global batch, the same on any number of processes."""
        generator = torch.Generator().manual_seed(_seed(self.seed, step))
        size: int = self.objective.noise_size  # type: ignore[assignment]
        return torch.randn(num_designs, size, generator=generator)

    def _share_dropout(self, piece: Indices, step: int, num_designs: int) -> None:
        """Drop of a piece's designs what is dropped of them in any division of the global batch."""
        if self.dropouts:
            seed_device(self.world.device, _seed(self.seed, step, 1))
            places = torch.from_numpy(piece).to(self.world.device)
            for dropout in self.dropouts:
                dropout.take_share(places, num_designs)

    def _finite(self, shares: list[Terms], first: int) -> list[Row]:
        """Each step's terms over the global batch, of the processes' shares from step `first` on.

        Raises:
            TrainingDivergedError: one of them is not finite; on every process.
        """
        names = list(shares[0])
        mine = torch.stack([torch.stack([share[name] for name in names]) for share in shares])
        totals = self.world.sum(mine)
        bad_steps = (~totals.isfinite()).any(dim=1).nonzero().flatten().tolist()
        if bad_steps:
            i = bad_steps[0]
            raise TrainingDivergedError(self._diverged(names, totals[i], mine[i], first + i))
        return [dict(zip(names, values, strict=True)) for values in totals.tolist()]

    def _diverged(self, names: list[str], totals: Tensor, mine: Tensor, step: int) -> str:
        """Which terms are not finite, where, and what to do; every process has to ask."""
        is_mine = torch.zeros(self.world.size, device=self.world.device)
        is_mine[self.world.rank] = not bool(mine.isfinite().all())
        culprits = [str(rank) for rank, is_bad in enumerate(self.world.sum(is_mine)) if is_bad]
        bad = [name for name, is_good in zip(names, totals.isfinite(), strict=True) if not is_good]
        terms = [name for name in bad if name != "loss"] or bad
        epoch, batch = divmod(step, self.steps_per_epoch)
        place = f"epoch {epoch + 1}, batch {batch + 1}"
        if self.world.size > 1:
            place += f" on process {', '.join(culprits)}"
        return explain_divergence(terms, place, self.config.learning_rate, self.precision)

    @torch.no_grad()
    def _validate(self) -> Row:
        """Figures of merit on the validation designs, each counted once; keeps the best weights."""
        if not self.split.validation:
            return {}
        self.objective.eval()
        objective: Objective = self.objective  # type: ignore[assignment]
        mine = self.split.validation[self.world.rank :: self.world.size]
        size = self.config.batch_size
        sums: dict[str, Tensor] = {}
        parts = [np.array(mine[i : i + size]) for i in range(0, len(mine), size)]
        pieces = [piece.tolist() for part in parts for piece in self.data.pieces(part)]
        wanted = [Rows(piece) for piece in pieces or [self.split.validation[:1]]]
        for batch in self.data.batches(wanted):
            self.progress.goes_on()
            for name, value in objective.validate(batch).items():
                weighted = value.sum() * (1.0 if mine else 0.0)
                sums[name] = sums.get(name, torch.zeros_like(weighted)) + weighted
        total = self.world.sum(torch.stack(list(sums.values())))
        means = (total / len(self.split.validation)).tolist()
        row = {f"validation_{name}": mean for name, mean in zip(sums, means, strict=True)}
        score, state = row["validation_score"], self.state
        if score < state.best_score:
            state.best_score = score
            self.best_weights = _copy(self.objective.state_dict())
        if state.epoch > 0 and score < state.trained_score:
            state.trained_score, state.best_epoch = score, state.epoch
        return row

    @torch.no_grad()
    def _show(self) -> None:
        """A picture of the first validation design's field, true and decoded."""
        if not self.progress.draws or not self.split.validation:
            return
        self.objective.eval()
        objective: Objective = self.objective  # type: ignore[assignment]
        batch = self.data.batch(self.split.validation[:1])
        self.progress.show(batch.fields[0], objective.decode(batch)[0], self.state.epoch)

    def _save_if_due(self) -> None:
        if self.world.is_main and self.checkpoints.is_due():
            self._save()

    def _save(self) -> None:
        content = {
            "weights": self.objective.state_dict(),
            "best_weights": self.best_weights,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
            "progressed": asdict(self.state),
        }
        self.checkpoints.save(self.state.epoch, content, len(self.state.steps))

    def _resume(self) -> None:
        content = self.checkpoints.load(self.world.device)
        if content is not None:
            self.objective.load_state_dict(content["weights"])
            self.best_weights = content["best_weights"]
            for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.scaler.load_state_dict(content["scaler"])
            self.state = Progressed(**content["progressed"])
            self.progress.resumed(self.state.history, len(self.state.steps), self.steps_per_epoch)
        check_same_place(self.state.epoch, len(self.state.steps), self.world)


def _seed(*parts: int) -> int:
    """A well mixed seed of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def _mean(values: list[float]) -> float:
    """The mean of what is known, NaN if nothing is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
