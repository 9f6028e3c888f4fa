"""Peaks and worst places against closed forms: a bump that is moved, delayed and scaled."""

import json

import numpy as np
import pytest

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.peaks import PeakError, PeakErrors, WorstErrors

TIMES = np.array([0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
X, Y = np.meshgrid(0.5 * np.arange(5), 0.2 * np.arange(3))
POINTS = np.stack([X.ravel(), Y.ravel()], axis=1)
SHAPE = (len(TIMES), len(POINTS))
PLATE = FieldMetadata(time=TIMES, coordinates=POINTS)


def bump(size, step, node, floor=1.0):
    """A field (T, M) with one peak."""
    field = np.full(SHAPE, floor)
    field[step, node] = size
    return field


def peak_errors(true, predicted, metadata=PLATE, block=2):
    ids = [f"d{i}" for i in range(len(true))]
    errors = PeakErrors(metadata)
    for start in range(0, len(true), block):
        rows = slice(start, start + block)
        errors.update(np.stack(true[rows]), np.stack(predicted[rows]), ids[rows])
    return errors


def one(true, predicted, metadata=PLATE):
    return peak_errors([true], [predicted], metadata).designs["d0"]


class TestPeakErrors:
    def test_value_place_and_time_of_a_moved_peak(self):
        """Node 1 is at (0.5, 0), node 8 at (1.5, 0.2); step 4 is at 1.0 s, step 1 at 0.1 s."""
        error = one(bump(20, step=4, node=1), bump(15, step=1, node=8))
        assert error == pytest.approx(PeakError(20, -5, -0.25, np.hypot(1, 0.2), -0.9))

    def test_without_times_and_coordinates_steps_and_other_nodes_are_counted(self):
        bare = FieldMetadata()
        true = bump(20, step=4, node=1)
        assert one(true, bump(22, step=5, node=1), bare) == pytest.approx((20, 2, 0.1, 0, 1))
        assert one(true, bump(20, step=1, node=14), bare) == pytest.approx((20, 0, 0, 1, -3))

    def test_the_largest_size_counts_whatever_its_sign(self):
        error = one(bump(-20, step=4, node=1), bump(-30, step=4, node=1))
        assert error == PeakError(20, 10, 0.5, 0, 0)

    def test_the_peak_of_a_vector_is_that_of_its_length(self):
        metadata = FieldMetadata(components=2, time=TIMES, coordinates=POINTS[:6])
        true, predicted = np.zeros((2, len(TIMES), 12))
        true[2, 2 * 3 : 2 * 3 + 2] = 3, -4  # at node 3
        true[0, 2 * 5] = 4.5  # the largest value of a component, at node 5
        predicted[3, 2 * 3 : 2 * 3 + 2] = 6, 8
        assert one(true, predicted, metadata) == pytest.approx((5, 5, 1, 0, 0.3))

    def test_of_a_peak_taken_more_than_once_the_nearest_place_and_time_count(self):
        true = bump(20, step=slice(1, 4), node=[0, 1, 14])  # as on a heated edge
        predicted = bump(20, step=5, node=13)
        error = one(true, predicted)
        assert error.place == pytest.approx(0.5)
        assert error.time == pytest.approx(1.5 - 0.6)
        assert one(true, bump(20, step=2, node=1)) == PeakError(20, 0, 0, 0, 0)

    def test_times_of_a_repeated_peak_are_those_at_its_nearest_place(self):
        true = bump(20, step=5, node=1)
        true[0, 14] = 20
        assert one(true, bump(20, step=0, node=1)).time == pytest.approx(-1.5)

    def test_a_zero_field_has_the_error_of_its_value_only(self):
        assert one(np.zeros(SHAPE), bump(3, 0, 0)) == PeakError(0, 3)

    def test_a_static_simulation_has_no_time_of_its_peak(self):
        metadata = FieldMetadata(coordinates=POINTS, time=TIMES[:1])
        error = one(bump(20, 0, 1)[:1], bump(21, 0, 2)[:1], metadata)
        assert error == pytest.approx(PeakError(20, 1, 0.05, 0.5, None))

    @pytest.mark.parametrize("block", [1, 2, 5])
    def test_result_is_mean_and_maximum_of_absolute_errors_over_designs(self, block):
        true = [bump(20, 2, 1), bump(10, 2, 1), np.zeros(SHAPE)]
        predicted = [bump(15, 2, 1), bump(11, 4, 3), bump(3, 0, 0)]
        result = peak_errors(true, predicted, block=block).result()
        assert result == pytest.approx(
            {
                "value_error_mean": (5 + 1 + 3) / 3,
                "value_error_max": 5,
                "relative_error_mean": (0.25 + 0.1) / 2,
                "relative_error_max": 0.25,
                "place_error_mean": 0.5,
                "place_error_max": 1.0,
                "time_error_mean": 0.35,
                "time_error_max": 0.7,
            }
        )

    def test_a_figure_that_no_design_has_is_absent(self):
        static = FieldMetadata(coordinates=POINTS)
        result = peak_errors([bump(2, 0, 1)[:1]], [bump(2, 0, 1)[:1]], static).result()
        assert {name.split("_")[0] for name in result} == {"value", "relative", "place"}
        zero = peak_errors([np.zeros(SHAPE)], [np.zeros(SHAPE)]).result()
        assert zero == {"value_error_mean": 0, "value_error_max": 0}
        assert PeakErrors(PLATE).result() == {}

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_prediction_that_is_not_finite_is_refused_by_name(self, value):
        with pytest.raises(ValueError, match=r"d1 .*not finite"):
            peak_errors([bump(1, 0, 0)] * 2, [bump(1, 0, 0), bump(value, 2, 2)])

    def test_shapes_that_differ_are_refused(self):
        with pytest.raises(ValueError, match=r"\(1, 6, 15\)"):
            PeakErrors(PLATE).update(np.ones((1, *SHAPE)), np.ones((1, 6, 1)), ["a"])


def worst_errors(true, predicted, metadata=PLATE, block=2):
    errors = WorstErrors(metadata)
    for start in range(0, len(true), block):
        rows = slice(start, start + block)
        errors.update(true[rows], predicted[rows], [str(i) for i in range(len(true))][rows])
    return errors.result()


class TestWorstErrors:
    @pytest.mark.parametrize("block", [1, 2, 7])
    def test_node_and_time_have_the_largest_rms_that_numpy_finds_at_once(self, block):
        rng = np.random.default_rng(0)
        true, error = rng.normal(size=(2, 7, *SHAPE))
        error *= rng.uniform(0.5, 1, size=SHAPE)
        over_time = np.sqrt((error**2).mean(axis=(0, 1)))
        over_mesh = np.sqrt((error**2).mean(axis=(0, 2)))
        worst = worst_errors(true, true + error, block=block)
        assert worst["worst_node"] == pytest.approx(
            {"node": over_time.argmax(), "rmse": over_time.max()}
        )
        assert worst["worst_time"] == pytest.approx(
            {"time": TIMES[over_mesh.argmax()], "rmse": over_mesh.max()}
        )

    def test_one_large_error_does_not_outweigh_many_of_the_same_squares(self):
        """Node 3 is off by 2 in each of 4 designs, node 5 by 3 in one of them."""
        true = np.zeros((4, *SHAPE))
        predicted = true.copy()
        predicted[:, 1, 3] = 2
        predicted[0, 2, 5] = 3
        worst = worst_errors(true, predicted)
        assert worst["worst_node"] == {"node": 3, "rmse": pytest.approx(2 / np.sqrt(6))}
        assert worst["worst_time"] == {"time": 0.1, "rmse": pytest.approx(2 / np.sqrt(15))}

    def test_errors_of_vectors_are_lengths_at_mesh_nodes(self):
        metadata = FieldMetadata(components=3)
        true, predicted = np.zeros((2, 1, 4, 6))
        predicted[0, :, 3:] = 1, 2, 2
        worst = worst_errors(true, predicted, metadata)
        assert worst["worst_node"] == {"node": 1, "rmse": 3}
        assert worst["worst_time"] == {"time": 0, "rmse": pytest.approx(3 / np.sqrt(2))}

    def test_every_node_and_time_has_its_error_by_number_and_time(self):
        true = np.zeros((2, *SHAPE))
        predicted = true.copy()
        predicted[0, 1, 3] = 2
        errors = WorstErrors(PLATE)
        errors.update(true, predicted, ["a", "b"])
        at_nodes, at_times = errors.at_nodes(), errors.at_times()
        assert at_nodes.index.tolist() == list(range(15))
        assert at_nodes.tolist() == pytest.approx([2 / np.sqrt(12) * (n == 3) for n in range(15)])
        assert at_times.index.tolist() == TIMES.tolist()
        assert at_times.tolist() == pytest.approx([2 / np.sqrt(30) * (t == 0.1) for t in TIMES])

    def test_without_times_the_step_is_told_and_a_static_simulation_has_none(self):
        true = np.zeros((1, *SHAPE))
        predicted = bump(5, step=4, node=2, floor=0.0)[None]
        assert worst_errors(true, predicted, FieldMetadata())["worst_time"]["time"] == 4
        static = worst_errors(true[:, :1], predicted[:, 4:5], FieldMetadata())
        assert static == {"worst_node": {"node": 2, "rmse": 5}}

    def test_nothing_seen_gives_nothing(self):
        assert WorstErrors(PLATE).result() == {}

    def test_results_are_plain_json(self):
        fields = np.ones((2, *SHAPE), np.float32)
        json.dumps(worst_errors(fields, fields), allow_nan=False)
        json.dumps(peak_errors(fields, fields + 1).result(), allow_nan=False)

    def test_value_that_is_not_finite_is_refused_by_name(self):
        true = np.zeros((2, *SHAPE))
        predicted = true.copy()
        predicted[1, 0, 0] = np.nan
        with pytest.raises(ValueError, match=r"Design 1 .*not finite"):
            worst_errors(true, predicted)
