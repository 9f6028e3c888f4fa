"""The one error for a training that failed."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """Training processes failed; the message carries the failing process's own traceback."""
