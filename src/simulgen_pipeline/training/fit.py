"""Training a VAE or a conditioner: prepared data to a trained model, in processes of their own.

Shapes: N designs, T time steps, C channels, P parameters.
"""

from __future__ import annotations

import logging
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from simulgen_pipeline.data.design_inputs import DesignInputs
from simulgen_pipeline.data.design_scalers import AnyDesignScaler
from simulgen_pipeline.data.designs import design_fingerprint
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.picture_scaler import PictureScaler
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.latents import VaeArchitecture
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.trained import (
    CrossFittedConditioners,
    LatentArrays,
    TrainedConditioner,
    TrainedVae,
)
from simulgen_pipeline.models.vae import Decoder, HierarchicalVae

from .config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    RefitConfig,
    VaeConfig,
    divides_into_patches,
)
from .data import Memory
from .job import ConditionerJob, RefitJob, VaeJob, part_of_arrays
from .job_arrays import channel_spreads, conditioner_arrays, vae_arrays, weights_of
from .launch import train
from .unused_options import (
    warn_of_unused_conditioner_options,
    warn_of_unused_refit_options,
    warn_of_unused_vae_options,
)

logger = logging.getLogger(__name__)

# Widths of the network that gives the VAE's posterior for a design: small, so that latents are
# smooth in the design (a validation error of 6.7% on a smaller study of the demo's kind, where
# 256, 256, 256 got 7.7%).
DESIGN_FILTERS = (64,)
# Parts of the validation designs that a refit is trained without, in turn: so many that none is
# more than one in this many designs. The more designs a refit lacks, the larger its errors are than
# those of the one that predicts, which lacks none.
DESIGNS_PER_HELD_OUT = 12
FEWEST_HELD_OUT_PARTS, MOST_HELD_OUT_PARTS = 2, 5  # each takes another refit


def fit_vae(
    channels: SimulationFields,
    design_table: pd.DataFrame,
    split: Split,
    representation: FieldRepresentation,
    design_scaler: AnyDesignScaler,
    config: VaeConfig,
    engine: EngineConfig,
    memory: Memory,
    work_folder: Path,
    log_folder: Path,
) -> tuple[TrainedVae, pd.DataFrame]:
    """Train a VAE on the channels (N, T, C) and designs (N rows) of its training part.

    Returns:
        The VAE with the weights of its best epoch on the validation designs, and a row per epoch.

    Raises:
        TrainingError: a training process failed.
    """
    has_pictures, is_static = isinstance(design_scaler, PictureScaler), channels.shape[1] == 1
    config = config.for_fields(num_time_steps=channels.shape[1], have_pictures=has_pictures)
    architecture = _vae_architecture(config, channels.shape)
    warn_of_unused_vae_options(config, channels.shape[1])
    logger.info(
        "VAE of %s fields: filters %s, %d blocks per level, %d time step(s) as one, posterior "
        "given the %s, %d epochs",
        "static" if is_static else "transient",
        ", ".join(map(str, architecture.filters)),
        architecture.num_blocks,
        architecture.time_patch,
        config.posterior,
        config.training.epochs(len(split.train)),
    )
    job = VaeJob(
        fields=channels.path,
        memory=memory,
        split=split,
        architecture=architecture,
        engine=engine,
        config=config,
        mix_designs=has_pictures,
        design_filters=DESIGN_FILTERS,
        log_folder=_run_folder(log_folder, "vae"),
    )
    designs = design_scaler.inputs(design_table, warn=False)
    arrays = vae_arrays(channels, designs, split, representation, config.loss)
    if config.posterior == "field" and is_static and representation.basis is not None:
        arrays["spreads"] = channel_spreads(channels, split)
    trained = train(job, arrays, work_folder)
    network = HierarchicalVae(architecture)
    network.load_state_dict(part_of_arrays(trained.weights, "vae"))
    design_posterior = None
    if config.posterior == "design":
        num_features = designs.features.shape[1]
        design_posterior = ResidualMlp(num_features, 2 * architecture.num_latents, DESIGN_FILTERS)
        design_posterior.load_state_dict(part_of_arrays(trained.weights, "design_posterior"))
    vae = TrainedVae(
        network,
        design_posterior,
        representation,
        design_scaler,
        designs.features[list(split.train)].astype(np.float32),
        split,
        channels.fingerprint,
        design_fingerprint(design_table),
    )
    return vae, trained.history


