"""Parameters of the studies (`studies.*`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Fraction = Annotated[float, Field(gt=0, le=1)]


class StudiesConfig(BaseModel):
    """What is trained repeatedly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_folds: int = Field(5, ge=2, description="folds of repeated_splits")
    fractions: tuple[Fraction, ...] = Field(
        (0.25, 0.5, 0.75, 1.0),
        min_length=2,
        description="of the training designs, for learning_curve",
    )

    @field_validator("fractions")
    @classmethod
    def _growing(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        if list(fractions) != sorted(set(fractions)):
            raise ValueError(f"fractions must grow, got {list(fractions)}")
        return fractions
