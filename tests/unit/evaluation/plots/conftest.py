"""What tests of figures share: a plate with fields of three designs, and checks of a drawn figure.

Shapes: n designs, T time steps, M nodes.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.spatial import Delaunay

from simulgen_pipeline.data.fields import FieldMetadata

NUM_DESIGNS, NUM_TIMES = 3, 6


@pytest.fixture(scope="session")
def plate():
    """Fields on a rectangle; `fields(num_times, components)`: true, reconstructed, predicted, std.

    Attributes:
        points (M, 2), quads (12, 4), metadata (with triangles), ids (n,), errors by id.
    """
    points = np.stack(np.meshgrid(np.linspace(0, 2, 5), np.linspace(0, 1, 4)), -1).reshape(-1, 2)
    first = np.array([i + 5 * j for j in range(3) for i in range(4)])

    def fields(num_times=NUM_TIMES, components=1):
        rng = np.random.default_rng(0)
        shape = (NUM_DESIGNS, num_times, components * len(points))
        true = 300 + 50 * rng.normal(size=shape)
        noise = rng.normal(size=(3, *shape))
        return true, true + noise[0], true + 5 * noise[1], 1 + np.abs(noise[2])

    return SimpleNamespace(
        points=points,
        quads=np.stack([first, first + 1, first + 6, first + 5], axis=1),
        metadata=FieldMetadata(
            name="wall_temperature",
            units="K",
            time=np.linspace(0, 0.5, NUM_TIMES),
            coordinates=points,
            cells=Delaunay(points).simplices.astype(np.int64),
        ),
        ids=["12", "design_7", "c"],
        errors={"12": 0.0123, "design_7": 0.2, "c": 1.5},
        fields=fields,
        num_designs=NUM_DESIGNS,
        num_times=NUM_TIMES,
        num_nodes=len(points),
    )


@pytest.fixture
def check_drawn():
    """Draws a figure and checks its size, that it is not blank, and that no state is left."""

    def check(figure):
        image = _draw(figure)
        assert image.shape[1] == 1600
        assert 400 <= image.shape[0] <= 1000
        assert np.ptp(image) > 0
        assert pyplot.get_fignums() == []

    return check


@pytest.fixture
def check_apart():
    """Draws a figure and checks that no title or label covers another or a panel."""

    def check(figure, num_overlaps=0):
        _draw(figure)
        boxes = [figure._suptitle.get_window_extent()]
        for axes in figure.axes:
            if axes.get_label() == "<colorbar>":
                continue
            labels = (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
            boxes += [text.get_window_extent() for text in labels if text.get_text()]
            boxes.append(axes.patch.get_window_extent())
        overlaps = [
            (a, b)
            for i, a in enumerate(boxes)
            for b in boxes[:i]
            if a.shrunk(0.98, 0.98).overlaps(b)
        ]
        assert len(overlaps) == num_overlaps

    return check


def _draw(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
