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


def create_pipeline() -> Pipeline:
    """Train the conditioner on the frozen VAE."""
    return Pipeline(
        [Node(nodes.train_conditioner, INPUTS, OUTPUTS, name="train_conditioner")],
        tags="conditioner_training",
    )


def create_end_to_end() -> Pipeline:
    """Train the conditioner on the decoded field, starting from the trained VAE."""
    inputs = [*INPUTS, "params:end_to_end"]
    return Pipeline(
        [Node(nodes.train_conditioner, inputs, OUTPUTS, name="train_end_to_end")],
        tags="end_to_end",
    )
