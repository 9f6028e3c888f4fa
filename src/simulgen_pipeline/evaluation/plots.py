"""Figures of fields, errors, training and latents; pure functions that return a Matplotlib figure.

Figures have 1600 x 1000 pixels when saved with their own resolution (fewer rows of pixels for a
flat mesh), use no global state and need no display. Colours are Okabe & Ito's, which colour-blind
readers tell apart.

Shapes: N designs, n designs shown, T time steps, M values per time step, K nodes shown, R rows of
panels, Z main latent, H level latent, L levels
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.tri import Triangulation
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from simulgen_pipeline.data.fields import FieldMetadata

from .metrics import INTERVAL_90

Array = NDArray[Any]

FIGURE_SIZE = (12.8, 8.0)  # [in]
DPI = 125

BLACK, GREY = "#000000", "#999999"
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
TRUE_STYLE: dict[str, Any] = {"color": BLACK, "linewidth": 1.8}
RECONSTRUCTED_STYLE: dict[str, Any] = {"color": BLUE, "linewidth": 1.4, "linestyle": "--"}
PREDICTED_STYLE: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.4}
STATIC_MARKERS: tuple[dict[str, Any], ...] = (
    {"linestyle": "", "marker": "o"},
    {"linestyle": "", "marker": "s", "fillstyle": "none"},
    {"linestyle": "", "marker": "D"},
)
BAND_STYLE: dict[str, Any] = {"color": VERMILLION, "alpha": 0.2, "linewidth": 0}

FIELD_COLOURS = "viridis"
SIGNED_COLOURS = "RdBu_r"
SIZE_COLOURS = "magma"

# Panels with less variation than this fraction of the figure's are not magnified into noise.
LEAST_SPAN = 0.01
# Meshes longer than this in one direction are not drawn to scale.
LARGEST_ASPECT = 6.0
MARKERS = ("o", "^", "s", "D", "v", "P")


def representative_nodes(true: Array, num: int) -> NDArray[np.int64]:
    """Nodes from the most varying one on, at equal shares of the variation of all nodes.

    Equal shares, unlike equal ranks, stay where something happens when most nodes are idle.

    Args:
        true: (n, T, M) fields to choose by.
        num: number of nodes; all M where there are fewer.

    Returns:
        Different indices (num,) into M, by falling standard deviation over designs and times.
    """
    variation = true.std(axis=(0, 1), dtype=np.float64)  # (M,)
    order = np.argsort(-variation, kind="stable")
    num, rank = min(num, len(order)), np.arange(min(num, len(order)))
    weights = variation[order] if variation.any() else np.ones(len(order))
    share = (weights.cumsum() - weights) / weights.sum()  # of the nodes before each one
    chosen = np.searchsorted(share, rank / max(num, 1))
    chosen = np.maximum.accumulate(chosen - rank) + rank  # no node twice
    nodes: NDArray[np.int64] = order[np.minimum(chosen, len(order) - num + rank)]
    return nodes


def representative_times(num_time_steps: int, num: int) -> NDArray[np.int64]:
    """Increasing time steps: the last of each of `num` equal parts of the simulation.

    The initial state, which is often the same for all designs, is thus left out where possible.
    """
    num = min(num, num_time_steps)
    return np.arange(1, num + 1) * num_time_steps // max(num, 1) - 1


def plot_over_time(
    time: Array | None,
    true: Array,
    reconstructed: Array,
    predicted: Array,
    std: Array,
    nodes: Sequence[int] | NDArray[np.int64],
    metadata: FieldMetadata,
    design_ids: Sequence[str],
    relative_l2: Mapping[str, float] | None = None,
) -> Figure:
    """Values over time at a few nodes of a few designs, a row of panels for each design.

    A static simulation (T = 1) has one panel per design instead, with the values at its nodes.

    Args:
        time: (T,) [s]; None numbers the time steps.
        true: (n, T, K) in physical units.
        reconstructed: (n, T, K) true -> VAE -> field.
        predicted: (n, T, K) design -> field.
        std: (n, T, K) of the prediction.
        nodes: (K,) the shown ones of the M values.
        metadata: of the whole field.
        design_ids: (n,).
        relative_l2: the prediction's error by design id, over all nodes and times.
    """
    figure = _figure(f"{_capitalised(_name(metadata))} at selected nodes of test designs")
    labels = [_node_label(int(node), metadata) for node in nodes]
    static = true.shape[1] == 1
    columns = 1 if static else len(nodes)
    grid = figure.subplots(len(design_ids), columns, sharex=True, squeeze=False)
    least_span = LEAST_SPAN * float(np.ptp(true))
    for row, (panels, design_id) in enumerate(zip(grid, design_ids, strict=True)):
        panels[0].set_ylabel(_quantity(metadata))
        header = _design_title(design_id, relative_l2)
        curves = (true[row], reconstructed[row], predicted[row], std[row])  # (T, K) each
        if static:
            _draw_static(panels[0], [curve[0] for curve in curves], labels, least_span)
            panels[0].set_title(header, loc="left", weight="bold", fontsize=11)
            continue
        for node, axes in enumerate(panels):
            values = [curve[:, node] for curve in curves]
            _draw_over_time(axes, time, values, least_span)
            error = _rms_text(values[2] - values[0], metadata)
            axes.set_title(f"\n\n{labels[node]}\n{error}", fontsize=9)  # room for the header
        panels[0].annotate(
            header, (0, 1), (-30, 36), "axes fraction", "offset points", weight="bold", fontsize=11
        ).set_in_layout(False)  # else its width would widen the column
    if not static:
        for axes in grid[-1]:
            axes.set_xlabel("time step" if time is None else "time [s]")
    _legend_of_curves(figure, static)
    return figure


def _draw_over_time(
    axes: Axes, time: Array | None, curves: Sequence[Array], least_span: float
) -> None:
    true, reconstructed, predicted, std = curves  # (T,)
    steps = np.arange(len(true)) if time is None else time
    half = INTERVAL_90 * std
    axes.fill_between(steps, predicted - half, predicted + half, **BAND_STYLE)
    axes.plot(steps, true, **TRUE_STYLE)
    axes.plot(steps, reconstructed, **RECONSTRUCTED_STYLE)
    axes.plot(steps, predicted, **PREDICTED_STYLE)
    axes.set_xlim(steps[0], steps[-1])
    axes.set_ylim(_limits([true, reconstructed, predicted - half, predicted + half], least_span))
    axes.xaxis.set_major_locator(_few_ticks(integer=time is None))
    _style(axes)


def _draw_static(
    axes: Axes, curves: Sequence[Array], labels: Sequence[str], least_span: float
) -> None:
    true, reconstructed, predicted, std = curves  # (K,)
    place, half = np.arange(len(labels)), INTERVAL_90 * std
    axes.plot(place - 0.1, true, **TRUE_STYLE | STATIC_MARKERS[0])
    axes.plot(place, reconstructed, **RECONSTRUCTED_STYLE | STATIC_MARKERS[1])
    axes.errorbar(place + 0.1, predicted, half, capsize=3, **PREDICTED_STYLE | STATIC_MARKERS[2])
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(_limits([true, reconstructed, predicted - half, predicted + half], least_span))
    axes.set_xticks(place, [label.replace(" at ", "\nat ") for label in labels])
    _style(axes)


def _legend_of_curves(figure: Figure, static: bool) -> None:
    styles = [TRUE_STYLE, RECONSTRUCTED_STYLE, PREDICTED_STYLE]
    band: dict[str, Any] = {"color": VERMILLION, "alpha": 0.2, "linewidth": 8}
    if static:
        styles = [style | marker for style, marker in zip(styles, STATIC_MARKERS, strict=True)]
        band = {"color": VERMILLION, "linewidth": 1.4}
    names = ("true", "VAE reconstruction", "VAE prediction from the design", "its 90 % interval")
    figure.legend(
        handles=[
            Line2D([], [], label=name, **style)
            for name, style in zip(names, [*styles, band], strict=True)
        ],
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )


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
    quantity = _capitalised(_name(metadata))
    if metadata.components > 1:
        quantity = f"Magnitude of {_name(metadata)}"
    one_design = len(set(design_ids)) == 1
    if one_design:
        title = f"{quantity}, {_design_title(design_ids[0], relative_l2)}"
    else:
        title = f"{quantity} of {len(set(design_ids))} test designs"
    labels, notes = [], []
    for design_id, step, row in zip(design_ids, times_index, rows, strict=True):
        label = [] if one_design else [_design_name(design_id)]
        if metadata.time is not None:
            label.append(f"t = {metadata.time[step]:.3g} s")
        elif len(set(times_index)) > 1:
            label.append(f"time step {step}")
        labels.append("\n".join(label))
        notes.append(_rms_text(row.error, metadata))
        if not one_design and relative_l2 is not None and design_id in relative_l2:
            notes[-1] = f"relative L2 error {_percent(relative_l2[design_id])}\n{notes[-1]}"
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

    figure = _figure(title, ConstrainedLayoutEngine(compress=True, w_pad=0.1))
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
                bar.ax.yaxis.set_major_locator(_few_ticks())
                bar.outline.set_visible(False)
    for panels, label, note in zip(grid, labels, notes, strict=True):
        panels[0].set_ylabel(f"{label}\ny [m]".lstrip())
        panels[2].set_title(note, fontsize=9)
    for axes, name in zip(grid[0], names, strict=True):
        note = axes.get_title()
        axes.set_title(f"{name} [{_units(metadata)}]" + (f"\n{note}" if note else ""), fontsize=10)
    for axis in (grid[0, 0].xaxis, grid[0, 0].yaxis):  # shared by all panels
        axis.set_major_locator(_few_ticks())
    for axes in grid[-1]:
        axes.set_xlabel("x [m]")
    return figure


def _shades(rows: Sequence[MeshRow], signed: bool) -> list[list[Shade]]:
    """Colours of the panels of each row: true, predicted, error and std."""
    least_span = LEAST_SPAN * float(np.ptp([row.true for row in rows]))
    worst_of_all = max(float(np.abs(row.error).max()) for row in rows) or 1.0
    shades = []
    for row in rows:
        field = Shade(FIELD_COLOURS, *_limits([row.true, row.predicted], least_span, margin=0.0))
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
    figure = _figure(title)
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
        fields.set_ylim(_limits([row.true, row.predicted, *(band if signed else ())], least_span))
        quantity = _name(metadata) if signed else f"|{_name(metadata)}|"
        fields.set_ylabel(f"{label}\n{quantity} [{_units(metadata)}]".lstrip())
        errors.axhline(0, color=GREY, linewidth=0.8)
        errors.plot(place[order], row.error[order], **PREDICTED_STYLE, **style)
        errors.set_title(note, fontsize=9)
        errors.set_ylabel(f"{'error' if signed else '|error|'} [{_units(metadata)}]")
        for axes in (fields, errors):
            _style(axes)
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
    figure = _figure("Relative L2 error of each test design")
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
                label=f"{name} (mean {_percent(float(known.mean()))})",
            )
    if everything:
        axes.set_yscale("log")
        axes.set_ylim(0.8 * min(everything), 1.25 * max(everything))
        _percent_axis(axes, np.log10(max(everything) / min(everything)))
    axes.set_ylabel("relative L2 error over all nodes and times")
    axes.set_xlabel("test design, sorted by the error of the VAE prediction")
    axes.set_xlim(0.5, max(len(ids), 1) + 0.5)
    if len(ids) <= 40:
        rotation = 90 if sum(map(len, ids)) + 2 * len(ids) > 150 else 0  # characters in a line
        axes.set_xticks(np.arange(1, len(ids) + 1), ids, rotation=rotation)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    _style(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", frameon=True, framealpha=0.9)
    return figure


def plot_loss_curves(history: pd.DataFrame, title: str) -> Figure:
    """Losses, KL terms, learning rate and gradient norm over epochs; what is absent is left out.

    Args:
        history: a row per epoch; numeric columns `epoch` and any of `kl_main` and `kl_level_*`
            [nats], `learning_rate`, `gradient_norm`, `kl_weight` and `samples_per_second` (not
            shown), and losses. A name that begins with `validation_` is dashed, in the colour of
            the one without. A loss that is not always positive has a panel without logarithm.
        title: of the figure.
    """
    numeric = [str(name) for name in history.select_dtypes("number") if history[name].notna().any()]
    others = ("epoch", "learning_rate", "gradient_norm", "kl_weight", "samples_per_second")
    terms = [name for name in numeric if name not in others]
    kl = [name for name in terms if name.removeprefix("validation_").startswith("kl_")]
    losses = [name for name in terms if name not in kl]
    positive = [name for name in losses if (history[name].dropna() > 0).all()]
    signed = [name for name in losses if name not in positive]
    optimiser: list[str] = [n for n in ("learning_rate", "gradient_norm") if n in numeric]
    labelled: list[tuple[str, list[str]]] = [
        ("loss [-]", positive),
        ("loss [-]", signed),
        ("KL divergence [nats]", kl),
        ("", optimiser),
    ]
    panels = [(label, names) for label, names in labelled if names]

    figure = _figure(title)
    if not panels:
        return figure
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, names) in zip(grid, panels, strict=True):
        _style(axes)
        if names is optimiser:
            _draw_optimiser(axes, history, names)
        else:
            _draw_history(axes, history, names)
            axes.set_ylabel(label)
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    grid[-1].set_xlabel("epoch")
    grid[-1].xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    return figure


def _draw_history(axes: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    stems = list(dict.fromkeys(name.removeprefix("validation_") for name in names))
    for name in names:
        stem = name.removeprefix("validation_")
        _draw_series(
            axes,
            history,
            name,
            color=CYCLE[stems.index(stem) % len(CYCLE)],
            linestyle="-" if name == stem else "--",
            label=name.replace("_", " ").replace("kl", "KL"),
        )
    _log_if_positive(axes, history[list(names)].to_numpy())


def _draw_optimiser(axes: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    """Learning rate on the left axis, gradient norm on the right one, or the only one there is."""
    for index, name in enumerate(names):
        side = axes if index == 0 else axes.twinx()
        colour = (BLUE, VERMILLION)[index]
        _draw_series(side, history, name, color=colour)
        side.set_ylabel(f"{name.replace('_', ' ')} [-]", color=colour, fontsize=10)
        side.tick_params(axis="y", labelcolor=colour, labelsize=9)
        side.spines["top"].set_visible(False)
        _log_if_positive(side, history[name].to_numpy())


def _draw_series(axes: Axes, history: pd.DataFrame, name: str, **style: Any) -> None:
    """One column over epochs, joined across epochs where it was not computed."""
    known = history[["epoch", name]].dropna()
    marker = "o" if len(known) == 1 else ""
    axes.plot(known["epoch"].to_numpy(), known[name].to_numpy(), marker=marker, **style)
    axes.margins(x=0.01)


def _log_if_positive(axes: Axes, values: Array) -> None:
    finite = values[np.isfinite(values)]
    if finite.size > 0 and finite.min() > 0:
        axes.set_yscale("log")


class Principal(NamedTuple):
    """First two principal components and the share of variance of each component."""

    scores: Array  # (N, 2)
    shares: Array  # (K,), zero where nothing varies


def plot_latents(
    main: Array,
    hierarchical: Array,
    parts: Mapping[str, Sequence[int] | NDArray[np.int64]],
    colour: Array,
    colour_label: str,
) -> Figure:
    """Designs in the plane of the main latents' first two principal components, and their spectra.

    Args:
        main: (N, Z).
        hierarchical: (N, L - 1, H), deepest level first.
        parts: rows of each part of the split, by name; each part has its own marker.
        colour: (N,) value of each design, such as one of its parameters.
        colour_label: its name and unit.
    """
    figure = _figure(f"Latents of {len(main)} designs")
    plane, spectrum = figure.subplots(1, 2, width_ratios=(3, 2))
    principal = _principal(main)
    norm = Normalize(*_limits([colour], 0.0, margin=0.0))
    handles = []
    for marker, (name, rows) in zip(MARKERS, parts.items(), strict=False):
        index = np.asarray(rows, dtype=np.int64)
        look: dict[str, Any] = {"marker": marker, "linewidths": 0.5, "edgecolors": BLACK, "s": 36}
        plane.scatter(
            *principal.scores[index].T, c=colour[index], norm=norm, cmap=FIELD_COLOURS, **look
        )
        handles.append(plane.scatter([], [], c="white", label=f"{name} ({len(index)})", **look))
    bar = figure.colorbar(
        ScalarMappable(norm, FIELD_COLOURS), ax=plane, location="bottom", aspect=50, pad=0.02
    )
    bar.set_label(colour_label)
    for number, axis in enumerate((plane.xaxis, plane.yaxis)):
        share = float(principal.shares[number : number + 1].sum())  # 0 where there is no component
        axis.set_label_text(f"principal component {number + 1} ({_percent(share)} of variance)")
    plane.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False
    )
    _style(plane)

    spectra = {f"main latent ({main.shape[1]})": principal.shares}
    for level in range(hierarchical.shape[1]):
        name = f"level {level + 1} ({hierarchical.shape[2]})"
        spectra[name] = _principal(hierarchical[:, level]).shares
    for number, (name, shares) in enumerate(spectra.items()):
        spectrum.plot(
            np.arange(1, len(shares) + 1),
            100 * shares,
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            color=CYCLE[number % len(CYCLE)],
            label=name if shares.any() else f"{name}: does not vary",
        )
    spectrum.set_xlabel("principal component of each latent")
    spectrum.set_ylabel("explained variance [%]")
    spectrum.set_ylim(0, 105 * max(float(shares.max()) for shares in spectra.values()) or 100)
    spectrum.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    spectrum.legend(loc="upper right", framealpha=0.9)
    _style(spectrum)
    return figure


def _principal(values: Array) -> Principal:
    num_components = min(values.shape)
    scores, shares = np.zeros((len(values), 2)), np.zeros(num_components)
    if len(values) >= 2 and np.ptp(values, axis=0).max() > 0:
        analysis = PCA(svd_solver="full").fit(values.astype(np.float64))
        shares = analysis.explained_variance_ratio_
        shares[shares < 1e-12] = 0.0  # rounding, as its scores are
        shown = np.flatnonzero(shares[:2])
        scores[:, shown] = analysis.transform(values.astype(np.float64))[:, shown]
    return Principal(scores, shares)


def _figure(title: str, layout: ConstrainedLayoutEngine | None = None) -> Figure:
    figure = Figure(figsize=FIGURE_SIZE, dpi=DPI, layout=layout or "constrained")
    figure.suptitle(title, fontsize=13)
    return figure


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def _few_ticks(integer: bool = False) -> MaxNLocator:
    return MaxNLocator(5, steps=[1, 2, 5, 10], integer=integer)


def _limits(
    values: Sequence[Array], least_span: float, margin: float = 0.05
) -> tuple[float, float]:
    """Range of all values with a margin, widened about its middle to the least span."""
    low = min(float(value.min()) for value in values)
    high = max(float(value.max()) for value in values)
    smallest = max(least_span, 1e-6 * max(abs(low), abs(high))) or 1.0
    half = (0.5 + margin) * max(high - low, smallest)
    middle = 0.5 * (low + high)
    return middle - half, middle + half


def _name(metadata: FieldMetadata) -> str:
    return metadata.name.replace("_", " ")


def _units(metadata: FieldMetadata) -> str:
    return "-" if metadata.units == "1" else metadata.units


def _quantity(metadata: FieldMetadata) -> str:
    return f"{_name(metadata)} [{_units(metadata)}]"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _rms_text(error: Array, metadata: FieldMetadata) -> str:
    rms = float(np.sqrt(np.square(error, dtype=np.float64).mean()))
    return f"rms error {rms:.3g}" + (f" {metadata.units}" if metadata.units != "1" else "")


def _design_name(design_id: str) -> str:
    return design_id if "design" in design_id.lower() else f"design {design_id}"


def _design_title(design_id: str, relative_l2: Mapping[str, float] | None) -> str:
    if relative_l2 is None or design_id not in relative_l2:
        return _design_name(design_id)
    return f"{_design_name(design_id)} (relative L2 error {_percent(relative_l2[design_id])})"


def _node_label(node: int, metadata: FieldMetadata) -> str:
    """Where one of the M values is: `node 12 at (0.1, 0.2) m`, with its component if it has one."""
    mesh_node, component = divmod(node, metadata.components)
    label = f"node {mesh_node}"
    if metadata.components > 1:
        names = "xyz" if metadata.components <= 3 else range(metadata.components)
        label = f"{names[component]} of {label}"
    if metadata.coordinates is not None:
        place = ", ".join(f"{x:.3g}" for x in metadata.coordinates[mesh_node])
        label += f" at ({place}) m" if "," in place else f" at {place} m"
    return label


def _percent_axis(axes: Axes, num_decades: float) -> None:
    def percent(value: float, _: int) -> str:
        return f"{100 * value:g} %"

    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if num_decades < 2:
        axes.yaxis.set_minor_locator(
            LogLocator(subs=(2, 5) if num_decades > 1 else (2, 3, 4, 5, 7))
        )
        axes.yaxis.set_minor_formatter(FuncFormatter(percent))
        axes.tick_params(axis="y", which="minor", labelsize=9)
