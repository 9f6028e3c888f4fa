"""Errors of nodes and times: what is drawn, and that the largest is marked and named."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PathCollection, TriMesh

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.plots import plot_worst

AT_TIMES = np.array([1, 2, 5, 3, 2, 1.0])


def at_nodes(num_nodes):
    """The largest error is that of node 7."""
    errors = np.linspace(1, 2, num_nodes)
    errors[7] = 8
    return errors


def named(axes):
    (text,) = axes.get_legend().get_texts()
    return text.get_text()


def worst_of(plate, metadata=None, at_times=AT_TIMES):
    return plot_worst(at_nodes(plate.num_nodes), at_times, metadata or plate.metadata, "test")


class TestWorst:
    def test_errors_over_time_and_a_map_with_the_worst_marked_and_named(self, plate):
        figure = worst_of(plate)
        times, mesh = figure.axes[:2]
        curve, ring = times.lines
        np.testing.assert_array_equal(curve.get_ydata(), AT_TIMES)
        np.testing.assert_array_equal(ring.get_xydata(), [[0.2, 5]])
        assert named(times) == "worst: t = 0.2 s, 5 K"
        assert isinstance(mesh.collections[0], TriMesh)
        np.testing.assert_array_equal(mesh.collections[0].get_array(), at_nodes(plate.num_nodes))
        np.testing.assert_array_equal(mesh.lines[0].get_xydata(), [plate.points[7]])
        assert named(mesh) == "worst: node 7 at (1, 0.333) m, 8 K"
        assert "wall temperature over the test designs" in figure.get_suptitle()

    def test_a_static_simulation_has_the_mesh_only(self, plate):
        figure = worst_of(plate, replace(plate.metadata, time=None), np.array([3.0]))
        panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
        assert len(panels) == 1
        assert panels[0].get_title() == "of each node"

    def test_without_times_and_coordinates_steps_and_numbers_are_named(self, plate):
        times, nodes = worst_of(plate, FieldMetadata()).axes
        assert named(times) == "worst: time step 2, 5"
        assert named(nodes) == "worst: node 7, 8"
        assert (times.get_xlabel(), nodes.get_xlabel()) == ("time step", "node number")

    def test_nodes_on_a_line_are_in_their_order_along_it(self, plate):
        line = np.random.default_rng(0).permutation(plate.num_nodes)[:, None] / 10
        nodes = worst_of(plate, replace(plate.metadata, coordinates=line, cells=None)).axes[1]
        curve, ring = nodes.lines
        assert (np.diff(curve.get_xdata()) > 0).all()
        np.testing.assert_array_equal(ring.get_xydata(), [[line[7, 0], 8]])

    def test_a_solid_is_seen_along_z_and_says_so(self, plate):
        solid = np.column_stack([plate.points, np.arange(plate.num_nodes)])
        mesh = worst_of(plate, replace(plate.metadata, coordinates=solid)).axes[1]
        assert isinstance(mesh.collections[0], PathCollection)
        assert "3-D mesh, seen along z" in mesh.get_title()
        assert named(mesh) == "worst: node 7 at (1, 0.333, 7) m, 8 K"


@pytest.mark.parametrize("at_times", [AT_TIMES, np.array([3.0]), np.zeros(6)])
@pytest.mark.parametrize("kind", ["mesh", "dots", "bare"])
def test_is_drawn_without_a_warning_or_global_state(plate, check_drawn, at_times, kind):
    metadata = replace(plate.metadata, cells=None) if kind == "dots" else plate.metadata
    metadata = FieldMetadata() if kind == "bare" else metadata
    check_drawn(worst_of(plate, metadata, at_times))
    check_drawn(plot_worst(np.zeros(plate.num_nodes), at_times, metadata, "validation"))


def test_titles_and_axis_labels_do_not_overlap(plate, check_apart):
    check_apart(worst_of(plate))
