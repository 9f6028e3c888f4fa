"""Nodes that train the latent conditioner, on its own or end to end."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.design_inputs import DesignInputs
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.evaluation.champion import is_resolved
from simulgen_pipeline.models.trained import (
    CrossFittedConditioners,
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

logger = logging.getLogger(__name__)


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
    end_to_end: EndToEndConfig | None = None,
) -> tuple[TrainedConditioner, CrossFittedConditioners, pd.DataFrame]:
    """Train conditioner and decoder on with the validation designs, too, unless that is off.

    Spreads are calibrated on validation designs, and errors on them measured, with those that were
    trained on without them. Where these predict worse than what they started from, by more than
    the designs leave open, that is what predicts.
    """
    as_it_was = CrossFittedConditioners([(trained, vae.split.validation)])
    if not refit.enabled:
        return trained, as_it_was, pd.DataFrame({"epoch": []})
    designs = vae.design_scaler.inputs(design_table, warn=False)
    refitted, cross_fitted, history = fit.refit_conditioner(
        trained,
        channels,
        designs,
        latents.values,
        vae,
        conditioner,
        refit,
        training,
        data.memory,
        work_folder,
        tensorboard,
        end_to_end,
    )
    before, after = (_errors(of, vae, designs, channels) for of in (as_it_was, cross_fitted))
    logger.info(
        "Relative error of the %d validation designs, in channels: %.2f%% before the refit, %.2f%% "
        "after it, each by a refit without it",
        len(before),
        100 * before.mean(),
        100 * after.mean(),
    )
    if is_resolved(after - before):
        logger.warning(
            "The refit made errors larger: what was trained on training designs predicts."
        )
        return trained, as_it_was, history
    return refitted, cross_fitted, history


def _errors(
    conditioners: CrossFittedConditioners,
    vae: TrainedVae,
    designs: DesignInputs,
    channels: SimulationFields,
) -> NDArray[np.float64]:
    """Relative errors (n,) in channels of the validation designs, in their order."""
    errors = {}
    for conditioner, rows in conditioners.parts:
        for row in rows:
            true = channels.read([row])
            told = conditioner.channels(designs.take([row]), vae).mean(dim=0).numpy()
            errors[row] = np.linalg.norm(told - true) / (np.linalg.norm(true) or 1.0)
    return np.array([errors[row] for row in vae.split.validation])
