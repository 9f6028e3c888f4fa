"""Values over time: what the artists hold and what the labels say."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.metrics import INTERVAL_90
from simulgen_pipeline.evaluation.plots import plot_over_time, representative_nodes
from simulgen_pipeline.evaluation.plots.style import BLACK


def over_time(plate, nodes=(4, 11), num_times=None, metadata=None, **options):
    metadata, num_times = metadata or plate.metadata, num_times or plate.num_times
    arrays = [a[:, :, list(nodes)] for a in plate.fields(num_times, metadata.components)]
    time = None if metadata.time is None else metadata.time[:num_times]
    return plot_over_time(time, *arrays, nodes, metadata, plate.ids, **options)


def texts(figure):
    return "\n".join(text.get_text() for axes in figure.axes for text in (axes.title, *axes.texts))


class TestRepresentativeNodes:
    def test_begins_with_the_most_varying_node_and_leaves_idle_ones_out(self):
        true = np.zeros((4, 5, 1000))
        active = [10, 20, 30, 40, 50, 60]
        rng = np.random.default_rng(0)
        true[:, :, active] = rng.normal(size=(4, 5, 1)) * np.array([1, 2, 6, 3, 4, 5])
        nodes = representative_nodes(true, 3)
        assert nodes[0] == 30
        assert set(nodes) <= set(active)
        assert len(set(nodes)) == 3
        variation = true.std(axis=(0, 1))[nodes]
        assert (np.diff(variation) < 0).all()

    def test_shares_of_the_variation_are_equal(self):
        true = np.ones(9) * np.array([-1.0, 1.0])[None, :, None]  # all nodes vary alike
        np.testing.assert_array_equal(representative_nodes(true, 3), [0, 3, 6])

    def test_one_dominant_node_is_not_taken_twice(self):
        true = np.array([-1.0, 1.0])[None, :, None] * np.array([1e-9, 1e6, 1e-9, 1e-9])
        nodes = representative_nodes(true, 3)
        assert nodes[0] == 1
        assert len(set(nodes)) == 3

    @pytest.mark.parametrize("true", [np.ones((2, 3, 4)), np.zeros((1, 1, 4))])
    def test_constant_field_and_too_few_nodes(self, true):
        assert len(set(representative_nodes(true, 2))) == 2
        np.testing.assert_array_equal(np.sort(representative_nodes(true, 9)), np.arange(4))


class TestOverTime:
    def test_a_panel_holds_true_reconstruction_prediction_and_its_band(self, plate):
        true, reconstructed, predicted, std = plate.fields()
        axes = over_time(plate).axes[2 * 1 + 1]  # second design, second node: 11
        for line, expected in zip(axes.lines, (true, reconstructed, predicted), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), plate.metadata.time)
            np.testing.assert_array_equal(line.get_ydata(), expected[1, :, 11])
        assert to_hex(axes.lines[0].get_color()) == BLACK
        edges = axes.collections[0].get_paths()[0].vertices[:, 1]
        half = INTERVAL_90 * std[1, :, 11]
        assert edges.min() == pytest.approx((predicted[1, :, 11] - half).min())
        assert edges.max() == pytest.approx((predicted[1, :, 11] + half).max())
        low, high = axes.get_ylim()
        assert low < edges.min()
        assert high > edges.max()

    def test_labels_name_quantity_unit_node_place_and_error(self, plate):
        true, _, predicted, _ = plate.fields()
        figure = over_time(plate, relative_l2=plate.errors)
        rms = np.sqrt(((predicted - true)[0, :, 11] ** 2).mean())
        assert figure.axes[1].get_title().strip() == (
            f"node 11 at (0.5, 0.667) m\nrms error {rms:.3g} K"
        )
        assert "design 12 (relative L2 error 1.23 %)" in texts(figure)
        assert "design_7 (relative L2 error 20 %)" in texts(figure)
        assert figure.axes[0].get_ylabel() == "wall temperature [K]"
        assert figure.axes[-1].get_xlabel() == "time [s]"
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert len(legend) == 4
        assert legend[0] == "true"

    def test_without_times_and_coordinates_steps_and_nodes_are_numbered(self, plate):
        figure = over_time(plate, metadata=FieldMetadata())
        assert figure.axes[-1].get_xlabel() == "time step"
        assert figure.axes[0].get_ylabel() == "field [-]"
        assert "at" not in figure.axes[0].get_title().split()
        np.testing.assert_array_equal(
            figure.axes[0].lines[0].get_xdata(), np.arange(plate.num_times)
        )

    def test_component_of_a_vector_is_named(self, plate):
        figure = over_time(plate, nodes=(4, 11), metadata=replace(plate.metadata, components=2))
        assert "x of node 2 at (1, 0) m" in figure.axes[0].get_title()
        assert "y of node 5 at (0, 0.333) m" in figure.axes[1].get_title()

    def test_static_simulation_shows_values_at_nodes(self, plate):
        true, _, predicted, std = plate.fields(1)
        figure = over_time(plate, num_times=1)
        assert len(figure.axes) == plate.num_designs
        axes = figure.axes[2]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), true[2, 0, [4, 11]])
        assert [label.get_text() for label in axes.get_xticklabels()] == [
            "node 4\nat (2, 0) m",
            "node 11\nat (0.5, 0.667) m",
        ]
        ends = axes.containers[0].lines[2][0].get_segments()
        half = INTERVAL_90 * std[2, 0, 4]
        np.testing.assert_allclose(ends[0][:, 1], predicted[2, 0, 4] + np.array([-half, half]))

    def test_constant_values_are_not_magnified_into_noise(self, plate):
        shape = (1, 4, 2)
        true = np.zeros(shape)
        true[..., 1] = [0, 10, 20, 30]
        figure = plot_over_time(
            None, true, true, true + 1e-9, np.zeros(shape), [0, 1], plate.metadata, ["a"]
        )
        low, high = figure.axes[0].get_ylim()
        assert high - low > 0.01 * 30


def zero_curves(plate):
    zero = np.zeros((1, 1, 1))
    return plot_over_time(None, zero, zero, zero, zero, [0], FieldMetadata(), ["a"])


@pytest.mark.parametrize("make", [lambda plate: over_time(plate, num_times=1), zero_curves])
def test_is_drawn_without_a_warning_or_global_state(plate, check_drawn, make):
    check_drawn(make(plate))


def test_titles_and_axis_labels_do_not_overlap(plate, check_apart):
    figure = over_time(plate, relative_l2=plate.errors)
    # The first panel's title has two empty lines that make room for the design's header.
    check_apart(figure, num_overlaps=len(plate.ids))
