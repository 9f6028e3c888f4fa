"""Fields over the mesh: in colours in the plane, as curves on a line or over node numbers.

Shapes: T time steps, M values per time step, R rows of panels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.metrics import INTERVAL_90

from .mesh_map import SIZE_COLOURS, MeshMap, Shade, colour_bar
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
    limits,
    name_of,
    new_figure,
    percent_text,
    rms_text,
    style_axes,
    units_of,
)

SIGNED_COLOURS = "RdBu_r"


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
    mesh = MeshMap(coordinates, metadata.cells, len(rows) * len(names))
    figure = new_figure(title + mesh.note, ConstrainedLayoutEngine(compress=True, w_pad=0.1))
    if mesh.to_scale:  # flat meshes need less height
        panel = 0.7 * FIGURE_SIZE[0] / len(names) * mesh.height_to_width
        figure.set_figheight(float(np.clip(1.3 + len(rows) * (0.6 + panel), 4, FIGURE_SIZE[1])))
    grid = figure.subplots(len(rows), len(names), sharex=True, sharey=True, squeeze=False)
    for panels, row, shades in zip(grid, rows, _shades(rows, signed), strict=True):
        values = [value for value in row if value is not None]
        for axes, value, shade in zip(panels, values, shades, strict=True):
            artist = mesh.draw(axes, value, shade)
            if axes is not panels[0]:  # whose colours are those of its neighbour
                colour_bar(axes, artist)
    for panels, label, note in zip(grid, labels, notes, strict=True):
        panels[0].set_ylabel(f"{label}\ny [m]".lstrip())
        panels[2].set_title(note, fontsize=9)
    for axes, name in zip(grid[0], names, strict=True):
        note = axes.get_title()
        axes.set_title(
            f"{name} [{units_of(metadata)}]" + (f"\n{note}" if note else ""), fontsize=10
        )
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
