"""Trained models on disk and in use, on physical fields and designs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simulgen_pipeline.data.artifact import load_artifact, save_artifact
from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler, FieldScaler
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.latents import VaeArchitecture
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.trained import (
    INFERENCE_BATCH,
    LatentArrays,
    TrainedConditioner,
    TrainedVae,
)
from simulgen_pipeline.models.vae import HierarchicalVae


@pytest.fixture(params=["pod", "nodes", "spectral"])
def vae(request: pytest.FixtureRequest, pulse: SimpleNamespace) -> TrainedVae:
    scaler = FieldScaler().fit([pulse.fields])
    basis = None
    if request.param != "nodes":
        basis = PodBasis(1e-4).fit(lambda: iter([scaler.transform(pulse.fields)]))
    representation = FieldRepresentation(scaler, basis)
    architecture = VaeArchitecture(
        num_time_steps=12,
        num_channels=representation.num_channels,
        filters=(10, 8, 6),
        num_blocks=1,
        latent_size=4,
        hierarchical_latent_size=2,
        spectral_normalisation=request.param == "spectral",
    )
    network = HierarchicalVae(architecture)
    for parameter in network.decoder.priors.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    for _ in range(3):  # gives the estimates of spectral normalisation a history
        network.encode(torch.randn(2, 12, representation.num_channels))
    design_scaler = DesignScaler().fit(pulse.designs)
    split = Split(train=tuple(range(18)), validation=(18, 19), test=(20, 21, 22, 23))
    posterior = None
    if request.param == "plain":
        posterior = ResidualMlp(2, 2 * architecture.num_latents, (8, 6))
    known = design_scaler.transform(pulse.designs)[:18].astype(np.float32)
    return TrainedVae(network, posterior, representation, design_scaler, known, split, "abc", "def")


@pytest.fixture
def conditioner(vae: TrainedVae) -> TrainedConditioner:
    architecture = ConditionerArchitecture(
        kind="mlp", num_features=2, filters=(16, 8), dropout=0.3, num_members=3
    )
    return TrainedConditioner(Conditioner(architecture, vae.network.architecture), num_designs=20)


def assert_same_latents(first: LatentArrays, second: LatentArrays) -> None:
    np.testing.assert_array_equal(first.main, second.main)
    np.testing.assert_array_equal(first.hierarchical, second.hierarchical)


def test_a_vae_gives_identical_numbers_after_saving_and_loading(
    tmp_path: Path, pulse: SimpleNamespace, vae: TrainedVae
) -> None:
    save_artifact(vae, tmp_path / "vae")
    again = load_artifact(TrainedVae, tmp_path / "vae")
    channels = vae.representation.transform(pulse.fields)
    np.testing.assert_array_equal(again.representation.transform(pulse.fields), channels)
    latents = vae.encode(channels)
    assert_same_latents(again.encode(channels), latents)
    decoded = vae.decode(latents)
    np.testing.assert_array_equal(again.decode(latents), decoded)
    np.testing.assert_array_equal(
        again.representation.inverse_transform(decoded),
        vae.representation.inverse_transform(decoded),
    )
    np.testing.assert_array_equal(
        again.design_scaler.transform(pulse.designs), vae.design_scaler.transform(pulse.designs)
    )
    np.testing.assert_array_equal(again.training_designs, vae.training_designs)
    assert (again.split, again.fingerprint) == (vae.split, "abc")


def test_a_conditioner_gives_identical_numbers_after_saving_and_loading(
    tmp_path: Path, pulse: SimpleNamespace, vae: TrainedVae, conditioner: TrainedConditioner
) -> None:
    save_artifact(conditioner, tmp_path / "conditioner")
    again = load_artifact(TrainedConditioner, tmp_path / "conditioner")
    designs = vae.design_scaler.inputs(pulse.designs)
    for first, second in zip(
        again.latents(designs, vae), conditioner.latents(designs, vae), strict=True
    ):
        assert torch.equal(first, second)


def test_loaded_models_do_not_depend_on_the_random_state(
    tmp_path: Path, pulse: SimpleNamespace, vae: TrainedVae
) -> None:
    save_artifact(vae, tmp_path / "vae")
    channels = vae.representation.transform(pulse.fields)
    torch.manual_seed(1)
    first = load_artifact(TrainedVae, tmp_path / "vae").encode(channels)
    torch.manual_seed(2)
    assert_same_latents(load_artifact(TrainedVae, tmp_path / "vae").encode(channels), first)


def test_shapes(pulse: SimpleNamespace, vae: TrainedVae, conditioner: TrainedConditioner) -> None:
    channels = vae.representation.transform(pulse.fields)
    latents = vae.encode(channels)
    assert latents.main.shape == (24, 4)
    assert latents.hierarchical.shape == (24, 2, 2)
    decoded = vae.decode(latents)
    assert decoded.shape == channels.shape
    assert decoded.dtype == latents.main.dtype == np.float32
    designs = vae.design_scaler.inputs(pulse.designs)
    members = conditioner.latents(designs, vae)
    assert members.main.shape == (3, 24, 4)
    assert members.hierarchical.shape == (3, 24, 2, 2)
    assert conditioner.channels(designs, vae).shape == (3, *channels.shape)


def test_many_designs_pass_in_batches_in_their_order(
    pulse: SimpleNamespace, vae: TrainedVae
) -> None:
    channels = np.tile(vae.representation.transform(pulse.fields), (7, 1, 1))
    assert len(channels) > 2 * INFERENCE_BATCH
    latents = vae.encode(channels)
    fields = vae.decode(latents)
    for row in (0, INFERENCE_BATCH - 1, INFERENCE_BATCH, len(channels) - 1):
        alone = vae.encode(channels[row : row + 1])
        np.testing.assert_allclose(alone.main[0], latents.main[row], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(vae.decode(alone)[0], fields[row], rtol=1e-4, atol=1e-4)


def test_a_trained_model_is_frozen_and_without_dropout(
    pulse: SimpleNamespace, vae: TrainedVae, conditioner: TrainedConditioner
) -> None:
    for network in (vae.network, conditioner.network):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
    designs = vae.design_scaler.inputs(pulse.designs)
    first, second = (conditioner.latents(designs, vae) for _ in range(2))
    assert torch.equal(first.main, second.main)


def test_using_a_model_does_not_change_it(pulse: SimpleNamespace, vae: TrainedVae) -> None:
    before = {name: value.copy() for name, value in vae.state().items()}
    vae.decode(vae.encode(vae.representation.transform(pulse.fields)))
    for name, value in vae.state().items():
        np.testing.assert_array_equal(value, before[name])


def test_members_give_latents_and_not_what_they_are_relative_to_the_priors(
    pulse: SimpleNamespace, vae: TrainedVae, conditioner: TrainedConditioner
) -> None:
    designs = vae.design_scaler.inputs(pulse.designs)
    posterior = conditioner.network(torch.from_numpy(designs.features.astype(np.float32)))[1]
    expected = vae.network.decoder.latents(posterior.mean())
    found = conditioner.latents(designs, vae).hierarchical[1]
    np.testing.assert_allclose(found, expected.hierarchical, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found, posterior.levels.mean)


def test_members_are_decoded_together_as_each_would_be_alone(
    pulse: SimpleNamespace, vae: TrainedVae, conditioner: TrainedConditioner
) -> None:
    designs = vae.design_scaler.inputs(pulse.designs)
    latents = conditioner.latents(designs, vae)
    decoded = conditioner.channels(designs, vae)
    for member in range(3):
        alone = vae.decode(LatentArrays(*(part[member].numpy() for part in latents)))
        np.testing.assert_allclose(decoded[member], alone, rtol=1e-4, atol=1e-5)
