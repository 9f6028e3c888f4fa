"""Designs as the points that kernels see.

Shapes: n designs, P parameters, K pixels, C components
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

Array = NDArray[np.float64]
Transform = Callable[[Array], Array]


def scaled_parameters(designs: Array) -> Transform:
    """To the range [0, 1] of some designs (n, P), in log10 where positive over a decade or more."""
    lowest, highest = designs.min(axis=0), designs.max(axis=0)
    log = (lowest > 0) & (highest >= 10 * lowest)

    def logged(values: Array) -> Array:
        return np.where(log, np.log10(np.where(log, values, 1.0)), values)

    offset = logged(lowest)
    width = logged(highest) - offset
    width[width == 0] = 1.0
    return lambda values: (logged(values) - offset) / width


def picture_components(pictures: Array, num_components: int) -> Transform:
    """To the leading principal components of some pictures (n, K), in units of the first's spread.

    One unit for all: each component in its own would magnify those that hardly matter.
    """
    fitted = PCA(num_components, svd_solver="full").fit(pictures)
    unit = np.sqrt(fitted.explained_variance_[0])
    return lambda values: np.asarray(fitted.transform(values) / unit)
