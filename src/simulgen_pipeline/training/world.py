"""The processes that train together: who this one is, and sums over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .device import choose_backend, choose_device

# A process that does not answer for so long is taken for dead.
TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """This process among those that torchrun started."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process logs and writes for all."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, on each of them."""
        values = values.clone()
        dist.all_reduce(values)
        return values

    def wrap(self, module: nn.Module) -> DistributedDataParallel:
        """The module with gradients averaged over all processes."""
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)


@contextmanager
def join_world() -> Iterator[World]:
    """Join the process group that torchrun describes in the environment."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = choose_device(int(os.environ["LOCAL_RANK"]))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(choose_backend(device), timeout=TIMEOUT)
    try:
        yield World(rank, size, device)
    finally:
        dist.destroy_process_group()
