"""The processes that train together: who this one is, and sums over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .device import choose_backend, choose_device

# Size of a bucket that has room for all gradients [MiB].
ONE_BUCKET = 2**20


@dataclass(frozen=True)
class World:
    """This process among those that torchrun started.

    Attributes:
        is_main: whether this process logs and writes for all. It is the first on the machine that
            leads, whose rank is not 0 where torchrun ranks another machine first.
        is_one_machine: whether all processes are on this one.
    """

    rank: int
    size: int
    device: torch.device
    is_main: bool
    is_one_machine: bool

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, on each of them."""
        total = values.clone()
        dist.all_reduce(total)
        return total

    def exchange(self, shares: list[list[Tensor]]) -> None:
        """Fill in, on every process, what the others have.

        Args:
            shares: by rank, tensors of the same shapes on all processes; this one has the values of
                its own rank's.
        """
        sizes = [[part.numel() for part in share] for share in shares]
        flat = [share[0].new_empty(sum(of)) for share, of in zip(shares, sizes, strict=True)]
        torch.cat([part.flatten() for part in shares[self.rank]], out=flat[self.rank])
        waits = [dist.broadcast(values, rank, async_op=True) for rank, values in enumerate(flat)]
        for rank, wait in enumerate(waits):
            wait.wait()
            if rank != self.rank:
                values = flat[rank].split(sizes[rank])
                for part, value in zip(shares[rank], values, strict=True):
                    part.copy_(value.view_as(part))

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all processes; one process has nothing to average
        and is spared the copies of its gradients (5 to 10% of a step)."""
        if self.size == 1:
            return module
        has_cuda = self.device.type == "cuda"
        # By default sums start during the backward pass. On one machine's CPUs they would take its
        # cores from it: with all gradients in one bucket, after it, a step takes up to 10% less.
        is_at_end = self.is_one_machine and not has_cuda
        return DistributedDataParallel(
            module,
            device_ids=[self.device] if has_cuda else None,
            broadcast_buffers=False,  # they are constant, or follow from the weights
            gradient_as_bucket_view=True,
            bucket_cap_mb=ONE_BUCKET if is_at_end else None,
        )


def of_piece(wrapped: nn.Module, is_last: bool) -> AbstractContextManager[None]:
    """For the forward and backward pass of a piece of a batch: gradients add up, and are averaged
    over all processes with the last piece."""
    if is_last or not isinstance(wrapped, DistributedDataParallel):
        return nullcontext()
    context: AbstractContextManager[None] = wrapped.no_sync()
    return context


def find_world(leads: bool) -> World:
    """The world that torchrun describes in the environment.

    Args:
        leads: whether this machine is the one that a run was started on.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ["LOCAL_RANK"])
    return World(
        rank,
        size,
        choose_device(local_rank),
        is_main=leads and local_rank == 0,
        is_one_machine=size == int(os.environ["LOCAL_WORLD_SIZE"]),
    )


@contextmanager
def joined(world: World, timeout: float) -> Iterator[None]:
    """Be able to speak with the other processes.

    A process that fails does not take leave of the others, which might hang.

    Args:
        timeout: how long to wait for each other [s], to begin with and in each reduction. Gloo
            then raises an error in every process that waits. NCCL does not: its watchdog, which
            looks about once a minute, says so and aborts the process.
    """
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    backend = choose_backend(world.device)
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    yield
    dist.destroy_process_group()
