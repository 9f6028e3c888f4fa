"""Gradient checkpointing and compilation: the same results, whatever a network is run with."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor, nn

from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.latents import Latents, VaeArchitecture
from simulgen_pipeline.models.vae import HierarchicalVae
from simulgen_pipeline.training import execution
from simulgen_pipeline.training.config import VaeConfig
from simulgen_pipeline.training.execution import compile_networks, keep_less
from simulgen_pipeline.training.field_augmentation import FieldAugmentation
from simulgen_pipeline.training.objectives import (
    Batch,
    ConditionerObjective,
    EvidenceObjective,
    FieldFit,
)
from simulgen_pipeline.training.picture_augmentation import PictureAugmentation

BATCH, SIDE, NUM_STEPS = 4, 16, 3


def architecture(spectral: bool) -> VaeArchitecture:
    return VaeArchitecture(
        num_time_steps=12,
        num_channels=5,
        filters=(24, 16, 12),
        num_blocks=2,
        latent_size=4,
        hierarchical_latent_size=2,
        spectral_normalisation=spectral,
    )


def evidence(spectral: bool) -> nn.Module:
    vae = HierarchicalVae(architecture(spectral))
    config = VaeConfig(augmentation=FieldAugmentation(noise_probability=0.5))
    return EvidenceObjective(vae.decoder, vae.encoder, config)


def conditioning() -> nn.Module:
    """A conditioner that reads pictures, learning through a decoder that learns too."""
    vae = architecture(spectral=False)
    pictures = ConditionerArchitecture(
        kind="cnn",
        num_features=2,
        num_channels=3,
        image_size=SIDE,
        filters=(8, 8),
        squeeze_excitation=True,
        dropout=0.2,
        num_members=2,
    )
    return ConditionerObjective(
        Conditioner(pictures, vae),
        HierarchicalVae(vae).decoder,
        torch.ones(vae.num_latents),
        PictureAugmentation(),
        FieldFit("mse", True, 0.1, tune_decoder=True),
    )


OBJECTIVES: dict[str, Callable[[], nn.Module]] = {
    "vae": lambda: evidence(spectral=False),
    "vae with spectral norms": lambda: evidence(spectral=True),
    "pictures": conditioning,
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return OBJECTIVES[name]()


def batch_for(name: str) -> Batch:
    generator = torch.Generator().manual_seed(1)
    fields = torch.randn(BATCH, 12, 5, generator=generator)
    batch = Batch(fields, torch.randn(BATCH, 2, generator=generator), torch.ones(BATCH))
    if name != "pictures":
        return batch
    latents = Latents(*(torch.randn(BATCH, *n, generator=generator) for n in ((4,), (2, 2))))
    levels = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return batch._replace(latents=latents, pictures=levels)


def trained(objective: nn.Module, name: str) -> dict[str, Tensor]:
    """Weights, buffers and gradients after a few steps."""
    batch = batch_for(name)
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.1)
    objective.train()
    for step in range(NUM_STEPS):
        torch.manual_seed(step)
        optimizer.zero_grad()
        noise = torch.randn(BATCH, objective.noise_size)  # type: ignore[call-overload]
        objective(batch, noise, step / NUM_STEPS)["loss"].mean().backward()
        optimizer.step()
    gradients = {
        f"gradient of {key}": parameter.grad
        for key, parameter in objective.named_parameters()
        if parameter.grad is not None
    }
    return {**objective.state_dict(), **gradients}


def kept_bytes(objective: nn.Module, name: str) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights left out."""
    weights = {parameter.data_ptr() for parameter in objective.parameters()}
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        if value.data_ptr() not in weights:
            kept[value.data_ptr()] = value.numel() * value.element_size()
        return value

    batch = batch_for(name)
    noise = torch.randn(BATCH, objective.noise_size)  # type: ignore[call-overload]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        terms = objective(batch, noise, 0.5)
    assert terms["loss"].isfinite().all()
    return sum(kept.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_checkpointing_gives_the_same_bits(name: str) -> None:
    plain, checkpointed = made(name), made(name)
    keep_less(checkpointed)
    expected, got = trained(plain, name), trained(checkpointed, name)
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        assert torch.equal(got[key], value), key


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_checkpointing_keeps_less(name: str) -> None:
    plain, checkpointed = made(name), made(name)
    keep_less(checkpointed)
    assert kept_bytes(checkpointed, name) < 0.6 * kept_bytes(plain, name)


def test_blocks_that_keep_less_are_left_alone_by_a_later_stage() -> None:
    objective = made("vae")
    keep_less(objective)
    before = [vars(module).get("forward") for module in objective.modules()]
    keep_less(objective)
    after = [vars(module).get("forward") for module in objective.modules()]
    assert all(a is b for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_network_that_cannot_be_compiled_runs_as_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(function: Any, backend: str) -> Any:
        def run(*args: Any) -> Any:
            raise RuntimeError("no C++ compiler")

        return run

    monkeypatch.setattr(torch, "compile", failing)
    plain, other = made(name), made(name)
    reasons: list[Exception] = []
    compile_networks(other, reasons.append)
    expected, got = trained(plain, name), trained(other, name)
    assert [str(reason) for reason in reasons] == 2 * ["no C++ compiler"]  # once per network
    assert list(expected) == list(got)
    for key, value in expected.items():
        assert torch.equal(got[key], value), key


def test_an_error_that_is_not_the_compilers_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, backend: partial(function))
    objective = made("vae")
    reasons: list[Exception] = []
    compile_networks(objective, reasons.append)
    wrong = Latents(torch.zeros(BATCH, 3), torch.zeros(BATCH, 2, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        objective.decoder(wrong)  # type: ignore[operator]
    assert reasons == []


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own doing
def test_compiled_networks_train_the_same_under_the_same_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # no compiler reads those
    monkeypatch.setattr(execution, "COMPILER", "aot_eager")  # all but the generation of code
    plain, compiled = made("vae"), made("vae")
    reasons: list[Exception] = []
    keep_less(compiled)
    compile_networks(compiled, reasons.append)
    expected, got = trained(plain, "vae"), trained(compiled, "vae")
    assert reasons == []
    assert list(expected) == list(got)
    for key, value in expected.items():
        torch.testing.assert_close(got[key], value, rtol=1e-3, atol=1e-5)
