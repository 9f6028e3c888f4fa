"""Latents of all designs: principal components and their shares of the variance.

Shapes: N designs, Z main latent, H level latent, L levels, K principal components
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from .style import (
    BLACK,
    CYCLE,
    FIELD_COLOURS,
    MARKERS,
    Array,
    limits,
    new_figure,
    percent_text,
    style_axes,
)


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
    figure = new_figure(f"Latents of {len(main)} designs")
    plane, spectrum = figure.subplots(1, 2, width_ratios=(3, 2))
    principal = _principal(main)
    norm = Normalize(*limits([colour], 0.0, margin=0.0))
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
        axis.set_label_text(f"principal component {number + 1} ({percent_text(share)} of variance)")
    plane.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False
    )
    style_axes(plane)

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
    style_axes(spectrum)
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
