"""Optimizers: which weights each has, and what Muon does with its own."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

from simulgen_pipeline.models.vae import HierarchicalVae
from simulgen_pipeline.training.config import DecoderOptimisation, VaeConfig
from simulgen_pipeline.training.objectives import Batch, EvidenceObjective
from simulgen_pipeline.training.optimizers import (
    NUM_ITERATIONS,
    Muon,
    optimizers_for,
    orthogonal,
)
from simulgen_pipeline.training.world import World

from .small_objectives import architecture_of, mlp_for

ALONE = World(rank=0, size=1, device=torch.device("cpu"), is_main=True, is_one_machine=True)
SIX = ((6, 4), (4, 6), (6, 4), (5, 5), (4, 6), (6, 4))
SHAPES = [(3, 20, 20), (2, 40, 12), (1, 7, 30), (1, 1, 9)]


def decoder_objective(vae: HierarchicalVae) -> EvidenceObjective:
    return EvidenceObjective(vae.decoder, mlp_for(vae), VaeConfig())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_orthogonal_keeps_singular_vectors_and_brings_values_near_one(
    shape: tuple[int, int, int], scale: float
) -> None:
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.linspace(1.0, 0.05, min(shape[1:]))
    found = orthogonal(scale * (left * values) @ right)
    assert found.shape == shape
    turned = left.mT @ found @ right.mT
    diagonal = torch.diagonal(turned, dim1=1, dim2=2)
    assert ((diagonal > 0.6) & (diagonal < 1.3)).all()
    torch.testing.assert_close(turned, torch.diag_embed(diagonal), rtol=0, atol=1e-3)


def test_a_matrix_of_zeros_stays() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_muon_does_what_torchs_does_but_for_its_bfloat16() -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((24, 16), (16, 24), (24, 16))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    start = [p.detach().clone() for p in ours]
    muon = Muon(ours, weight_decay=0.1, world=ALONE)
    for group in muon.param_groups:
        group["lr"] = 0.02
    reference = torch.optim.Muon(
        theirs,
        lr=0.02,
        weight_decay=0.1,
        momentum=0.95,
        ns_steps=NUM_ITERATIONS,
        adjust_lr_fn="match_rms_adamw",
    )
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        muon.step()
        reference.step()
    for mine, other, before in zip(ours, theirs, start, strict=True):
        moved = (mine - before).norm()
        assert moved > 0.1
        assert (mine - other).norm() < 0.03 * moved


@dataclass(frozen=True)
class Recorder(World):
    """One of several processes; what it would exchange with the others is kept."""

    given: list[list[torch.Tensor]] = field(default_factory=list)

    def exchange(self, shares: list[list[torch.Tensor]]) -> None:
        self.given.extend(shares)


def step_in(world: World) -> list[nn.Parameter]:
    """Six matrices of three shapes after a step from zero."""
    torch.manual_seed(0)
    matrices = [nn.Parameter(torch.zeros(shape)) for shape in SIX]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    muon = Muon(matrices, weight_decay=0.0, world=world)
    for group in muon.param_groups:
        group["lr"] = 0.02
    muon.step()
    return matrices


@pytest.mark.parametrize("size", [2, 3, 9])
def test_processes_of_a_machine_take_turns_with_the_matrices(size: int) -> None:
    """Each is made orthogonal by one, which has at most one more than another has."""
    nums = []
    for rank in range(size):
        world = Recorder(rank, size, torch.device("cpu"), is_main=rank == 0, is_one_machine=True)
        step_in(world)
        nums.append(sum(len(part) for part in world.given[rank]))
        assert sum(len(part) for share in world.given for part in share) == len(SIX)
    assert sum(nums) == len(SIX)
    assert max(nums) - min(nums) <= 1


def test_processes_of_several_machines_exchange_nothing() -> None:
    world = Recorder(1, 2, torch.device("cpu"), is_main=True, is_one_machine=False)
    for matrix, expected in zip(step_in(world), step_in(ALONE), strict=True):
        assert torch.equal(matrix, expected)
    assert not world.given


def test_muon_goes_on_from_its_stored_state(tmp_path: Path) -> None:
    shapes = ((6, 4), (4, 6), (6, 4), (5, 5), (4, 6))
    gradients = [[torch.randn(shape) for shape in shapes] for _ in range(6)]

    def start() -> tuple[list[nn.Parameter], Muon]:
        torch.manual_seed(1)
        matrices = [nn.Parameter(torch.randn(shape)) for shape in shapes]
        muon = Muon(matrices, weight_decay=0.1, world=ALONE)
        for group in muon.param_groups:
            group["lr"] = 0.02
        return matrices, muon

    def step(matrices: list[nn.Parameter], muon: Muon, i: int) -> None:
        for matrix, gradient in zip(matrices, gradients[i], strict=True):
            matrix.grad = gradient.clone()
        muon.step()

    whole, muon = start()
    for i in range(3):
        step(whole, muon, i)
    torch.save({"muon": muon.state_dict(), "weights": whole}, tmp_path / "state.pt")
    stored = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed, other = start()
    with torch.no_grad():
        for matrix, weights in zip(resumed, stored["weights"], strict=True):
            matrix.copy_(weights)
    other.load_state_dict(stored["muon"])
    for i in range(3, 6):
        step(whole, muon, i)
        step(resumed, other, i)
    for matrix, expected in zip(resumed, whole, strict=True):
        assert torch.equal(matrix, expected)


def test_hidden_matrices_are_muons_and_all_else_adamws(batch: Batch) -> None:
    vae = HierarchicalVae(architecture_of(batch))
    objective = decoder_objective(vae)
    adamw, muon = optimizers_for(objective, DecoderOptimisation(optimizer="muon"), ALONE)
    assert isinstance(adamw, torch.optim.AdamW)
    assert isinstance(muon, Muon)
    names = {parameter: name for name, parameter in objective.named_parameters()}
    his, rest = (
        {names[p] for group in optimizer.param_groups for p in group["params"]}
        for optimizer in (muon, adamw)
    )
    assert his | rest == set(names.values())
    assert not his & rest
    for name in ("levels.0.0.expand", "levels.1.0.steer", "up.0.project", "steering.2.0"):
        assert f"decoder.{name}.weight" in his
    for name in rest:
        if dict(objective.named_parameters())[name].ndim == 2:
            first, second = name.split(".")[:2]
            assert first == "posterior" or second in ("priors", "start", "out"), name


def test_the_encoders_first_layer_and_head_are_adamws(batch: Batch) -> None:
    vae = HierarchicalVae(architecture_of(batch))
    objective = EvidenceObjective(vae.decoder, vae.encoder, VaeConfig())
    _, muon = optimizers_for(objective, DecoderOptimisation(optimizer="muon"), ALONE)
    his = {id(p) for group in muon.param_groups for p in group["params"]}
    for hidden in (vae.encoder.levels, vae.encoder.down):
        assert {id(p) for p in hidden.parameters() if p.ndim == 2} < his
    for module in (vae.encoder.project, vae.encoder.head, vae.decoder.out):
        assert not {id(p) for p in module.parameters()} & his


def test_spectrally_normalised_matrices_are_muons_too(batch: Batch) -> None:
    vae = HierarchicalVae(architecture_of(batch, spectral_normalisation=True))
    _, muon = optimizers_for(decoder_objective(vae), DecoderOptimisation(optimizer="muon"), ALONE)
    his = {id(p) for group in muon.param_groups for p in group["params"]}
    original = vae.decoder.levels[0][0].expand.parametrizations.weight.original  # type: ignore[index]
    assert id(original) in his


def test_frozen_weights_belong_to_none(batch: Batch) -> None:
    vae = HierarchicalVae(architecture_of(batch))
    objective = decoder_objective(vae)
    vae.decoder.requires_grad_(False)
    (adamw,) = optimizers_for(objective, DecoderOptimisation(optimizer="muon"), ALONE)
    assert sum(len(group["params"]) for group in adamw.param_groups) == len(
        list(objective.posterior.parameters())
    )


def test_adamw_has_all_weights_where_it_is_asked_for(batch: Batch) -> None:
    objective = decoder_objective(HierarchicalVae(architecture_of(batch)))
    (adamw,) = optimizers_for(objective, DecoderOptimisation(optimizer="adamw"), ALONE)
    his = {id(parameter) for parameter in adamw.param_groups[0]["params"]}
    assert his == {id(parameter) for parameter in objective.parameters()}
