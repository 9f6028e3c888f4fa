"""Which of several models is to be trusted with new designs.

Shapes: n designs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

# Fewer designs resolve no difference.
FEWEST_DESIGNS = 3


def choose_champion(
    errors: Mapping[str, Mapping[str, float]], to_be_refitted: Collection[str]
) -> str:
    """The model of the smallest mean error on designs that none was fitted to.

    A difference that these designs do not resolve goes to a model that will be refitted to them,
    and so can only gain, over one whose training they ended: another model wins by more than the
    standard error of its mean gain (the one-standard-error rule of Breiman et al. 1984, on paired
    differences).

    Args:
        errors: by model, the relative L2 error of each of the same n designs, by id.
        to_be_refitted: models that are given these designs before they predict new ones.
    """
    means = {
        model: float(np.mean(list(e.values()))) if e else np.inf for model, e in errors.items()
    }
    best = min(means, key=lambda model: means[model])
    rivals = [model for model in to_be_refitted if model in means]
    if best in rivals or not rivals:
        return best
    rival = min(rivals, key=lambda model: means[model])
    gains = [errors[rival][design_id] - error for design_id, error in errors[best].items()]
    if len(gains) < FEWEST_DESIGNS:
        return rival
    return best if np.mean(gains) > np.std(gains, ddof=1) / np.sqrt(len(gains)) else rival
