"""What a training shows while it runs: log lines and TensorBoard curves, from one process."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import psutil
import torch
from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

# Seconds between log lines.
LOG_INTERVAL = 5.0


class Progress:
    """Reports the rows of a training history.

    Args:
        log_folder: of the TensorBoard events; None for a process that does not report.
    """

    def __init__(self, log_folder: Path | None) -> None:
        self._writer: SummaryWriter | None = None
        self._log_folder = log_folder
        self.begin("", 0)

    def begin(self, name: str, first_epoch: int) -> None:
        """A stage of training starts, after the epochs of earlier ones."""
        self.name, self._epochs_before = name, first_epoch
        self._start, self._first_epoch, self._last = time.monotonic(), 0, 0.0

    def resumed(self, epoch: int) -> None:
        """The training goes on from a checkpoint."""
        self._first_epoch = epoch
        if self._log_folder is not None:
            logger.info("%s: resumed from the checkpoint after epoch %d", self.name, epoch)

    def stopped_early(self, epoch: int, best_epoch: int) -> None:
        """The training ends before its last epoch."""
        if self._log_folder is not None:
            logger.info(
                "%s: stopped early after epoch %d, the best was epoch %d",
                self.name,
                epoch,
                best_epoch,
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

    def report(self, row: dict[str, float], num_epochs: int) -> None:
        """Show an epoch."""
        if self._log_folder is None:
            return
        epoch = int(row["epoch"])
        if self._writer is None:
            self._writer = SummaryWriter(str(self._log_folder))
        for key, value in row.items():
            if key != "epoch":
                self._writer.add_scalar(key, value, self._epochs_before + epoch)
        now = time.monotonic()
        if now - self._last < LOG_INTERVAL and epoch != num_epochs:
            return
        self._last = now
        left = (now - self._start) / (epoch - self._first_epoch) * (num_epochs - epoch)
        validation = ", ".join(
            f"{key.removeprefix('validation_').replace('_', ' ')} {value:.4f}"
            for key, value in row.items()
            if key.startswith("validation_") and key != "validation_score"
        )
        logger.info(
            "%s: epoch %d/%d, loss %.4f%s, %.0f designs/s, %s, %d:%02d left",
            self.name,
            epoch,
            num_epochs,
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
