"""How an error falls with the number of designs, and where that would lead.

Shapes: m sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

# The law is straight in logarithms only at large sizes: those up to this factor below the largest
# count, as far back as the extrapolation looks ahead.
RANGE = 4.0
FEWEST_SIZES = 3
LEVEL = 0.90


@dataclass(frozen=True)
class PowerLaw:
    """error = factor * size ** -exponent, by least squares in logarithms.

    Error curves of neural networks are known to follow such a law over ranges of sizes (Hestness et
    al. 2017, arXiv 1712.00409). It knows no floor.

    Attributes:
        smallest_size, num_sizes: the smallest size that it was fitted to, and how many.
        residual_std: of the error's logarithm about the law, with num_sizes - 2 degrees of freedom.
        centre, spread: mean of the sizes' logarithms, and sum of their squared deviations from it.
    """

    factor: float
    exponent: float
    smallest_size: float
    num_sizes: int
    residual_std: float
    centre: float
    spread: float

    @classmethod
    def fit(cls, sizes: ArrayLike, errors: ArrayLike) -> Self:
        """Fit to the largest sizes: those within a factor of 4, but at least 3.

        Args:
            sizes: (m,) numbers of designs, increasing.
            errors: (m,) their errors, positive.

        Raises:
            ValueError: there are fewer than 3 sizes.
        """
        sizes, errors = np.asarray(sizes, np.float64), np.asarray(errors, np.float64)
        if len(sizes) < FEWEST_SIZES:
            raise ValueError(f"Expected at least {FEWEST_SIZES} sizes, got {len(sizes)}.")
        near = sizes > sizes[-1] / RANGE - 1  # a quarter of the designs may have been rounded
        num_sizes = max(FEWEST_SIZES, int(near.sum()))
        x, y = np.log(sizes[-num_sizes:]), np.log(errors[-num_sizes:])
        centre, spread = float(x.mean()), float(np.square(x - x.mean()).sum())
        slope = float((x - centre) @ y) / spread
        residuals = y - y.mean() - slope * (x - centre)
        return cls(
            factor=float(np.exp(y.mean() - slope * centre)),
            exponent=-slope,
            smallest_size=float(sizes[-num_sizes]),
            num_sizes=num_sizes,
            residual_std=float(np.sqrt(residuals @ residuals / (num_sizes - 2))),
            centre=centre,
            spread=spread,
        )

    def error(self, size: float) -> float:
        """The expected error at a size."""
        return float(self.factor * size**-self.exponent)

    def interval(self, size: float) -> tuple[float, float]:
        """The 90% prediction interval of the error of one more training at a size."""
        distance = (np.log(size) - self.centre) ** 2 / self.spread
        half = self._quantile * self.residual_std * np.sqrt(1 + 1 / self.num_sizes + distance)
        return float(self.error(size) * np.exp(-half)), float(self.error(size) * np.exp(half))

    def exponent_interval(self) -> tuple[float, float]:
        """The 90% confidence interval of the exponent."""
        half = self._quantile * self.residual_std / float(np.sqrt(self.spread))
        return self.exponent - half, self.exponent + half

    @property
    def _quantile(self) -> float:
        """Student's, since the residuals' spread is estimated from few of them."""
        return float(stats.t.ppf(0.5 + LEVEL / 2, self.num_sizes - 2))
