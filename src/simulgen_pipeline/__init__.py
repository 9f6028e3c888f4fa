"""SimulGen Pipeline: finished simulations in, an instant surrogate with error bars out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .surrogate import Prediction, Surrogate

__version__ = "0.1.0"
__all__ = ["Prediction", "Surrogate"]


def __getattr__(name: str) -> Any:
    """Import the surrogate when it is asked for, so that the command line starts without torch."""
    if name in __all__:
        from . import surrogate

        return getattr(surrogate, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
