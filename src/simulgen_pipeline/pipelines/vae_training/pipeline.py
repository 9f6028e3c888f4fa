"""Channels to a trained VAE and its latents."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from . import nodes


def create_training() -> Pipeline:
    """Train the VAE."""
    return Pipeline(
        [
            Node(
                nodes.train_vae,
                [
                    "channels",
                    "design_table",
                    "split",
                    "representation",
                    "design_scaler",
                    "params:vae",
                    "params:data",
                    "params:training",
                    "work_folder",
                    "tensorboard",
                ],
                ["vae", "vae_training_history"],
                name="train_vae",
            )
        ],
        tags="vae_training",
    )


def create_extraction() -> Pipeline:
    """Extract the latents of every design."""
    return Pipeline(
        [
            Node(
                nodes.extract_latents,
                ["vae", "channels", "design_table"],
                "latents",
                name="extract_latents",
            )
        ],
        tags="latent_extraction",
    )
