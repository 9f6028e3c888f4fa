"""Nodes that predict the fields of new designs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulgen_pipeline.data.designs import read_designs
from simulgen_pipeline.data.fields import write_fields
from simulgen_pipeline.surrogate import VAE, Model, Surrogate

from .config import PredictionConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FieldPredictions:
    """Predictions of a table of designs, computed block by block as they are written."""

    surrogate: Surrogate
    designs: pd.DataFrame
    model: Model

    def save(self, path: Path) -> None:
        """Write `fields` and `std` (n, T, M), physical units, in the layout of the input."""
        ids = tuple(str(i) for i in self.designs.index)
        metadata = replace(self.surrogate.metadata, design_ids=ids)
        write_fields(path, len(self.designs), self._blocks(), metadata)

    def _blocks(self) -> Iterator[tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]]:
        for rows, prediction in self.surrogate.predict_blocks(self.designs, self.model):
            yield rows, prediction._asdict()


def predict_fields(
    surrogate: Surrogate, new_designs: Path, prediction: PredictionConfig
) -> FieldPredictions:
    """Predict the fields of new designs."""
    designs = read_designs(new_designs)
    name = surrogate.resolve(prediction.model)
    logger.info("Predicting %d designs with %s", len(designs), name)
    if prediction.model == VAE and surrogate.champion != VAE:
        logger.info(
            "By the validation designs %s is the champion: prediction.model=champion predicts "
            "with it.",
            surrogate.champion,
        )
    return FieldPredictions(surrogate, designs, prediction.model)
