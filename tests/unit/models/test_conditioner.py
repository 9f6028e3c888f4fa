"""The latent conditioner: an ensemble from designs to posteriors."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.latents import VaeArchitecture, posterior_from

VAE = VaeArchitecture(
    num_time_steps=12,
    num_channels=5,
    filters=(8, 6, 4),
    num_blocks=1,
    latent_size=4,
    hierarchical_latent_size=2,
    spectral_normalisation=False,
)


def architecture(**values: Any) -> ConditionerArchitecture:
    small = {
        "kind": "mlp",
        "num_features": 2,
        "filters": (16, 16),
        "dropout": 0.0,
        "num_members": 3,
    }
    return ConditionerArchitecture.model_validate({**small, **values})


@pytest.mark.parametrize("num_features", [1, 2, 9])
@pytest.mark.parametrize("filters", [(8,), (16, 8, 16)], ids=str)
def test_each_member_gives_a_posterior_of_all_latents(
    num_features: int, filters: tuple[int, ...]
) -> None:
    conditioner = Conditioner(architecture(num_features=num_features, filters=filters), VAE)
    posteriors = conditioner(torch.randn(5, num_features))
    assert len(posteriors) == 3
    for posterior in posteriors:
        assert posterior.main.mean.shape == (5, 4)
        assert posterior.levels.log_variance.shape == (5, 2, 2)
        assert posterior.mean().flat().shape == (5, VAE.num_latents)


def test_members_start_from_different_weights() -> None:
    conditioner = Conditioner(architecture(), VAE)
    first, second, third = (p.main.mean for p in conditioner(torch.randn(5, 2)))
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)


def test_a_design_is_judged_by_itself() -> None:
    conditioner = Conditioner(architecture(), VAE)
    designs = torch.randn(5, 2)
    together, alone = conditioner(designs)[0], conditioner(designs[2:3])[0]
    torch.testing.assert_close(alone.main.mean, together.main.mean[2:3])


def test_gradient_reaches_every_parameter() -> None:
    conditioner = Conditioner(architecture(filters=(16, 8)), VAE)
    total = torch.zeros(())
    for posterior in conditioner(torch.randn(5, 2)):
        for part in (*posterior.main, *posterior.levels):
            total = total + (part * torch.randn_like(part)).sum()
    total.backward()
    idle = [
        name
        for name, parameter in conditioner.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def test_every_parameter_of_a_design_influences_every_member() -> None:
    conditioner = Conditioner(architecture(num_features=4), VAE)
    for member in range(3):
        designs = torch.randn(5, 4, requires_grad=True)
        conditioner(designs)[member].mean().flat().sum().backward()
        assert designs.grad is not None
        assert (designs.grad != 0).all()


def test_members_see_pictures_and_not_their_principal_components() -> None:
    pictures = {"kind": "cnn", "num_channels": 1, "image_size": 16, "filters": (4,)}
    conditioner = Conditioner(architecture(**pictures), VAE)
    components, levels = torch.randn(5, 2), torch.randint(0, 256, (5, 1, 16, 16)).float()
    for posterior, without, other in zip(
        conditioner(components, levels),
        conditioner(0 * components, levels),
        conditioner(components, 255 - levels),
        strict=True,
    ):
        torch.testing.assert_close(posterior.main.mean, without.main.mean)
        assert not torch.allclose(posterior.main.mean, other.main.mean)


@pytest.mark.parametrize(
    "kind",
    [{"kind": "cnn", "filters": (8, 16)}, {"kind": "vit", "patch_size": 4, "embedding": 16}],
    ids=["cnn", "vit"],
)
def test_members_on_a_base_learn_from_pictures_what_their_components_do_not_tell(
    kind: dict[str, Any],
) -> None:
    pictures = {"num_channels": 1, "image_size": 16, "base_filters": (8,)} | kind
    conditioner = Conditioner(architecture(**pictures), VAE)
    same = torch.zeros(6, 2)
    levels = torch.randint(0, 256, (6, 1, 16, 16)).float()
    latents = torch.randn(6, VAE.num_latents)
    told_by_components = (latents - latents.mean(dim=0)).square().mean().item()
    trained = [p for p in conditioner.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    for _ in range(150):
        errors = [posterior.mean().flat() - latents for posterior in conditioner(same, levels)]
        loss = torch.stack(errors).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * told_by_components


def test_the_ensemble_overfits_one_batch() -> None:
    conditioner = Conditioner(architecture(filters=(32, 32)), VAE)
    designs, latents = torch.randn(6, 2), torch.randn(6, VAE.num_latents)
    optimizer = torch.optim.Adam(conditioner.parameters(), lr=5e-3)
    for _ in range(150):
        errors = [posterior.mean().flat() - latents for posterior in conditioner(designs)]
        loss = torch.stack(errors).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-2


def test_members_add_to_a_base_that_stays_as_it_is() -> None:
    conditioner = Conditioner(architecture(base_filters=(8,)), VAE)
    assert conditioner.base is not None
    designs = torch.randn(5, 2)
    alone = Conditioner(architecture(), VAE)
    alone.members.load_state_dict(conditioner.members.state_dict())
    base = posterior_from(conditioner.base(designs), VAE).mean().flat()
    for both, addition in zip(conditioner(designs), alone(designs), strict=True):
        torch.testing.assert_close(both.mean().flat(), base + addition.mean().flat())
    sum(member.mean().flat().sum() for member in conditioner(designs)).backward()
    assert all(parameter.grad is None for parameter in conditioner.base.parameters())


def test_members_start_near_their_base() -> None:
    designs = torch.randn(50, 2)

    def disagreement(base_filters: tuple[int, ...] | None) -> float:
        torch.manual_seed(0)
        conditioner = Conditioner(architecture(base_filters=base_filters), VAE)
        means = torch.stack([posterior.main.mean for posterior in conditioner(designs)])
        return means.std(dim=0).mean().item()

    assert 0 < disagreement((8,)) == pytest.approx(0.1 * disagreement(None), rel=1e-4)


@pytest.mark.parametrize(
    "values",
    [
        {"num_features": 0},
        {"filters": ()},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"num_members": 0},
        {"kind": "forest"},
        {"width": 3},
    ],
    ids=str,
)
def test_impossible_architectures_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        architecture(**values)
