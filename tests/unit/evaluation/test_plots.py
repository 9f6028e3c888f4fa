"""Figures: what the artists hold, what the labels say, and every degenerate case drawn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, TriMesh
from matplotlib.colors import to_hex
from scipy.spatial import Delaunay

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.metrics import INTERVAL_90
from simulgen_pipeline.evaluation.plots import (
    BLACK,
    VERMILLION,
    plot_error_per_design,
    plot_latents,
    plot_loss_curves,
    plot_over_mesh,
    plot_over_time,
    representative_nodes,
    representative_times,
)

NUM_DESIGNS, NUM_TIMES = 3, 6
IDS = ["12", "design_7", "c"]
ERRORS = {"12": 0.0123, "design_7": 0.2, "c": 1.5}
POINTS = np.stack(np.meshgrid(np.linspace(0, 2, 5), np.linspace(0, 1, 4)), -1).reshape(-1, 2)
TRIANGLES = Delaunay(POINTS).simplices.astype(np.int64)
QUADS = np.array(
    [[i + 5 * j, i + 1 + 5 * j, i + 6 + 5 * j, i + 5 + 5 * j] for j in range(3) for i in range(4)]
)
NUM_NODES = len(POINTS)
METADATA = FieldMetadata(
    "wall_temperature", "K", 1, np.linspace(0, 0.5, NUM_TIMES), POINTS, TRIANGLES
)


def fields(num_times=NUM_TIMES, components=1):
    """True, reconstructed, predicted and std (n, T, M)."""
    rng = np.random.default_rng(0)
    true = 300 + 50 * rng.normal(size=(NUM_DESIGNS, num_times, components * NUM_NODES))
    noise = rng.normal(size=(3, *true.shape))
    return true, true + noise[0], true + 5 * noise[1], 1 + np.abs(noise[2])


def over_time(nodes=(4, 11), num_times=NUM_TIMES, metadata=METADATA, **options):
    arrays = [a[:, :, list(nodes)] for a in fields(num_times, metadata.components)]
    time = None if metadata.time is None else metadata.time[:num_times]
    return plot_over_time(time, *arrays, nodes, metadata, IDS, **options)


def over_mesh(metadata=METADATA, with_std=True, steps=(1, 3), rows=None):
    true, _, predicted, std = (
        a[1, list(steps)] if rows is None else a[rows, 0]
        for a in fields(components=metadata.components)
    )
    ids = [IDS[1]] * len(steps) if rows is None else [IDS[r] for r in rows]
    steps = steps if rows is None else [0] * len(rows)
    return plot_over_mesh(metadata, steps, true, predicted, std if with_std else None, ids, ERRORS)


def history(num_epochs=20):
    epoch = np.arange(1, num_epochs + 1)
    decay = np.exp(-epoch / 5)
    validation = np.where(epoch % 5 == 0, 2 * decay, np.nan)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": decay,
            "encoder": decay - 0.1,
            "validation_loss": validation,
            "kl_main": 30 * (1 - decay) + 1,
            "kl_level_1": decay,
            "kl_weight": 1e-3,
            "learning_rate": 1e-3 * decay,
            "gradient_norm": 3 * decay,
            "samples_per_second": 100.0,
        }
    )


def latents(num_designs=20):
    rng = np.random.default_rng(1)
    main = rng.normal(size=(num_designs, 32)) * np.linspace(3, 0.1, 32)
    return main, rng.normal(size=(num_designs, 3, 8))


PARTS = {"train": np.arange(12), "validation": np.arange(12, 15), "test": np.arange(15, 20)}


def all_latents():
    main, hierarchical = latents()
    return plot_latents(main, hierarchical, PARTS, main[:, 0], "radius [mm]")


def panels(figure):
    """Axes but for colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def texts(figure):
    return "\n".join(
        [figure.get_suptitle()]
        + [text.get_text() for axes in figure.axes for text in (axes.title, *axes.texts)]
    )


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


def test_representative_times_end_with_the_last_and_skip_the_initial_state():
    np.testing.assert_array_equal(representative_times(100, 3), [32, 65, 99])
    np.testing.assert_array_equal(representative_times(2, 3), [0, 1])
    np.testing.assert_array_equal(representative_times(1, 3), [0])


