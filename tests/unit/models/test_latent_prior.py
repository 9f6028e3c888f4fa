"""Latents drawn from the prior of a trained VAE."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simulgen_pipeline.data.picture_scaler import PictureScaler
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler, FieldScaler
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.latent_prior import sample_latents
from simulgen_pipeline.models.latents import VaeArchitecture, posterior_from
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.trained import LatentArrays, StoredLatents, TrainedVae
from simulgen_pipeline.models.vae import HierarchicalVae

NUM_TRAINING = 18
ARCHITECTURE = VaeArchitecture(
    num_time_steps=12,
    num_channels=30,
    filters=(10, 8, 6),
    num_blocks=1,
    latent_size=4,
    hierarchical_latent_size=2,
    spectral_normalisation=False,
)


def flat(latents: LatentArrays) -> np.ndarray:
    return np.concatenate([latents.main, latents.hierarchical.reshape(len(latents.main), -1)], 1)


@pytest.fixture
def make_vae(pulse: SimpleNamespace) -> Callable[..., TrainedVae]:
    """A VAE of designs that are parameters, or given features of pictures."""

    def make(posterior: ResidualMlp | None, features: np.ndarray | None = None) -> TrainedVae:
        network = HierarchicalVae(ARCHITECTURE)
        for parameter in network.decoder.priors.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        scaler = DesignScaler().fit(pulse.designs)
        if features is None:
            features = scaler.transform(pulse.designs)[:NUM_TRAINING]
        else:
            scaler = PictureScaler(16)
        return TrainedVae(
            network,
            posterior,
            FieldRepresentation(FieldScaler().fit([pulse.fields]), None),
            scaler,
            features.astype(np.float32),
            Split(train=tuple(range(NUM_TRAINING)), validation=(18, 19), test=(20, 21, 22, 23)),
            "abc",
            "def",
        )

    return make


@pytest.fixture
def stored() -> StoredLatents:
    """Correlated latents of training designs; those of the others are far off."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(24, 8)) @ rng.normal(size=(8, 8)) + np.arange(8)
    values[NUM_TRAINING:] = 1e6
    main, levels = np.split(values.astype(np.float32), [4], axis=1)
    return StoredLatents(LatentArrays(main, levels.reshape(24, 2, 2)), tuple(map(str, range(24))))


def posterior_of(num_features: int) -> ResidualMlp:
    return ResidualMlp(num_features, 2 * ARCHITECTURE.num_latents, (8,))


def designs_seen(vae: TrainedVae, stored: StoredLatents, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Designs whose latents are drawn, and the latents."""
    seen: list[torch.Tensor] = []
    assert vae.design_posterior is not None
    hook = vae.design_posterior.register_forward_hook(lambda m, inputs, o: seen.append(inputs[0]))
    latents = sample_latents(vae, stored, num, seed=3)
    hook.remove()
    return seen[0].numpy(), flat(latents)


@pytest.mark.parametrize("given_design", [True, False])
def test_a_seed_fixes_the_samples_and_more_of_them_go_on(
    make_vae: Callable[..., TrainedVae], stored: StoredLatents, given_design: bool
) -> None:
    vae = make_vae(posterior_of(2) if given_design else None)
    first = flat(sample_latents(vae, stored, 7, seed=3))
    torch.manual_seed(5)
    np.testing.assert_array_equal(flat(sample_latents(vae, stored, 7, seed=3)), first)
    more = flat(sample_latents(vae, stored, 20, seed=3))
    np.testing.assert_allclose(more[:7], first, rtol=1e-4, atol=1e-5)
    assert len(np.unique(more, axis=0)) == 20
    assert not np.allclose(flat(sample_latents(vae, stored, 7, seed=4)), first)


def test_samples_decode_to_physical_fields(
    make_vae: Callable[..., TrainedVae], stored: StoredLatents, pulse: SimpleNamespace
) -> None:
    vae = make_vae(posterior_of(2))
    latents = sample_latents(vae, stored, 5, seed=0)
    assert latents.main.dtype == latents.hierarchical.dtype == np.float32
    fields = vae.representation.inverse_transform(vae.decode(latents))
    assert fields.shape == (5, *pulse.fields.shape[1:])
    assert np.isfinite(fields).all()


def test_designs_lie_in_the_training_range_and_their_latents_follow_their_posterior(
    make_vae: Callable[..., TrainedVae], stored: StoredLatents
) -> None:
    vae = make_vae(posterior_of(2))
    designs, latents = designs_seen(vae, stored, 3000)
    assert (designs >= vae.training_designs.min(axis=0)).all()
    assert (designs <= vae.training_designs.max(axis=0)).all()
    assert vae.design_posterior is not None
    gaussians = posterior_from(vae.design_posterior(torch.from_numpy(designs)), ARCHITECTURE)
    mean, log_variance = gaussians.main
    deviation = (latents[:, :4] - mean.numpy()) / np.exp(0.5 * log_variance.numpy())
    np.testing.assert_allclose(deviation.mean(axis=0), 0, atol=0.08)
    np.testing.assert_allclose(deviation.std(axis=0), 1, atol=0.05)


def test_without_a_posterior_of_designs_the_training_latents_have_a_gaussian(
    make_vae: Callable[..., TrainedVae], stored: StoredLatents
) -> None:
    drawn = flat(sample_latents(make_vae(None), stored, 20000, seed=0))
    known = flat(LatentArrays(*(part[:NUM_TRAINING] for part in stored.values)))
    np.testing.assert_allclose(drawn.mean(axis=0), known.mean(axis=0), atol=0.15)
    # Shrinkage moves the covariance towards a multiple of the identity, and keeps its trace.
    found, true = np.cov(drawn.T), np.cov(known.T, bias=True)
    assert np.trace(found) == pytest.approx(np.trace(true), rel=0.03)
    off_diagonal = ~np.eye(8, dtype=bool)
    shrinkage = 1 - (found * true)[off_diagonal].sum() / np.square(true[off_diagonal]).sum()
    assert 0 < shrinkage < 0.5
    expected = (1 - shrinkage) * true + shrinkage * np.trace(true) / 8 * np.eye(8)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(true).max())


def test_latents_that_are_all_the_same_are_what_is_drawn(
    make_vae: Callable[..., TrainedVae], stored: StoredLatents
) -> None:
    same = StoredLatents(LatentArrays(*(0 * part + 2 for part in stored.values)), stored.design_ids)
    np.testing.assert_allclose(flat(sample_latents(make_vae(None), same, 5, seed=0)), 2)
