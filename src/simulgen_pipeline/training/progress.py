"""What a training shows while it runs: log lines and TensorBoard events, from one process.

Shapes: T time steps, C channels.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from .checkpoints import place_of
from .heartbeat import Heartbeat
from .picture import View, draw_reconstruction

logger = logging.getLogger(__name__)

# Seconds between log lines.
LOG_INTERVAL = 5.0
# Characters of a compiler's message that are logged.
REASON_LENGTH = 300


class Progress:
    """Reports the rows of a training history.

    Args:
        log_folder: of the TensorBoard events; None for a process that does not report.
        view: takes channels to what pictures show; without one there are none.
        heartbeat: tells the launcher that the training goes on.
    """

    def __init__(
        self,
        log_folder: Path | None,
        view: View | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._writer: SummaryWriter | None = None
        self._heartbeat = heartbeat
        self._log_folder, self._view = log_folder, view
        self._has_warned = False
        self.begin("", 0)

    @property
    def draws(self) -> bool:
        """Whether this process draws pictures."""
        return self._log_folder is not None and self._view is not None

    def begin(self, name: str, first_epoch: int) -> None:
        """A stage of training starts, after the epochs of earlier ones."""
        self.name, self._epochs_before = name, first_epoch
        self._first = 0.0
        self.start_clock()
        self.goes_on()

    def start_clock(self) -> None:
        """The first step is next: what came before tells nothing of the time that is left."""
        self._start = self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether this process is to log a line."""
        return self._log_folder is not None and time.monotonic() - self._last >= LOG_INTERVAL

    def goes_on(self) -> None:
        """Another batch has begun."""
        if self._heartbeat is not None:
            self._heartbeat.beat()

    def resumed(
        self, history: Sequence[dict[str, float]], batch: int = 0, num_batches: int = 1
    ) -> None:
        """The training goes on from a checkpoint, after epochs whose curves are shown again and so
        many batches of the next."""
        self._first = len(history) + batch / num_batches
        if self._log_folder is not None:
            place = place_of(len(history), batch)
            logger.info("%s: resumed from the checkpoint after %s", self.name, place)
        for row in history:
            self._add_scalars(row)

    def rounds(self, precision: torch.dtype) -> None:
        """Which type matrix products of this training are rounded to."""
        if self._log_folder is not None:
            logger.info("%s: matrix products in %s", self.name, str(precision).split(".")[-1])

    def stopped_early(self, epoch: int, best_epoch: int) -> None:
        """The training ends before its last epoch."""
        if self._log_folder is not None:
            logger.info(
                "%s: stopped early after epoch %d, the best was epoch %d",
                self.name,
                epoch,
                best_epoch,
            )

    def bettered_nothing(self) -> None:
        """The training ends with what it started from."""
        if self._log_folder is not None:
            logger.info(
                "%s: no epoch was better than what it started from, which is kept", self.name
            )

    def went_back(self, epoch: int) -> None:
        """The training went astray in an epoch."""
        if self._log_folder is not None:
            logger.warning(
                "%s: gradients exploded in epoch %d; going on from the best weights at half the "
                "learning rate",
                self.name,
                epoch,
            )

    def not_compiled(self, error: Exception) -> None:
        """A network could not be compiled; all that cannot be are told of once."""
        if self._log_folder is not None and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: torch.compile failed, going on without it (%s)",
                self.name,
                " ".join(str(error).split())[:REASON_LENGTH] or type(error).__name__,
            )

    def show(self, true: Tensor, decoded: Tensor, epoch: int) -> None:
        """Picture a design's field (T, C) and what was decoded for it, after an epoch."""
        assert self._view is not None
        title = f"{self.name}, epoch {epoch}: the first validation design"
        figure = draw_reconstruction(self._view(true), self._view(decoded), title)
        tag = f"reconstruction/{self.name.replace(' ', '_')}"
        self._events().add_figure(tag, figure, self._epochs_before + epoch)

    def _events(self) -> SummaryWriter:
        if self._writer is None:
            self._writer = SummaryWriter(str(self._log_folder))
        return self._writer

    def _add_scalars(self, row: dict[str, float]) -> None:
        if self._log_folder is None:
            return
        for key, value in row.items():
            if key != "epoch":
                self._events().add_scalar(key, value, self._epochs_before + int(row["epoch"]))

    def report(
        self, row: dict[str, float], num_epochs: int, within: tuple[int, int] | None = None
    ) -> None:
        """Show an epoch, or how far it has come: to a batch, of so many."""
        if self._log_folder is None:
            return
        if within is None:
            self._add_scalars(row)
        batch, num_batches = within or (1, 1)
        epoch, now = int(row["epoch"]), time.monotonic()
        done = epoch - 1 + batch / num_batches
        if not self.is_due() and done != num_epochs:
            return
        self._last = now
        left = (now - self._start) / (done - self._first) * (num_epochs - done)
        validation = ", ".join(
            f"{key.removeprefix('validation_').replace('_', ' ')} {value:.4f}"
            for key, value in row.items()
            if key.startswith("validation_") and key != "validation_score"
        )
        logger.info(
            "%s: epoch %d/%d%s, loss %.4f%s, %.0f designs/s, %s, %d:%02d left",
            self.name,
            epoch,
            num_epochs,
            "" if within is None else f", batch {batch}/{num_batches}",
            row["loss"],
            f", validation {validation}" if validation else "",
            row["samples_per_second"],
            _memory(),
            *divmod(int(left), 60),
        )

    def close(self) -> None:
        """Finish the TensorBoard events."""
        if self._writer is not None:
            self._writer.close()


def _memory() -> str:
    """Memory in use: of the GPU if there is one, else of this process."""
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU"
    return f"{psutil.Process().memory_info().rss / 2**30:.1f} GiB"
