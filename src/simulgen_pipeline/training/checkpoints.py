"""Checkpoints of a training in progress: tensors and plain values, complete or absent.

A checkpoint needs no random state: every random number of a step is drawn from generators seeded
with the run's seed, the step and the process, so that a resumed run continues with the same bits.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import torch

logger = logging.getLogger(__name__)

# A damaged newest checkpoint falls back to the one before.
NUM_KEPT = 2


class Checkpoints:
    """The newest checkpoints of a stage of training, due every `interval` seconds."""

    def __init__(self, folder: Path, stage: str, interval: float) -> None:
        self.folder, self.stage, self.interval = folder, stage, interval
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the interval since the last checkpoint has passed."""
        return time.monotonic() - self._last >= self.interval

    def save(self, epoch: int, content: dict[str, Any]) -> None:
        """Write the checkpoint after an epoch, then drop the oldest.

        Raises:
            OSError: the disk is full or not writable; earlier checkpoints are intact.
        """
        temporary = self.folder / "checkpoint.tmp"
        try:
            with temporary.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.folder / f"{self.stage}-{epoch:08d}.pt")
        finally:
            temporary.unlink(missing_ok=True)
        for old in self._paths()[NUM_KEPT:]:
            old.unlink()
        self._last = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The newest readable checkpoint, or None."""
        for path in self._paths():
            try:
                content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
                return content
            except Exception as error:  # a damaged file may raise anything
                logger.warning("%s is damaged (%s); the one before is used", path, error)
        return None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.stage}-*.pt"), reverse=True)
