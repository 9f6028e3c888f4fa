"""Nodes that bring a user's files into the form that training needs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.design_scalers import AnyDesignScaler, fit_scaler_of_designs
from simulgen_pipeline.data.designs import design_fingerprint, match_designs, read_designs
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.ingest import IngestedSimulations, ingest
from simulgen_pipeline.data.picture_scaler import PictureScaler
from simulgen_pipeline.data.pictures import has_pictures
from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import ChannelFields, FieldRepresentation
from simulgen_pipeline.data.scaling import FieldScaler
from simulgen_pipeline.data.split import Split, split_designs
from simulgen_pipeline.models.trained import TrainedVae
from simulgen_pipeline.training.config import ConditionerConfig, VaeConfig
from simulgen_pipeline.training.fit import check_kind

logger = logging.getLogger(__name__)


def ingest_simulations(simulations: Path, data: DataConfig) -> IngestedSimulations:
    """Check the simulations and bring them into the canonical form."""
    return ingest(simulations, data)


def ingest_designs(
    designs: Path, fields: SimulationFields, simulations: Path, conditioner: ConditionerConfig
) -> pd.DataFrame:
    """Read the designs, match them to the simulations, and see that the conditioner can read them
    before anything is trained."""
    sources = (str(simulations), str(designs))
    table = match_designs(
        read_designs(designs), fields.shape[0], fields.metadata.design_ids, sources
    )
    check_kind(conditioner, has_pictures(table))
    return table


def divide(design_table: pd.DataFrame, data: DataConfig) -> dict[str, Any]:
    """Divide the designs into training, validation and test parts."""
    return split_designs(design_table.index.tolist(), data.split).model_dump(mode="json")


def fit_field_scaler(
    fields: SimulationFields, split: dict[str, Any], data: DataConfig
) -> FieldScaler:
    """Fit the scaling of fields on the training designs."""
    rows = Split.model_validate(split).train
    return FieldScaler(data.field_scaling).fit(block for _, block in fields.blocks(rows))


def fit_design_scaler(
    design_table: pd.DataFrame, split: dict[str, Any], data: DataConfig
) -> AnyDesignScaler:
    """Fit the scaling of designs on the training designs."""
    rows = list(Split.model_validate(split).train)
    return fit_scaler_of_designs(design_table.iloc[rows], data)


def fit_representation(
    fields: SimulationFields, split: dict[str, Any], field_scaler: FieldScaler, vae: VaeConfig
) -> FieldRepresentation:
    """Fit the POD basis, if one is used, on the scaled fields of the training designs."""
    if vae.reduction == "none":
        return FieldRepresentation(field_scaler, None)
    rows = Split.model_validate(split).train
    basis = PodBasis(vae.pod.tolerance, vae.pod.max_modes)
    basis.fit(lambda: (field_scaler.transform(block) for _, block in fields.blocks(rows)))
    return FieldRepresentation(field_scaler, basis)


def compute_channels(
    fields: SimulationFields, representation: FieldRepresentation
) -> ChannelFields:
    """Scale and project the fields of all designs."""
    return ChannelFields(fields, representation)


def adopt_preparation(
    vae: TrainedVae, fields: SimulationFields, design_table: pd.DataFrame, data: DataConfig
) -> tuple[dict[str, Any], FieldScaler, AnyDesignScaler, FieldRepresentation]:
    """Take split, scalers and basis from a trained VAE, if data and split are those it knows.

    Raises:
        DataError: other data, another split, or other parameters.
    """
    if fields.fingerprint != vae.fingerprint:
        raise DataError(
            f"The VAE was trained on other simulations than {fields.path} holds (or on another "
            f"selection of times and nodes). Give the same simulations, run full_vae, or name "
            f"another VAE with --load-versions=vae:VERSION."
        )
    split = split_designs(design_table.index.tolist(), data.split)
    if split != vae.split:
        raise DataError(
            f"The VAE was trained on another split: {_sizes(vae.split)}; data.split now gives "
            f"{_sizes(split)} or other designs of that number. Leave data.split as it was, or "
            f"run full_vae."
        )
    known = vae.design_scaler
    if design_fingerprint(design_table) != vae.design_fingerprint:
        raise DataError(
            "The VAE was trained with other designs: other ids, parameters, values or pictures. "
            "Give the same designs, or run full_vae."
        )
    scalings: list[tuple[str, object, object]] = [
        ("field_scaling", vae.representation.scaler.scaling, data.field_scaling)
    ]
    if isinstance(known, PictureScaler):
        scalings.append(("image_size", known.image_size, data.image_size))
    else:
        scalings.append(("design_scaling", known.scaling, data.design_scaling))
    for name, used, wanted in scalings:
        if used != wanted:
            raise DataError(
                f"The VAE was trained with data.{name}={used}; got {wanted}. Leave it as it was, "
                f"or run full_vae."
            )
    representation = vae.representation
    architecture = vae.network.architecture
    logger.info(
        "The VAE is used as it was trained (filters %s, %d latents, %s): vae.* of this run does "
        "nothing.",
        ", ".join(map(str, architecture.filters)),
        architecture.num_latents,
        "on the nodes" if representation.basis is None else "in POD coefficients",
    )
    return split.model_dump(mode="json"), representation.scaler, known, representation


def _sizes(split: Split) -> str:
    return ", ".join(f"{len(rows)} {part}" for part, rows in split.parts.items())
