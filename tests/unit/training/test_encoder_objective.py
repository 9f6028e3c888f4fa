"""An encoder that learns from decoded fields: terms, and what their gradients reach."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from simulgen_pipeline.models.design_sampler import MARGIN
from simulgen_pipeline.models.latents import Latents, posterior_from
from simulgen_pipeline.models.vae import HierarchicalVae
from simulgen_pipeline.training.objectives import REAL_SHARE, Batch, EncoderObjective

from .small_objectives import (
    architecture_of,
    assert_unchanged,
    encoder_objective_of,
    idle,
    mlp_for,
    noise_for,
    overfit,
    relative_l2,
    snapshot,
    touched,
)


@pytest.fixture
def encoder_objective(vae: HierarchicalVae, batch: Batch) -> EncoderObjective:
    return encoder_objective_of(vae, mlp_for(vae), batch)


@pytest.mark.parametrize("term", ["loss", "latent_error"])
def test_telling_latents_never_trains_the_decoder_or_the_posterior_of_designs(
    vae: HierarchicalVae, batch: Batch, encoder_objective: EncoderObjective, term: str
) -> None:
    noise = noise_for(encoder_objective, batch)
    noise[:3, -1], noise[3:, -1] = -9, 9  # real simulations and decoded ones
    encoder_objective(batch, noise, 0.5)[term].sum().backward()
    assert touched(vae.decoder) == []
    assert touched(encoder_objective.design_posterior) == []
    if term == "loss":
        assert idle(vae.encoder) == []


def designs_seen(objective: EncoderObjective, batch: Batch, noise: Tensor) -> Tensor:
    seen: list[Tensor] = []
    hook = objective.design_posterior.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    objective(batch, noise, 0.5)
    hook.remove()
    return seen[0]


def test_sampled_designs_fill_the_box_of_the_training_designs(
    batch: Batch, encoder_objective: EncoderObjective
) -> None:
    big = Batch(*(value[torch.arange(3000) % 6] for value in batch[:3]))
    noise = torch.randn(3000, encoder_objective.noise_size)
    noise[:, -1] = 9  # none of them real
    designs = designs_seen(encoder_objective, big, noise)
    low, high = batch.designs.aminmax(dim=0)
    for column in ((designs - low) / (high - low)).T:  # uniform: quantiles lie on a straight line
        assert column.min() >= -MARGIN / 2
        assert column.max() <= 1 + MARGIN / 2
        quantiles = torch.quantile(column, torch.linspace(0, 1, 11))
        evenly = torch.linspace(-MARGIN / 2, 1 + MARGIN / 2, 11)
        torch.testing.assert_close(quantiles, evenly, atol=0.04, rtol=0)


def test_a_share_of_the_encoders_examples_is_real(
    batch: Batch, encoder_objective: EncoderObjective
) -> None:
    big = Batch(*(value[torch.arange(3000) % 6] for value in batch[:3]))
    noise = torch.randn(3000, encoder_objective.noise_size)
    designs = designs_seen(encoder_objective, big, noise)
    real = (designs == big.designs).all(dim=1).float().mean().item()
    assert real == pytest.approx(REAL_SHARE, abs=0.03)


@pytest.mark.parametrize("real", [True, False])
def test_the_encoder_is_told_real_fields_or_decoded_ones(
    vae: HierarchicalVae, batch: Batch, encoder_objective: EncoderObjective, real: bool
) -> None:
    noise = noise_for(encoder_objective, batch)
    noise[:, -1] = -9 if real else 9
    other = batch._replace(fields=batch.fields + 1)
    first, second = (encoder_objective(b, noise, 0.5)["latent_error"] for b in (batch, other))
    assert torch.allclose(first, second) != real


def test_the_encoders_terms_have_their_closed_form(
    vae: HierarchicalVae, batch: Batch, encoder_objective: EncoderObjective
) -> None:
    noise = noise_for(encoder_objective, batch)
    noise[:, -1] = -9
    told = vae.encoder(batch.fields)
    given = posterior_from(encoder_objective.design_posterior(batch.designs), vae.architecture)
    target = given.sample(Latents(noise[:, :6], noise[:, 6:10].reshape(6, 2, 2))).flat()
    squared = (told.mean().flat() - target).square()
    log_variance = torch.cat([told.main.log_variance, told.levels.log_variance.flatten(1)], dim=1)
    terms = encoder_objective(batch, noise, 0.5)
    torch.testing.assert_close(terms["latent_error"], squared.mean(dim=1))
    fit = squared + log_variance.exp() * log_variance
    expected = terms["latent_error"] + 0.5 * fit.mean(dim=1)
    torch.testing.assert_close(terms["loss"], expected)


def test_the_encoders_variance_learns_the_squared_error_and_leaves_the_mean_alone(
    vae: HierarchicalVae, batch: Batch, encoder_objective: EncoderObjective
) -> None:
    noise = noise_for(encoder_objective, batch)
    heads: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        heads.append(output)

    hook = vae.encoder.head.register_forward_hook(keep)
    terms = encoder_objective(batch, noise, 0.5)
    terms["loss"].sum().backward()
    hook.remove()
    (head,) = heads
    told = posterior_from(head.detach(), vae.architecture)
    gradient = posterior_from(head.grad, vae.architecture).mean().flat()
    shift = told.mean().flat() - gradient * vae.architecture.num_latents / 2
    squared = (told.mean().flat() - shift).square()  # the error that the mean is moved by
    torch.testing.assert_close(squared.mean(dim=1), terms["latent_error"].detach())
    main = head.grad[:, 6:12] * 2 * vae.architecture.num_latents  # of the main log-variances
    torch.testing.assert_close(main, told.main.log_variance.exp() - squared[:, :6])


def test_the_encoders_validation_is_the_error_of_reconstruction(
    vae: HierarchicalVae, batch: Batch, encoder_objective: EncoderObjective
) -> None:
    terms = encoder_objective.validate(batch)
    told = vae.decoder.latents(vae.encoder(batch.fields).mean())
    expected = relative_l2(vae.decoder(told), batch)
    torch.testing.assert_close(terms, {"reconstruction_error": expected, "score": expected})


@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral"])
def test_training_an_encoder_does_not_touch_the_decoder_or_the_posterior_of_designs(
    batch: Batch, spectral: bool
) -> None:
    vae = HierarchicalVae(architecture_of(batch, spectral_normalisation=spectral))
    posterior = mlp_for(vae)
    before = snapshot(vae.decoder), snapshot(posterior)
    overfit(encoder_objective_of(vae, posterior, batch), batch, 3)
    assert_unchanged(vae.decoder, before[0])
    assert_unchanged(posterior, before[1])
