"""A picture of one design's field, true and decoded, for TensorBoard.

Shapes: T time steps, C channels, M nodes, K nodes of the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Nodes of a picture, evenly spread over their numbers.
NUM_SHOWN = 200
SIZE, DPI = (11.0, 4.2), 100  # [in], [1/in]


def shown_nodes(num_nodes: int) -> NDArray[np.int64]:
    """The nodes of a picture (K,), of M."""
    return np.linspace(0, num_nodes - 1, min(num_nodes, NUM_SHOWN)).round().astype(np.int64)


class View(NamedTuple):
    """Takes channels to the nodes of a picture, in the field's own unit.

    Attributes:
        scale, offset: of each node (K,).
        lift: channels to scaled nodes (C, K); None if channels are the scaled nodes.
    """

    scale: Tensor
    offset: Tensor
    lift: Tensor | None = None

    def __call__(self, channels: Tensor) -> NDArray[np.float32]:
        """Channels of a design (T, C) as a field (T, K)."""
        channels = channels.detach().float().cpu()
        if self.lift is None:
            scaled = channels[:, shown_nodes(channels.shape[1])]
        else:
            scaled = channels @ self.lift
        field: NDArray[np.float32] = (scaled * self.scale + self.offset).numpy()
        return field


def draw_reconstruction(
    true: NDArray[np.float32], decoded: NDArray[np.float32], title: str
) -> Figure:
    """A field (T, K) over time and nodes, what was decoded for it, and the difference.

    Nodes are ordered by when the true field is largest there, and then by how large, so that what
    travels is a curve, whatever the mesh.
    """
    from matplotlib.figure import Figure  # slow to import, and few training processes draw
    from matplotlib.ticker import MaxNLocator

    sizes = np.abs(true)
    order = np.lexsort([sizes.max(axis=0), sizes.argmax(axis=0)])
    true, difference = true[:, order], (decoded - true)[:, order]
    low, high, largest = float(true.min()), float(true.max()), float(np.abs(difference).max())
    share = f": at most {100 * largest / (high - low):.2g}% of the range" if high > low else ""
    figure = Figure(figsize=SIZE, dpi=DPI)
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(1, 3, sharey=True)
    figure.subplots_adjust(left=0.06, right=0.97, bottom=0.14, top=0.84, wspace=0.08)
    common: dict[str, Any] = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
    panels[0].imshow(true, vmin=low, vmax=high, **common)
    field = panels[1].imshow(true + difference, vmin=low, vmax=high, **common)
    figure.colorbar(field, ax=list(panels[:2]), pad=0.02)
    limit = largest or 1.0
    signed = panels[2].imshow(difference, cmap="RdBu_r", vmin=-limit, vmax=limit, **common)
    figure.colorbar(signed, ax=panels[2], pad=0.04)
    names = ("true", "decoded", f"decoded - true{share}")
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("nodes, by time and size of the peak", fontsize=9)
        axes.tick_params(labelsize=8)
    panels[0].set_ylabel("time step", fontsize=9)
    panels[0].yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
