"""A training's sign of life: a file that its main process touches, and the launcher looks at.

Processes that train together notice by themselves when one of them does not answer. One that trains
alone waits for nobody.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

HEARTBEAT_FILE = "heartbeat"
# Seconds between two touches at least.
BEAT_INTERVAL = 1.0
# Seconds that count between two looks at most: this process may have been suspended as well.
LONGEST_LOOK = 10.0
# Seconds that a training gets to start and to read its data, beside what it gets for a batch.
START_ALLOWANCE = 600.0


class Heartbeat:
    """The training's side."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def beat(self) -> None:
        """Say that the training goes on."""
        now = time.monotonic()
        if now >= self._next:
            with suppress(OSError):  # a shared disk may be away for a moment
                self._path.touch()
            self._next = now + BEAT_INTERVAL


class Listener:
    """The launcher's side."""

    def __init__(self, path: Path) -> None:
        self._path, self._beat, self._last = path, 0, time.monotonic()
        self._silence = -START_ALLOWANCE

    @property
    def has_heard(self) -> bool:
        """Whether the file was touched."""
        return self._beat != 0

    def silence(self) -> float:
        """Seconds since the file changed, as seen by this process; before it is first touched those
        since the start, without what is allowed for it.

        To be asked every second or so: of a longer time a part counts.
        """
        now = time.monotonic()
        self._silence += min(now - self._last, LONGEST_LOOK)
        self._last = now
        beat = self._latest()
        if beat != self._beat:
            self._beat, self._silence = beat, 0.0
        return self._silence

    def _latest(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        except OSError:  # a shared disk may be away for a moment
            return self._beat
