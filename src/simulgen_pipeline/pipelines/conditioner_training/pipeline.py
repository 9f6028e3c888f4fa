"""Designs and latents to a trained conditioner."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes


def create_pipeline() -> Pipeline:
    """Train the conditioner."""
    return Pipeline(
        [
            Node(
                nodes.train_conditioner,
                [
                    "vae",
                    "latents",
                    "channels",
                    "design_table",
                    "params:conditioner",
                    "params:data",
                    "params:training",
                    "work_folder",
                    "tensorboard",
                ],
                ["conditioner", "conditioner_training_history"],
                name="train_conditioner",
            )
        ],
        tags="conditioner_training",
    )