class TestOverTime:
    def test_a_panel_holds_true_reconstruction_prediction_and_its_band(self):
        true, reconstructed, predicted, std = fields()
        axes = over_time().axes[2 * 1 + 1]  # second design, second node: 11
        for line, expected in zip(axes.lines, (true, reconstructed, predicted), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), METADATA.time)
            np.testing.assert_array_equal(line.get_ydata(), expected[1, :, 11])
        assert to_hex(axes.lines[0].get_color()) == BLACK
        edges = axes.collections[0].get_paths()[0].vertices[:, 1]
        half = INTERVAL_90 * std[1, :, 11]
        assert edges.min() == pytest.approx((predicted[1, :, 11] - half).min())
        assert edges.max() == pytest.approx((predicted[1, :, 11] + half).max())
        low, high = axes.get_ylim()
        assert low < edges.min()
        assert high > edges.max()

    def test_labels_name_quantity_unit_node_place_and_error(self):
        true, _, predicted, _ = fields()
        figure = over_time(relative_l2=ERRORS)
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

    def test_without_times_and_coordinates_steps_and_nodes_are_numbered(self):
        figure = over_time(metadata=FieldMetadata())
        assert figure.axes[-1].get_xlabel() == "time step"
        assert figure.axes[0].get_ylabel() == "field [-]"
        assert "at" not in figure.axes[0].get_title().split()
        np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), np.arange(NUM_TIMES))

    def test_component_of_a_vector_is_named(self):
        figure = over_time(nodes=(4, 11), metadata=replace(METADATA, components=2))
        assert "x of node 2 at (1, 0) m" in figure.axes[0].get_title()
        assert "y of node 5 at (0, 0.333) m" in figure.axes[1].get_title()

    def test_static_simulation_shows_values_at_nodes(self):
        true, _, predicted, std = fields(1)
        figure = over_time(num_times=1)
        assert len(figure.axes) == NUM_DESIGNS
        axes = figure.axes[2]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), true[2, 0, [4, 11]])
        assert [label.get_text() for label in axes.get_xticklabels()] == [
            "node 4\nat (2, 0) m",
            "node 11\nat (0.5, 0.667) m",
        ]
        ends = axes.containers[0].lines[2][0].get_segments()
        half = INTERVAL_90 * std[2, 0, 4]
        np.testing.assert_allclose(ends[0][:, 1], predicted[2, 0, 4] + np.array([-half, half]))

    def test_constant_values_are_not_magnified_into_noise(self):
        shape = (1, 4, 2)
        true = np.zeros(shape)
        true[..., 1] = [0, 10, 20, 30]
        figure = plot_over_time(
            None, true, true, true + 1e-9, np.zeros(shape), [0, 1], METADATA, ["a"]
        )
        low, high = figure.axes[0].get_ylim()
        assert high - low > 0.01 * 30


@pytest.fixture(scope="module")
def mesh_figure():
    return over_mesh()


