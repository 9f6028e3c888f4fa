"""One training from end to end: data, a split and parameters to what `full_vae` measures."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.designs import design_fingerprint
from simulgen_pipeline.data.fields import SimulationFields, open_fields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.baselines import BaselineConfig
from simulgen_pipeline.pipelines.conditioner_training.nodes import (
    refit_conditioner,
    train_conditioner,
)
from simulgen_pipeline.pipelines.data_preparation.nodes import (
    compute_channels,
    fit_design_scaler,
    fit_field_scaler,
    fit_representation,
)
from simulgen_pipeline.pipelines.evaluation.assessment import Assessment
from simulgen_pipeline.pipelines.evaluation.nodes import (
    assemble_surrogate,
    evaluate,
    fit_baselines,
)
from simulgen_pipeline.pipelines.vae_training.nodes import extract_latents, train_vae
from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EngineConfig,
    RefitConfig,
    VaeConfig,
)
from simulgen_pipeline.training.device import choose_num_processes
from simulgen_pipeline.training.job import RECIPE

CHANNELS_FILE = "channels.h5"


class Settings(BaseModel):
    """All parameters that `full_vae` has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig
    vae: VaeConfig
    conditioner: ConditionerConfig
    refit: RefitConfig
    baselines: BaselineConfig
    training: EngineConfig


def train_and_assess(
    fields: SimulationFields,
    design_table: pd.DataFrame,
    split: Split,
    settings: Settings,
    work_folder: Path,
    log_folder: Path,
) -> Assessment:
    """Fit, train, calibrate and assess a surrogate in the order of `full_vae`.

    Args:
        fields: physical fields of all designs.
        design_table: all designs, of which those in no part of the split are left alone.
        split: the designs to train with, to choose by and to measure on; not that of `settings`.
        settings: all other parameters.
        work_folder: an existing folder for channels and trainings, which both stay in it.
        log_folder: for TensorBoard events.

    Raises:
        DataError: the designs cannot be fitted to.
        TrainingError: a training process failed.
    """
    data, vae_config, engine = settings.data, settings.vae, settings.training
    parts = split.model_dump(mode="json")
    field_scaler = fit_field_scaler(fields, parts, data)
    design_scaler = fit_design_scaler(design_table, parts, data)
    representation = fit_representation(fields, parts, field_scaler, vae_config)
    compute_channels(fields, representation).save(work_folder / CHANNELS_FILE)
    channels = open_fields(work_folder / CHANNELS_FILE)
    vae, _ = train_vae(
        channels,
        design_table,
        parts,
        representation,
        design_scaler,
        vae_config,
        data,
        engine,
        work_folder,
        log_folder,
    )
    latents = extract_latents(vae, channels, design_table)
    conditioner, _ = train_conditioner(
        vae,
        latents,
        channels,
        design_table,
        settings.conditioner,
        data,
        engine,
        work_folder,
        log_folder,
    )
    refitted, cross_fitted, _ = refit_conditioner(
        conditioner,
        vae,
        latents,
        channels,
        design_table,
        settings.conditioner,
        settings.refit,
        data,
        engine,
        work_folder,
        log_folder,
    )
    baselines = fit_baselines(fields, design_table, vae, settings.baselines)
    surrogate = assemble_surrogate(
        vae,
        conditioner,
        refitted,
        cross_fitted,
        baselines,
        fields,
        design_table,
        settings.baselines,
    )
    return evaluate(surrogate, cross_fitted, baselines, latents, fields, design_table)


def determined_by(fields: SimulationFields, design_table: pd.DataFrame, settings: Settings) -> str:
    """All that determines a result of `train_and_assess` beside the split, as text.

    As for a training's own folder, how often checkpoints are written, how data is read, where
    machines meet and how long processes wait for each other do not count.
    """
    values = settings.model_dump(mode="json", exclude={"data": {"memory", "split"}})
    for name in ("checkpoint_interval", "rendezvous", "timeout"):
        del values["training"][name]
    values["training"]["num_processes"] = choose_num_processes(settings.training.num_processes)
    identity = [RECIPE, fields.fingerprint, design_fingerprint(design_table), values]
    return json.dumps(identity, sort_keys=True)
