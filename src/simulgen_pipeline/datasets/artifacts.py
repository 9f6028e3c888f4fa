"""Datasets for fitted objects: versioned folders, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from kedro.io import DatasetError
from kedro.io.core import VersionNotFoundError

from simulgen_pipeline.data.artifact import Artifact, load_artifact, save_artifact
from simulgen_pipeline.data.design_scalers import AnyDesignScaler
from simulgen_pipeline.data.picture_scaler import PictureScaler
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler, FieldScaler
from simulgen_pipeline.models.baselines import Baselines
from simulgen_pipeline.models.trained import CrossFittedConditioners, TrainedConditioner, TrainedVae
from simulgen_pipeline.surrogate import Surrogate

from .versioned import VersionedPathDataset

A = TypeVar("A", bound=Artifact)


class ArtifactDataset(VersionedPathDataset[A, A], Generic[A]):
    """A folder that holds one kind of fitted object."""

    kind: ClassVar[type[Any]]
    other_kinds: ClassVar[tuple[type[Any], ...]] = ()

    def load(self) -> A:
        try:
            folder = Path(self._get_load_path())
        except VersionNotFoundError as error:
            raise DatasetError(
                f"There is no trained {self._filepath.name} in {self._filepath} yet. Train one "
                f"first: kedro run --pipeline=full_vae."
            ) from error
        artifact: A = load_artifact(self.kind, folder, *self.other_kinds)
        return artifact

    def save(self, data: A) -> None:
        save_artifact(data, Path(self._get_save_path()))


class FieldScalerDataset(ArtifactDataset[FieldScaler]):
    """A fitted scaling of fields."""

    kind = FieldScaler


class DesignScalerDataset(ArtifactDataset[AnyDesignScaler]):
    """A fitted scaling of designs."""

    kind = DesignScaler
    other_kinds = (PictureScaler,)


class RepresentationDataset(ArtifactDataset[FieldRepresentation]):
    """A fitted map from fields to the networks' channels."""

    kind = FieldRepresentation


class VaeDataset(ArtifactDataset[TrainedVae]):
    """A trained VAE with its scalers, basis and split."""

    kind = TrainedVae


class ConditionerDataset(ArtifactDataset[TrainedConditioner]):
    """A trained latent conditioner."""

    kind = TrainedConditioner


class CrossFittedConditionersDataset(ArtifactDataset[CrossFittedConditioners]):
    """Conditioners that do not know some of the validation designs."""

    kind = CrossFittedConditioners


class BaselinesDataset(ArtifactDataset[Baselines]):
    """Fitted POD + RBF and POD + Gaussian process."""

    kind = Baselines


class SurrogateDataset(ArtifactDataset[Surrogate]):
    """All that a prediction needs."""

    kind = Surrogate
