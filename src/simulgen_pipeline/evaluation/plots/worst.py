"""Where and when predictions are worst: errors over time and over the mesh.

Shapes: T time steps, K mesh nodes
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulgen_pipeline.data.fields import FieldMetadata

from .mesh_map import SIZE_COLOURS, MeshMap, Shade, colour_bar
from .style import (
    BLACK,
    BLUE,
    FIGURE_SIZE,
    SKY,
    Array,
    few_ticks,
    mesh_node_label,
    name_of,
    new_figure,
    style_axes,
    units_of,
)

CURVE_STYLE: dict[str, Any] = {"color": BLUE, "linewidth": 1.6}
RING_STYLE: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "markersize": 13,
    "markeredgewidth": 2,
    "fillstyle": "none",
    "clip_on": False,
    "zorder": 3,
}
TITLE_PAD = 30  # [pt]: room for the name of the worst place below the title


def plot_worst(at_nodes: Array, at_times: Array, metadata: FieldMetadata, part: str) -> Figure:
    """Root-mean-square error at each time, and at each mesh node; the largest ones are marked.

    Nodes in the plane are a map, those on a line or without coordinates a curve. A static
    simulation (T = 1) has the mesh only.

    Args:
        at_nodes: (K,) over all times, in the field's units.
        at_times: (T,) over all nodes.
        metadata: of the field.
        part: whose designs the errors are of.
    """
    figure = new_figure(
        f"Root-mean-square error of the predicted {name_of(metadata)} over the {part} designs"
    )
    titles = ["of each node"]
    if len(at_times) > 1:
        titles = ["of each time, over all nodes", "of each node, over all times"]
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    if len(at_times) > 1:
        _draw_times(panels[0], at_times, metadata)
    points = metadata.coordinates
    if points is None or points.shape[1] == 1:
        _draw_nodes(panels[-1], at_nodes, metadata)
    else:
        mesh = MeshMap(points, metadata.cells, len(titles))
        titles[-1] += mesh.note
        if mesh.to_scale:  # flat meshes need less height
            panel = 0.8 * FIGURE_SIZE[0] / len(titles) * mesh.height_to_width
            figure.set_figheight(float(np.clip(1.8 + panel, 5, FIGURE_SIZE[1])))
        _draw_map(panels[-1], mesh, points, at_nodes, metadata)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=11, pad=TITLE_PAD)
    return figure


def _draw_times(axes: Axes, errors: Array, metadata: FieldMetadata) -> None:
    worst = int(errors.argmax())
    times = np.arange(len(errors)) if metadata.time is None else metadata.time
    when = f"time step {worst}" if metadata.time is None else f"t = {times[worst]:.3g} s"
    _draw_curve(axes, times, errors, when, metadata)
    axes.set_xlabel("time step" if metadata.time is None else "time [s]")
    axes.xaxis.set_major_locator(few_ticks(integer=metadata.time is None))


def _draw_nodes(axes: Axes, errors: Array, metadata: FieldMetadata) -> None:
    points = metadata.coordinates
    place = np.arange(len(errors)) if points is None else points[:, 0]
    where = mesh_node_label(int(errors.argmax()), metadata)
    _draw_curve(axes, place, errors, where, metadata)
    axes.set_xlabel("node number" if points is None else "x [m]")
    axes.xaxis.set_major_locator(few_ticks(integer=points is None))


def _draw_curve(
    axes: Axes, place: Array, errors: Array, name: str, metadata: FieldMetadata
) -> None:
    """Errors in the order of their places, the largest one in a ring."""
    order, worst = np.argsort(place, kind="stable"), int(errors.argmax())
    style: dict[str, Any] = {"marker": "o"} if len(errors) == 1 else {}
    axes.plot(place[order], errors[order], **CURVE_STYLE, **style)
    _mark(axes, (place[worst], errors[worst]), BLACK, name, float(errors[worst]), metadata)
    axes.set_ylabel(f"error [{units_of(metadata)}]")
    axes.set_ylim(0, 1.08 * float(errors[worst]) or 1.0)
    style_axes(axes)


def _draw_map(
    axes: Axes, mesh: MeshMap, points: Array, errors: Array, metadata: FieldMetadata
) -> None:
    """Errors in colours, the largest one in a ring."""
    worst = int(errors.argmax())
    largest, where = float(errors[worst]), mesh_node_label(worst, metadata)
    artist = mesh.draw(axes, errors, Shade(SIZE_COLOURS, 0, largest or 1.0))
    colour_bar(axes, artist).set_label(f"error [{units_of(metadata)}]")
    _mark(axes, tuple(points[worst, :2]), SKY, where, largest, metadata)
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")


def _mark(
    axes: Axes,
    place: tuple[float, float],
    colour: str,
    name: str,
    error: float,
    metadata: FieldMetadata,
) -> None:
    """A ring around the worst place, whose name and error stand above the panel."""
    label = f"worst: {name}, {error:.3g} {units_of(metadata)}".removesuffix(" -")
    axes.plot(*place, color=colour, label=label, **RING_STYLE)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=10)
