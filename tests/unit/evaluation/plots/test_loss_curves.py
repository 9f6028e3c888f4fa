"""Loss curves: which column is drawn where, and how."""

import numpy as np
import pandas as pd
import pytest

from simulgen_pipeline.evaluation.plots import plot_loss_curves


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


@pytest.mark.parametrize("rows", [history(), history(1), pd.DataFrame({"epoch": [1, 2]})])
def test_is_drawn_without_a_warning_or_global_state(check_drawn, rows):
    check_drawn(plot_loss_curves(rows, "Training"))
