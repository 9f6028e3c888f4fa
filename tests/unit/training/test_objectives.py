"""What is minimised: terms, what their gradients reach, and that one batch can be overfitted."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler, FieldScaler
from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.design_sampler import MARGIN, DesignExplorer
from simulgen_pipeline.models.latents import Latents, VaeArchitecture, posterior_from
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.vae import Encoder, HierarchicalVae
from simulgen_pipeline.training.config import Loss, VaeConfig
from simulgen_pipeline.training.field_augmentation import FieldAugmentation
from simulgen_pipeline.training.losses import reconstruction_loss
from simulgen_pipeline.training.objectives import (
    REAL_SHARE,
    Batch,
    ConditionerObjective,
    EncoderObjective,
    EvidenceObjective,
    FieldFit,
    Objective,
)
from simulgen_pipeline.training.picture_augmentation import NUM_NOISE_COLUMNS, PictureAugmentation

NUM_PARAMETERS = 2
NUM_MEMBERS = 3
POSTERIORS = ["design", "field"]


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


def architecture_of(batch: Batch, **values: Any) -> VaeArchitecture:
    small = {
        "num_time_steps": batch.fields.shape[1],
        "num_channels": batch.fields.shape[2],
        "filters": (24, 16, 12),
        "num_blocks": 1,
        "latent_size": 6,
        "hierarchical_latent_size": 2,
        "spectral_normalisation": False,
    }
    return VaeArchitecture.model_validate({**small, **values})


@pytest.fixture
def vae(batch: Batch) -> HierarchicalVae:
    """A VAE whose priors have left N(0, 1), as in training."""
    vae = HierarchicalVae(architecture_of(batch))
    for parameter in vae.decoder.priors.parameters():
        nn.init.normal_(parameter, std=0.3)
    return vae


def mlp_for(vae: HierarchicalVae) -> ResidualMlp:
    return ResidualMlp(NUM_PARAMETERS, 2 * vae.architecture.num_latents, (32, 32))


def evidence(
    vae: HierarchicalVae, posterior: str, lift: Tensor | None = None, **values: Any
) -> EvidenceObjective:
    config = VaeConfig.model_validate({"posterior": posterior, **values})
    inference = vae.encoder if posterior == "field" else mlp_for(vae)
    return EvidenceObjective(vae.decoder, inference, config, lift)


def noise_for(objective: Objective, batch: Batch) -> Tensor:
    return torch.randn(len(batch.fields), objective.noise_size)


def idle(module: nn.Module) -> list[str]:
    """Parameters that no gradient has reached."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


def touched(module: nn.Module) -> list[str]:
    """Parameters that have a gradient."""
    return [name for name, parameter in module.named_parameters() if parameter.grad is not None]


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_unchanged(module: nn.Module, before: dict[str, Tensor]) -> None:
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def relative_l2(wrong: Tensor, batch: Batch) -> Tensor:
    return torch.linalg.norm((wrong - batch.fields).flatten(1), dim=1) / batch.norms


def part(batch: Batch, rows: slice) -> Batch:
    latents = None if batch.latents is None else Latents(*(value[rows] for value in batch.latents))
    return Batch(batch.fields[rows], batch.designs[rows], batch.norms[rows], latents)


