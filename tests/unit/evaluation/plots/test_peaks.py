"""Peaks: predicted against true size, and histograms of place and time."""

import numpy as np
import pytest

from simulgen_pipeline.data.fields import FieldMetadata
from simulgen_pipeline.evaluation.plots import Peaks, plot_peaks

VALIDATION = Peaks(*np.array([[10.0, 20], [1, -2], [0, 0.3], [-0.1, 0.2]]))
TEST = Peaks(*np.array([[30.0, 25, 15], [0, 5, -6], [0, 0, 0.6], [0.2, 0, 0]]))
PARTS = {"validation": VALIDATION, "test": TEST}
NONE = np.full(3, np.nan)


def heights(axes):
    """Designs (parts, bins) of a histogram."""
    tops = [[bar.get_y() + bar.get_height() for bar in bars] for bars in axes.containers]
    return np.diff(tops, axis=0, prepend=0)


def edges(axes):
    bars = axes.containers[0]
    return np.array([bar.get_x() for bar in bars] + [bars[-1].get_x() + bars[-1].get_width()])


class TestPeaks:
    def test_predicted_is_over_true_size_with_a_mark_and_a_colour_per_part(self, plate):
        axes = plot_peaks(PARTS, plate.metadata).axes[0]
        validation, test, diagonal = axes.lines
        np.testing.assert_array_equal(validation.get_xydata(), [[10, 11], [20, 18]])
        np.testing.assert_array_equal(test.get_xydata(), [[30, 30], [25, 30], [15, 9]])
        assert validation.get_marker() != test.get_marker()
        assert validation.get_color() != test.get_color()
        assert axes.get_aspect() == 1
        np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
        assert axes.get_xlim() == axes.get_ylim() == tuple(diagonal.get_xdata())
        assert axes.get_xlim()[0] < 9
        assert axes.get_xlim()[1] > 30

    def test_labels_name_units_and_the_mean_error_of_a_part(self, plate):
        figure = plot_peaks(PARTS, plate.metadata)
        size, place, time = figure.axes
        assert size.get_xlabel() == "true peak [K]"
        assert [text.get_text() for text in size.get_legend().get_texts()] == [
            "validation (2 designs, mean |error| 1.5 K)",
            "test (3 designs, mean |error| 3.67 K)",
        ]
        assert place.get_xlabel().endswith("[m]")
        assert time.get_xlabel().endswith("[s]")
        assert "wall temperature" in figure.get_suptitle()

    def test_histograms_count_every_design_where_it_belongs(self, plate):
        _, place, time = plot_peaks(PARTS, plate.metadata).axes
        for axes, name in ((place, "place"), (time, "time")):
            for counts, peaks in zip(heights(axes), PARTS.values(), strict=True):
                expected, _ = np.histogram(getattr(peaks, name), edges(axes))
                np.testing.assert_array_equal(counts, expected)
                assert counts.sum() == len(peaks.true)
        middle = len(edges(time)) // 2
        assert edges(time)[middle - 1] < 0 < edges(time)[middle]

    def test_without_times_and_coordinates_steps_and_same_nodes_are_counted(self):
        parts = {"test": TEST._replace(place=np.array([0.0, 1, 0]))}
        _, place, time = plot_peaks(parts, FieldMetadata()).axes
        np.testing.assert_array_equal(heights(place), [[2, 1]])
        labels = [text.get_text() for text in place.get_xticklabels()]
        assert labels == ["same node", "another node"]
        assert time.get_xlabel().endswith("[steps]")

    def test_errors_that_no_design_has_leave_no_panel(self, plate):
        static = {"test": TEST._replace(time=NONE)}
        assert len(plot_peaks(static, plate.metadata).axes) == 2
        unknown = {"test": TEST._replace(place=NONE, time=NONE)}
        assert len(plot_peaks(unknown, plate.metadata).axes) == 1

    def test_peaks_that_do_not_differ_are_not_magnified_into_noise(self, plate):
        same = {"test": TEST._replace(true=np.full(3, 50.0), error=np.array([0, 0, 1e-9]))}
        low, high = plot_peaks(same, plate.metadata).axes[0].get_xlim()
        assert high - low > 0.01 * 50


@pytest.mark.parametrize(
    "parts",
    [
        PARTS,
        {"test": TEST._replace(time=NONE)},
        {"test": Peaks(*np.zeros((4, 3)))},
        {"validation": Peaks(*np.ones((4, 1))), "test": Peaks(*np.ones((4, 0)))},
        {},
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_is_drawn_without_a_warning_or_global_state(plate, check_drawn, parts, bare):
    check_drawn(plot_peaks(parts, FieldMetadata() if bare else plate.metadata))


def test_titles_and_axis_labels_do_not_overlap(plate, check_apart):
    check_apart(plot_peaks(PARTS, plate.metadata))
