"""Trained models with all that is needed to use them on physical fields and designs.

Shapes: n designs, T time steps, M nodes, C channels, K members, Z main latent, L levels, H latent
of a level.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from simulgen_pipeline.data.artifact import Config, State, join_states, part_of
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler
from simulgen_pipeline.data.split import Split

from .conditioner import Conditioner, ConditionerArchitecture
from .vae import HierarchicalVae, Latents, VaeArchitecture

# Designs that pass through a network at a time.
INFERENCE_BATCH = 64


class LatentArrays(NamedTuple):
    """Posterior means: main (n, Z) and hierarchical (n, L - 1, H), deepest level first.

    Those of the encoder are refined for each field, as `HierarchicalVae.encode` says.
    """

    main: NDArray[np.float32]
    hierarchical: NDArray[np.float32]


class StoredLatents(NamedTuple):
    """Latents of designs (n,) with their ids."""

    values: LatentArrays
    design_ids: tuple[str, ...]


class TrainedVae:
    """A VAE with what it was trained in: representation, design scaling, split and data.

    Attributes:
        network: encoder and decoder.
        representation: physical fields to channels and back.
        design_scaler: of the designs that it was trained with.
        split: the designs of each part.
        fingerprint, design_fingerprint: of the simulations and designs it was trained on.
    """

    def __init__(
        self,
        network: HierarchicalVae,
        representation: FieldRepresentation,
        design_scaler: DesignScaler,
        split: Split,
        fingerprint: str,
        design_fingerprint: str,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.representation, self.design_scaler = representation, design_scaler
        self.split = split
        self.fingerprint, self.design_fingerprint = fingerprint, design_fingerprint

    def encode(self, channels: NDArray[np.float32]) -> LatentArrays:
        """Posterior means of all latents of some designs' channels (n, T, C)."""
        parts = [
            self.network.encode(torch.from_numpy(batch))
            for batch in _batches(np.asarray(channels, dtype=np.float32))
        ]
        return LatentArrays(*(torch.cat(part).numpy() for part in zip(*parts, strict=True)))

    def decode(self, latents: LatentArrays) -> NDArray[np.float32]:
        """Channels (n, T, C) from latents alone."""
        batches = zip(*(_batches(part) for part in latents), strict=True)
        parts = [
            self.network.decoder(Latents(*(torch.from_numpy(part) for part in batch)))
            for batch in batches
        ]
        return np.asarray(torch.cat(parts).numpy())

    def config(self) -> Config:
        return {
            "architecture": self.network.architecture.model_dump(mode="json"),
            "representation": self.representation.config(),
            "design_scaler": self.design_scaler.config(),
            "split": self.split.model_dump(mode="json"),
            "fingerprint": self.fingerprint,
            "design_fingerprint": self.design_fingerprint,
        }

    def state(self) -> State:
        parts = join_states(
            {"representation": self.representation, "design_scaler": self.design_scaler}
        )
        return parts | _weights(self.network)

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        network = HierarchicalVae(VaeArchitecture.model_validate(config["architecture"]))
        _load_weights(network, state)
        return cls(
            network,
            FieldRepresentation.from_state(
                config["representation"], part_of(state, "representation")
            ),
            DesignScaler.from_state(config["design_scaler"], part_of(state, "design_scaler")),
            Split.model_validate(config["split"]),
            config["fingerprint"],
            config["design_fingerprint"],
        )


class TrainedConditioner:
    """An ensemble that maps scaled designs (n, P) to latents."""

    def __init__(self, network: Conditioner) -> None:
        self.network = network.eval().requires_grad_(False)

    def latents(self, designs: NDArray[Any], vae: TrainedVae) -> list[LatentArrays]:
        """Each member's latents of scaled designs (n, P)."""
        scaled = torch.from_numpy(np.asarray(designs, dtype=np.float32))
        decoder = vae.network.decoder
        members = [decoder.latents(posterior.mean()) for posterior in self.network(scaled)]
        return [LatentArrays(*(part.numpy() for part in latents)) for latents in members]

    def config(self) -> Config:
        return {
            "architecture": self.network.architecture.model_dump(mode="json"),
            "vae_architecture": self.network.vae_architecture.model_dump(mode="json"),
        }

    def state(self) -> State:
        return _weights(self.network)

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        network = Conditioner(
            ConditionerArchitecture.model_validate(config["architecture"]),
            VaeArchitecture.model_validate(config["vae_architecture"]),
        )
        _load_weights(network, state)
        return cls(network)


def _batches(array: NDArray[Any]) -> list[NDArray[Any]]:
    return [array[i : i + INFERENCE_BATCH] for i in range(0, len(array), INFERENCE_BATCH)]


def _weights(network: nn.Module) -> State:
    return {f"weights/{name}": value.numpy() for name, value in network.state_dict().items()}


def _load_weights(network: nn.Module, state: State) -> None:
    weights: dict[str, Tensor] = {
        name: torch.from_numpy(value) for name, value in part_of(state, "weights").items()
    }
    network.load_state_dict(weights)