def overfit(objective: nn.Module, batch: Batch, num_steps: int, rate: float = 4e-3) -> None:
    """Train on one batch, along a falling rate."""
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    objective.train()
    for step in range(num_steps):
        noise = torch.randn(len(batch.fields), objective.noise_size)
        objective(batch, noise, step / num_steps)["loss"].mean().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    objective.eval()


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_evidence_has_a_term_per_latent_and_design(
    vae: HierarchicalVae, batch: Batch, posterior: str
) -> None:
    objective = evidence(vae, posterior)
    terms = objective(batch, noise_for(objective, batch), 0.0)
    kl = {"kl_main", "kl_level_1", "kl_level_2"}
    assert set(terms) == {"loss", "reconstruction", "kl_weight", *kl}
    for value in terms.values():
        assert value.shape == (6,)
        assert torch.isfinite(value).all()


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize(("progress", "beta"), [(0.0, 0.001), (0.55, 0.5005), (1.0, 1.0)])
def test_the_kl_counts_by_its_weight_against_the_reconstruction(
    vae: HierarchicalVae, batch: Batch, posterior: str, progress: float, beta: float
) -> None:
    objective = evidence(vae, posterior, reconstruction_weight=10.0)
    terms = objective(batch, noise_for(objective, batch), progress)
    torch.testing.assert_close(terms["kl_weight"], torch.full((6,), beta))
    kl = terms["kl_main"] + terms["kl_level_1"] + terms["kl_level_2"]
    assert (kl > 1).all()
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + beta / 10 * kl)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("relative_loss", [False, True])
@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_the_reconstruction_is_that_of_a_sample_of_the_posterior(
    vae: HierarchicalVae, batch: Batch, posterior: str, relative_loss: bool, loss: Any
) -> None:
    lift = torch.randn(batch.fields.shape[2], 30)
    objective = evidence(vae, posterior, lift, loss=loss, relative_loss=relative_loss)
    noise = noise_for(objective, batch)
    if posterior == "field":
        found = vae.encoder(batch.fields)
    else:
        found = posterior_from(objective.posterior(batch.designs), vae.architecture)
    drawn = found.sample(Latents(noise[:, :6], noise[:, 6:].reshape(6, 2, 2)))
    error = vae.decoder(vae.decoder.latents(drawn)) - batch.fields
    expected = reconstruction_loss(error, batch.norms, loss, relative_loss, lift)
    torch.testing.assert_close(objective(batch, noise, 0.5)["reconstruction"], expected)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_gradient_of_the_evidence_reaches_every_parameter(
    vae: HierarchicalVae, batch: Batch, posterior: str
) -> None:
    objective = evidence(vae, posterior)
    objective(batch, noise_for(objective, batch), 0.5)["loss"].sum().backward()
    assert idle(objective) == []


def test_a_posterior_of_designs_leaves_the_encoder_alone(
    vae: HierarchicalVae, batch: Batch
) -> None:
    objective = evidence(vae, "design")
    assert not any(isinstance(module, Encoder) for module in objective.modules())
    objective(batch, noise_for(objective, batch), 0.5)["loss"].sum().backward()
    assert touched(vae.encoder) == []


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_terms_do_not_depend_on_how_a_batch_is_divided(
    vae: HierarchicalVae, batch: Batch, posterior: str
) -> None:
    objective = evidence(vae, posterior)
    noise = noise_for(objective, batch)
    together = objective(batch, noise, 0.5)
    parts = [
        objective(part(batch, rows), noise[rows], 0.5) for rows in (slice(0, 2), slice(2, None))
    ]
    for name, value in together.items():
        torch.testing.assert_close(torch.cat([p[name] for p in parts]), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("posterior", "name"), [("design", "prediction_error"), ("field", "reconstruction_error")]
)
def test_validation_is_the_relative_l2_error_of_the_posterior_mean(
    vae: HierarchicalVae, batch: Batch, posterior: str, name: str
) -> None:
    objective = evidence(vae, posterior)
    if posterior == "field":
        latents = vae.decoder.latents(vae.encoder(batch.fields).mean())
    else:
        found = posterior_from(objective.posterior(batch.designs), vae.architecture)
        latents = vae.decoder.latents(found.mean())
    terms = objective.validate(batch)
    assert set(terms) == {name, "score"}
    torch.testing.assert_close(terms[name], relative_l2(vae.decoder(latents), batch))
    torch.testing.assert_close(terms["score"], terms[name])


def test_a_lift_is_no_weight(vae: HierarchicalVae) -> None:
    objective = evidence(vae, "design", torch.ones(3, 4))
    assert "lift" not in objective.state_dict()


def test_a_posterior_of_fields_overfits_one_batch(batch: Batch) -> None:
    objective = evidence(HierarchicalVae(architecture_of(batch)), "field")
    before = objective.validate(batch)["score"].mean().item()
    overfit(objective, batch, 150)
    assert objective.validate(batch)["score"].mean().item() < 0.05 < 0.5 < before


