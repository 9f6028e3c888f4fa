"""Learning curves: points, power laws, and how far they are continued."""

import numpy as np
import pytest

from simulgen_pipeline.evaluation.plots import plot_learning_curve
from simulgen_pipeline.evaluation.power_law import PowerLaw

SIZES = [25, 50, 75, 100]
ERRORS = {
    "reconstruction": [0.1, 0.11, 0.1, 0.11],
    "vae": [0.2, 0.15, 0.11, 0.1],
    "pod_gpr": [0.3, 0.25, 0.24, 0.22],
}
# Baselines are given the validation designs, too.
FITTED = {"reconstruction": SIZES, "vae": SIZES, "pod_gpr": [size + 10 for size in SIZES]}
LAWS = {model: PowerLaw.fit(FITTED[model], errors) for model, errors in ERRORS.items()}


def lines(axes, style):
    return [line for line in axes.lines if line.get_linestyle() == style]


class TestLearningCurve:
    def test_both_axes_are_logarithmic_with_the_sizes_and_those_ahead_named(self):
        axes = plot_learning_curve(FITTED, ERRORS, LAWS, "test").axes[0]
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["25", "50", "75", "100", "200", "400"]
        for line, (model, errors) in zip(lines(axes, "None"), ERRORS.items(), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), FITTED[model])
            np.testing.assert_array_equal(line.get_ydata(), errors)

    def test_laws_are_solid_where_fitted_and_dashed_ahead_if_they_fall(self):
        axes = plot_learning_curve(FITTED, ERRORS, LAWS, "test").axes[0]
        solid, dashed = lines(axes, "-"), lines(axes, "--")
        assert len(solid) == 3
        assert len(dashed) == 2  # the reconstruction does not improve
        for line, sizes in zip(solid, FITTED.values(), strict=True):
            assert line.get_xdata()[[0, -1]] == pytest.approx([sizes[0], sizes[-1]])
        for line, model in zip(dashed, ("vae", "pod_gpr"), strict=True):
            assert line.get_xdata()[[0, -1]] == pytest.approx([FITTED[model][-1], 400])
            assert line.get_ydata()[-1] == pytest.approx(LAWS[model].error(400))

    def test_the_band_is_the_interval_of_the_prediction(self):
        axes = plot_learning_curve(FITTED, ERRORS, LAWS, "test").axes[0]
        (band,) = axes.collections
        at_end = band.get_paths()[0].vertices
        at_end = at_end[at_end[:, 0] > 399.9, 1]
        assert (at_end.min(), at_end.max()) == pytest.approx(LAWS["vae"].interval(400))

    def test_the_legend_says_how_fast_errors_fall(self):
        axes = plot_learning_curve(FITTED, ERRORS, LAWS, "test").axes[0]
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        shown = {model: f"{law.exponent:.2f}" for model, law in LAWS.items()}
        assert labels == [
            f"VAE reconstruction (exponent {shown['reconstruction']}: no gain to expect)",
            f"VAE prediction (exponent {shown['vae']})",
            "its 90% interval",
            f"pod_gpr (exponent {shown['pod_gpr']})",
        ]

    def test_without_laws_nothing_is_continued(self):
        axes = plot_learning_curve({"vae": [10, 20]}, {"vae": [0.2, 0.1]}, {}, "validation").axes[0]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "20"]
        assert not axes.collections


@pytest.mark.parametrize(
    ("errors", "laws"),
    [
        (ERRORS, LAWS),
        (ERRORS, {}),
        ({"vae": [0.1] * 4}, {"vae": PowerLaw.fit(SIZES, [0.1] * 4)}),
        ({"vae": [0.1, 0.1, 0.0, 0.1]}, {}),
        ({}, {}),
    ],
)
def test_is_drawn_without_a_warning_or_global_state(check_drawn, errors, laws):
    check_drawn(plot_learning_curve(FITTED, errors, laws, "test"))


def test_titles_and_axis_labels_do_not_overlap(check_apart):
    check_apart(plot_learning_curve(FITTED, ERRORS, LAWS, "test"))
