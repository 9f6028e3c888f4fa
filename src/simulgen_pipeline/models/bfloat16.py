"""Which CPUs multiply matrices faster in bfloat16 than in float32."""

from __future__ import annotations

import torch


def has_bfloat16_tiles() -> bool:
    """Whether there is a unit for products of tiles (AMX), many times as fast as float32."""
    return _has("amx_bf16")


def multiplies_bfloat16_fast() -> bool:
    """Whether products are at least about twice as fast: AMX, or AVX-512 with bfloat16."""
    return has_bfloat16_tiles() or _has("avx512_bf16")


def _has(capability: str) -> bool:
    return bool(torch.cpu.get_capabilities().get(capability, False))
