"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of a file that is being written; what a killed process leaves has it too.
UNFINISHED = ".tmp"
# How safetensors, which has an error of its own, says that a disk is full.
_DISK_WORDS = ("no space left on device", "disk quota exceeded")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Another path to write to, which is given its name when the block ends well.

    Raises:
        OSError, or what the block raises: with a note about the disk if that is full. What was
            there under the name before stays.
    """
    temporary = path.with_name(path.name + UNFINISHED)
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    except Exception as error:
        if is_disk_full(error):
            free = shutil.disk_usage(path.parent).free / 2**20
            error.add_note(f"{path} does not fit on its disk, which has {free:.0f} MiB left.")
        raise
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file's content is on its disk, so that its name does not get there first."""
    with path.open("r+b") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is about a disk, or what of it a user may fill."""
    return any(
        (isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT))
        or any(words in str(one).lower() for words in _DISK_WORDS)
        for one in with_causes(error)
    )


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from or beside, and so on: torch puts one of its own over that
    of a file that it writes to."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
