"""How networks are run in training: what their backward pass keeps, and compiled or not.

Neither changes parameters, buffers or their names: checkpoints fit with and without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.checkpoint import checkpoint

from simulgen_pipeline.models.conditioner import Conditioner
from simulgen_pipeline.models.layers import ResidualBlock, ResidualMlp
from simulgen_pipeline.models.picture_networks import PictureBlock
from simulgen_pipeline.models.vae import Decoder, Encoder

# What generates the code of compiled networks.
COMPILER = "inductor"


def keep_less(objective: nn.Module) -> None:
    """Let residual blocks keep their inputs only, and compute the rest again when it is needed.

    Results are the same to the bit.

    Source: gradient checkpointing, Chen et al. 2016.
    """
    for block in objective.modules():
        if isinstance(block, ResidualBlock | PictureBlock) and "forward" not in vars(block):
            again = partial(checkpoint, block.forward, use_reentrant=False)
            if any(is_parametrized(layer) for layer in block.modules()):  # else not compilable
                again = partial(again, context_fn=partial(_first_and_again, block))
            block.forward = again  # type: ignore[method-assign]


def _first_and_again(
    block: nn.Module,
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _as_it_was(block)


@contextmanager
def _as_it_was(block: nn.Module) -> Iterator[None]:
    """Compute with the spectral norms of the first time: in training each look improves them."""
    training = block.training
    block.eval()
    try:
        yield
    finally:
        block.train(training)


def compile_networks(objective: nn.Module, failed: Callable[[Exception], None]) -> None:
    """Compile an objective's networks when they are first run; one that cannot be runs as it is.

    Args:
        failed: is told why a network could not be compiled.
    """
    for network in objective.children():
        is_network = isinstance(network, Encoder | Decoder | Conditioner | ResidualMlp)
        if is_network and "forward" not in vars(network):
            network.forward = _Compiled(network.forward, failed)


class _Compiled:
    """A compiled function, or the function itself from the first failure on."""

    def __init__(self, plain: Callable[..., Any], failed: Callable[[Exception], None]) -> None:
        self.plain, self.failed = plain, failed
        self.run: Callable[..., Any] = torch.compile(plain, backend=COMPILER)

    def __call__(self, *args: Any) -> Any:
        if self.run is self.plain:
            return self.plain(*args)
        try:
            return self.run(*args)
        except Exception as error:
            self.run = self.plain
            result = self.plain(*args)  # raises what is not the compiler's fault
            self.failed(error)
            return result
