"""Values over time at a few nodes of a few designs.

Shapes: n designs shown, T time steps, M values per time step, K nodes shown
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.metrics import INTERVAL_90

from .style import (
    BAND_STYLE,
    BLUE,
    LEAST_SPAN,
    PREDICTED_STYLE,
    TRUE_STYLE,
    VERMILLION,
    Array,
    capitalised,
    design_title,
    few_ticks,
    limits,
    mesh_node_label,
    name_of,
    new_figure,
    quantity_label,
    rms_text,
    style_axes,
)

RECONSTRUCTED_STYLE: dict[str, Any] = {"color": BLUE, "linewidth": 1.4, "linestyle": "--"}
STATIC_MARKERS: tuple[dict[str, Any], ...] = (
    {"linestyle": "", "marker": "o"},
    {"linestyle": "", "marker": "s", "fillstyle": "none"},
    {"linestyle": "", "marker": "D"},
)


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
    figure = new_figure(f"{capitalised(name_of(metadata))} at selected nodes of test designs")
    labels = [_node_label(int(node), metadata) for node in nodes]
    static = true.shape[1] == 1
    columns = 1 if static else len(nodes)
    grid = figure.subplots(len(design_ids), columns, sharex=True, squeeze=False)
    least_span = LEAST_SPAN * float(np.ptp(true))
    for row, (panels, design_id) in enumerate(zip(grid, design_ids, strict=True)):
        panels[0].set_ylabel(quantity_label(metadata))
        header = design_title(design_id, relative_l2)
        curves = (true[row], reconstructed[row], predicted[row], std[row])  # (T, K) each
        if static:
            _draw_static(panels[0], [curve[0] for curve in curves], labels, least_span)
            panels[0].set_title(header, loc="left", weight="bold", fontsize=11)
            continue
        for node, axes in enumerate(panels):
            values = [curve[:, node] for curve in curves]
            _draw_over_time(axes, time, values, least_span)
            error = rms_text(values[2] - values[0], metadata)
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
    axes.set_ylim(limits([true, reconstructed, predicted - half, predicted + half], least_span))
    axes.xaxis.set_major_locator(few_ticks(integer=time is None))
    style_axes(axes)


def _draw_static(
    axes: Axes, curves: Sequence[Array], labels: Sequence[str], least_span: float
) -> None:
    true, reconstructed, predicted, std = curves  # (K,)
    place, half = np.arange(len(labels)), INTERVAL_90 * std
    axes.plot(place - 0.1, true, **TRUE_STYLE | STATIC_MARKERS[0])
    axes.plot(place, reconstructed, **RECONSTRUCTED_STYLE | STATIC_MARKERS[1])
    axes.errorbar(place + 0.1, predicted, half, capsize=3, **PREDICTED_STYLE | STATIC_MARKERS[2])
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(limits([true, reconstructed, predicted - half, predicted + half], least_span))
    axes.set_xticks(place, [label.replace(" at ", "\nat ") for label in labels])
    style_axes(axes)


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


def _node_label(node: int, metadata: FieldMetadata) -> str:
    """Where one of the M values is: `node 12 at (0.1, 0.2) m`, with its component if it has one."""
    mesh_node, component = divmod(node, metadata.components)
    label = mesh_node_label(mesh_node, metadata)
    if metadata.components > 1:
        names = "xyz" if metadata.components <= 3 else range(metadata.components)
        label = f"{names[component]} of {label}"
    return label
