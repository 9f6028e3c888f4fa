"""Fields over the mesh: what the artists hold and what the labels say."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PathCollection, TriMesh

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.plots import plot_over_mesh, representative_times


def over_mesh(plate, metadata=None, with_std=True, steps=(1, 3), rows=None):
    metadata = metadata or plate.metadata
    true, _, predicted, std = (
        a[1, list(steps)] if rows is None else a[rows, 0]
        for a in plate.fields(components=metadata.components)
    )
    ids = [plate.ids[1]] * len(steps) if rows is None else [plate.ids[r] for r in rows]
    steps = steps if rows is None else [0] * len(rows)
    spread = std if with_std else None
    return plot_over_mesh(metadata, steps, true, predicted, spread, ids, plate.errors)


def panels(figure):
    """Axes but for colour bars."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def test_representative_times_end_with_the_last_and_skip_the_initial_state():
    np.testing.assert_array_equal(representative_times(100, 3), [32, 65, 99])
    np.testing.assert_array_equal(representative_times(2, 3), [0, 1])
    np.testing.assert_array_equal(representative_times(1, 3), [0])


@pytest.fixture(scope="module")
def mesh_figure(plate):
    return over_mesh(plate)


class TestOverMesh:
    def test_rows_show_true_predicted_error_and_std_of_a_time(self, mesh_figure, plate):
        true, _, predicted, std = plate.fields()
        row = panels(mesh_figure)[4:8]  # second row: time step 3
        meshes = [axes.collections[0] for axes in row]
        assert all(isinstance(mesh, TriMesh) for mesh in meshes)
        for mesh, expected in zip(meshes, (true, predicted, predicted - true, std), strict=True):
            np.testing.assert_allclose(mesh.get_array(), expected[1, 3])

    def test_true_and_predicted_share_limits_and_error_is_symmetric(self, mesh_figure, plate):
        true, _, predicted, std = plate.fields()
        first, second, error, spread = (a.collections[0] for a in panels(mesh_figure)[:4])
        both = np.stack([true, predicted])[:, 1, 1]
        assert first.get_clim() == second.get_clim() == pytest.approx((both.min(), both.max()))
        worst = np.abs(predicted - true)[1, 1].max()
        assert error.get_clim() == pytest.approx((-worst, worst))
        assert spread.get_clim() == pytest.approx((0, std[1, 1].max()))

    def test_titles_and_labels(self, mesh_figure, plate):
        true, _, predicted, _ = plate.fields()
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

    def test_rows_may_be_designs_each_with_its_error(self, plate):
        axes = panels(over_mesh(plate, replace(plate.metadata, time=None), rows=[0, 2]))
        assert len(axes) == 2 * 4
        assert axes[0].get_ylabel() == "design 12\ny [m]"
        assert "relative L2 error 150 %" in axes[4 + 2].get_title()

    def test_quads_are_split_in_two_triangles_that_fill_them(self, plate):
        figure = over_mesh(plate, replace(plate.metadata, cells=plate.quads), with_std=False)
        assert len(panels(figure)) == 2 * 3
        triangles = panels(figure)[0].collections[0]._triangulation.triangles
        corners = plate.points[triangles]
        sides = corners[:, 1:] - corners[:, :1]
        assert 0.5 * np.abs(np.linalg.det(sides)).sum() == pytest.approx(2 * 1)
        centres = corners.mean(axis=1).reshape(2, len(plate.quads), 2).mean(axis=0)
        np.testing.assert_allclose(centres, plate.points[plate.quads].mean(axis=1))

    def test_nodes_without_cells_are_dots(self, plate):
        true = plate.fields()[0]
        dots = panels(over_mesh(plate, replace(plate.metadata, cells=None)))[0].collections[0]
        assert isinstance(dots, PathCollection)
        np.testing.assert_allclose(dots.get_offsets(), plate.points)
        np.testing.assert_allclose(dots.get_array(), true[1, 1])

    def test_three_dimensional_mesh_is_projected_and_says_so(self, plate):
        solid = np.column_stack([plate.points, np.arange(plate.num_nodes)])
        figure = over_mesh(plate, replace(plate.metadata, coordinates=solid, cells=plate.quads))
        assert isinstance(panels(figure)[0].collections[0], PathCollection)
        assert "3-D mesh, seen along z" in figure.get_suptitle()

    def test_vectors_show_magnitudes_and_the_magnitude_of_the_error_vector(self, plate):
        true, _, predicted, _ = (a.reshape(*a.shape[:2], -1, 2) for a in plate.fields(components=2))
        figure = over_mesh(plate, replace(plate.metadata, components=2))
        first, second, error, _ = (axes.collections[0] for axes in panels(figure)[:4])
        np.testing.assert_allclose(first.get_array(), np.hypot(*true[1, 1].T))
        np.testing.assert_allclose(second.get_array(), np.hypot(*predicted[1, 1].T))
        np.testing.assert_allclose(error.get_array(), np.hypot(*(predicted - true)[1, 1].T))
        assert error.get_clim()[0] == 0
        assert figure.get_suptitle().startswith("Magnitude of wall temperature")
        assert panels(figure)[2].get_title().startswith("|predicted - true| [K]")

    def test_nodes_on_a_line_are_curves_in_order(self, plate):
        true, _, predicted, _ = plate.fields()
        place = np.random.default_rng(2).permutation(plate.num_nodes) / 10
        figure = over_mesh(plate, replace(plate.metadata, coordinates=place[:, None], cells=None))
        curves, errors = figure.axes[:2]
        np.testing.assert_array_equal(curves.lines[0].get_xdata(), np.sort(place))
        np.testing.assert_array_equal(curves.lines[0].get_ydata(), true[1, 1][np.argsort(place)])
        np.testing.assert_array_equal(
            errors.lines[-1].get_ydata(), (predicted - true)[1, 1][np.argsort(place)]
        )
        assert figure.axes[-1].get_xlabel() == "x [m]"
        assert curves.get_ylabel() == "t = 0.1 s\nwall temperature [K]"

    def test_without_coordinates_values_are_over_node_number(self, plate):
        figure = over_mesh(plate, FieldMetadata("u", "m/s", components=2))
        assert figure.axes[-1].get_xlabel() == "node number"
        assert figure.axes[0].get_ylabel() == "time step 1\n|u| [m/s]"
        np.testing.assert_array_equal(
            figure.axes[0].lines[0].get_xdata(), np.arange(plate.num_nodes)
        )

    def test_slender_mesh_is_not_to_scale_and_says_so(self, mesh_figure, plate):
        slender = over_mesh(plate, replace(plate.metadata, coordinates=plate.points * [10, 1]))
        assert "not to scale" in slender.get_suptitle()
        assert panels(slender)[0].get_aspect() == "auto"
        assert panels(mesh_figure)[0].get_aspect() == 1


def zero_fields(plate):
    zero = np.zeros((1, plate.num_nodes))
    return plot_over_mesh(plate.metadata, [0], zero, zero, zero, ["a"])


def without_cells(plate):
    return over_mesh(plate, replace(plate.metadata, cells=plate.quads[:0]), with_std=False)


def on_a_line(plate):
    metadata = replace(plate.metadata, coordinates=plate.points[:, :1])
    return over_mesh(plate, metadata, with_std=False)


def without_mesh(plate):
    return over_mesh(plate, FieldMetadata(), steps=(0,))


@pytest.mark.parametrize("make", [without_cells, on_a_line, without_mesh, zero_fields])
def test_is_drawn_without_a_warning_or_global_state(plate, check_drawn, make):
    check_drawn(make(plate))


@pytest.mark.parametrize("rows", [None, [0, 2]])
def test_titles_and_axis_labels_do_not_overlap(plate, check_apart, rows):
    check_apart(over_mesh(plate, rows=rows))
