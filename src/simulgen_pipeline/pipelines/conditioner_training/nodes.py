"""Nodes that train the latent conditioner, on its own or end to end."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.models.trained import StoredLatents, TrainedConditioner, TrainedVae
from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    RefitConfig,
)
from simulgen_pipeline.training.fit import fit_conditioner, fit_on


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
    end_to_end: EndToEndConfig | None = None,
) -> tuple[TrainedConditioner, pd.DataFrame]:
    """Train a conditioner on a trained VAE, in processes of its own.

    With `end_to_end` it learns from the decoded field, with a decoder of its own that starts as the
    VAE's.
    """
    return fit_conditioner(
        channels,
        vae.design_scaler.inputs(design_table, warn=False),
        latents.values,
        vae,
        conditioner,
        training,
        data.memory,
        work_folder,
        tensorboard,
        end_to_end,
    )


def refit_conditioner(
    trained: TrainedConditioner,
    vae: TrainedVae,
    latents: StoredLatents,
    channels: SimulationFields,
    design_table: pd.DataFrame,
    conditioner: ConditionerConfig,
    refit: RefitConfig,
    data: DataConfig,
    training: EngineConfig,
    work_folder: Path,
    tensorboard: Path,
) -> tuple[TrainedConditioner, pd.DataFrame]:
    """Train conditioner and decoder on with the validation designs, too, unless that is off.

    Predictions of new designs are its; what is chosen by validation designs is chosen without it.
    """
    if not refit.enabled:
        return trained, pd.DataFrame({"epoch": []})
    return fit_on(
        trained,
        channels,
        vae.design_scaler.inputs(design_table, warn=False),
        latents.values,
        vae,
        conditioner.augmentation,
        refit,
        training,
        data.memory,
        work_folder,
        tensorboard,
    )
