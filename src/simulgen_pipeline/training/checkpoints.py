"""Checkpoints of a training in progress: tensors and plain values, complete or absent.

A checkpoint needs no random state: every random number of a step is drawn from generators seeded
with the run's seed, the step and the process, so that a resumed run continues with the same bits.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from simulgen_pipeline.data.whole_files import whole_file

from .world import World

logger = logging.getLogger(__name__)

# A damaged newest checkpoint falls back to the one before.
NUM_KEPT = 2
# Bytes of the digest of all others at a file's end: torch.load does not notice a changed byte.
DIGEST_SIZE = hashlib.sha256().digest_size
# Bytes that are read at once.
BLOCK_SIZE = 2**20
# What reading a sealed file that is not whole raises.
DAMAGED = ValueError, pickle.UnpicklingError, FileNotFoundError


class Checkpoints:
    """The newest checkpoints of a stage of training, due every `interval` seconds."""

    def __init__(self, folder: Path, stage: str, interval: float) -> None:
        self.folder, self.stage, self.interval = folder, stage, interval
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the interval since the last checkpoint has passed."""
        return time.monotonic() - self._last >= self.interval

    def save(self, epoch: int, content: dict[str, Any], batch: int = 0) -> None:
        """Write the checkpoint after so many epochs and batches of the next, then drop the oldest.

        Later ones are dropped too: they are damaged, or training would not be here.

        Raises:
            OSError: the disk is full or not writable; earlier checkpoints are intact.
        """
        written = self.folder / f"{self.stage}-{epoch:08d}-{batch:08d}.pt"
        write_sealed(written, content)
        paths = self._paths()
        place = paths.index(written)
        for other in paths[:place] + paths[place + NUM_KEPT :]:
            other.unlink()
        self._last = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The newest checkpoint that is whole, or None.

        Raises:
            OSError, torch.OutOfMemoryError: one that may be whole cannot be read now.
        """
        paths = self._paths()
        for path in paths:
            try:
                return read_sealed(path, device)
            except DAMAGED as error:
                then = "its stage starts anew" if path == paths[-1] else "the one before is used"
                logger.warning("%s is damaged (%s); %s", path, error, then)
            except Exception as error:
                error.add_note(
                    f"{path} cannot be read now, though it may be whole. If that stays, remove it "
                    f"to go on from the one before."
                )
                raise
        return None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.stage}-*.pt"), reverse=True)


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values, and after them the digest of all that was written.

    Raises:
        OSError: the disk is full or not writable; what was there before stays.
    """
    with whole_file(path) as temporary:
        with temporary.open("wb") as file:
            torch.save(content, file)
        digest = _digest(temporary, temporary.stat().st_size)
        with temporary.open("ab") as file:
            file.write(digest)


def read_sealed(path: Path, device: torch.device) -> dict[str, Any]:
    """What `write_sealed` wrote.

    Raises:
        DAMAGED: a byte is missing or another one.
        OSError, torch.OutOfMemoryError: it cannot be read now.
    """
    _check(path)
    content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return content


class CheckpointsDifferError(RuntimeError):
    """Processes do not see the same checkpoints."""


def check_same_place(epoch: int, batch: int, world: World) -> None:
    """Let all processes compare how far the checkpoints went that they found, 0 and 0 for none.

    Raises:
        CheckpointsDifferError: this process found another one than the others.
    """
    mine = torch.tensor([float(epoch), float(batch)], device=world.device)
    if not torch.equal(world.sum(mine), world.size * mine):
        raise CheckpointsDifferError(
            f"Expected the same newest checkpoint for every process, got the one after "
            f"{place_of(epoch, batch)} here and another elsewhere: a shared file system may show "
            f"new files late. Start again in a minute."
        )


def place_of(epoch: int, batch: int) -> str:
    """Where in a training a checkpoint is, in words."""
    return f"batch {batch} of epoch {epoch + 1}" if batch else f"epoch {epoch}"


def _check(path: Path) -> None:
    size = path.stat().st_size - DIGEST_SIZE
    with path.open("rb") as file:
        file.seek(max(0, size))
        expected = file.read()
    if _digest(path, size) != expected:
        raise ValueError("it does not have the digest that it was written with")


def _digest(path: Path, size: int) -> bytes:
    """The digest of a file's first bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, BLOCK_SIZE))):
            digest.update(block)
            size -= len(block)
    return digest.digest()
