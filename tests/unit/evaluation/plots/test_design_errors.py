"""Errors of every design: their order, their labels and their scale."""

import numpy as np
import pytest

from simulgen_pipeline.evaluation.plots import plot_error_per_design


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


@pytest.mark.parametrize(
    ("reconstruction", "prediction", "baselines"),
    [
        ({}, {}, {}),
        ({"a": 0.0}, {"a": 0.0}, {"pod_rbf": {}}),
        ({}, {str(i): i + 1.0 for i in range(100)}, {}),
    ],
)
def test_is_drawn_without_a_warning_or_global_state(
    check_drawn, reconstruction, prediction, baselines
):
    check_drawn(plot_error_per_design(reconstruction, prediction, baselines))
