"""A training's sign of life: a file that its main process touches, and the launcher looks at.

Processes that train together notice by themselves when one of them does not answer. One that trains
alone waits for nobody.
"""

from __future__ import annotations

import time
from pathlib import Path

HEARTBEAT_FILE = "heartbeat"
# Seconds between two touches at least.
BEAT_INTERVAL = 1.0


class Heartbeat:
    """The training's side."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def beat(self) -> None:
        """Say that the training goes on."""
        now = time.monotonic()
        if now >= self._next:
            self._path.touch()
            self._next = now + BEAT_INTERVAL


class Listener:
    """The launcher's side."""

    def __init__(self, path: Path) -> None:
        self._path, self._beat, self._since = path, 0, time.monotonic()

    def silence(self) -> float:
        """Seconds since the file changed, as seen by this process; 0 before it is first touched."""
        beat = self._path.stat().st_mtime_ns if self._path.exists() else 0
        if beat != self._beat or beat == 0:
            self._beat, self._since = beat, time.monotonic()
        return time.monotonic() - self._since
