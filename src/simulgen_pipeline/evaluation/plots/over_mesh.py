"""Fields over the mesh: in colours in the plane, as curves on a line or over node numbers.

Shapes: T time steps, M values per time step, R rows of panels, E triangles
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.metrics import INTERVAL_90

from .style import (
    BAND_STYLE,
    FIELD_COLOURS,
    FIGURE_SIZE,
    GREY,
    LEAST_SPAN,
    PREDICTED_STYLE,
    TRUE_STYLE,
    Array,
    capitalised,
    design_name,
    design_title,
    few_ticks,
    limits,
    name_of,
    new_figure,
    percent_text,
    rms_text,
    style_axes,
    units_of,
)

SIGNED_COLOURS = "RdBu_r"
SIZE_COLOURS = "magma"

# Meshes longer than this in one direction are not drawn to scale.
LARGEST_ASPECT = 6.0


def representative_times(num_time_steps: int, num: int) -> NDArray[np.int64]:
    """Increasing time steps: the last of each of `num` equal parts of the simulation.

    The initial state, which is often the same for all designs, is thus left out where possible.
    """
    num = min(num, num_time_steps)
    return np.arange(1, num + 1) * num_time_steps // max(num, 1) - 1


class MeshRow(NamedTuple):
    """What a row of panels of `plot_over_mesh` shows, per mesh node (M / components,)."""

    true: Array
    predicted: Array
    error: Array
    std: Array | None


def plot_over_mesh(
    metadata: FieldMetadata,
    times_index: Sequence[int] | NDArray[np.int64],
    true: Array,
    predicted: Array,
    std: Array | None,
    design_ids: Sequence[str],
    relative_l2: Mapping[str, float] | None = None,
) -> Figure:
    """Fields over the mesh: true, predicted, error and std, a row for each time or design.

    Cells of three or four nodes in the plane are filled, nodes without them are dots, those on a
    line or without coordinates are curves. Of a vector field the magnitudes are shown, and the
    magnitude of the error vector. True and predicted of a row share their colours.

    Args:
        metadata: of the whole field.
        times_index: (R,) time step of each row.
        true, predicted: (R, M) in physical units.
        std: (R, M) of the prediction, or None.
        design_ids: (R,) design of each row.
        relative_l2: the prediction's error by design id, over all nodes and times.
    """
    rows = _mesh_rows(metadata.components, true, predicted, std)
    quantity = capitalised(name_of(metadata))
    if metadata.components > 1:
        quantity = f"Magnitude of {name_of(metadata)}"
    one_design = len(set(design_ids)) == 1
    if one_design:
        title = f"{quantity}, {design_title(design_ids[0], relative_l2)}"
    else:
        title = f"{quantity} of {len(set(design_ids))} test designs"
    labels, notes = [], []
    for design_id, step, row in zip(design_ids, times_index, rows, strict=True):
        label = [] if one_design else [design_name(design_id)]
        if metadata.time is not None:
            label.append(f"t = {metadata.time[step]:.3g} s")
        elif len(set(times_index)) > 1:
            label.append(f"time step {step}")
        labels.append("\n".join(label))
        notes.append(rms_text(row.error, metadata))
        if not one_design and relative_l2 is not None and design_id in relative_l2:
            notes[-1] = f"relative L2 error {percent_text(relative_l2[design_id])}\n{notes[-1]}"
    if metadata.coordinates is None or metadata.coordinates.shape[1] == 1:
        return _lines_over_mesh(metadata, rows, labels, notes, title)
    return _colours_over_mesh(metadata, metadata.coordinates, rows, labels, notes, title)


def _mesh_rows(components: int, true: Array, predicted: Array, std: Array | None) -> list[MeshRow]:
    def magnitude(values: Array) -> Array:
        norm: Array = np.linalg.norm(values.reshape(-1, components), axis=1)
        return norm

    error = predicted.astype(np.float64) - true
    if components == 1:
        return [
            MeshRow(true[r], predicted[r], error[r], None if std is None else std[r])
            for r in range(len(true))
        ]
    return [
        MeshRow(
            magnitude(true[r]),
            magnitude(predicted[r]),
            magnitude(error[r]),
            None if std is None else magnitude(std[r]),
        )
        for r in range(len(true))
    ]


class Shade(NamedTuple):
    """A colour map and its limits."""

    colours: str
    least: float
    most: float


def _colours_over_mesh(
    metadata: FieldMetadata,
    coordinates: Array,
    rows: Sequence[MeshRow],
    labels: Sequence[str],
    notes: Sequence[str],
    title: str,
) -> Figure:
    signed = metadata.components == 1
    names = ["true", "predicted", "predicted - true" if signed else "|predicted - true|"]
    names += [] if rows[0].std is None else ["std of the prediction"]
    extent = np.ptp(coordinates[:, :2], axis=0)
    to_scale = extent.min() * LARGEST_ASPECT > extent.max()
    if coordinates.shape[1] == 3:
        title += " (3-D mesh, seen along z)"
    if not to_scale:
        title += " (axes not to scale)"

    figure = new_figure(title, ConstrainedLayoutEngine(compress=True, w_pad=0.1))
    if to_scale:  # flat meshes need less height
        panel = 0.7 * FIGURE_SIZE[0] / len(names) * extent[1] / extent[0]
        figure.set_figheight(float(np.clip(1.3 + len(rows) * (0.6 + panel), 4, FIGURE_SIZE[1])))
    grid = figure.subplots(len(rows), len(names), sharex=True, sharey=True, squeeze=False)
    triangles = _triangles(metadata.cells, coordinates)
    x, y = coordinates[:, :2].T
    mesh = None if triangles is None else Triangulation(x, y, triangles)
    dot = float(np.clip(0.3 * np.prod(FIGURE_SIZE) * 72**2 / grid.size / len(coordinates), 2, 60))
    for panels, row, shades in zip(grid, rows, _shades(rows, signed), strict=True):
        values = [value for value in row if value is not None]
        for axes, value, shade in zip(panels, values, shades, strict=True):
            artist: ScalarMappable
            style: dict[str, Any] = {
                "cmap": shade.colours,
                "norm": Normalize(shade.least, shade.most),
            }
            if mesh is None:
                artist = axes.scatter(x, y, dot, value, linewidths=0, **style)
            else:
                artist = axes.tripcolor(mesh, value, shading="gouraud", **style)
                axes.margins(0)
            axes.set_aspect("equal" if to_scale else "auto")
            axes.tick_params(labelsize=9)
            axes.spines[:].set_visible(False)
            if axes is not panels[0]:  # whose colours are those of its neighbour
                bar = figure.colorbar(artist, cax=axes.inset_axes((1.04, 0, 0.05, 1)))
                bar.ax.tick_params(labelsize=8)
                bar.ax.yaxis.set_major_locator(few_ticks())
                bar.outline.set_visible(False)
    for panels, label, note in zip(grid, labels, notes, strict=True):
        panels[0].set_ylabel(f"{label}\ny [m]".lstrip())
        panels[2].set_title(note, fontsize=9)
    for axes, name in zip(grid[0], names, strict=True):
        note = axes.get_title()
        axes.set_title(
            f"{name} [{units_of(metadata)}]" + (f"\n{note}" if note else ""), fontsize=10
        )
    for axis in (grid[0, 0].xaxis, grid[0, 0].yaxis):  # shared by all panels
        axis.set_major_locator(few_ticks())
    for axes in grid[-1]:
        axes.set_xlabel("x [m]")
    return figure


def _shades(rows: Sequence[MeshRow], signed: bool) -> list[list[Shade]]:
    """Colours of the panels of each row: true, predicted, error and std."""
    least_span = LEAST_SPAN * float(np.ptp([row.true for row in rows]))
    worst_of_all = max(float(np.abs(row.error).max()) for row in rows) or 1.0
    shades = []
    for row in rows:
        field = Shade(FIELD_COLOURS, *limits([row.true, row.predicted], least_span, margin=0.0))
        worst = max(float(np.abs(row.error).max()), LEAST_SPAN * worst_of_all)
        error = Shade(SIGNED_COLOURS, -worst, worst) if signed else Shade(SIZE_COLOURS, 0, worst)
        shades.append([field, field, error])
        if row.std is not None:
            most = max(float(row.std.max()), LEAST_SPAN * worst)
            shades[-1].append(Shade(SIZE_COLOURS, 0, most))
    return shades


def _lines_over_mesh(
    metadata: FieldMetadata,
    rows: Sequence[MeshRow],
    labels: Sequence[str],
    notes: Sequence[str],
    title: str,
) -> Figure:
    signed = metadata.components == 1
    place: Array = np.arange(len(rows[0].true))
    name = "node number"
    if metadata.coordinates is not None:
        place, name = metadata.coordinates[:, 0], "x [m]"
    order = np.argsort(place, kind="stable")
    figure = new_figure(title)
    grid = figure.subplots(len(rows), 2, sharex=True, squeeze=False)
    least_span = LEAST_SPAN * float(np.ptp([row.true for row in rows]))
    for (fields, errors), row, label, note in zip(grid, rows, labels, notes, strict=True):
        half = 0.0 if row.std is None else INTERVAL_90 * row.std
        band = (row.predicted - half, row.predicted + half)
        style = {"marker": "o"} if len(place) == 1 else {}
        if row.std is not None and signed:  # a magnitude has no such interval
            fields.fill_between(
                place[order], band[0][order], band[1][order], **BAND_STYLE, label="90 % interval"
            )
        fields.plot(place[order], row.true[order], **TRUE_STYLE, **style, label="true")
        fields.plot(
            place[order], row.predicted[order], **PREDICTED_STYLE, **style, label="predicted"
        )
        fields.set_ylim(limits([row.true, row.predicted, *(band if signed else ())], least_span))
        quantity = name_of(metadata) if signed else f"|{name_of(metadata)}|"
        fields.set_ylabel(f"{label}\n{quantity} [{units_of(metadata)}]".lstrip())
        errors.axhline(0, color=GREY, linewidth=0.8)
        errors.plot(place[order], row.error[order], **PREDICTED_STYLE, **style)
        errors.set_title(note, fontsize=9)
        errors.set_ylabel(f"{'error' if signed else '|error|'} [{units_of(metadata)}]")
        for axes in (fields, errors):
            style_axes(axes)
    for axes in grid[-1]:
        axes.set_xlabel(name)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _triangles(cells: Array | None, coordinates: Array) -> Array | None:
    """Triangles (E, 3) of plane cells of three or four nodes; None when they are something else."""
    if cells is None or len(cells) == 0 or coordinates.shape[1] != 2:
        return None
    if cells.shape[1] == 3:
        return cells
    if cells.shape[1] == 4:
        return np.concatenate([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]])
    return None
