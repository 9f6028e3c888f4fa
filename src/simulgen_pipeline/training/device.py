"""The one place that chooses device, precision and communication backend.

CUDA with NCCL is written for but has only been run on CPU with gloo.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Literal

import joblib
import psutil
import torch
from torch import nn

from simulgen_pipeline.models.bfloat16 import has_bfloat16_tiles, multiplies_bfloat16_fast

Precision = Literal["auto", "float32", "bfloat16", "float16"]

# Channels of the field from which on it is taken as rough.
FEWEST_ROUGH_CHANNELS = 64
# Weights of a network's largest layer from which on it is large: between those of the default
# (0.4 million) and those of the original's filters (2 million).
FEWEST_WEIGHTS = 2**20

# Files with the limit of a control group and what is taken of it, and the name of what is of that
# for files and can be let go of, by version 2 and 1.
_MEMORY_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(local_rank: int) -> torch.device:
    """This process's GPU, or the CPU."""
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")


def choose_backend(device: torch.device) -> str:
    """Communication between processes: NCCL between GPUs, gloo between CPUs."""
    return "nccl" if device.type == "cuda" else "gloo"


def choose_num_processes(requested: Literal["auto"] | int) -> int:
    """Processes on a machine: one per GPU, or one that uses a CPU's cores."""
    if requested != "auto":
        return requested
    return max(1, torch.cuda.device_count())


def thread_environment(num_processes: int) -> dict[str, str]:
    """Environment variables that divide this machine's cores among processes.

    Threads that wait for each other all wait for the slowest, so of more than two cores one is left
    to others. They soon fall asleep when they wait: two that spin as long as they do by default
    trained ten times slower beside a process that keeps a core busy than alone. Like this, on two
    cores with the benchmark `unsteady_heat`, two threads trained 138 designs/s alone and 50 beside
    such a process, and one thread 102 and 88.
    """
    num_cores = joblib.cpu_count()  # heeds affinity and a container's quota
    num_used = num_cores - 1 if num_cores > 2 else num_cores
    num_threads = max(1, num_used // num_processes)
    return {"OMP_NUM_THREADS": str(num_threads), "GOMP_SPINCOUNT": "10000"}


def seed_device(device: torch.device, seed: int) -> None:
    """Seed what modules draw on a device, such as dropout.

    `torch.manual_seed` would go through all kinds of devices, and keeps a stack trace for those
    that are not there: 3% of a small step.
    """
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def memory_environment() -> dict[str, str]:
    """Environment variables that let a process keep the memory that its next step needs again.

    glibc gives large blocks back as soon as they are free, and the system clears each page anew: of
    a training step with the original's widths that took 8% of the time. 32 MiB is the largest
    threshold that glibc takes. Other C libraries know no such variables.
    """
    return {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**40)}


def available_memory(root: Path = Path("/")) -> int:
    """Memory that this process may still take [bytes]: what is free, within its groups' limits.

    Containers and batch systems set limits by Linux's control groups, of version 2 or 1, where a
    group's limit holds for all groups in it. Files that the system keeps in memory are no matter,
    where it can let go of them.
    """
    rooms = [int(psutil.virtual_memory().available)]
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # not Linux
        return rooms[0]
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, own = root / "sys/fs/cgroup" / controllers, PurePosixPath(path.lstrip("/"))
        limit, used, cached = _MEMORY_FILES[controllers]
        for folder in (top / place for place in (own, *own.parents)):
            try:
                room = int((folder / limit).read_text()) - int((folder / used).read_text())
                statistics = (folder / "memory.stat").read_text().split()
                room += int(statistics[statistics.index(cached) + 1])
            except (OSError, ValueError):  # not seen from a container, or without a limit ("max")
                continue
            rooms.append(room)
    return max(0, min(rooms))


def network_environment(address: str) -> dict[str, str]:
    """Environment variables that let gloo speak over the interface that has this address.

    By itself it takes the one that the machine's own name resolves to, which is often the loopback.
    NCCL looks for one that is not the loopback by itself.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == address for entry in addresses):
            return {"GLOO_SOCKET_IFNAME": name}
    return {}


def choose_precision(
    precision: Precision, device: torch.device, num_channels: int, objective: nn.Module
) -> torch.dtype:
    """The type of matrix products.

    `auto` is bfloat16 where fields are rough and the hardware multiplies it fast. Smooth fields,
    which few POD modes describe, can be told more accurately than bfloat16 resolves (measured with
    51 modes: errors of unseen designs were 8% smaller in float32). With AVX-512 it is twice as fast
    as float32, and then little of a small network's step are products: `full_vae` took 0.98 of the
    time with the defaults (heat pulse), and a step with the original's filters 0.53.
    """
    if precision != "auto":
        return _TYPES[precision]
    if num_channels < FEWEST_ROUGH_CHANNELS:
        return torch.float32
    if device.type == "cuda":
        is_fast = torch.cuda.is_bf16_supported()
    else:
        largest = max((weight.numel() for weight in objective.parameters()), default=0)
        is_large = largest >= FEWEST_WEIGHTS
        is_fast = has_bfloat16_tiles() or (is_large and multiplies_bfloat16_fast())
    return torch.bfloat16 if is_fast else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Run matrix products in `dtype`; weights and reductions stay float32."""
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)
