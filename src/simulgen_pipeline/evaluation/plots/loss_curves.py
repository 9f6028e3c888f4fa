"""Losses, KL terms, learning rate and gradient norm over the epochs of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import BLUE, CYCLE, VERMILLION, Array, new_figure, style_axes


def plot_loss_curves(history: pd.DataFrame, title: str) -> Figure:
    """Losses, KL terms, learning rate and gradient norm over epochs; what is absent is left out.

    Args:
        history: a row per epoch; numeric columns `epoch` and any of `kl_main` and `kl_level_*`
            [nats], `learning_rate`, `gradient_norm`, `kl_weight` and `samples_per_second` (not
            shown), and losses. A name that begins with `validation_` is dashed, in the colour of
            the one without. A loss that is not always positive has a panel without logarithm.
            Where the text column `stage` changes, a line is drawn, and stages have their names.
        title: of the figure.
    """
    numeric = [str(name) for name in history.select_dtypes("number") if history[name].notna().any()]
    others = ("epoch", "learning_rate", "gradient_norm", "kl_weight", "samples_per_second")
    terms = [name for name in numeric if name not in others]
    kl = [name for name in terms if name.removeprefix("validation_").startswith("kl_")]
    losses = [name for name in terms if name not in kl]
    positive = [name for name in losses if (history[name].dropna() > 0).all()]
    signed = [name for name in losses if name not in positive]
    optimiser: list[str] = [n for n in ("learning_rate", "gradient_norm") if n in numeric]
    labelled: list[tuple[str, list[str]]] = [
        ("loss [-]", positive),
        ("loss [-]", signed),
        ("KL divergence [nats]", kl),
        ("", optimiser),
    ]
    panels = [(label, names) for label, names in labelled if names]

    figure = new_figure(title)
    if not panels:
        return figure
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, names) in zip(grid, panels, strict=True):
        style_axes(axes)
        if names is optimiser:
            _draw_optimiser(axes, history, names)
        else:
            _draw_history(axes, history, names)
            axes.set_ylabel(label)
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    _name_stages(list(grid), history)
    grid[-1].set_xlabel("epoch")
    grid[-1].xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    return figure


def _name_stages(grid: Sequence[Axes], history: pd.DataFrame) -> None:
    """Tell stages apart, if there are several."""
    if "stage" not in history or history["stage"].nunique() < 2:
        return
    begins = history["stage"] != history["stage"].shift()
    for number, (epoch, name) in enumerate(history.loc[begins, ["epoch", "stage"]].to_numpy()):
        for axes in grid:
            if number > 0:
                axes.axvline(epoch - 0.5, color="0.6", linewidth=0.8, linestyle=":")
        grid[0].text(
            epoch,
            1.01,
            name,
            transform=grid[0].get_xaxis_transform(),
            fontsize=8,
            rotation=20,
            va="bottom",
        )


def _draw_history(axes: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    stems = list(dict.fromkeys(name.removeprefix("validation_") for name in names))
    for name in names:
        stem = name.removeprefix("validation_")
        _draw_series(
            axes,
            history,
            name,
            color=CYCLE[stems.index(stem) % len(CYCLE)],
            linestyle="-" if name == stem else "--",
            label=name.replace("_", " ").replace("kl", "KL"),
        )
    _log_if_positive(axes, history[list(names)].to_numpy())


def _draw_optimiser(axes: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    """Learning rate on the left axis, gradient norm on the right one, or the only one there is."""
    for index, name in enumerate(names):
        side = axes if index == 0 else axes.twinx()
        colour = (BLUE, VERMILLION)[index]
        _draw_series(side, history, name, color=colour)
        side.set_ylabel(f"{name.replace('_', ' ')} [-]", color=colour, fontsize=10)
        side.tick_params(axis="y", labelcolor=colour, labelsize=9)
        side.spines["top"].set_visible(False)
        _log_if_positive(side, history[name].to_numpy())


def _draw_series(axes: Axes, history: pd.DataFrame, name: str, **style: Any) -> None:
    """One column over epochs, joined across epochs where it was not computed."""
    known = history[["epoch", name]].dropna()
    marker = "o" if len(known) == 1 else ""
    axes.plot(known["epoch"].to_numpy(), known[name].to_numpy(), marker=marker, **style)
    axes.margins(x=0.01)


def _log_if_positive(axes: Axes, values: Array) -> None:
    finite = values[np.isfinite(values)]
    if finite.size > 0 and finite.min() > 0:
        axes.set_yscale("log")
