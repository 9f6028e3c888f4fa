"""The one error for data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """A user's file or array is not what is needed: what was expected, what came, the remedy."""
