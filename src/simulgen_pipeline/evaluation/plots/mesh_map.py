"""Values at mesh nodes in the plane, in colours.

Shapes: K mesh nodes, E triangles
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.tri import Triangulation

from .style import FIGURE_SIZE, Array, few_ticks

SIZE_COLOURS = "magma"

# Meshes longer than this in one direction are not drawn to scale.
LARGEST_ASPECT = 6.0


class Shade(NamedTuple):
    """A colour map and its limits."""

    colours: str
    least: float
    most: float


class MeshMap:
    """Cells of three or four nodes in the plane are filled, nodes without them are dots.

    Args:
        coordinates: (K, 2), or (K, 3) to be seen along z.
        cells: nodes of each cell, if known.
        num_panels: of the figure, on which the size of dots depends.

    Attributes:
        to_scale: whether x and y have the same scale.
        height_to_width: of the mesh.
        note: what a title has to say of it.
    """

    def __init__(self, coordinates: Array, cells: Array | None, num_panels: int) -> None:
        self._x, self._y = coordinates[:, :2].T
        triangles = _triangles(cells, coordinates)
        self._mesh = None if triangles is None else Triangulation(self._x, self._y, triangles)
        area = 0.3 * np.prod(FIGURE_SIZE) * 72**2 / num_panels
        self._dot = float(np.clip(area / len(coordinates), 2, 60))
        width, height = np.ptp(coordinates[:, :2], axis=0)
        self.to_scale = min(width, height) * LARGEST_ASPECT > max(width, height)
        self.height_to_width = height / width if self.to_scale else 1.0
        self.note = " (3-D mesh, seen along z)" if coordinates.shape[1] == 3 else ""
        self.note += "" if self.to_scale else " (axes not to scale)"

    def draw(self, axes: Axes, values: Array, shade: Shade) -> ScalarMappable:
        """Values (K,) in colours."""
        artist: ScalarMappable
        style: dict[str, Any] = {
            "cmap": shade.colours,
            "norm": Normalize(shade.least, shade.most),
        }
        if self._mesh is None:
            artist = axes.scatter(self._x, self._y, self._dot, values, linewidths=0, **style)
        else:
            artist = axes.tripcolor(self._mesh, values, shading="gouraud", **style)
            axes.margins(0)
        axes.set_aspect("equal" if self.to_scale else "auto")
        axes.tick_params(labelsize=9)
        axes.spines[:].set_visible(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(few_ticks())
        return artist


def colour_bar(axes: Axes, artist: ScalarMappable) -> Colorbar:
    """A slim one to the right of a panel."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(artist, cax=axes.inset_axes((1.04, 0, 0.05, 1)))
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.set_major_locator(few_ticks())
    bar.outline.set_visible(False)
    return bar


def _triangles(cells: Array | None, coordinates: Array) -> Array | None:
    """Triangles (E, 3) of plane cells of three or four nodes; None when they are something else."""
    if cells is None or len(cells) == 0 or coordinates.shape[1] != 2:
        return None
    if cells.shape[1] == 3:
        return cells
    if cells.shape[1] == 4:
        return np.concatenate([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]])
    return None