def test_a_posterior_of_designs_overfits_one_batch_and_the_encoder_follows(batch: Batch) -> None:
    vae = HierarchicalVae(architecture_of(batch))
    objective = evidence(vae, "design")
    overfit(objective, batch, 150)
    assert objective.validate(batch)["prediction_error"].mean().item() < 0.05
    sleep = EncoderObjective(
        vae.encoder,
        vae.decoder,
        objective.posterior,
        DesignExplorer(batch.designs, mix=False),
        FieldAugmentation(),
    )
    before = sleep.validate(batch)["reconstruction_error"].mean().item()
    overfit(sleep, batch, 150)
    after = sleep.validate(batch)["reconstruction_error"].mean().item()
    assert after < 0.1
    assert after < 0.3 * before


@pytest.fixture
def encoder_objective(vae: HierarchicalVae, batch: Batch) -> EncoderObjective:
    return EncoderObjective(
        vae.encoder,
        vae.decoder,
        mlp_for(vae),
        DesignExplorer(batch.designs, mix=False),
        FieldAugmentation(),
    )


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


@pytest.fixture
def known(vae: HierarchicalVae, batch: Batch) -> Batch:
    """The batch with its latents."""
    with torch.no_grad():
        return batch._replace(latents=vae.encode(batch.fields))


def conditioner_objective(
    vae: HierarchicalVae, spread: Tensor | None = None, **values: Any
) -> ConditionerObjective:
    num_members = values.pop("num_members", NUM_MEMBERS)
    lift = values.pop("lift", None)
    fit = FieldFit("mse", relative=True, latent_weight=0.1, tune_decoder=False)._replace(**values)
    architecture = ConditionerArchitecture(
        kind="mlp",
        num_features=NUM_PARAMETERS,
        filters=(32, 32),
        dropout=0.0,
        num_members=num_members,
    )
    spread = torch.ones(vae.architecture.num_latents) if spread is None else spread
    return ConditionerObjective(
        Conditioner(architecture, vae.architecture),
        vae.decoder,
        spread,
        PictureAugmentation(),
        fit,
        lift,
    )


def choose(member: int, num_designs: int) -> Tensor:
    """Noise that chooses a member for every design."""
    share = torch.full((num_designs, 1 + NUM_NOISE_COLUMNS), (member + 0.5) / NUM_MEMBERS)
    return torch.special.ndtri(share)


@pytest.mark.parametrize("member", range(NUM_MEMBERS))
def test_gradient_of_the_field_reaches_a_members_first_layer_through_the_decoder(
    vae: HierarchicalVae, known: Batch, member: int
) -> None:
    objective = conditioner_objective(vae)
    terms = objective(known, choose(member, 6), 0.0)
    terms["reconstruction"].sum().backward()
    for i, network in enumerate(objective.conditioner.members):
        reached = network.first.weight.grad is not None and network.first.weight.grad.any()
        assert bool(reached) == (i == member)


@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral"])
def test_training_a_conditioner_does_not_touch_the_vae(known: Batch, spectral: bool) -> None:
    vae = HierarchicalVae(architecture_of(known, spectral_normalisation=spectral))
    before = snapshot(vae)
    overfit(conditioner_objective(vae), known, 3)
    assert_unchanged(vae, before)
    assert touched(vae) == []


@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral"])
def test_training_an_encoder_does_not_touch_the_decoder_or_the_posterior_of_designs(
    batch: Batch, spectral: bool
) -> None:
    vae = HierarchicalVae(architecture_of(batch, spectral_normalisation=spectral))
    posterior = mlp_for(vae)
    before = snapshot(vae.decoder), snapshot(posterior)
    overfit(
        EncoderObjective(
            vae.encoder,
            vae.decoder,
            posterior,
            DesignExplorer(batch.designs, mix=False),
            FieldAugmentation(),
        ),
        batch,
        3,
    )
    assert_unchanged(vae.decoder, before[0])
    assert_unchanged(posterior, before[1])


@pytest.mark.parametrize("lifted", [False, True], ids=["channels", "nodes"])
@pytest.mark.parametrize("loss", ["mse", "mae", "smooth_l1", "huber"])
def test_end_to_end_the_fields_gradient_reaches_conditioner_and_decoder_but_not_the_priors(
    vae: HierarchicalVae, known: Batch, loss: Loss, lifted: bool
) -> None:
    lift = torch.randn(known.fields.shape[2], 30) if lifted else None
    objective = conditioner_objective(
        vae, loss=loss, latent_weight=0.0, tune_decoder=True, lift=lift
    )
    terms = objective(known, choose(1, 6), 0.0)
    torch.testing.assert_close(terms["loss"], terms["reconstruction"])
    terms["loss"].sum().backward()
    first = objective.conditioner.members[1].first.weight.grad
    assert first is not None
    assert first.any()
    assert idle(vae.decoder.levels) == []
    assert idle(vae.decoder.out) == []
    assert touched(vae.decoder.priors) == []


