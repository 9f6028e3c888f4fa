"""Parameters of data preparation (`data.*`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _half_open(value: tuple[int, int] | None) -> tuple[int, int] | None:
    if value is not None and not 0 <= value[0] < value[1]:
        raise ValueError(f"expected [start, end] with 0 <= start < end, got {list(value)}")
    return value


HalfOpenRange = Annotated[tuple[int, int] | None, AfterValidator(_half_open)]


class SplitConfig(BaseModel):
    """How designs are divided into training, validation and test parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="seed of the random division")
    validation: float = Field(0.1, gt=0, lt=1, description="fraction of the designs")
    test: float = Field(0.2, ge=0, lt=1, description="fraction of the designs; may be 0")
    file: Path | None = Field(None, description="JSON with the designs of each part; overrides")

    @model_validator(mode="after")
    def _leaves_training_designs(self) -> SplitConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must leave designs for training, "
                f"got {self.validation} + {self.test}"
            )
        return self


class DataConfig(BaseModel):
    """What is read of the simulations and designs, and how it is scaled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str = Field("fields", min_length=1, description="dataset in the HDF5 file")
    time_range: HalfOpenRange = Field(None, description="half-open range of time steps")
    node_range: HalfOpenRange = Field(None, description="half-open range of nodes (values)")
    memory: Literal["auto", "preload", "lazy"] = Field(
        "auto", description="training data in memory, or read by the batch from disk"
    )
    split: SplitConfig = SplitConfig()
    image_size: int = Field(
        256, ge=8, le=2048, description="pictures are resized to this square [pixel]"
    )
    field_scaling: Literal["centred", "min_max"] = Field(
        "centred",
        description="centred: mean of each node, one scale; min_max: each node to [-0.7, 0.7]",
    )
    design_scaling: Literal["auto", "linear", "log"] = Field(
        "auto", description="log10 of columns that are positive and span a decade (auto)"
    )