class TestOverMesh:
    def test_rows_show_true_predicted_error_and_std_of_a_time(self, mesh_figure):
        true, _, predicted, std = fields()
        row = panels(mesh_figure)[4:8]  # second row: time step 3
        meshes = [axes.collections[0] for axes in row]
        assert all(isinstance(mesh, TriMesh) for mesh in meshes)
        for mesh, expected in zip(meshes, (true, predicted, predicted - true, std), strict=True):
            np.testing.assert_allclose(mesh.get_array(), expected[1, 3])

    def test_true_and_predicted_share_limits_and_error_is_symmetric(self, mesh_figure):
        true, _, predicted, std = fields()
        first, second, error, spread = (a.collections[0] for a in panels(mesh_figure)[:4])
        both = np.stack([true, predicted])[:, 1, 1]
        assert first.get_clim() == second.get_clim() == pytest.approx((both.min(), both.max()))
        worst = np.abs(predicted - true)[1, 1].max()
        assert error.get_clim() == pytest.approx((-worst, worst))
        assert spread.get_clim() == pytest.approx((0, std[1, 1].max()))

    def test_titles_and_labels(self, mesh_figure):
        true, _, predicted, _ = fields()
        rms = np.sqrt(((predicted - true)[1, 1] ** 2).mean())
        axes = panels(mesh_figure)
        assert mesh_figure.get_suptitle() == "Wall temperature, design_7 (relative L2 error 20 %)"
        assert [a.get_title().split(" [")[0] for a in axes[:4]] == [
            "true",
            "predicted",
            "predicted - true",
            "std of the prediction",
        ]
        assert axes[2].get_title() == f"predicted - true [K]\nrms error {rms:.3g} K"
        assert axes[4].get_ylabel() == "t = 0.3 s\ny [m]"
        assert axes[-1].get_xlabel() == "x [m]"

    def test_rows_may_be_designs_each_with_its_error(self):
        axes = panels(over_mesh(replace(METADATA, time=None), rows=[0, 2]))
        assert len(axes) == 2 * 4
        assert axes[0].get_ylabel() == "design 12\ny [m]"
        assert "relative L2 error 150 %" in axes[4 + 2].get_title()

    def test_quads_are_split_in_two_triangles_that_fill_them(self):
        figure = over_mesh(replace(METADATA, cells=QUADS), with_std=False)
        assert len(panels(figure)) == 2 * 3
        triangles = panels(figure)[0].collections[0]._triangulation.triangles
        corners = POINTS[triangles]
        sides = corners[:, 1:] - corners[:, :1]
        assert 0.5 * np.abs(np.linalg.det(sides)).sum() == pytest.approx(2 * 1)
        centres = corners.mean(axis=1).reshape(2, len(QUADS), 2).mean(axis=0)
        np.testing.assert_allclose(centres, POINTS[QUADS].mean(axis=1))

    def test_nodes_without_cells_are_dots(self):
        true = fields()[0]
        dots = panels(over_mesh(replace(METADATA, cells=None)))[0].collections[0]
        assert isinstance(dots, PathCollection)
        np.testing.assert_allclose(dots.get_offsets(), POINTS)
        np.testing.assert_allclose(dots.get_array(), true[1, 1])

    def test_three_dimensional_mesh_is_projected_and_says_so(self):
        solid = np.column_stack([POINTS, np.arange(NUM_NODES)])
        figure = over_mesh(replace(METADATA, coordinates=solid, cells=QUADS))
        assert isinstance(panels(figure)[0].collections[0], PathCollection)
        assert "3-D mesh, seen along z" in figure.get_suptitle()

    def test_vectors_show_magnitudes_and_the_magnitude_of_the_error_vector(self):
        true, _, predicted, _ = (a.reshape(*a.shape[:2], -1, 2) for a in fields(components=2))
        figure = over_mesh(replace(METADATA, components=2))
        first, second, error, _ = (axes.collections[0] for axes in panels(figure)[:4])
        np.testing.assert_allclose(first.get_array(), np.hypot(*true[1, 1].T))
        np.testing.assert_allclose(second.get_array(), np.hypot(*predicted[1, 1].T))
        np.testing.assert_allclose(error.get_array(), np.hypot(*(predicted - true)[1, 1].T))
        assert error.get_clim()[0] == 0
        assert figure.get_suptitle().startswith("Magnitude of wall temperature")
        assert panels(figure)[2].get_title().startswith("|predicted - true| [K]")

    def test_nodes_on_a_line_are_curves_in_order(self):
        true, _, predicted, _ = fields()
        place = np.random.default_rng(2).permutation(NUM_NODES) / 10
        figure = over_mesh(replace(METADATA, coordinates=place[:, None], cells=None))
        curves, errors = figure.axes[:2]
        np.testing.assert_array_equal(curves.lines[0].get_xdata(), np.sort(place))
        np.testing.assert_array_equal(curves.lines[0].get_ydata(), true[1, 1][np.argsort(place)])
        np.testing.assert_array_equal(
            errors.lines[-1].get_ydata(), (predicted - true)[1, 1][np.argsort(place)]
        )
        assert figure.axes[-1].get_xlabel() == "x [m]"
        assert curves.get_ylabel() == "t = 0.1 s\nwall temperature [K]"

    def test_without_coordinates_values_are_over_node_number(self):
        figure = over_mesh(FieldMetadata("u", "m/s", components=2))
        assert figure.axes[-1].get_xlabel() == "node number"
        assert figure.axes[0].get_ylabel() == "time step 1\n|u| [m/s]"
        np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), np.arange(NUM_NODES))

    def test_slender_mesh_is_not_to_scale_and_says_so(self, mesh_figure):
        slender = over_mesh(replace(METADATA, coordinates=POINTS * [10, 1]))
        assert "not to scale" in slender.get_suptitle()
        assert panels(slender)[0].get_aspect() == "auto"
        assert panels(mesh_figure)[0].get_aspect() == 1


