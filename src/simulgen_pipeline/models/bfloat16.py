"""Where bfloat16 is worth its rounding."""

from __future__ import annotations

import torch

# Products of tiles (Intel since Sapphire Rapids), and of pairs in AVX-512 (AMD since Zen 4).
CPU_CAPABILITIES = ("amx_bf16", "avx512_bf16")


def cpu_multiplies_bfloat16_fast() -> bool:
    """Whether this CPU's products of bfloat16 matrices are faster than those of float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in CPU_CAPABILITIES)
