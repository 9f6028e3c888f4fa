"""Pictures of a bright spot."""

import numpy as np

SIZE = 32


def blob(x: float, y: float, size: int = SIZE) -> np.ndarray:
    """A grey picture with a bright spot at (x, y), both from 0 to 1."""
    ticks = (np.arange(size) + 0.5) / size
    distance = (ticks[None] - x) ** 2 + (ticks[:, None] - y) ** 2
    return np.round(255 * np.exp(-distance / 0.02)).astype(np.uint8)
