"""Training data as batches of tensors, in memory or read ahead by the batch.

Shapes: N designs, T time steps, C channels, P features (or, of pictures, colour channels C and side
S), B batch.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.models.latents import Latents

from .device import available_memory
from .objectives import Batch

Memory = Literal["auto", "preload", "lazy"]
Fields = tuple[Tensor, Tensor | None]

# Data is held in memory up to this share of what is free.
PRELOAD_SHARE = 0.25
# Batches may be read ahead up to this size in all, and by so many threads: the HDF5 library reads
# one at a time, while another is converted.
AHEAD_BYTES = 512 * 2**20
MOST_READERS = 2
# Of a batch so much goes through the networks at a time: a step holds a dozen arrays of that size.
PIECE_BYTES = 64 * 2**20

Indices = NDArray[np.int64]


class Rows(NamedTuple):
    """Designs of a batch, and those that they are mixed with, if any."""

    designs: Sequence[int]
    partners: Sequence[int] | None = None


def free_bytes(device: torch.device) -> int:
    """Free memory where preloaded data would lie: the GPU's, or a share of the machine's.

    The processes of a machine, which torchrun counts, each hold all data.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    num_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return available_memory() // num_processes


def choose_memory(memory: Memory, num_bytes: int, device: torch.device) -> Memory:
    """`auto` preloads data of up to a quarter of the memory that `free_bytes` finds."""
    if memory != "auto":
        return memory
    return "preload" if num_bytes <= PRELOAD_SHARE * free_bytes(device) else "lazy"


def choose_num_readers(memory: Memory, batch_bytes: int) -> int:
    """Threads that read batches ahead: none of preloaded data, nor of batches that are too large.

    Every reader holds a batch, and one more waits to be used.
    """
    if memory == "preload":
        return 0
    return max(0, min(MOST_READERS, AHEAD_BYTES // max(1, batch_bytes) - 1))


class TrainingData:
    """Channels of all designs with their scaled features, norms and, if known, latents.

    Args:
        fields: handle on the channels (N, T, C).
        designs: scaled features (N, P).
        norms: Frobenius norm of each design's field in channel units (N,).
        latents: all latents of each design, or None.
        pictures: levels of the designs' pictures (N, C, S, S), uint8, or None.
        memory: `preload`, `lazy`, or `auto`, as `choose_memory` says.

    Attributes:
        memory: `preload` or `lazy`, as chosen.
    """

    def __init__(
        self,
        fields: SimulationFields,
        designs: Tensor,
        norms: Tensor,
        latents: Latents | None,
        pictures: Tensor | None,
        memory: Memory,
        device: torch.device,
    ) -> None:
        self.fields, self.device = fields, device
        self.designs, self.norms = designs.to(device), norms.to(device)
        self.pictures = None if pictures is None else pictures.to(device)
        self.latents = None if latents is None else Latents(*(part.to(device) for part in latents))
        num_designs, num_times, num_channels = fields.shape
        self._design_bytes = 4 * num_times * num_channels
        self.memory = choose_memory(memory, num_designs * self._design_bytes, device)
        self._preloaded: Tensor | None = None
        if self.memory == "preload":
            self._preloaded = torch.empty(fields.shape, device=device)
            for rows, values in fields.blocks():
                self._preloaded[int(rows[0]) : int(rows[-1]) + 1] = torch.from_numpy(values)

    @property
    def num_channels(self) -> int:
        """C."""
        return self.fields.shape[2]

    def pieces(self, rows: Indices) -> list[Indices]:
        """The rows of a batch in pieces of about the same size, which go through the networks one
        after the other; a GPU takes a batch whole."""
        if self.device.type == "cuda":
            return [rows]
        num_pieces = -(-len(rows) * self._design_bytes // PIECE_BYTES)
        return np.array_split(rows, min(max(1, num_pieces), len(rows)))

    def batch(self, rows: Sequence[int]) -> Batch:
        """The designs of some rows."""
        return self._batch(Rows(rows), self._fields(rows), None)

    def batches(self, wanted: Sequence[Rows]) -> Iterator[Batch]:
        """The batches of some rows, one after the other; lazy ones are read ahead."""
        most = max((len(rows.designs) + len(rows.partners or ()) for rows in wanted), default=0)
        num_readers = choose_num_readers(self.memory, most * self._design_bytes)
        for rows, fields in zip(
            wanted, _ahead(self._with_partners, wanted, num_readers), strict=True
        ):
            yield self._batch(rows, *fields)

    def _with_partners(self, rows: Rows) -> Fields:
        partners = None if rows.partners is None else self._fields(rows.partners)
        return self._fields(rows.designs), partners

    def _batch(self, rows: Rows, fields: Tensor, partners: Tensor | None) -> Batch:
        index = self._index(rows.designs)
        latents = None if self.latents is None else Latents(*(part[index] for part in self.latents))
        return Batch(
            fields.to(self.device),
            self.designs[index],
            self.norms[index],
            latents,
            None if self.pictures is None else self.pictures[index],
            None if partners is None else partners.to(self.device),
            None if rows.partners is None else self.norms[self._index(rows.partners)],
        )

    def _fields(self, rows: Sequence[int]) -> Tensor:
        if self._preloaded is not None:
            return self._preloaded[self._index(rows)]
        return self._read(rows)

    def _index(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    def _read(self, rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(self.fields.read(list(rows)).astype(np.float32, copy=False))


def _ahead(
    read: Callable[[Rows], Fields], wanted: Iterable[Rows], num_readers: int
) -> Iterator[Fields]:
    """What is read of each, in order; so many threads are one batch each ahead of who asks."""
    if num_readers == 0:
        yield from map(read, wanted)
        return
    with ThreadPoolExecutor(num_readers) as readers:
        waiting: deque[Future[Fields]] = deque()
        try:
            for rows in wanted:
                waiting.append(readers.submit(read, rows))
                if len(waiting) > num_readers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
