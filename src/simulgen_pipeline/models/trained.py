"""Trained models with all that is needed to use them on physical fields and designs.

Shapes: n designs, N training designs, P features of a design, T time steps, M nodes, C channels,
K members, Z main latent, L levels, H latent of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from simulgen_pipeline.data.artifact import Config, State, join_states, part_of
from simulgen_pipeline.data.design_inputs import DesignInputs
from simulgen_pipeline.data.design_scalers import AnyDesignScaler, design_scaler_from_state
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.split import Split

from .conditioner import Conditioner, ConditionerArchitecture
from .latents import Latents, VaeArchitecture, posterior_from
from .layers import ResidualMlp
from .prepared import PreparedConditioner
from .vae import Decoder, HierarchicalVae

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
        design_posterior: network from scaled features of designs to their posterior that the
            decoder was trained with; None if it was trained with the encoder's.
        representation: physical fields to channels and back.
        design_scaler: of the designs that it was trained with.
        training_designs: scaled features (N, P) of the training designs.
        split: the designs of each part.
        fingerprint, design_fingerprint: of the simulations and designs it was trained on.
    """

    def __init__(
        self,
        network: HierarchicalVae,
        design_posterior: ResidualMlp | None,
        representation: FieldRepresentation,
        design_scaler: AnyDesignScaler,
        training_designs: NDArray[np.float32],
        split: Split,
        fingerprint: str,
        design_fingerprint: str,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.design_posterior = None
        if design_posterior is not None:
            self.design_posterior = design_posterior.eval().requires_grad_(False)
        self.representation, self.design_scaler = representation, design_scaler
        self.training_designs, self.split = training_designs, split
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
        posterior = self.design_posterior
        return {
            "architecture": self.network.architecture.model_dump(mode="json"),
            "design_posterior": None if posterior is None else list(posterior.widths),
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
        parts |= {"training_designs": self.training_designs} | _weights(self.network)
        if self.design_posterior is not None:
            parts |= {f"posterior/{n}": v for n, v in _weights(self.design_posterior).items()}
        return parts

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        network = HierarchicalVae(VaeArchitecture.model_validate(config["architecture"]))
        _load_weights(network, state)
        design_posterior = None
        if config["design_posterior"] is not None:
            num_in, *filters, num_out = config["design_posterior"]
            design_posterior = ResidualMlp(num_in, num_out, filters)
            _load_weights(design_posterior, part_of(state, "posterior"))
        return cls(
            network,
            design_posterior,
            FieldRepresentation.from_state(
                config["representation"], part_of(state, "representation")
            ),
            design_scaler_from_state(config["design_scaler"], part_of(state, "design_scaler")),
            state["training_designs"],
            Split.model_validate(config["split"]),
            config["fingerprint"],
            config["design_fingerprint"],
        )


class TrainedConditioner:
    """An ensemble that maps scaled designs to latents, and those to channels.

    Attributes:
        network: the ensemble.
        num_designs: that it was trained on.
        decoder: its own, if it was trained together with one; else the VAE's serves.
    """

    def __init__(
        self, network: Conditioner, num_designs: int, decoder: Decoder | None = None
    ) -> None:
        self.num_designs = num_designs
        self.network = network.eval().requires_grad_(False)
        self.decoder = None if decoder is None else decoder.eval().requires_grad_(False)

    @cached_property
    def _prepared(self) -> PreparedConditioner:
        return PreparedConditioner(self.network)

    def decoder_with(self, vae: TrainedVae) -> Decoder:
        """The decoder of its latents."""
        return self.decoder or vae.network.decoder

    @torch.inference_mode()
    def latents(self, designs: DesignInputs, vae: TrainedVae) -> Latents:
        """Latents of n designs by each member: (K, n, Z) and (K, n, L - 1, H)."""
        features = torch.from_numpy(designs.features.astype(np.float32))
        pictures = None
        if self.network.reader is not None and designs.pictures is not None:
            pictures = torch.from_numpy(designs.pictures)
        parameters = self._prepared(features, pictures)  # (K, n, Q)
        posterior = posterior_from(parameters.flatten(0, 1), vae.network.architecture)
        latents = vae.network.decoder.latents(posterior.mean())
        return Latents(*(part.unflatten(0, parameters.shape[:2]) for part in latents))

    @torch.inference_mode()
    def channels(self, designs: DesignInputs, vae: TrainedVae) -> Float[Tensor, "K n T C"]:
        """Channels of n designs by each member, all decoded at once."""
        latents = self.latents(designs, vae)
        decoded = self.decoder_with(vae)(Latents(*(part.flatten(0, 1) for part in latents)))
        members: Tensor = decoded.unflatten(0, latents.main.shape[:2])
        return members

    def config(self) -> Config:
        return {
            "architecture": self.network.architecture.model_dump(mode="json"),
            "vae_architecture": self.network.vae_architecture.model_dump(mode="json"),
            "num_designs": self.num_designs,
            "has_decoder": self.decoder is not None,
        }

    def state(self) -> State:
        state = _weights(self.network)
        if self.decoder is not None:
            state |= {f"decoder/{name}": value for name, value in _weights(self.decoder).items()}
        return state

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        vae_architecture = VaeArchitecture.model_validate(config["vae_architecture"])
        network = Conditioner(
            ConditionerArchitecture.model_validate(config["architecture"]), vae_architecture
        )
        _load_weights(network, state)
        if not config["has_decoder"]:
            return cls(network, config["num_designs"])
        decoder = Decoder(vae_architecture)
        _load_weights(decoder, part_of(state, "decoder"))
        return cls(network, config["num_designs"], decoder)


class CrossFittedConditioners:
    """Conditioners that were each refitted without some of the validation designs, to tell how good
    the one that was refitted with all is (cross-fitting).

    Attributes:
        parts: conditioners, and the rows of the designs that each was refitted without.
    """

    def __init__(self, parts: Sequence[tuple[TrainedConditioner, tuple[int, ...]]]) -> None:
        self.parts = list(parts)

    @property
    def num_designs(self) -> float:
        """How many designs the conditioner knows that a validation design is predicted with, on
        average over these designs."""
        return float(np.mean([known.num_designs for known, rows in self.parts for _ in rows]))

    def config(self) -> Config:
        return {
            "parts": [
                {"rows": list(rows), "conditioner": conditioner.config()}
                for conditioner, rows in self.parts
            ]
        }

    def state(self) -> State:
        return join_states({str(i): conditioner for i, (conditioner, _) in enumerate(self.parts)})

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        return cls(
            [
                (
                    TrainedConditioner.from_state(part["conditioner"], part_of(state, str(i))),
                    tuple(part["rows"]),
                )
                for i, part in enumerate(config["parts"])
            ]
        )


def _batches(array: NDArray[Any]) -> list[NDArray[Any]]:
    return [array[i : i + INFERENCE_BATCH] for i in range(0, len(array), INFERENCE_BATCH)]


def _weights(network: nn.Module) -> State:
    return {f"weights/{name}": value.numpy() for name, value in network.state_dict().items()}


def _load_weights(network: nn.Module, state: State) -> None:
    weights: dict[str, Tensor] = {
        name: torch.from_numpy(value) for name, value in part_of(state, "weights").items()
    }
    network.load_state_dict(weights)
