"""A conditioner's loss: terms, what their gradients reach, and that one batch can be overfitted."""

from typing import Any

import pytest
import torch
from torch import Tensor

from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.latents import Latents
from simulgen_pipeline.models.vae import HierarchicalVae
from simulgen_pipeline.training.config import Loss
from simulgen_pipeline.training.objectives import Batch, ConditionerObjective, FieldFit
from simulgen_pipeline.training.picture_augmentation import NUM_NOISE_COLUMNS, PictureAugmentation

from .small_objectives import (
    NUM_PARAMETERS,
    architecture_of,
    assert_unchanged,
    idle,
    noise_for,
    overfit,
    relative_l2,
    snapshot,
    touched,
)

NUM_MEMBERS = 3


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
