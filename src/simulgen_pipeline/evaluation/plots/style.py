"""What all figures share: size, colours, line styles, axes and the words of their labels.

Figures have 1600 x 1000 pixels when saved with their own resolution (fewer rows of pixels for a
flat mesh), use no global state and need no display. Colours are Okabe & Ito's, which colour-blind
readers tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import FieldMetadata

Array = NDArray[Any]

FIGURE_SIZE = (12.8, 8.0)  # [in]
DPI = 125

BLACK, GREY = "#000000", "#999999"
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
TRUE_STYLE: dict[str, Any] = {"color": BLACK, "linewidth": 1.8}
PREDICTED_STYLE: dict[str, Any] = {"color": VERMILLION, "linewidth": 1.4}
BAND_STYLE: dict[str, Any] = {"color": VERMILLION, "alpha": 0.2, "linewidth": 0}
FIELD_COLOURS = "viridis"
MARKERS = ("o", "^", "s", "D", "v", "P")

MODEL_LABELS = {"reconstruction": "VAE reconstruction", "vae": "VAE prediction"}

# Panels with less variation than this fraction of the figure's are not magnified into noise.
LEAST_SPAN = 0.01


def new_figure(title: str, layout: ConstrainedLayoutEngine | None = None) -> Figure:
    figure = Figure(figsize=FIGURE_SIZE, dpi=DPI, layout=layout or "constrained")
    figure.suptitle(title, fontsize=13)
    return figure


def style_axes(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def percent_axis(axes: Axes, num_decades: float) -> None:
    """Percent on a logarithmic y axis, with as many labels as its decades leave room for."""

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


def few_ticks(integer: bool = False) -> MaxNLocator:
    return MaxNLocator(5, steps=[1, 2, 5, 10], integer=integer)


def limits(values: Sequence[Array], least_span: float, margin: float = 0.05) -> tuple[float, float]:
    """Range of all values with a margin, widened about its middle to the least span."""
    low = min(float(value.min()) for value in values)
    high = max(float(value.max()) for value in values)
    smallest = max(least_span, 1e-6 * max(abs(low), abs(high))) or 1.0
    half = (0.5 + margin) * max(high - low, smallest)
    middle = 0.5 * (low + high)
    return middle - half, middle + half


def name_of(metadata: FieldMetadata) -> str:
    return metadata.name.replace("_", " ")


def units_of(metadata: FieldMetadata) -> str:
    return "-" if metadata.units == "1" else metadata.units


def quantity_label(metadata: FieldMetadata) -> str:
    return f"{name_of(metadata)} [{units_of(metadata)}]"


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def percent_text(share: float) -> str:
    return f"{100 * share:.3g} %"


def model_label(model: str) -> str:
    return MODEL_LABELS.get(model, model)


def rms_text(error: Array, metadata: FieldMetadata) -> str:
    rms = float(np.sqrt(np.square(error, dtype=np.float64).mean()))
    return f"rms error {rms:.3g}" + (f" {metadata.units}" if metadata.units != "1" else "")


def mesh_node_label(node: int, metadata: FieldMetadata) -> str:
    """Its number and place: `node 12 at (0.1, 0.2) m`."""
    if metadata.coordinates is None:
        return f"node {node}"
    place = ", ".join(f"{x:.3g}" for x in metadata.coordinates[node])
    return f"node {node} at " + (f"({place}) m" if "," in place else f"{place} m")


def design_name(design_id: str) -> str:
    return design_id if "design" in design_id.lower() else f"design {design_id}"


def design_title(design_id: str, relative_l2: Mapping[str, float] | None) -> str:
    if relative_l2 is None or design_id not in relative_l2:
        return design_name(design_id)
    return f"{design_name(design_id)} (relative L2 error {percent_text(relative_l2[design_id])})"
