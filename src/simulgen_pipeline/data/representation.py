"""What the networks see of a field: scaled values, in the coefficients of a POD basis or by node.

Shapes: n designs, T time steps, M nodes, C channels (POD modes, or nodes).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .artifact import Config, State, join_states, part_of
from .fields import FieldMetadata, SimulationFields, link_fields, write_fields
from .reduction import PodBasis
from .scaling import FieldScaler


class FieldRepresentation:
    """Physical fields (n, T, M) to channels (n, T, C) and back: a scaler, then a basis or none."""

    def __init__(self, scaler: FieldScaler, basis: PodBasis | None) -> None:
        self.scaler, self.basis = scaler, basis

    @property
    def num_channels(self) -> int:
        """C."""
        return len(self.scaler.offset_ if self.basis is None else self.basis.modes_)

    @property
    def num_nodes(self) -> int:
        """M."""
        return len(self.scaler.offset_)

    def transform(self, fields: NDArray[Any]) -> NDArray[np.float32]:
        """Physical fields (..., M) to channels (..., C)."""
        scaled = self.scaler.transform(fields)
        channels = scaled if self.basis is None else self.basis.transform(scaled)
        return np.asarray(channels, dtype=np.float32)

    def inverse_transform(self, channels: NDArray[Any]) -> NDArray[np.float64]:
        """Channels (..., C) to physical fields (..., M)."""
        scaled = channels if self.basis is None else self.basis.inverse_transform(channels)
        return self.scaler.inverse_transform(scaled)

    def norms(self, channels: NDArray[Any]) -> NDArray[np.float64]:
        """Frobenius norm of each design's physical field (n,), in the units of the channels.

        It is exact for centred scaling, up to what the basis leaves out; for min-max scaling it is
        the norm of the fields scaled by their ranges.
        """
        offset = self.scaler.offset_ / self.scaler.scale_
        unit = 1.0 if self.basis is None else self.basis.coefficient_scale_
        inside = offset if self.basis is None else self.basis.modes_ @ offset
        outside = float(offset @ offset - inside @ inside)
        values = channels.astype(np.float64) + inside / unit
        squared = np.square(values).sum(axis=(1, 2)) + channels.shape[1] * outside / unit**2
        return np.asarray(np.sqrt(np.maximum(squared, 0.0)))

    def config(self) -> Config:
        return {
            "scaler": self.scaler.config(),
            "basis": None if self.basis is None else self.basis.config(),
        }

    def state(self) -> State:
        if self.basis is None:
            return join_states({"scaler": self.scaler})
        return join_states({"scaler": self.scaler, "basis": self.basis})

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        scaler = FieldScaler.from_state(config["scaler"], part_of(state, "scaler"))
        if config["basis"] is None:
            return cls(scaler, None)
        return cls(scaler, PodBasis.from_state(config["basis"], part_of(state, "basis")))


@dataclass(frozen=True)
class ChannelFields:
    """The channels of all designs, computed as they are written."""

    fields: SimulationFields
    representation: FieldRepresentation

    def save(self, path: Path) -> None:
        """Write the POD coefficients, or a scaled view of the fields where there is no basis."""
        fields, scaler = self.fields, self.representation.scaler
        if self.representation.basis is None:
            scaling = (scaler.offset_, scaler.scale_)
            link_fields(path, fields, fields.fingerprint, scaling)
            return
        known = fields.metadata
        metadata = FieldMetadata("pod_coefficients", time=known.time, design_ids=known.design_ids)
        transform = self.representation.transform
        blocks = ((rows, {"fields": transform(block)}) for rows, block in fields.blocks())
        write_fields(path, fields.shape[0], blocks, metadata, fields.fingerprint)
