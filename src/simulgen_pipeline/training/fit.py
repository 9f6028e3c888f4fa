"""Training a VAE or a conditioner: prepared data to a trained model, in processes of their own.

Shapes: N designs, T time steps, C channels, P parameters.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from simulgen_pipeline.data.designs import design_fingerprint
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.trained import LatentArrays, TrainedConditioner, TrainedVae
from simulgen_pipeline.models.vae import HierarchicalVae, VaeArchitecture

from .config import ConditionerConfig, EngineConfig, VaeConfig
from .job import Arrays, ConditionerJob, VaeJob
from .launch import Trained, train

Memory = Literal["auto", "preload", "lazy"]

# Widths of the network that gives the VAE's posterior for a design: small, so that latents are
# smooth in the design (a validation error of 6.7% on a smaller study of the demo's kind, where
# 256, 256, 256 got 7.7%).
DESIGN_FILTERS = (64,)
# Norm that a zero field is taken to have, relative to the largest in training, so that norms can
# divide.
SMALLEST_NORM = 1e-3


def fit_vae(
    channels: SimulationFields,
    design_table: pd.DataFrame,
    split: Split,
    representation: FieldRepresentation,
    design_scaler: DesignScaler,
    config: VaeConfig,
    engine: EngineConfig,
    memory: Memory,
    work_folder: Path,
    log_folder: Path,
) -> tuple[TrainedVae, pd.DataFrame]:
    """Train a VAE on the channels (N, T, C) and designs (N rows, P columns) of its training part.

    Returns:
        The VAE with the weights of its best epoch on the validation designs, and a row per epoch.

    Raises:
        TrainingError: a training process failed.
    """
    num_blocks = config.num_blocks * (2 if config.size == "large" else 1)
    architecture = VaeArchitecture(
        num_time_steps=channels.shape[1],
        num_channels=channels.shape[2],
        num_blocks=num_blocks,
        filters=config.filters,
        latent_size=config.latent_size,
        hierarchical_latent_size=config.hierarchical_latent_size,
        spectral_normalisation=config.spectral_normalisation,
    )
    job = VaeJob(
        fields=channels.path,
        memory=memory,
        split=split,
        architecture=architecture,
        engine=engine,
        config=config,
        design_filters=DESIGN_FILTERS,
        log_folder=_run_folder(log_folder, "vae"),
    )
    designs = design_scaler.transform(design_table, warn=False)
    arrays = _arrays(channels, designs, split, representation)
    if config.loss != "mse" and representation.basis is not None:
        basis = representation.basis
        arrays["lift"] = _tensor(basis.modes_ * basis.coefficient_scale_)
    trained = train(job, arrays, work_folder)
    network = HierarchicalVae(architecture)
    network.load_state_dict(_part(trained, "vae."))
    vae = TrainedVae(
        network,
        representation,
        design_scaler,
        split,
        channels.fingerprint,
        design_fingerprint(design_table),
    )
    return vae, trained.history


def fit_conditioner(
    channels: SimulationFields,
    designs: NDArray[np.float64],
    latents: LatentArrays,
    vae: TrainedVae,
    config: ConditionerConfig,
    engine: EngineConfig,
    memory: Memory,
    work_folder: Path,
    log_folder: Path,
) -> tuple[TrainedConditioner, pd.DataFrame]:
    """Train a conditioner on a frozen VAE: scaled designs (N, P) to the latents of its split.

    Returns:
        The conditioner with the weights of its best epoch, and a row per epoch.

    Raises:
        TrainingError: a training process failed.
    """
    architecture = ConditionerArchitecture(
        num_parameters=designs.shape[1],
        filters=config.filters,
        dropout=config.dropout,
        num_members=config.num_members,
    )
    job = ConditionerJob(
        fields=channels.path,
        memory=memory,
        split=vae.split,
        architecture=vae.network.architecture,
        engine=engine,
        config=config,
        conditioner=architecture,
        log_folder=_run_folder(log_folder, "conditioner"),
    )
    arrays = _arrays(channels, designs, vae.split, vae.representation)
    arrays["main"], arrays["hierarchical"] = (torch.from_numpy(part) for part in latents)
    weights = vae.network.state_dict()
    arrays |= {f"vae.{name}": value for name, value in weights.items()}
    trained = train(job, arrays, work_folder)
    network = Conditioner(architecture, vae.network.architecture)
    network.load_state_dict(_part(trained, "conditioner."))
    return TrainedConditioner(network), trained.history


def _arrays(
    channels: SimulationFields,
    designs: NDArray[Any],
    split: Split,
    representation: FieldRepresentation,
) -> Arrays:
    norms = np.concatenate([representation.norms(block) for _, block in channels.blocks()])
    largest = norms[list(split.train)].max() or 1.0
    norms = np.maximum(norms, SMALLEST_NORM * largest)
    return {"designs": _tensor(designs), "norms": _tensor(norms)}


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _part(trained: Trained, prefix: str) -> dict[str, torch.Tensor]:
    """The weights of one module of the objective."""
    return {
        name.removeprefix(prefix): value
        for name, value in trained.weights.items()
        if name.startswith(prefix)
    }


def _run_folder(folder: Path, name: str) -> Path:
    """A folder of TensorBoard events for a training that starts now."""
    return folder / name / datetime.now().strftime("%Y-%m-%dT%H.%M.%S")
