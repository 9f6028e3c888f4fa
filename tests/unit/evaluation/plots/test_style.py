"""The style that all figures share."""

from simulgen_pipeline.evaluation.plots.style import BLACK, VERMILLION


def test_colours_of_truth_and_prediction_differ_in_lightness():
    """Readable in print and by the colour-blind."""

    def lightness(colour):
        return sum(int(colour[i : i + 2], 16) * w for i, w in ((1, 0.3), (3, 0.59), (5, 0.11)))

    assert abs(lightness(VERMILLION) - lightness(BLACK)) > 80
