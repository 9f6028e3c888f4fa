"""Latents: principal components against the covariance, parts and colours."""

import numpy as np
import pytest

from simulgen_pipeline.evaluation.plots import plot_latents

PARTS = {"train": np.arange(12), "validation": np.arange(12, 15), "test": np.arange(15, 20)}


def latents(num_designs=20):
    rng = np.random.default_rng(1)
    main = rng.normal(size=(num_designs, 32)) * np.linspace(3, 0.1, 32)
    return main, rng.normal(size=(num_designs, 3, 8))


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


@pytest.mark.parametrize(
    "parts",
    [PARTS, {"train": [0], "validation": [], "test": []}, {"train": [0, 1], "test": []}],
)
def test_is_drawn_without_a_warning_or_global_state(check_drawn, parts):
    main, hierarchical = latents(sum(map(len, parts.values())))
    check_drawn(plot_latents(main, hierarchical, parts, main[:, 0], "p"))