class TestErrorPerDesign:
    def test_designs_are_sorted_by_the_error_of_the_prediction(self):
        figure = plot_error_per_design(
            {"a": 0.01, "b": 0.02, "c": 0.03},
            {"a": 0.3, "b": 0.1, "c": 0.2},
            {"pod_rbf": {"a": 0.5, "b": 0.6, "c": 0.7}},
        )
        axes = figure.axes[0]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["b", "c", "a"]
        dots = {line.get_label(): line for line in axes.lines}
        assert list(dots) == [
            "VAE reconstruction (mean 2 %)",
            "VAE prediction (mean 20 %)",
            "pod_rbf (mean 60 %)",
        ]
        np.testing.assert_array_equal(
            dots["VAE prediction (mean 20 %)"].get_ydata(), [0.1, 0.2, 0.3]
        )
        np.testing.assert_array_equal(dots["pod_rbf (mean 60 %)"].get_ydata(), [0.6, 0.7, 0.5])
        assert axes.get_yscale() == "log"
        low, high = axes.get_ylim()
        assert low < 0.01
        assert high > 0.7

    @pytest.mark.parametrize("span", [1.0, 1.5, 20.0, 1e4])
    def test_some_error_is_labelled_in_percent_whatever_the_span(self, span):
        axes = plot_error_per_design({}, {"a": 0.0056, "b": 0.0056 * span}, {}).axes[0]
        low, high = axes.get_ylim()
        ticks = zip(
            [*axes.get_yticks(), *axes.get_yticks(minor=True)],
            [*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)],
            strict=True,
        )
        shown = [label.get_text() for at, label in ticks if low <= at <= high]
        assert any(text.endswith("%") for text in shown)


class TestLossCurves:
    def test_panels_hold_their_columns(self):
        figure = plot_loss_curves(history(), "Training of the VAE")
        losses, signed, kl, rate, norm = figure.axes
        labels = [[line.get_label() for line in axes.lines] for axes in (losses, signed, kl)]
        assert labels == [["loss", "validation loss"], ["encoder"], ["KL main", "KL level 1"]]
        assert [axes.get_yscale() for axes in (losses, signed, kl)] == ["log", "linear", "log"]
        assert kl.get_ylabel() == "KL divergence [nats]"
        assert (rate.get_ylabel(), norm.get_ylabel()) == ("learning rate [-]", "gradient norm [-]")
        assert rate.get_xlabel() == "epoch"
        assert figure.get_suptitle() == "Training of the VAE"

    def test_validation_is_dashed_in_the_colour_of_training_and_joined_over_gaps(self):
        training, validation = plot_loss_curves(history(), "").axes[0].lines
        assert training.get_color() == validation.get_color()
        assert (training.get_linestyle(), validation.get_linestyle()) == ("-", "--")
        np.testing.assert_array_equal(validation.get_xdata(), [5, 10, 15, 20])

    def test_absent_columns_leave_no_panel(self):
        figure = plot_loss_curves(history()[["epoch", "loss"]], "")
        assert len(figure.axes) == 1
        assert len(plot_loss_curves(history()[["epoch", "gradient_norm"]], "").axes) == 1

    def test_single_epoch_is_visible(self):
        lines = plot_loss_curves(history(1), "").axes[0].lines
        assert lines[0].get_marker() == "o"


