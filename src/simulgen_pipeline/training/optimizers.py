"""What moves the weights: Muon for the hidden layers of encoder and decoder, AdamW for all else.

Shapes: K matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from simulgen_pipeline.models.vae import Decoder, Encoder

from .config import DecoderOptimisation, OptimisationConfig
from .world import World

# AdamW's decay rates of the gradient's moments.
BETAS = (0.9, 0.99)
# Muon's decay rate of its momentum.
MOMENTUM = 0.95
# Newton-Schulz iterations and the coefficients of their odd polynomial of fifth degree. Four take
# the singular values of a matrix of norm 1 that are above 0.005 to between 0.66 and 1.2. A fifth,
# which Jordan et al. take, reaches smaller ones and costs a quarter more.
NUM_ITERATIONS = 4
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
# Of encoder and decoder.
HIDDEN_PARTS = ("levels", "down", "up", "steering")
# Root mean square of a Muon update's elements, about that of AdamW's: one learning rate fits both
# (Liu et al. 2025, Muon is Scalable for LLM Training).
UPDATE_SIZE = 0.2


class Muon(torch.optim.Optimizer):
    """Momentum whose update of each weight matrix is made nearly orthogonal.

    All directions in which a matrix could go are then gone in equally far, where a gradient's few
    largest would decide otherwise. `torch.optim.Muon` does the same for one matrix after another
    and in bfloat16, which most CPUs multiply several times slower than float32.

    Processes of one machine take turns with the matrices and exchange the updates, which between
    machines would be nearly as much to send as the gradients; momentum they all have.

    Source: Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks.
    """

    def __init__(self, matrices: Iterable[Tensor], weight_decay: float, world: World) -> None:
        of_shape: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            of_shape.setdefault(matrix.shape, []).append(matrix)
        groups = [{"params": same} for same in of_shape.values()]
        super().__init__(groups, {"lr": 0.0, "weight_decay": weight_decay})
        self.world = world

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every matrix by its gradient; those of one shape go together."""
        updates = self._orthogonal([self._directions(g["params"]) for g in self.param_groups])
        for group, directions in zip(self.param_groups, updates, strict=True):
            matrices: list[Tensor] = group["params"]
            rate = group["lr"] * UPDATE_SIZE * max(matrices[0].shape) ** 0.5
            for matrix, direction in zip(matrices, directions, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(direction, alpha=-rate)

    def _orthogonal(self, directions: list[Float[Tensor, "K R C"]]) -> list[Float[Tensor, "K R C"]]:
        """All directions made orthogonal, in turns where processes share a machine."""
        size, num_before = self.world.size, 0
        if size == 1 or not self.world.is_one_machine:
            return [orthogonal(matrices) for matrices in directions]
        shares: list[list[Tensor]] = [[] for _ in range(size)]
        for matrices in directions:
            for rank, share in enumerate(shares):
                share.append(matrices[(rank - num_before) % size :: size])
            num_before += len(matrices)
        for mine in shares[self.world.rank]:
            mine.copy_(orthogonal(mine))
        self.world.exchange(shares)  # of views: it fills in the directions
        return directions

    def _directions(self, matrices: list[Tensor]) -> Float[Tensor, "K R C"]:
        """Gradients and momentum, as in Nesterov's method."""
        gradients = []
        for matrix in matrices:
            assert matrix.grad is not None, "every trained weight takes part in every loss"
            gradients.append(matrix.grad)
        gradient = torch.stack(gradients)
        state = self.state[matrices[0]]  # that of all
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp_(momentum, MOMENTUM)


def orthogonal(matrices: Float[Tensor, "K R C"]) -> Float[Tensor, "K R C"]:
    """Matrices with the singular vectors of these, and singular values near 1."""
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def optimizers_for(
    objective: nn.Module, optimisation: OptimisationConfig, world: World
) -> list[torch.optim.Optimizer]:
    """The optimizers that share an objective's trained weights; their learning rates are set by who
    uses them."""
    trained = [p for p in objective.parameters() if p.requires_grad]
    matrices: list[nn.Parameter] = []
    if isinstance(optimisation, DecoderOptimisation) and optimisation.optimizer == "muon":
        matrices = _matrices(objective)
    taken = {id(matrix) for matrix in matrices}
    rest = [p for p in trained if id(p) not in taken]
    decay = optimisation.weight_decay
    # Fused: one pass over the weights; the default takes a dozen.
    adamw = torch.optim.AdamW(rest, betas=BETAS, weight_decay=decay, fused=True)
    return [adamw, Muon(matrices, decay, world)] if matrices else [adamw]


def _matrices(objective: nn.Module) -> list[nn.Parameter]:
    """Trained weight matrices of the hidden layers of encoder and decoder.

    The first and the last one have a side for the field's channels, which may be all nodes.
    """
    return [
        weight
        for network in objective.modules()
        if isinstance(network, Encoder | Decoder)
        for part, module in network.named_children()
        if part in HIDDEN_PARTS
        for weight in module.parameters()
        if weight.requires_grad and weight.ndim == 2
    ]
