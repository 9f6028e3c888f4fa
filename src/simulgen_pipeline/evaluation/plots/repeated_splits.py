"""Relative L2 errors of all designs, each as a test design: fold by fold and together.

Shapes: N designs
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import CYCLE, Array, model_label, new_figure, percent_axis, percent_text, style_axes

# Share of a group's width that its models take.
GROUP_WIDTH = 0.84


def plot_repeated_splits(folds: NDArray[np.int64], errors: Mapping[str, Array]) -> Figure:
    """Sorted errors of each model in each fold, and in all folds; a bar is their mean.

    Args:
        folds: (N,) the fold in which each design was a test design.
        errors: (N,) by model; NaN or zero where a design has no error to show.
    """
    numbers = np.unique(folds)
    figure = new_figure(
        f"Relative L2 error of {len(folds)} designs, each as a test design of one of "
        f"{len(numbers)} folds"
    )
    by_fold, together = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    shown = {
        model: np.where(values > 0, values, np.nan)
        for model, values in errors.items()
        if (values > 0).any()
    }
    for place, (model, values) in enumerate(shown.items()):
        colour = CYCLE[list(errors).index(model) % len(CYCLE)]
        width = GROUP_WIDTH / len(shown)
        offset = (place + 0.5) * width - GROUP_WIDTH / 2
        for group, number in enumerate(numbers):
            _draw_sorted(by_fold, group + offset, width, values[folds == number], colour)
        _draw_sorted(together, offset, width, values, colour)
        mean = percent_text(float(np.nanmean(values)))
        together.plot(
            [], [], color=colour, linewidth=6, label=f"{model_label(model)} (mean {mean})"
        )
    by_fold.set_xticks(np.arange(len(numbers)), [f"fold {number}" for number in numbers])
    together.set_xticks([0], ["all folds"])
    by_fold.set_xlim(-0.5, len(numbers) - 0.5)
    together.set_xlim(-0.5, 0.5)
    by_fold.set_ylabel("relative L2 error over all nodes and times")
    by_fold.set_xlabel("designs of a fold, sorted by error; bar: mean")
    if shown:
        everything = np.concatenate(list(shown.values()))
        low, high = float(np.nanmin(everything)), float(np.nanmax(everything))
        by_fold.set_yscale("log")
        by_fold.set_ylim(0.8 * low, 1.25 * high)
        percent_axis(by_fold, np.log10(high / low))
        together.legend(loc="upper center", bbox_to_anchor=(0.5, -0.04), ncols=2, frameon=False)
    for axes in (by_fold, together):
        style_axes(axes)
        axes.grid(visible=False, axis="x")
    return figure


def _draw_sorted(axes: Axes, centre: float, width: float, values: Array, colour: str) -> None:
    """One model's errors in ascending order across a column, and their mean."""
    known = np.sort(values[np.isfinite(values)])
    if len(known) == 0:
        return
    inner = 0.8 * width
    across = centre + inner * ((np.arange(len(known)) + 0.5) / len(known) - 0.5)
    axes.plot(
        across,
        known,
        linestyle="",
        marker="o",
        markersize=float(np.clip(100 / len(known), 2, 5)),
        markeredgewidth=0,
        color=colour,
        alpha=0.7,
    )
    axes.plot(centre + np.array([-0.5, 0.5]) * inner, 2 * [known.mean()], color=colour, linewidth=2)
