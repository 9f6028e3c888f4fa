"""Nodes that train the latent conditioner, on its own or end to end."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.models.trained import (
    HeldOutConditioners,
    StoredLatents,
    TrainedConditioner,
    TrainedVae,
)
from simulgen_pipeline.training import fit
from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    RefitConfig,
)


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
    return fit.fit_conditioner(
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
) -> tuple[TrainedConditioner, HeldOutConditioners, pd.DataFrame]:
    """Train conditioner and decoder on with the validation designs, too, unless that is off.

    Spreads are calibrated on validation designs with those that are trained without them.
    """
    if not refit.enabled:
        unaware = HeldOutConditioners([(trained, vae.split.validation)])
        return trained, unaware, pd.DataFrame({"epoch": []})
    return fit.refit_conditioner(
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
