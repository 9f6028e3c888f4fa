"""Fields and designs to what repeated trainings say of them."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes

TAG = "studies"
INPUTS = [
    "fields",
    "design_table",
    "params:data",
    "params:vae",
    "params:conditioner",
    "params:refit",
    "params:baselines",
    "params:training",
    "params:studies",
    "work_folder",
    "tensorboard",
]


def create_repeated_splits() -> Pipeline:
    """How far the reported error can be trusted."""
    return Pipeline(
        [
            Node(
                nodes.repeat_splits,
                INPUTS,
                ["repeated_splits", "repeated_splits_errors"],
                name="repeat_splits",
            ),
            Node(
                nodes.draw_repeated_splits,
                "repeated_splits_errors",
                "plot_repeated_splits",
                name="draw_repeated_splits",
            ),
        ],
        tags=TAG,
    )


def create_learning_curve() -> Pipeline:
    """Whether more simulations would help."""
    return Pipeline(
        [
            Node(
                nodes.learn_with_growing_designs,
                INPUTS,
                "learning_curve",
                name="learn_with_growing_designs",
            ),
            Node(
                nodes.draw_learning_curve,
                "learning_curve",
                "plot_learning_curve",
                name="draw_learning_curve",
            ),
        ],
        tags=TAG,
    )
