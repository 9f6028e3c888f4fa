"""The surrogate: from a new design to its field with a spread, in physical units.

Shapes: n designs, T time steps, M nodes, C channels, K members.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .data.artifact import Artifact, Config, State, join_states, load_artifact, part_of
from .data.design_inputs import DesignInputs
from .data.designs import read_designs
from .data.errors import DataError
from .data.fields import BLOCK_BYTES, FieldMetadata
from .data.scaling import DesignScaler
from .evaluation.calibration import UNSHAPED, SpreadShape
from .models.baselines import Baselines
from .models.lift import Lift
from .models.trained import TrainedConditioner, TrainedVae

Float = NDArray[np.floating[Any]]
Float32 = NDArray[np.float32]
Model = Literal["vae", "pod_rbf", "pod_gpr", "champion"]
VAE: Final = "vae"
CHAMPION: Final = "champion"
# What is decoded at once, a design at least: few enough time steps that they stay in a core's
# caches, and few enough values of all members that they need not much memory.
MOST_DESIGNS, MOST_SNAPSHOTS, MOST_VALUES = 64, 512, 2**24


class Prediction(NamedTuple):
    """Fields and their standard deviation (n, T, M), physical units; 90% lies within 1.645 std."""

    fields: NDArray[np.float32]
    std: NDArray[np.float32]


class Surrogate:
    """A trained VAE and conditioner, and the baselines that it was compared with.

    Attributes:
        vae, conditioner, baselines: the models, which stay (`with_models` gives a surrogate with
            others). Conditioner and baselines were fitted to training and validation designs;
            calibrated were others, that do not know the validation designs.
        metadata: name, units, mesh and times of the field.
        factors: by model, what its own spread is multiplied with so that 90% intervals hold on the
            validation designs; 1 before calibration.
        shape: how the VAE's spread is distributed over a design's field.
        champion: the model to be trusted most, by the validation designs.
        champion_errors: what chose it: by model, the mean relative L2 error of the validation
            designs, of models that were fitted to the training designs alone.
    """

    def __init__(
        self,
        vae: TrainedVae,
        conditioner: TrainedConditioner,
        baselines: Baselines,
        metadata: FieldMetadata,
        factors: dict[str, float] | None = None,
        champion: str = VAE,
        shape: SpreadShape = UNSHAPED,
        champion_errors: dict[str, float] | None = None,
    ) -> None:
        self.vae, self.conditioner, self.baselines = vae, conditioner, baselines
        self.shape = shape
        self.metadata, self.champion = metadata, champion
        self.factors = factors or dict.fromkeys(self.models, 1.0)
        self.champion_errors = champion_errors or {}

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a surrogate from its folder, which may have been copied from elsewhere.

        Raises:
            DataError: the folder is missing, damaged, or of another format version.
        """
        return load_artifact(cls, Path(folder))

    def with_models(self, conditioner: TrainedConditioner, baselines: Baselines) -> Surrogate:
        """The same, calibration included, with models that are fitted to other designs."""
        return Surrogate(
            self.vae,
            conditioner,
            baselines,
            self.metadata,
            self.factors,
            self.champion,
            self.shape,
            self.champion_errors,
        )

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models it holds."""
        return (VAE, *self.baselines.names)

    def predict(
        self, designs: pd.DataFrame | NDArray[Any] | Sequence[Any] | str | Path, model: Model = VAE
    ) -> Prediction:
        """Predict the fields of designs.

        Args:
            designs: if it was trained on parameters, a table whose columns are matched by name
                (others, such as an id, are ignored), or an array (n, P) with the parameters in the
                order of training. If it was trained on pictures, a sequence of
                files or Pillow images, or an array (n, height, width) or (n, height, width, 3) of
                levels from 0 to 255 (uint8). Or the path of a CSV file or a folder of pictures.
            model: `vae`, a baseline, or `champion`.

        Raises:
            DataError: the designs are not like those of training, a picture is missing or broken, a
                prediction is not finite, or the model is unknown.
        """
        prediction = self.predict_inputs(self.inputs(designs), model)
        _check_finite(*prediction)
        return prediction

    def predict_fields(
        self, designs: pd.DataFrame | NDArray[Any] | Sequence[Any] | str | Path, model: Model = VAE
    ) -> Float32:
        """The fields (n, T, M) that `predict` gives, without their spread, in less time: with the
        VAE about half of it where fields have thousands of nodes. Arguments and errors are those of
        `predict`, but for those of the spread.
        """
        inputs, name = self.inputs(designs), self.resolve(model)
        is_vae = name == VAE
        fields = self._mean_fields(inputs) if is_vae else self.predict_inputs(inputs, name).fields
        _check_finite(fields)
        return fields

    def inputs(
        self, designs: pd.DataFrame | NDArray[Any] | Sequence[Any] | str | Path, warn: bool = True
    ) -> DesignInputs:
        """Designs as the models take them; arguments and errors are those of `predict`."""
        scaler = self.vae.design_scaler
        if isinstance(designs, str | Path):
            designs = read_designs(Path(designs))
        if isinstance(scaler, DesignScaler):
            return scaler.inputs(_as_table_or_array(designs), warn)
        return scaler.inputs(designs, warn)

    def predict_blocks(
        self, designs: pd.DataFrame, model: Model = VAE
    ) -> Iterator[tuple[NDArray[np.int64], Prediction]]:
        """Pairs of row numbers and their predictions, a bounded block at a time.

        Raises:
            DataError: as `predict` does.
        """
        inputs = self.inputs(designs)
        num_times, num_nodes = self.field_shape
        # A value is held twice, as field and std, in float32 and by baselines in float64 as well;
        # what else the VAE takes does not grow with the block.
        size = max(1, BLOCK_BYTES // (2 * (4 + 8) * num_times * num_nodes))
        for start in range(0, len(inputs), size):
            rows = np.arange(start, min(start + size, len(inputs)))
            prediction = self.predict_inputs(inputs.take(rows), model)
            _check_finite(*prediction, first=start)
            yield rows, prediction

    @property
    def field_shape(self) -> tuple[int, int]:
        """(T, M)."""
        architecture = self.vae.network.architecture
        return architecture.num_time_steps, self.vae.representation.num_nodes

    @property
    def num_members(self) -> int:
        """K."""
        return self.conditioner.network.architecture.num_members

    def resolve(self, model: str) -> str:
        """The name of the model that is meant: `champion` is one of the others.

        Raises:
            DataError: the model is unknown.
        """
        name = self.champion if model == CHAMPION else model
        if name not in self.models:
            raise DataError(
                f"There is no model '{model}' in this surrogate. Expected one of "
                f"{', '.join((*self.models, CHAMPION))}."
            )
        return name

    def predict_inputs(self, designs: DesignInputs, model: str = VAE) -> Prediction:
        """Predict n designs that the VAE's design scaler has scaled already."""
        model = self.resolve(model)
        if model == VAE:
            return self._predict_vae(designs)
        fields, std = self.baselines.predict(designs.features, model)
        return Prediction(
            np.asarray(fields, dtype=np.float32),
            np.asarray(self.factors[model] * std, dtype=np.float32),
        )

    def _predict_vae(self, designs: DesignInputs) -> Prediction:
        unit = self._lift.unit
        shape, factor = self.shape.in_units_of(unit), self.factors[VAE] * unit
        moments = self._empty_fields(len(designs)), self._empty_fields(len(designs))
        for rows in self._fill_moments(designs, *moments):
            mean, variance = (part[rows] for part in moments)
            shape.spread(mean, variance, factor, out=variance)
            mean *= unit
        return Prediction(*moments)

    def _mean_fields(self, designs: DesignInputs) -> Float32:
        """What `_predict_vae` gives as fields."""
        mean = self._empty_fields(len(designs))
        for rows in self._fill_moments(designs, mean):
            mean[rows] *= self._lift.unit
        return mean

    @cached_property
    def _lift(self) -> Lift:
        """From members' latents to the moments of their fields, prepared when first used."""
        return Lift(self.vae.representation, self.conditioner.decoder_with(self.vae))

    def members_moments(self, designs: DesignInputs) -> tuple[Float, Float]:
        """Mean and variance (n, T, M) of the fields of the VAE's conditioner's members."""
        mean, variance = self._empty_fields(len(designs)), self._empty_fields(len(designs))
        for _ in self._fill_moments(designs, mean, variance):
            continue
        unit = self._lift.unit
        return unit * mean.astype(np.float64), unit**2 * variance.astype(np.float64)

    def _empty_fields(self, num_designs: int) -> Float32:
        return np.empty((num_designs, *self.field_shape), dtype=np.float32)

    def _fill_moments(
        self, designs: DesignInputs, mean: Float32, variance: Float32 | None = None
    ) -> Iterator[slice]:
        """Mean and, if wanted, variance (n, T, M) of the members in the lift's unit, block by block
        of rows."""
        most = min(MOST_SNAPSHOTS, MOST_VALUES // (self._lift.num_lifted * self.num_members))
        size = min(MOST_DESIGNS, max(1, most // self.field_shape[0]))
        for start in range(0, len(designs), size):
            rows = slice(start, min(start + size, len(designs)))
            block = designs.take(np.arange(rows.start, rows.stop))
            latents = self.conditioner.latents(block, self.vae)
            self._lift.moments(latents, mean[rows], None if variance is None else variance[rows])
            yield rows

    def config(self) -> Config:
        return {
            "vae": self.vae.config(),
            "conditioner": self.conditioner.config(),
            "baselines": self.baselines.config(),
            "factors": self.factors,
            "shape": self.shape._asdict(),
            "champion": self.champion,
            "champion_errors": self.champion_errors,
            "field": {
                "name": self.metadata.name,
                "units": self.metadata.units,
                "components": self.metadata.components,
            },
        }

    def state(self) -> State:
        parts: dict[str, Artifact] = {
            "vae": self.vae,
            "conditioner": self.conditioner,
            "baselines": self.baselines,
        }
        mesh = {
            f"field/{name}": getattr(self.metadata, name)
            for name in ("time", "coordinates", "cells")
            if getattr(self.metadata, name) is not None
        }
        return join_states(parts) | mesh

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        return cls(
            TrainedVae.from_state(config["vae"], part_of(state, "vae")),
            TrainedConditioner.from_state(config["conditioner"], part_of(state, "conditioner")),
            Baselines.from_state(config["baselines"], part_of(state, "baselines")),
            FieldMetadata(**{**config["field"], **part_of(state, "field")}),
            config["factors"],
            config["champion"],
            SpreadShape(**config["shape"]),
            config["champion_errors"],
        )


def _check_finite(*parts: Float32, first: int = 0) -> None:
    """See that every design has a prediction (n, T, M); they are the rows from `first` on.

    Raises:
        DataError: a value is not finite.
    """
    is_finite = np.all([np.isfinite(part).all(axis=(1, 2)) for part in parts], axis=0)
    if not is_finite.all():
        raise DataError(
            f"The prediction of the design in row {first + np.argmin(is_finite)} (the first is 0) "
            f"is not finite. Expected designs within or near the training range: correct it."
        )


def _as_table_or_array(
    designs: pd.DataFrame | NDArray[Any] | Sequence[Any],
) -> pd.DataFrame | NDArray[np.float64]:
    if isinstance(designs, pd.DataFrame):
        return designs
    try:
        return np.asarray(designs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Designs must be a table or an array [num_designs, num_parameters] of numbers: "
            f"{error}."
        ) from error
