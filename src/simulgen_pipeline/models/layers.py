"""Building blocks: steered residual blocks over time, changes of time resolution, residual MLPs.

Shapes: B batch, T time steps, C channels, S steering features.

Activations are kept (B, T, C), channels last: a 1 x 1 convolution is then a matrix product, and a
depthwise convolution a `Conv2d` on the channels-last view (B, C, T, 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from .dropout import Dropout

KERNEL_SIZE = 5  # of depthwise convolutions [time steps]
EXPANSION = 2  # widening inside a residual block
# Frequency of the activation: a high one, as travelling features need (Sitzmann et al. 2020).
FREQUENCY = 2.0


class DepthwiseConvolution(nn.Module):
    """Convolution over time, each channel with its own kernel; the length is kept."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            num_channels,
            num_channels,
            (KERNEL_SIZE, 1),
            padding=(KERNEL_SIZE // 2, 0),
            groups=num_channels,
        )

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        image = x.unsqueeze(2).permute(0, 3, 1, 2)  # (B, C, T, 1), channels last in memory
        y: Tensor = self.convolution(image)
        return y.permute(0, 2, 3, 1).squeeze(2)


class ResidualBlock(nn.Module):
    """Depthwise-separable residual block over time, optionally steered by latents.

    Depthwise convolution, layer norm, 1 x 1 expansion, activation and 1 x 1 projection: the cell of
    NVAE (Vahdat & Kautz 2020) in the order of ConvNeXt (Liu et al. 2022). Steering sets the block's
    shift, scale and gate (adaptive layer norm, Peebles & Xie 2023).
    """

    def __init__(self, num_channels: int, num_steering: int = 0, spectral: bool = False) -> None:
        super().__init__()
        self.convolution = DepthwiseConvolution(num_channels)
        self.norm = nn.LayerNorm(num_channels, elementwise_affine=num_steering == 0)
        self.expand = nn.Linear(num_channels, EXPANSION * num_channels)
        self.project = nn.Linear(EXPANSION * num_channels, num_channels)
        self.steer = nn.Linear(num_steering, 3 * num_channels) if num_steering else None
        if self.steer is not None:
            nn.init.normal_(self.steer.weight, std=num_steering**-0.5)
            nn.init.zeros_(self.steer.bias)
        if spectral:
            for layer in (self.expand, self.project):
                spectral_norm(layer)

    def forward(
        self, x: Float[Tensor, "B T C"], steering: Float[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B T C"]:
        h: Tensor = self.norm(self.convolution(x))
        if self.steer is None or steering is None:
            plain: Tensor = self.project(periodic(self.expand(h)))
            return x + plain
        shift, scale, gate = self.steer(steering).unsqueeze(1).chunk(3, dim=-1)  # (B, 1, C) each
        h = h * (1 + scale) + shift
        steered: Tensor = (1 + gate) * self.project(periodic(self.expand(h)))
        return x + steered


def periodic(x: Tensor) -> Tensor:
    """Activation: sine."""
    return torch.sin(FREQUENCY * x)


class Downsample(nn.Module):
    """Change the width and, if `shrink`, halve the time axis: pairs of steps become one."""

    def __init__(self, num_in: int, num_out: int, shrink: bool) -> None:
        super().__init__()
        self.shrink = shrink
        self.project = nn.Linear(2 * num_in if shrink else num_in, num_out)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B U D"]:
        if self.shrink:
            x = F.pad(x, (0, 0, 0, x.shape[1] % 2))
            x = x.reshape(x.shape[0], x.shape[1] // 2, -1)
        y: Tensor = self.project(x)
        return y


class Upsample(nn.Module):
    """Learned change of width, then linear interpolation over time from T = `length` to `longer`.

    It is a product with the matrix of the weights: F.interpolate's backward pass is slow.
    """

    def __init__(self, num_in: int, num_out: int, length: int, longer: int) -> None:
        super().__init__()
        self.project = nn.Linear(num_in, num_out)
        self.weights: Tensor | None
        weights = None if length == longer else _interpolation(length, longer)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B U D"]:
        x = self.project(x)
        if self.weights is None:
            return x
        with torch.autocast(x.device.type, enabled=False):
            return (self.weights @ x.float()).to(x.dtype)


def _interpolation(length: int, longer: int) -> Float[Tensor, "U T"]:
    """Weights that interpolate linearly from T = `length` steps to U = `longer`, ends to ends."""
    each_step = torch.eye(length).unsqueeze(0)
    return F.interpolate(each_step, size=longer, mode="linear", align_corners=True)[0].T


class ResidualMlp(nn.Module):
    """Fully connected network of residual blocks; where the width changes the skip is linear."""

    def __init__(
        self, num_in: int, num_out: int, filters: Sequence[int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.widths = (num_in, *filters, num_out)
        self.first = nn.Linear(num_in, filters[0])
        widths = list(zip((filters[0], *filters), filters, strict=False))
        self.blocks = nn.ModuleList(_mlp_block(a, b, dropout) for a, b in widths)
        self.skips = nn.ModuleList(nn.Identity() if a == b else nn.Linear(a, b) for a, b in widths)
        self.last = nn.Sequential(nn.LayerNorm(filters[-1]), nn.Linear(filters[-1], num_out))

    def forward(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B Q"]:
        x = self.first(x)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = skip(x) + block(x)
        y: Tensor = self.last(x)
        return y


def _mlp_block(num_in: int, num_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(num_in),
        nn.Linear(num_in, num_out),
        nn.SiLU(),
        Dropout(dropout),
        nn.Linear(num_out, num_out),
    )
