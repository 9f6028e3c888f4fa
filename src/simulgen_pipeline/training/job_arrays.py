"""The arrays of training jobs, from prepared data.

Shapes: N designs, T time steps, C channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from simulgen_pipeline.data.design_inputs import DesignInputs
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.conditioner import ConditionerArchitecture
from simulgen_pipeline.models.trained import LatentArrays, TrainedVae

from .config import Loss
from .job import Arrays
from .picture import shown_nodes

# Norm that a zero field is taken to have, relative to the largest in training, so that norms can
# divide.
SMALLEST_NORM = 1e-3


def vae_arrays(
    channels: SimulationFields,
    designs: DesignInputs,
    split: Split,
    representation: FieldRepresentation,
    loss: Loss,
) -> Arrays:
    """What a `VaeJob` takes: scaled designs, norms, what lifts errors, and views of pictures."""
    norms = np.concatenate([representation.norms(block) for _, block in channels.blocks()])
    largest = norms[list(split.train)].max() or 1.0
    norms = np.maximum(norms, SMALLEST_NORM * largest)
    arrays = {"designs": _tensor(designs.features), "norms": _tensor(norms)}
    basis = representation.basis
    if loss != "mse" and basis is not None:
        arrays["lift"] = _tensor(basis.modes_ * basis.coefficient_scale_)
    nodes, scaler = shown_nodes(representation.num_nodes), representation.scaler
    arrays["view.scale"] = _tensor(scaler.scale_[nodes])
    arrays["view.offset"] = _tensor(scaler.offset_[nodes])
    if basis is not None:
        arrays["view.lift"] = _tensor(basis.modes_[:, nodes] * basis.coefficient_scale_)
    return arrays


def conditioner_arrays(
    channels: SimulationFields,
    designs: DesignInputs,
    latents: LatentArrays,
    vae: TrainedVae,
    architecture: ConditionerArchitecture,
    loss: Loss,
) -> Arrays:
    """What a `ConditionerJob` takes beside the weights of what it starts from: the VAE's are there,
    a design posterior's are not."""
    arrays = vae_arrays(channels, designs, vae.split, vae.representation, loss)
    if architecture.kind != "mlp":
        assert designs.pictures is not None
        arrays["pictures"] = torch.from_numpy(designs.pictures)
    arrays["main"], arrays["hierarchical"] = (torch.from_numpy(part) for part in latents)
    return arrays | weights_of(vae.network, "vae")


def channel_spreads(channels: SimulationFields, split: Split) -> torch.Tensor:
    """Root mean square of each channel over the training designs and times (C,), never zero."""
    squares = sum(np.square(block).sum(axis=(0, 1)) for _, block in channels.blocks(split.train))
    spreads = np.sqrt(squares / (len(split.train) * channels.shape[1]))
    return _tensor(np.maximum(spreads, SMALLEST_NORM * spreads.max()))


def weights_of(network: nn.Module, name: str) -> Arrays:
    """A network's weights, their names prefixed with `name.`."""
    return {f"{name}.{key}": value for key, value in network.state_dict().items()}


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))
