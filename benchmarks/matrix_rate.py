"""How fast this machine multiplies large matrices: what all speeds are compared with."""

from __future__ import annotations

import time

import torch

SIZE = 4096
NUM_REPEATS = 4
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def matrix_rates(size: int = SIZE) -> dict[str, float]:
    """Floating-point rate of a product of square matrices, the best of some [GFLOP/s].

    On as many threads as PyTorch has, in each precision.
    """
    rates = {}
    for name, precision in PRECISIONS.items():
        left, right = (torch.randn(size, size).to(precision) for _ in range(2))
        result = left @ right  # prepares what the first product prepares
        seconds = []
        for _ in range(NUM_REPEATS):
            start = time.perf_counter()
            torch.mm(left, right, out=result)
            seconds.append(time.perf_counter() - start)
        rates[name] = 2e-9 * size**3 / min(seconds)
    return rates
