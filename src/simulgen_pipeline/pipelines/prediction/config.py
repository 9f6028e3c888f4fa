"""Parameters of prediction (`prediction.*`)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from simulgen_pipeline.surrogate import Model


class PredictionConfig(BaseModel):
    """What `predict` uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Model = Field(
        "vae",
        description="champion: the model that the validation designs of the training run chose",
    )