def test_end_to_end_conditioner_and_decoder_learn_the_field_together(
    vae: HierarchicalVae, known: Batch
) -> None:
    frozen = conditioner_objective(vae)
    before = snapshot(vae.decoder.priors)
    overfit(frozen, known, 150)
    alone = frozen.validate(known)["prediction_error"].mean().item()
    tuned = conditioner_objective(vae, loss="huber", latent_weight=1e-3, tune_decoder=True)
    tuned.conditioner.load_state_dict(frozen.conditioner.state_dict())
    overfit(tuned, known, 150)
    assert tuned.validate(known)["prediction_error"].mean().item() < 0.5 * alone
    assert_unchanged(vae.decoder.priors, before)


def test_gradient_of_a_conditioners_loss_reaches_every_parameter_of_every_member(
    vae: HierarchicalVae, known: Batch
) -> None:
    """Of the means: a posterior's variance is not what a conditioner is asked for."""
    objective = conditioner_objective(vae)
    objective(known, choose(0, 6), 0.0)["loss"].sum().backward()
    assert idle(objective.conditioner) == []


def test_latent_errors_are_relative_to_the_priors_and_in_units_of_the_spread(
    vae: HierarchicalVae, known: Batch
) -> None:
    spread = torch.linspace(0.5, 3, vae.architecture.num_latents)
    objective = conditioner_objective(vae, spread)
    true = vae.decoder.relative(known.latents).flat()
    errors = [
        ((posterior.mean().flat() - true) / spread).square().mean(dim=1)
        for posterior in objective.conditioner(known.designs)
    ]
    found = objective(known, choose(1, 6), 0.0)["latent_error"]
    torch.testing.assert_close(found, torch.stack(errors).mean(dim=0))


def test_a_conditioner_that_tells_all_latents_has_no_latent_error(
    vae: HierarchicalVae, known: Batch
) -> None:
    objective = conditioner_objective(vae)
    told = objective.conditioner(known.designs[:1])[0].mean()
    same = Latents(*(value.expand(6, *value.shape[1:]) for value in vae.decoder.latents(told)))
    one = Batch(known.fields, known.designs[:1].expand(6, -1), known.norms, same)
    for member in objective.conditioner.members:
        member.load_state_dict(objective.conditioner.members[0].state_dict())
    found = objective(one, choose(0, 6), 0.0)["latent_error"]
    torch.testing.assert_close(found, torch.zeros(6), atol=1e-8, rtol=0)


@pytest.mark.parametrize("latent_weight", [0.0, 0.1, 2.0])
def test_the_latent_error_counts_by_its_weight(
    vae: HierarchicalVae, known: Batch, latent_weight: float
) -> None:
    objective = conditioner_objective(vae, latent_weight=latent_weight)
    terms = objective(known, choose(1, 6), 0.0)
    assert set(terms) == {"loss", "reconstruction", "latent_error"}
    expected = terms["reconstruction"] + latent_weight * terms["latent_error"]
    torch.testing.assert_close(terms["loss"], expected)


def test_noise_chooses_the_member_that_is_decoded_for_each_design(
    vae: HierarchicalVae, known: Batch
) -> None:
    objective = conditioner_objective(vae)
    members = [0, 1, 2, 2, 0, 1]
    noise = torch.cat([choose(member, 1) for member in members])
    noise[0], noise[3] = -9, 9  # the ends of the range
    fields = [
        vae.decoder(vae.decoder.latents(posterior.mean()))
        for posterior in objective.conditioner(known.designs)
    ]
    chosen = torch.stack([fields[member][row] for row, member in enumerate(members)])
    found = objective(known, noise, 0.0)["reconstruction"]
    torch.testing.assert_close(found, relative_l2(chosen, known), rtol=1e-4, atol=1e-4)


