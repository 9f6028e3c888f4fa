"""The hierarchical VAE: shapes, latents relative to their priors, and what depends on what."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from simulgen_pipeline.models.distributions import Gaussian
from simulgen_pipeline.models.latents import (
    INITIAL_LOG_VARIANCE,
    Latents,
    VaeArchitecture,
    posterior_from,
)
from simulgen_pipeline.models.vae import Decoder, HierarchicalVae

LENGTHS = [1, 2, 7, 50]
BATCH = 3


def architecture(**values: Any) -> VaeArchitecture:
    small = {
        "num_time_steps": 12,
        "num_channels": 5,
        "filters": (10, 8, 6),
        "num_blocks": 1,
        "latent_size": 4,
        "hierarchical_latent_size": 2,
        "spectral_normalisation": False,
    }
    return VaeArchitecture.model_validate({**small, **values})


def random_latents(a: VaeArchitecture, batch: int = BATCH) -> Latents:
    return Latents(
        torch.randn(batch, a.latent_size),
        torch.randn(batch, a.num_hierarchical, a.hierarchical_latent_size),
    )


def random_fields(a: VaeArchitecture, batch: int = BATCH) -> torch.Tensor:
    return torch.randn(batch, a.num_time_steps, a.num_channels)


def with_random_priors(decoder: Decoder) -> Decoder:
    """A decoder whose priors have left N(0, 1), as in training."""
    for parameter in decoder.priors.parameters():
        nn.init.normal_(parameter, std=0.5)
    return decoder


def normal(gaussian: Gaussian) -> Normal:
    return Normal(gaussian.mean, torch.exp(0.5 * gaussian.log_variance))


@pytest.mark.parametrize(
    ("num_times", "patch"), [(1, 1), (2, 1), (7, 1), (7, 3), (7, 9), (50, 1), (50, 4), (51, 3)]
)
@pytest.mark.parametrize("filters", [(8, 6), (10, 8, 6), (8, 8, 8, 8)], ids=str)
def test_shapes(num_times: int, patch: int, filters: tuple[int, ...]) -> None:
    a = architecture(num_time_steps=num_times, time_patch=patch, filters=filters)
    vae = HierarchicalVae(a)
    posterior = vae.encoder(random_fields(a))
    for gaussian, shape in (
        (posterior.main, (BATCH, 4)),
        (posterior.levels, (BATCH, a.num_hierarchical, 2)),
    ):
        assert gaussian.mean.shape == gaussian.log_variance.shape == shape
    latents = vae.encode(random_fields(a))
    assert latents.main.shape == (BATCH, 4)
    assert latents.hierarchical.shape == (BATCH, a.num_hierarchical, 2)
    assert latents.flat().shape == (BATCH, a.num_latents)
    assert vae.decoder(latents).shape == (BATCH, num_times, 5)
    kl = posterior.kl()
    assert len(kl) == 1 + a.num_hierarchical
    assert all(term.shape == (BATCH,) for term in kl)


@pytest.mark.parametrize(("num_times", "patch"), [(1, 1), (2, 1), (7, 1), (50, 1), (50, 4)])
@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral"])
def test_gradient_reaches_every_parameter_of_encoder_decoder_and_priors(
    num_times: int, patch: int, spectral: bool
) -> None:
    a = architecture(num_time_steps=num_times, time_patch=patch, spectral_normalisation=spectral)
    vae = HierarchicalVae(a)
    with_random_priors(vae.decoder)  # as built, their last layer is zero and passes nothing on
    posterior = vae.encoder(random_fields(a))
    field = vae.decoder(vae.decoder.latents(posterior.sample(random_latents(a))))
    loss = (field * torch.randn_like(field)).sum() + torch.stack(posterior.kl()).sum()
    loss.backward()
    idle = [
        name
        for name, parameter in vae.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def test_a_patch_is_times_that_follow_each_other() -> None:
    a = architecture(num_time_steps=7, time_patch=3)
    assert a.lengths[0] == 3
    vae = HierarchicalVae(a)
    field = random_fields(a)
    features: list[torch.Tensor] = []
    vae.encoder.project.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    vae.encoder(field)
    times = features[0].reshape(BATCH, 9, 5)  # the last time is repeated to fill the last patch
    torch.testing.assert_close(times, field[:, [0, 1, 2, 3, 4, 5, 6, 6, 6]])

    # Of what level 0 says last only the first time is there to be decoded.
    said = torch.arange(BATCH * 3 * 15, dtype=torch.float32).reshape(BATCH, 3, 15)
    vae.decoder.out.register_forward_hook(lambda *_: said)
    decoded = vae.decoder(random_latents(a))
    torch.testing.assert_close(decoded, said.reshape(BATCH, 9, 5)[:, :7])


def test_priors_start_as_standard_normal_and_can_leave_it() -> None:
    a = architecture()
    decoder = Decoder(a)
    latents = random_latents(a)
    for level in range(a.num_hierarchical):
        prior = decoder.prior(level, latents.above(level))
        torch.testing.assert_close(prior.mean, torch.zeros(BATCH, 2))
        torch.testing.assert_close(prior.log_variance, torch.zeros(BATCH, 2))
    decoder(decoder.latents(random_latents(a))).sum().backward()
    assert all(prior[-1].weight.grad.any() for prior in decoder.priors)  # type: ignore[index]


def test_posteriors_start_almost_certain() -> None:
    a = architecture()
    posterior = HierarchicalVae(a).encoder(random_fields(a))
    for gaussian in posterior:
        assert (gaussian.log_variance - INITIAL_LOG_VARIANCE).abs().max() < 2


def test_latents_undo_relative() -> None:
    a = architecture(filters=(8, 8, 6, 4))
    decoder = with_random_priors(Decoder(a)).double()
    latents = Latents(*(part.double() for part in random_latents(a)))
    for there, back in (
        (decoder.relative, decoder.latents),
        (decoder.latents, decoder.relative),
    ):
        again = back(there(latents))
        torch.testing.assert_close(again.main, latents.main)
        torch.testing.assert_close(again.hierarchical, latents.hierarchical, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(decoder.latents(latents).hierarchical, latents.hierarchical)


def test_a_level_is_drawn_given_the_levels_above_it() -> None:
    a = architecture(filters=(8, 8, 6, 4))
    decoder = with_random_priors(Decoder(a))
    relative = random_latents(a)
    before = decoder.latents(relative).hierarchical
    for level in range(a.num_hierarchical):
        hierarchical = relative.hierarchical.clone()
        hierarchical[:, level] += 1
        after = decoder.latents(Latents(relative.main, hierarchical)).hierarchical
        changed = (after - before).abs().amax(dim=(0, 2)) > 0
        assert changed.tolist() == [i >= level for i in range(a.num_hierarchical)]


def test_the_kl_is_that_of_the_latents_themselves_to_their_priors() -> None:
    a = architecture(filters=(8, 8, 6, 4))
    decoder = with_random_priors(Decoder(a))
    posterior = posterior_from(torch.randn(BATCH, 2 * a.num_latents), a)
    latents = decoder.latents(posterior.sample(random_latents(a)))
    expected = [kl_divergence(normal(posterior.main), Normal(0.0, 1.0)).sum(dim=-1)]
    for level in range(a.num_hierarchical):
        prior = decoder.prior(level, latents.above(level))
        relative = Gaussian(*(part[:, level] for part in posterior.levels))
        absolute = Gaussian(prior.sample(relative.mean), prior.log_variance + relative.log_variance)
        expected.append(kl_divergence(normal(absolute), normal(prior)).sum(dim=-1))
    torch.testing.assert_close(posterior.kl(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_times", [1, 12])
def test_every_latent_influences_the_field(num_times: int) -> None:
    a = architecture(num_time_steps=num_times)
    decoder = Decoder(a)
    latents = Latents(*(part.requires_grad_() for part in random_latents(a)))
    field = decoder(latents)
    (field * torch.randn_like(field)).sum().backward()
    for part in latents:
        assert (part.grad != 0).all()


def test_every_time_and_channel_depends_on_the_latents() -> None:
    a = architecture()
    decoder = Decoder(a)
    first, second = (decoder(random_latents(a)) for _ in range(2))
    assert ((first - second).abs() > 0).all()


def test_the_decoder_depends_on_its_own_latents_only() -> None:
    a = architecture()
    vae = HierarchicalVae(a)
    latents = random_latents(a)
    together = vae.decoder(latents)
    vae.encoder(random_fields(a))  # nothing is passed on beside the latents
    torch.testing.assert_close(vae.decoder(latents), together, rtol=0, atol=0)
    for i in range(BATCH):
        alone = vae.decoder(Latents(*(part[i : i + 1] for part in latents)))
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-4, atol=1e-5)


def test_the_encoder_sees_every_time_and_channel_of_its_own_field_only() -> None:
    a = architecture(num_time_steps=50)
    encoder = HierarchicalVae(a).encoder
    field = random_fields(a).requires_grad_()
    encoder(field).main.mean[1].sum().backward()
    assert (field.grad[1] != 0).all()
    assert not field.grad[[0, 2]].any()


def test_latents_of_static_fields_can_start_as_the_leading_channels_in_units_of_their_spread() -> (
    None
):
    a = architecture(num_time_steps=1, num_channels=12)
    vae = HierarchicalVae(a)
    spreads = torch.linspace(3, 0.1, 12)
    vae.start_as_pod(spreads)
    fields = spreads * random_fields(a)
    latents = vae.encoder(fields).mean()
    torch.testing.assert_close(latents.flat(), (fields / spreads)[:, 0, : a.num_latents])
    kept = torch.arange(12) < a.num_latents
    torch.testing.assert_close(vae.decoder(vae.decoder.latents(latents)), fields * kept)
    with torch.autocast("cpu", torch.bfloat16):
        latents = vae.encoder(fields).mean()
        torch.testing.assert_close(vae.decoder(vae.decoder.latents(latents)), fields * kept)


def test_what_static_fields_start_from_is_stored_and_more_is_learned_beside_it() -> None:
    a = architecture(num_time_steps=1, num_channels=12)
    vae, other = HierarchicalVae(a), HierarchicalVae(a)
    vae.start_as_pod(torch.ones(12))
    other.load_state_dict(vae.state_dict())
    latents = random_latents(a)
    torch.testing.assert_close(other.decoder(latents), vae.decoder(latents), rtol=0, atol=0)
    (vae.decoder(latents) * torch.randn(12)).sum().backward()
    assert vae.decoder.out.weight.grad.any()
    assert "modes" not in dict(vae.decoder.named_parameters())


def test_transient_fields_have_no_linear_start() -> None:
    vae = HierarchicalVae(architecture(num_time_steps=2))
    assert not [name for name in vae.state_dict() if name.endswith("modes")]


def largest_singular_values(vae: nn.Module) -> list[float]:
    return [
        float(torch.linalg.matrix_norm(module.weight.detach(), ord=2))
        for name, module in vae.named_modules()
        if isinstance(module, nn.Linear)
        and name.endswith(("expand", "project"))
        and "levels" in name
    ]


@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral"])
def test_spectral_normalisation_bounds_the_largest_singular_value(spectral: bool) -> None:
    a = architecture(spectral_normalisation=spectral)
    vae = HierarchicalVae(a)
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if "levels" in name and parameter.ndim == 2:
                parameter.mul_(7)  # as a training might
        for _ in range(100):  # each forward in training refines the estimate
            vae.encoder(random_fields(a))
            vae.decoder(random_latents(a))
    values = largest_singular_values(vae.eval())
    assert len(values) == 2 * 2 * len(a.filters)  # two layers in a block of encoder and decoder
    if spectral:
        assert max(values) == pytest.approx(1, abs=1e-3)
    else:
        assert min(values) > 1


def test_posteriors_are_computed_in_float32() -> None:
    a = architecture()
    posterior = posterior_from(torch.randn(BATCH, 2 * a.num_latents, dtype=torch.bfloat16), a)
    assert {part.dtype for gaussian in posterior for part in gaussian} == {torch.float32}


def test_encoding_refines_the_encoders_means_on_each_field_alone() -> None:
    vae = HierarchicalVae(architecture_for_refinement())
    fields = torch.randn(4, 12, 3)
    told = vae.decoder(vae.decoder.latents(vae.encoder(fields).mean()))
    refined = vae.encode(fields)
    errors = [(decoded - fields).norm(dim=(1, 2)) for decoded in (told, vae.decoder(refined))]
    assert (errors[1] < errors[0]).all()
    alone = vae.encode(fields[:1])
    torch.testing.assert_close(alone.main, refined.main[:1], rtol=1e-3, atol=1e-4)
    assert all(parameter.grad is None for parameter in vae.parameters())


def architecture_for_refinement() -> VaeArchitecture:
    return VaeArchitecture(
        num_time_steps=12,
        num_channels=3,
        filters=(16, 8),
        num_blocks=1,
        latent_size=4,
        hierarchical_latent_size=2,
        spectral_normalisation=False,
    )
