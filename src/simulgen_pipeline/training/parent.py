"""Processes that end when the one that started them does."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # of Linux's prctl


def end_with_parent() -> None:
    """Let Linux kill this process when its parent ends, even if it hangs or is stopped then.

    The parent is the thread that started this process. Elsewhere this does nothing, nor for a
    parent that is gone already: that is for the process itself to see.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
