"""The evidence of a VAE: terms, what their gradients reach, that one batch can be overfitted."""

from typing import Any

import pytest
import torch
from torch import Tensor

from simulgen_pipeline.models.latents import Latents, posterior_from
from simulgen_pipeline.models.vae import Encoder, HierarchicalVae
from simulgen_pipeline.training.config import VaeConfig
from simulgen_pipeline.training.losses import NodeLift, reconstruction_loss
from simulgen_pipeline.training.objectives import Batch, EvidenceObjective

from .small_objectives import (
    architecture_of,
    encoder_objective_of,
    idle,
    mlp_for,
    noise_for,
    overfit,
    relative_l2,
    touched,
)

POSTERIORS = ["design", "field"]


def evidence(
    vae: HierarchicalVae, posterior: str, lift: Tensor | None = None, **values: Any
) -> EvidenceObjective:
    config = VaeConfig.model_validate({"posterior": posterior, **values})
    inference = vae.encoder if posterior == "field" else mlp_for(vae)
    return EvidenceObjective(vae.decoder, inference, config, lift)


def part(batch: Batch, rows: slice) -> Batch:
    latents = None if batch.latents is None else Latents(*(value[rows] for value in batch.latents))
    return Batch(batch.fields[rows], batch.designs[rows], batch.norms[rows], latents)


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
    expected = reconstruction_loss(error, batch.norms, loss, relative_loss, NodeLift(lift))
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
    sleep = encoder_objective_of(vae, objective.posterior, batch)
    before = sleep.validate(batch)["reconstruction_error"].mean().item()
    overfit(sleep, batch, 150)
    after = sleep.validate(batch)["reconstruction_error"].mean().item()
    assert after < 0.1
    assert after < 0.3 * before


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


def test_the_error_of_a_mixture_is_relative_to_norms_that_are_mixed_alike(
    vae: HierarchicalVae, batch: Batch
) -> None:
    small = torch.tensor([0.01, *[1.0] * (len(batch.norms) - 1)])
    fields = batch.fields * small[:, None, None]
    batch = batch._replace(
        fields=fields,
        norms=batch.norms * small,
        partners=fields.roll(-1, 0),
        partner_norms=(batch.norms * small).roll(-1),
    )
    config = VaeConfig.model_validate(
        {
            "posterior": "field",
            "augmentation": {"mixup_probability": 1.0, "mixup_alpha": 1000.0},  # about halves
        }
    )
    objective = EvidenceObjective(vae.decoder, vae.encoder, config)
    terms = objective(batch, noise_for(objective, batch), 0.0)
    nothing = batch._replace(partner_norms=None)
    alone = objective(nothing, noise_for(objective, batch), 0.0)["reconstruction"]
    ratio = terms["reconstruction"] / alone
    assert batch.partner_norms is not None
    half = (batch.norms + batch.partner_norms) / 2
    torch.testing.assert_close(ratio, batch.norms / half, rtol=0.1, atol=0.0)
