"""Relative L2 error of every design by every model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import CYCLE, MARKERS, new_figure, percent_axis, percent_text, style_axes


def plot_error_per_design(
    reconstruction: Mapping[str, float],
    prediction: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Relative L2 error of every design and model, designs sorted by the VAE's prediction.

    Args:
        reconstruction: error by design id of field -> VAE -> field.
        prediction: error by design id of design -> VAE -> field; its designs are the ones shown.
        baselines: errors by name and design id.
    """
    figure = new_figure("Relative L2 error of each test design")
    axes = figure.subplots()
    ids = sorted(prediction, key=lambda design_id: prediction[design_id])
    models = {"VAE reconstruction": reconstruction, "VAE prediction": prediction, **baselines}
    everything = []
    for index, (name, errors) in enumerate(models.items()):
        values = np.array([errors.get(design_id, np.nan) for design_id in ids])
        known = values[np.isfinite(values)]
        everything.extend(known[known > 0])
        if len(known) > 0:
            axes.plot(
                np.arange(1, len(ids) + 1),
                values,
                linestyle="",
                marker=MARKERS[index % len(MARKERS)],
                markersize=float(np.clip(300 / len(ids), 3, 7)),
                color=CYCLE[index % len(CYCLE)],
                alpha=0.85,
                zorder=3 if errors is prediction else 2,
                label=f"{name} (mean {percent_text(float(known.mean()))})",
            )
    if everything:
        axes.set_yscale("log")
        axes.set_ylim(0.8 * min(everything), 1.25 * max(everything))
        percent_axis(axes, np.log10(max(everything) / min(everything)))
    axes.set_ylabel("relative L2 error over all nodes and times")
    axes.set_xlabel("test design, sorted by the error of the VAE prediction")
    axes.set_xlim(0.5, max(len(ids), 1) + 0.5)
    if len(ids) <= 40:
        rotation = 90 if sum(map(len, ids)) + 2 * len(ids) > 150 else 0  # characters in a line
        axes.set_xticks(np.arange(1, len(ids) + 1), ids, rotation=rotation)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    style_axes(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", frameon=True, framealpha=0.9)
    return figure
