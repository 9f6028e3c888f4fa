"""Nodes that train the VAE and extract the latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.design_scalers import AnyDesignScaler
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.trained import LatentArrays, StoredLatents, TrainedVae
from simulgen_pipeline.training.config import EngineConfig, VaeConfig
from simulgen_pipeline.training.fit import fit_vae


def train_vae(
    channels: SimulationFields,
    design_table: pd.DataFrame,
    split: dict[str, Any],
    representation: FieldRepresentation,
    design_scaler: AnyDesignScaler,
    vae: VaeConfig,
    data: DataConfig,
    training: EngineConfig,
    work_folder: Path,
    tensorboard: Path,
) -> tuple[TrainedVae, pd.DataFrame]:
    """Train the VAE in processes of its own."""
    return fit_vae(
        channels,
        design_table,
        Split.model_validate(split),
        representation,
        design_scaler,
        vae,
        training,
        data.memory,
        work_folder,
        tensorboard,
    )


def extract_latents(
    vae: TrainedVae, channels: SimulationFields, design_table: pd.DataFrame
) -> StoredLatents:
    """The posterior means of every design."""
    parts = [vae.encode(block) for _, block in channels.blocks()]
    values = LatentArrays(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    return StoredLatents(values, tuple(design_table.index))
