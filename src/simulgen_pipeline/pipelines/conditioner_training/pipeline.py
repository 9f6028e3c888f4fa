"""Designs and latents to a trained conditioner."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes

INPUTS = [
    "vae",
    "latents",
    "channels",
    "design_table",
    "params:conditioner",
    "params:data",
    "params:training",
    "work_folder",
    "tensorboard",
]
OUTPUTS = ["conditioner", "conditioner_training_history"]


REFIT_INPUTS = [
    "conditioner",
    "vae",
    "latents",
    "channels",
    "design_table",
    "params:conditioner",
    "params:refit",
    "params:data",
    "params:training",
    "work_folder",
    "tensorboard",
]
REFIT_OUTPUTS = ["refitted_conditioner", "cross_fitted_conditioners", "refit_training_history"]


def create_pipeline() -> Pipeline:
    """Train the conditioner on the frozen VAE, and then both with the validation designs, too."""
    return Pipeline(
        [
            Node(nodes.train_conditioner, INPUTS, OUTPUTS, name="train_conditioner"),
            Node(nodes.refit_conditioner, REFIT_INPUTS, REFIT_OUTPUTS, name="refit_conditioner"),
        ],
        tags="conditioner_training",
    )


def create_end_to_end() -> Pipeline:
    """Train the conditioner on the decoded field, starting from the trained VAE, and refit it."""
    how = "params:end_to_end"
    return Pipeline(
        [
            Node(nodes.train_conditioner, [*INPUTS, how], OUTPUTS, name="train_end_to_end"),
            Node(
                nodes.refit_conditioner,
                [*REFIT_INPUTS, how],
                REFIT_OUTPUTS,
                name="refit_conditioner",
            ),
        ],
        tags="end_to_end",
    )
