"""Which of several models is to be trusted with new designs.

Shapes: n designs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike

# Fewer designs resolve no difference.
FEWEST_DESIGNS = 3


def choose_champion(errors: Mapping[str, Mapping[str, float]], baselines: Collection[str]) -> str:
    """The model of the smallest mean error on designs that none was fitted to.

    A difference that these designs do not resolve goes to a baseline, which knows nothing of them:
    they ended the training of the other model. It wins by more than the standard error of its mean
    gain (the one-standard-error rule of Breiman et al. 1984, on paired differences).

    Args:
        errors: by model, the relative L2 error of each of the same n designs, by id.
        baselines: models that were fitted without a look at these designs.
    """
    means = {
        model: float(np.mean(list(e.values()))) if e else np.inf for model, e in errors.items()
    }
    best = min(means, key=lambda model: means[model])
    rivals = [model for model in baselines if model in means]
    if best in rivals or not rivals:
        return best
    rival = min(rivals, key=lambda model: means[model])
    gains = [errors[rival][design_id] - error for design_id, error in errors[best].items()]
    return best if is_resolved(gains) else rival


def is_resolved(gains: ArrayLike) -> bool:
    """Whether the mean of gains (n,) is more than its standard error above zero."""
    gains = np.asarray(gains, dtype=np.float64)
    if len(gains) < FEWEST_DESIGNS:
        return False
    return bool(np.mean(gains) > np.std(gains, ddof=1) / np.sqrt(len(gains)))