class TestLatents:
    def test_parts_have_markers_and_designs_their_colour(self):
        main, hierarchical = latents()
        figure = plot_latents(main, hierarchical, PARTS, main[:, 0], "radius [mm]")
        plane = figure.axes[0]
        drawn = [dots for dots in plane.collections if len(dots.get_offsets()) > 0]
        assert [len(dots.get_offsets()) for dots in drawn] == [12, 3, 5]
        np.testing.assert_array_equal(drawn[1].get_array(), main[12:15, 0])
        assert len({dots.get_clim() for dots in drawn}) == 1
        labels = [text.get_text() for text in plane.get_legend().get_texts()]
        assert labels == ["train (12)", "validation (3)", "test (5)"]
        bar = next(axes for axes in figure.axes if axes.get_label() == "<colorbar>")
        assert bar.get_xlabel() == "radius [mm]"

    def test_explained_variance_is_that_of_the_covariance(self):
        main, hierarchical = latents(200)
        figure = plot_latents(main, hierarchical, {"all": range(200)}, main[:, 0], "")
        plane, spectrum = figure.axes[:2]
        eigenvalues = np.linalg.eigvalsh(np.cov(main.T))[::-1]
        shares = 100 * eigenvalues / eigenvalues.sum()
        lines = spectrum.lines
        assert [line.get_label() for line in lines] == [
            "main latent (32)",
            "level 1 (8)",
            "level 2 (8)",
            "level 3 (8)",
        ]
        np.testing.assert_allclose(lines[0].get_ydata(), shares, rtol=1e-8)
        assert f"({shares[0]:.3g} % of variance)" in plane.get_xlabel()
        assert f"({shares[1]:.3g} % of variance)" in plane.get_ylabel()
        deepest = np.linalg.eigvalsh(np.cov(hierarchical[:, 0].T))[::-1]
        np.testing.assert_allclose(lines[1].get_ydata(), 100 * deepest / deepest.sum())

    def test_latent_without_variance_is_at_the_origin_and_said_not_to_vary(self):
        figure = plot_latents(
            np.full((5, 32), 0.1), np.zeros((5, 1, 8)), {"all": range(5)}, np.ones(5), ""
        )
        np.testing.assert_array_equal(figure.axes[0].collections[0].get_offsets(), 0)
        assert figure.axes[1].lines[0].get_label() == "main latent (32): does not vary"


def draw(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def degenerate_latents(num_designs):
    main, hierarchical = latents(num_designs)
    parts = {"train": np.arange(num_designs), "validation": [], "test": []}
    return plot_latents(main, hierarchical, parts, main[:, 0], "p")


def zero_fields():
    zero = np.zeros((1, NUM_NODES))
    return plot_over_mesh(METADATA, [0], zero, zero, zero, ["a"])


def zero_curves():
    zero = np.zeros((1, 1, 1))
    return plot_over_time(None, zero, zero, zero, zero, [0], FieldMetadata(), ["a"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: over_time(num_times=1),
        zero_curves,
        lambda: over_mesh(replace(METADATA, cells=QUADS[:0]), with_std=False),
        lambda: over_mesh(FieldMetadata(), steps=(0,)),
        lambda: over_mesh(replace(METADATA, coordinates=POINTS[:, :1]), with_std=False),
        zero_fields,
        lambda: plot_error_per_design({}, {}, {}),
        lambda: plot_error_per_design({"a": 0.0}, {"a": 0.0}, {"pod_rbf": {}}),
        lambda: plot_error_per_design({}, {str(i): i + 1.0 for i in range(100)}, {}),
        lambda: plot_loss_curves(history(), "Training"),
        lambda: plot_loss_curves(history(1), "Training"),
        lambda: plot_loss_curves(pd.DataFrame({"epoch": [1, 2]}), "Training"),
        all_latents,
        lambda: degenerate_latents(1),
        lambda: degenerate_latents(2),
    ],
)
def test_is_drawn_without_a_warning_or_global_state(make):
    image = draw(make())
    assert image.shape[1] == 1600
    assert 400 <= image.shape[0] <= 1000
    assert np.ptp(image) > 0
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "make", [lambda: over_time(relative_l2=ERRORS), over_mesh, lambda: over_mesh(rows=[0, 2])]
)
def test_titles_and_axis_labels_do_not_overlap(make):
    figure = make()
    draw(figure)
    boxes = [figure._suptitle.get_window_extent()]
    for axes in panels(figure):
        labels = (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        boxes += [text.get_window_extent() for text in labels if text.get_text()]
        boxes.append(axes.patch.get_window_extent())
    overlaps = [
        (a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.shrunk(0.98, 0.98).overlaps(b)
    ]
    # The first panel's title has two empty lines that make room for the design's header.
    assert len(overlaps) == sum(len(axes.texts) for axes in panels(figure))


def test_colours_of_truth_and_prediction_differ_in_lightness():
    """Readable in print and by the colour-blind."""

    def lightness(colour):
        return sum(int(colour[i : i + 2], 16) * w for i, w in ((1, 0.3), (3, 0.59), (5, 0.11)))

    assert abs(lightness(VERMILLION) - lightness(BLACK)) > 80
