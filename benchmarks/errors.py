"""The error that everything is measured by.

Shapes: n designs, F values of a field (times after each other)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def relative_l2(true: Array, predicted: Array) -> Array:
    """Norm of predicted minus true over norm of true, for each design.

    Args:
        true, predicted: (n, F).

    Returns:
        (n,), or fewer: a design whose true field is zero everywhere has none.
    """
    norms = np.linalg.norm(true, axis=1)
    errors = np.linalg.norm(predicted - true, axis=1)
    return np.asarray(errors[norms > 0] / norms[norms > 0])
