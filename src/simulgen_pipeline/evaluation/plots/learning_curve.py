"""Errors over the number of designs fitted, and the power laws that they follow.

Shapes: m sizes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from simulgen_pipeline.evaluation.power_law import PowerLaw

from .style import CYCLE, MARKERS, model_label, new_figure, percent_axis, style_axes

NUM_POINTS = 50
# How many times the VAE's largest size the figure ends at.
FARTHEST = 4


def plot_learning_curve(
    num_designs: Mapping[str, Sequence[int]],
    errors: Mapping[str, Sequence[float]],
    laws: Mapping[str, PowerLaw],
    part: str,
) -> Figure:
    """Errors at each size; power laws solid where they were fitted and dashed up to 4 times that.

    A law that does not fall is not continued. The band is the 90% prediction interval of the model
    `vae`; where it is wider than the axis, it is cut off.

    Args:
        num_designs: (m,) designs fitted, increasing, by model; those of `vae` are named.
        errors: mean relative L2 errors (m,) by model, positive or not shown.
        laws: by model, of those that have one.
        part: whose designs the errors are of.
    """
    shown = {model: values for model, values in errors.items() if min(values) > 0}
    figure = new_figure(f"Mean relative L2 error of the {part} designs")
    axes = figure.subplots()
    ticks, end = list(num_designs["vae"]), FARTHEST * num_designs["vae"][-1]
    for number, (model, values) in enumerate(shown.items()):
        colour, label = CYCLE[number % len(CYCLE)], model_label(model)
        if model in laws:
            falls = "" if laws[model].exponent > 0 else ": no gain to expect"
            label += f" (exponent {laws[model].exponent:.2f}{falls})"
            _draw_law(axes, num_designs[model][-1], end, laws[model], colour)
        axes.plot(
            num_designs[model],
            values,
            linestyle="",
            marker=MARKERS[number % len(MARKERS)],
            markersize=7,
            color=colour,
            label=label,
            zorder=3,
        )
        if model == "vae" and model in laws:
            _draw_band(axes, num_designs[model][-1], end, laws[model], colour)
    label = "designs fitted"
    if laws:
        label += " (dashed: the power law, continued)"
        ticks += [2 * ticks[-1], end]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    last = max(ticks[-1], *(sizes[-1] for sizes in num_designs.values()))
    first = min(ticks[0], *(sizes[0] for sizes in num_designs.values()))
    axes.set_xlim(0.9 * first, 1.1 * last)
    axes.set_xlabel(label)
    axes.set_ylabel("relative L2 error over all nodes and times, mean over designs")
    if shown:
        ends = [law.error(end) for law in laws.values() if law.exponent > 0]
        everything = [error for values in shown.values() for error in values] + ends
        low, high = min(everything), max(everything)
        axes.set_yscale("log")
        axes.set_ylim(0.7 * low, 1.3 * high)
        percent_axis(axes, np.log10(high / low))
        axes.legend(loc="best", framealpha=0.9)
    style_axes(axes)
    return figure


def _draw_law(axes: Axes, largest: int, end: int, law: PowerLaw, colour: str) -> None:
    """The law where it was fitted and, if it falls, where it leads."""
    fitted = np.geomspace(law.smallest_size, largest, NUM_POINTS)
    axes.plot(fitted, [law.error(size) for size in fitted], color=colour, linewidth=1.2)
    if law.exponent > 0:
        ahead = np.geomspace(largest, end, NUM_POINTS)
        errors = [law.error(size) for size in ahead]
        axes.plot(ahead, errors, color=colour, linewidth=1.2, linestyle="--")


def _draw_band(axes: Axes, largest: int, end: int, law: PowerLaw, colour: str) -> None:
    if law.exponent > 0:
        ahead = np.geomspace(largest, end, NUM_POINTS)
        low, high = zip(*(law.interval(size) for size in ahead), strict=True)
        axes.fill_between(
            ahead,
            low,
            high,
            color=colour,
            alpha=0.15,
            linewidth=0,
            label="its 90% interval",
        )