def fit_conditioner(
    channels: SimulationFields,
    designs: DesignInputs,
    latents: LatentArrays,
    vae: TrainedVae,
    config: ConditionerConfig,
    engine: EngineConfig,
    memory: Memory,
    work_folder: Path,
    log_folder: Path,
    end_to_end: EndToEndConfig | None = None,
) -> tuple[TrainedConditioner, pd.DataFrame]:
    """Train a conditioner on a trained VAE: scaled designs (N) to the latents of its split.

    With `end_to_end` it goes on with the decoded field alone to decide, and the decoder may learn
    too; the conditioner then carries a decoder of its own, and the VAE stays as it was.

    Returns:
        The conditioner with the weights of its best epoch, and a row per epoch.

    Raises:
        DataError: the kind of conditioner needs pictures, and the designs are parameters.
        TrainingError: a training process failed.
    """
    config = config.for_vae(has_design_posterior=vae.design_posterior is not None)
    architecture = _conditioner_architecture(designs, config, vae)
    warn_of_unused_conditioner_options(config.model_copy(update={"kind": architecture.kind}))
    logger.info(
        "Conditioner: %s, %d members, latents weigh %s, %d epochs",
        architecture.kind,
        architecture.num_members,
        config.latent_weight,
        config.training.epochs(len(vae.split.train)),
    )
    job = ConditionerJob(
        fields=channels.path,
        memory=memory,
        split=vae.split,
        architecture=vae.network.architecture,
        engine=engine,
        config=config,
        end_to_end=end_to_end,
        conditioner=architecture,
        log_folder=_run_folder(log_folder, "conditioner"),
    )
    loss = "mse" if end_to_end is None else end_to_end.loss
    arrays = conditioner_arrays(channels, designs, latents, vae, architecture, loss)
    if vae.design_posterior is not None:
        arrays |= weights_of(vae.design_posterior, "design_posterior")
    trained = train(job, arrays, work_folder)
    network = Conditioner(architecture, vae.network.architecture)
    network.load_state_dict(part_of_arrays(trained.weights, "conditioner"))
    decoder = None
    if end_to_end is not None and end_to_end.tune_decoder:
        decoder = Decoder(vae.network.architecture)
        decoder.load_state_dict(part_of_arrays(trained.weights, "decoder"))
    return TrainedConditioner(network, len(vae.split.train), decoder), trained.history


def refit_conditioner(
    conditioner: TrainedConditioner,
    channels: SimulationFields,
    designs: DesignInputs,
    latents: LatentArrays,
    vae: TrainedVae,
    conditioner_config: ConditionerConfig,
    config: RefitConfig,
    engine: EngineConfig,
    memory: Memory,
    work_folder: Path,
    log_folder: Path,
    end_to_end: EndToEndConfig | None = None,
) -> tuple[TrainedConditioner, CrossFittedConditioners, pd.DataFrame]:
    """Train a conditioner and a decoder of its own on, with training and validation designs.

    One that was trained end to end keeps its loss, and its decoder if that was frozen.

    How good such a conditioner is on designs that it does not know is told by others, that are
    trained in the same way without some of the validation designs. Nothing is left that could tell
    when to stop: it is as long as `config` says.

    Returns:
        The conditioner, those without some of the validation designs, and a row per epoch: first
        of theirs, then of its own.

    Raises:
        TrainingError: a training process failed.
    """
    warn_of_unused_refit_options(config)
    architecture, seen = conditioner.network.architecture, vae.split
    split = Split(train=tuple(sorted((*seen.train, *seen.validation))), validation=(), test=())
    num_parts = num_held_out_parts(len(seen.train), len(seen.validation))
    parts = [seen.validation[number::num_parts] for number in range(num_parts)]
    job = RefitJob(
        fields=channels.path,
        memory=memory,
        split=split,
        held_out=(*parts, ()),
        architecture=vae.network.architecture,
        engine=engine,
        config=config,
        end_to_end=end_to_end,
        augmentation=conditioner_config.augmentation,
        latent_scaling=conditioner_config.latent_scaling,
        conditioner=architecture,
        log_folder=_run_folder(log_folder, "refit"),
    )
    loss = "mse" if end_to_end is None else end_to_end.loss
    arrays = conditioner_arrays(channels, designs, latents, vae, architecture, loss)
    arrays |= weights_of(conditioner.network, "conditioner")
    if conditioner.decoder is not None:
        arrays |= weights_of(conditioner.decoder, "decoder")
    trained = train(job, arrays, work_folder)
    tunes_decoder = end_to_end is None or end_to_end.tune_decoder

    def refitted(number: int) -> TrainedConditioner:
        network = Conditioner(architecture, vae.network.architecture)
        network.load_state_dict(part_of_arrays(trained.weights, f"conditioner_{number}"))
        decoder = None
        if tunes_decoder:
            decoder = Decoder(vae.network.architecture)
            decoder.load_state_dict(part_of_arrays(trained.weights, f"decoder_{number}"))
        return TrainedConditioner(network, len(split.train) - len(job.held_out[number]), decoder)

    held_out = CrossFittedConditioners([(refitted(n), part) for n, part in enumerate(parts)])
    return refitted(num_parts), held_out, trained.history


