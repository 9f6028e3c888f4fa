"""Nodes that train the latent conditioner."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.models.trained import StoredLatents, TrainedConditioner, TrainedVae
from simulgen_pipeline.training.config import ConditionerConfig, EngineConfig
from simulgen_pipeline.training.fit import fit_conditioner


def train_conditioner(
    vae: TrainedVae,
    latents: StoredLatents,
    channels: SimulationFields,
    design_table: pd.DataFrame,
    conditioner: ConditionerConfig,
    data: DataConfig,
    training: EngineConfig,
    work_folder: Path,
    tensorboard: Path,
) -> tuple[TrainedConditioner, pd.DataFrame]:
    """Train a conditioner on the frozen VAE, in processes of its own."""
    return fit_conditioner(
        channels,
        vae.design_scaler.transform(design_table, warn=False),
        latents.values,
        vae,
        conditioner,
        training,
        data.memory,
        work_folder,
        tensorboard,
    )
