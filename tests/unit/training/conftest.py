"""A batch of designs, and a VAE of their fields."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler, FieldScaler
from simulgen_pipeline.models.vae import HierarchicalVae
from simulgen_pipeline.training.objectives import Batch

from .small_objectives import architecture_of


@pytest.fixture
def batch(pulse: SimpleNamespace) -> Batch:
    """Six designs in POD coefficients."""
    scaler = FieldScaler().fit([pulse.fields])
    basis = PodBasis(1e-4).fit(lambda: iter([scaler.transform(pulse.fields)]))
    representation = FieldRepresentation(scaler, basis)
    channels = representation.transform(pulse.fields[:6])
    designs = DesignScaler().fit(pulse.designs).transform(pulse.designs.iloc[:6])
    norms = representation.norms(channels)
    return Batch(*(torch.from_numpy(a.astype(np.float32)) for a in (channels, designs, norms)))


@pytest.fixture
def vae(batch: Batch) -> HierarchicalVae:
    """A VAE whose priors have left N(0, 1), as in training."""
    vae = HierarchicalVae(architecture_of(batch))
    for parameter in vae.decoder.priors.parameters():
        nn.init.normal_(parameter, std=0.3)
    return vae
