"""Whether a regression predicts better when it is given further designs, with all that was tuned.

Shapes: n designs so far, a designs added, R modes.

Noise and length scales that suit some designs make a regression go through whatever else it is
given. A design that contradicts the others, such as one with the parameters of another and a field
of its own, then bends all around it. Good designs help to predict others that are held out; such a
design shows in their errors. Designs that don't make these smaller are no reason to refit.

In random smooth problems (25 to 120 designs, a tenth to three tenths as many added) the sum of
errors became 0.6 to 1 times as large with good designs, and with few designs of noisy fields, or in
many dimensions, now and then up to 1.15 times: little is lost without these. The check is no proof:
a bad design's own error is in both sums, and one that is off by no more than others are may pass.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .cross_validation import Folds
from .fitted_designs import FittedDesigns

Float64 = NDArray[np.float64]

# Share of the fields' distances from their mean that errors may grow by: round-off.
NEGLIGIBLE = 1e-4


def is_harmed(
    held_out_errors: Callable[[Folds], Float64 | None],
    first: FittedDesigns,
    both: FittedDesigns,
    num_first: int,
    num_most: int,
    num_folds: int,
) -> bool:
    """Whether the sum of errors grows when each design is predicted from the added ones as well.

    Before, the first designs are held out in folds of their own, and the added ones are predicted
    from the first; after, all are held out in folds of both.

    Args:
        held_out_errors: of a regression: (n + a, R), zero for designs that are never held out, or
            None where its system of equations is singular.
        first: the designs so far.
        both: the same in the same order, and the added ones after them.
        num_first: first designs to look at, which bounds the cost.
        num_most: designs that the regression is given at most.
        num_folds: in which designs are held out.
    """
    added = np.arange(len(first.points), min(num_most, len(both.points)))
    given = np.append(np.arange(num_first), added)

    def folds(num: int) -> list[NDArray[np.int64]]:
        return [np.arange(start, num, num_folds) for start in range(min(num_folds, num))]

    def error(
        designs: FittedDesigns, rows: NDArray[np.int64], held_out: list[NDArray[np.int64]]
    ) -> float:
        values = designs.points[rows], designs.coefficients[rows]
        errors = held_out_errors(Folds(*values, norms=np.ones(len(rows)), held_out=held_out))
        return np.inf if errors is None else _total(errors)

    before = error(first, given[:num_first], folds(num_first))
    before += error(both, given, [np.arange(num_first, len(given))])
    after = error(both, given, folds(len(given)))
    return after > before + NEGLIGIBLE * _total(both.coefficients[given])


def _total(errors: Float64) -> float:
    """Sum over designs of the norms of coefficients (n, R)."""
    return float(np.linalg.norm(errors, axis=1).sum())