def num_held_out_parts(num_train: int, num_validation: int) -> int:
    """Into how many parts validation designs are divided, each of which a refit is trained without;
    no more than there are designs."""
    largest = max(1, (num_train + num_validation) // DESIGNS_PER_HELD_OUT)
    needed = math.ceil(num_validation / largest)
    return min(max(FEWEST_HELD_OUT_PARTS, needed), MOST_HELD_OUT_PARTS, num_validation)


def check_kind(config: ConditionerConfig, has_pictures: bool) -> None:
    """Refuse a kind of conditioner that the designs are not for.

    Raises:
        DataError: it reads pictures, and the designs are parameters.
    """
    if config.kind in ("cnn", "vit") and not has_pictures:
        raise DataError(
            f"conditioner.kind={config.kind} reads pictures, and the designs are parameters. Give "
            f"a folder of pictures (--params=designs=FOLDER), or use conditioner.kind=mlp."
        )


def _vae_architecture(config: VaeConfig, shape: tuple[int, int, int]) -> VaeArchitecture:
    _, num_time_steps, num_channels = shape
    return VaeArchitecture(
        num_time_steps=num_time_steps,
        num_channels=num_channels,
        filters=config.filters,
        num_blocks=config.num_blocks * (2 if config.size == "large" else 1),
        time_patch=config.time_patch,
        latent_size=config.latent_size,
        hierarchical_latent_size=config.hierarchical_latent_size,
        spectral_normalisation=config.spectral_normalisation,
    )


def _conditioner_architecture(
    designs: DesignInputs, config: ConditionerConfig, vae: TrainedVae
) -> ConditionerArchitecture:
    pictures = designs.pictures
    kind = config.kind
    if kind == "auto":
        kind = "mlp" if pictures is None else "cnn"
    check_kind(config, has_pictures=pictures is not None)
    num_channels, image_size = (0, 0) if pictures is None else pictures.shape[1:3]
    if kind == "vit" and not divides_into_patches(image_size, config.patch_size):
        raise DataError(
            f"conditioner.patch_size={config.patch_size} does not divide data.image_size="
            f"{image_size} into at least 2 x 2 patches. Choose another of the two."
        )
    base = vae.design_posterior
    return ConditionerArchitecture(
        kind=kind,
        num_features=designs.features.shape[1],
        base_filters=None if base is None else base.widths[1:-1],
        num_channels=num_channels,
        image_size=image_size,
        filters=config.filters if kind == "mlp" else config.picture_filters,
        squeeze_excitation=config.squeeze_excitation,
        spatial_attention=config.spatial_attention,
        patch_size=config.patch_size,
        embedding=config.embedding,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        dropout=config.dropout,
        num_members=config.num_members,
    )


def _run_folder(folder: Path, name: str) -> Path:
    """A folder of TensorBoard events for a training that starts now."""
    return folder / name / datetime.now().strftime("%Y-%m-%dT%H.%M.%S")
