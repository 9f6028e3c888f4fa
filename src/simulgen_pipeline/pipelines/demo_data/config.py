"""Parameters of the demo data (`demo_data.*`); apart from the solver, which needs scikit-fem."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DemoDataConfig(BaseModel):
    """Size and seed of the demo's design study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_designs: int = Field(default=360, ge=1, description="designs to train and evaluate on")
    num_held_back: int = Field(default=10, ge=1, description="further designs, to predict")
    num_times: int = Field(
        default=50, ge=2, description="output times from 0 to the scan's end, both in"
    )
    num_substeps: int = Field(
        default=4, ge=1, description="time steps of the solver per output time"
    )
    num_nodes: int = Field(
        default=2000, ge=100, description="mesh nodes; below 1,500 the beam is blurred"
    )
    image_size: int = Field(
        default=256,
        ge=16,
        description="side of a design's picture [pixel]; from 256 on it determines the design",
    )
    seed: int = Field(default=0, ge=0, description="of the designs and the mesh")