def test_a_conditioners_validation_is_the_error_of_the_members_mean_field(
    vae: HierarchicalVae, known: Batch
) -> None:
    objective = conditioner_objective(vae)
    fields = [
        vae.decoder(vae.decoder.latents(posterior.mean()))
        for posterior in objective.conditioner(known.designs)
    ]
    expected = relative_l2(torch.stack(fields).mean(dim=0), known)
    terms = objective.validate(known)
    torch.testing.assert_close(terms, {"prediction_error": expected, "score": expected})


def test_a_conditioner_does_not_save_the_spread_as_a_weight(vae: HierarchicalVae) -> None:
    assert "latent_scale" not in conditioner_objective(vae).state_dict()


def test_a_conditioner_overfits_one_batch(vae: HierarchicalVae, known: Batch) -> None:
    with torch.no_grad():
        decoded = vae.decoder(known.latents)
    possible = known._replace(fields=decoded, norms=torch.linalg.norm(decoded.flatten(1), dim=1))
    objective = conditioner_objective(vae)
    overfit(objective, possible, 100)
    assert objective.validate(possible)["score"].mean().item() < 0.05


CORRUPTED = {"augmentation": {"noise_probability": 1.0, "noise_level": 0.5}}


def test_fields_are_augmented_where_the_encoder_infers_the_latents(
    vae: HierarchicalVae, batch: Batch
) -> None:
    plain, corrupted = (
        EvidenceObjective(vae.decoder, vae.encoder, VaeConfig.model_validate(values))
        for values in ({"posterior": "field"}, {"posterior": "field", **CORRUPTED})
    )
    noise = noise_for(corrupted, batch)
    before = plain(batch, noise[:, : plain.noise_size], 0.0)
    after = corrupted(batch, noise, 0.0)
    assert not torch.allclose(before["kl_main"], after["kl_main"])


def test_a_posterior_of_designs_leaves_fields_as_they_are(
    vae: HierarchicalVae, batch: Batch
) -> None:
    objective = EvidenceObjective(vae.decoder, mlp_for(vae), VaeConfig.model_validate(CORRUPTED))
    assert objective.noise_size == vae.architecture.num_latents
    assert not objective.needs_partners


def test_mixed_fields_are_what_is_to_be_reconstructed(vae: HierarchicalVae, batch: Batch) -> None:
    config = VaeConfig.model_validate(
        {"posterior": "field", "augmentation": {"mixup_probability": 1.0}}
    )
    objective = EvidenceObjective(vae.decoder, vae.encoder, config)
    assert objective.needs_partners
    noise = noise_for(objective, batch)
    with_itself = objective(batch._replace(partners=batch.fields), noise, 0.0)
    plain = EvidenceObjective(vae.decoder, vae.encoder, VaeConfig(posterior="field"))
    expected = plain(batch, noise[:, : plain.noise_size], 0.0)
    torch.testing.assert_close(with_itself["loss"], expected["loss"])
    partners = batch.fields.flip(0)
    mixed = objective(batch._replace(partners=partners), noise, 0.0)
    assert not torch.allclose(mixed["reconstruction"], expected["reconstruction"])


def test_pictures_are_augmented_in_training_and_not_in_validation(
    vae: HierarchicalVae, known: Batch
) -> None:
    architecture = ConditionerArchitecture(
        kind="cnn",
        num_features=NUM_PARAMETERS,
        num_channels=1,
        image_size=16,
        filters=(8, 8),
        dropout=0.0,
        num_members=2,
    )
    conditioner = Conditioner(architecture, vae.architecture)
    augmentation = PictureAugmentation.model_validate({"shift": {"probability": 1.0}})
    fit = FieldFit("mse", relative=True, latent_weight=0.1, tune_decoder=False)
    spread = torch.ones(vae.architecture.num_latents)
    pictures = torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8)
    seen = known._replace(pictures=pictures)
    plain, moved = (
        ConditionerObjective(conditioner, vae.decoder, spread, kind, fit)
        for kind in (PictureAugmentation(), augmentation)
    )
    noise = noise_for(moved, seen)
    assert not torch.allclose(plain(seen, noise, 0.0)["loss"], moved(seen, noise, 0.0)["loss"])
    torch.testing.assert_close(plain.validate(seen), moved.validate(seen))
