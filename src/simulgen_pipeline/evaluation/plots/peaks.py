"""Peaks of designs: predicted against true size, and how far off in place and time.

Shapes: n designs of a part
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simulgen_pipeline.data.fields import FieldMetadata

from .style import (
    CYCLE,
    GREY,
    LEAST_SPAN,
    MARKERS,
    Array,
    few_ticks,
    limits,
    name_of,
    new_figure,
    style_axes,
    units_of,
)

NUM_BINS = 21  # odd, so that one of them is about zero


class Peaks(NamedTuple):
    """Peaks of some designs, each (n,), NaN where a design has no such figure.

    Attributes:
        true: size of the true peak, in the field's units.
        error: predicted minus true size.
        place: distance of the predicted peak from the true one [m]; without coordinates 0 at the
            same node and 1 at another.
        time: predicted minus true time of the peak [s], or in steps.
    """

    true: Array
    error: Array
    place: Array
    time: Array


def plot_peaks(parts: Mapping[str, Peaks], metadata: FieldMetadata) -> Figure:
    """Predicted against true size of every design's peak; histograms of place and time errors.

    An error that no design has, such as the time's in a static simulation, has no histogram.

    Args:
        parts: peaks by part of the split; each part has its own marker and colour.
        metadata: of the field.
    """
    figure = new_figure(f"Peak of |{name_of(metadata)}| over all nodes and times of each design")
    shown = {name: peaks for name, peaks in parts.items() if len(peaks.true) > 0}
    if not shown:
        return figure
    places = [_known(peaks.place) for peaks in shown.values()]
    times = [_known(peaks.time) for peaks in shown.values()]
    histograms = [
        (draw, errors)
        for draw, errors in ((_draw_places, places), (_draw_times, times))
        if any(map(len, errors))
    ]
    num_rows, num_columns = max(1, len(histograms)), 2 if histograms else 1
    grid = figure.add_gridspec(num_rows, num_columns, width_ratios=(3, 2)[:num_columns])
    _draw_sizes(figure.add_subplot(grid[:, 0]), shown, metadata)
    for row, (draw, errors) in enumerate(histograms):
        draw(figure.add_subplot(grid[row, 1]), errors, metadata)
    return figure


def _known(errors: Array) -> Array:
    known: Array = errors[np.isfinite(errors)]
    return known


def _draw_sizes(axes: Axes, parts: Mapping[str, Peaks], metadata: FieldMetadata) -> None:
    units = units_of(metadata)
    for number, (name, peaks) in enumerate(parts.items()):
        mean = f"{np.abs(peaks.error).mean():.3g} {units}".removesuffix(" -")
        axes.plot(
            peaks.true,
            peaks.true + peaks.error,
            linestyle="",
            marker=MARKERS[number],
            markersize=6,
            color=CYCLE[number],
            alpha=0.75,
            label=f"{name} ({len(peaks.true)} designs, mean |error| {mean})",
        )
    everything = [size for p in parts.values() for size in (p.true, p.true + p.error)]
    ends = limits(everything, LEAST_SPAN * float(np.max(np.concatenate(everything))))
    axes.plot(ends, ends, color=GREY, linewidth=1, zorder=1)
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"true peak [{units}]")
    axes.set_ylabel(f"predicted peak [{units}]")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(few_ticks())
    axes.legend(loc="upper left", framealpha=0.9)
    style_axes(axes)


def _draw_places(axes: Axes, errors: Sequence[Array], metadata: FieldMetadata) -> None:
    if metadata.coordinates is None:
        _draw_histogram(axes, errors, np.array([-0.5, 0.5, 1.5]))
        axes.set_xticks([0, 1], ["same node", "another node"])
        axes.set_xlabel("predicted peak against the true one")
    else:
        _draw_histogram(axes, errors, np.linspace(0, _largest(errors), NUM_BINS + 1))
        axes.set_xlabel("distance of the predicted peak from the true one [m]")


def _draw_times(axes: Axes, errors: Sequence[Array], metadata: FieldMetadata) -> None:
    largest = _largest(errors)
    _draw_histogram(axes, errors, np.linspace(-largest, largest, NUM_BINS + 1))
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=0.9)
    unit = "steps" if metadata.time is None else "s"
    axes.set_xlabel(f"predicted minus true time of the peak [{unit}]")


def _largest(errors: Sequence[Array]) -> float:
    """Largest absolute error of all parts; 1 where all are zero."""
    return max(float(np.abs(error).max(initial=0.0)) for error in errors) or 1.0


def _draw_histogram(axes: Axes, errors: Sequence[Array], edges: Array) -> None:
    """Numbers of designs, parts stacked in their colours."""
    axes.hist(
        list(errors),
        bins=edges.tolist(),
        stacked=True,
        color=CYCLE[: len(errors)],
        edgecolor="white",
        linewidth=0.5,
    )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylabel("designs")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_locator(few_ticks())
    style_axes(axes)
