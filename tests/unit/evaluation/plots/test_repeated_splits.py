"""Errors of repeated splits: every design in its fold, sorted, and the means."""

import numpy as np
import pytest

from simulgen_pipeline.evaluation.plots import plot_repeated_splits

FOLDS = np.array([1, 2, 1, 2, 1])
ERRORS = {
    "reconstruction": np.array([0.03, 0.02, 0.01, 0.04, 0.05]),
    "vae": np.array([0.3, 0.2, 0.1, 0.4, np.nan]),
}


def dots(axes):
    return [line.get_ydata() for line in axes.lines if line.get_marker() == "o"]


def bars(axes):
    lines = [line for line in axes.lines if line.get_marker() != "o" and len(line.get_ydata())]
    return [line.get_ydata()[0] for line in lines]


class TestRepeatedSplits:
    def test_errors_are_sorted_within_folds_and_over_all(self):
        by_fold, together = plot_repeated_splits(FOLDS, ERRORS).axes
        for found, expected in zip(
            dots(by_fold), [[0.01, 0.03, 0.05], [0.02, 0.04], [0.1, 0.3], [0.2, 0.4]], strict=True
        ):
            np.testing.assert_array_equal(found, expected)
        assert [len(values) for values in dots(together)] == [5, 4]
        assert bars(by_fold) == pytest.approx([0.03, 0.03, 0.2, 0.3])
        assert bars(together) == pytest.approx([0.03, 0.25])

    def test_models_stand_side_by_side_in_their_fold(self):
        by_fold, _ = plot_repeated_splits(FOLDS, ERRORS).axes
        places = [line.get_xdata() for line in by_fold.lines if line.get_marker() == "o"]
        first, second = places[0], places[2]  # both models in fold 1
        assert -0.5 < first.min() < first.max() < second.min() < second.max() < 0.5
        assert [label.get_text() for label in by_fold.get_xticklabels()] == ["fold 1", "fold 2"]

    def test_the_legend_names_models_and_their_means(self):
        figure = plot_repeated_splits(FOLDS, ERRORS)
        assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == [
            "VAE reconstruction (mean 3 %)",
            "VAE prediction (mean 25 %)",
        ]
        assert figure.get_suptitle().startswith("Relative L2 error of 5 designs")


@pytest.mark.parametrize(
    "errors",
    [ERRORS, {"vae": np.full(5, 0.1)}, {"vae": np.full(5, np.nan)}, {"vae": np.zeros(5)}, {}],
)
def test_is_drawn_without_a_warning_or_global_state(check_drawn, errors):
    check_drawn(plot_repeated_splits(FOLDS, errors))


def test_titles_and_axis_labels_do_not_overlap(check_apart):
    check_apart(plot_repeated_splits(FOLDS, ERRORS))
