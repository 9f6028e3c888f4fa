"""Networks prepared for prediction, once: they take fewer steps, each of which costs some
microseconds, and give the same values but for float32's rounding.

Shapes: K members, B batch, P inputs, Q outputs, T time steps, C channels, F features, S steering
(of pictures: side).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from .conditioner import Conditioner
from .latents import Latents
from .layers import FREQUENCY, DepthwiseConvolution, ResidualBlock, ResidualMlp
from .vae import Decoder


class PreparedMlps:
    """Residual networks of the same shapes side by side: (B, P) to (K, B, Q)."""

    @torch.inference_mode()
    def __init__(self, mlps: Sequence[ResidualMlp]) -> None:
        self._first = _LinearLayers.of([mlp.first for mlp in mlps])
        self._blocks = [
            (
                _LinearLayers.of([block[1] for block in blocks], [block[0] for block in blocks]),
                _LinearLayers.of([block[-1] for block in blocks]),
            )
            for blocks in zip(*(mlp.blocks for mlp in mlps), strict=True)
        ]
        self._skips = [
            None if isinstance(skips[0], nn.Identity) else _LinearLayers.of(skips)
            for skips in zip(*(mlp.skips for mlp in mlps), strict=True)
        ]
        self._last = _LinearLayers.of([mlp.last[1] for mlp in mlps], [mlp.last[0] for mlp in mlps])

    @torch.inference_mode()
    def __call__(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "K B Q"]:
        x = self._first(x.expand(len(self._first.bias), -1, -1))
        for (widen, project), skip in zip(self._blocks, self._skips, strict=True):
            h = project(F.silu(widen(_normed(x)), inplace=True))
            x = h.add_(x if skip is None else skip(x))
        return self._last(_normed(x))


class PreparedConditioner:
    """A conditioner's members: parameters (K, B, Q) of their posteriors, as `posterior_from` reads
    them.
    """

    def __init__(self, conditioner: Conditioner) -> None:
        self._reader, base = conditioner.reader, conditioner.base
        self._members = PreparedMlps(cast(list[ResidualMlp], list(conditioner.members)))
        self._base = None if base is None else PreparedMlps([base])

    @torch.inference_mode()
    def __call__(
        self, features: Float[Tensor, "B P"], pictures: UInt8[Tensor, "B C S S"] | None = None
    ) -> Float[Tensor, "K B Q"]:
        read = features if self._reader is None else self._reader(pictures).float()
        parameters = self._members(read)
        return parameters if self._base is None else parameters.add_(self._base(features))


class PreparedDecoder:
    """A decoder's features (B, T, F) of latents."""

    @torch.inference_mode()
    def __init__(self, decoder: Decoder) -> None:
        a = decoder.architecture
        first, _, second, _ = zip(*(layers.children() for layers in decoder.steering), strict=True)
        self._steering = [
            _LinearLayers.of(layers, num_in=num_in)
            for layers, num_in in ((first, a.num_latents), (second, None))
        ]
        self._levels = [
            [_Block(cast(ResidualBlock, block)) for block in blocks.children()]
            for blocks in decoder.levels
        ]
        self._up, self._norm = decoder.up, decoder.norm
        self._start = decoder.start.unsqueeze(0)
        # What the first block does before it is steered.
        self._normed_start = self._levels[0][0].normed(self._start)

    @torch.inference_mode()
    def __call__(self, latents: Latents) -> Float[Tensor, "B T F"]:
        steering = latents.flat().expand(len(self._levels), -1, -1)
        for layers in self._steering:
            steering = F.silu(layers(steering), inplace=True)
        h = self._start
        for level, blocks in enumerate(self._levels):
            if level > 0:
                h = self._up[level - 1](h)
            for block in blocks:
                normed = self._normed_start if h is self._start else block.normed(h)
                h = block.steered(h, normed, steering[level])
        features: Tensor = self._norm(h)
        return features


class _Block:
    """A steered residual block."""

    def __init__(self, block: ResidualBlock) -> None:
        assert block.steer is not None
        self._taps, self._bias = _taps(block.convolution)
        size = len(self._bias)
        bias = block.steer.bias.clone()
        bias[size:] += 1.0  # of scale and gate
        self._steer = block.steer.weight, bias
        self._expand = FREQUENCY * block.expand.weight, FREQUENCY * block.expand.bias
        self._project = block.project.weight, block.project.bias

    def normed(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        """Convolved and normalised."""
        middle = len(self._taps) // 2
        y = torch.addcmul(self._bias, x, self._taps[middle])
        for shift in range(1, middle + 1):
            y[:, :-shift].addcmul_(x[:, shift:], self._taps[middle + shift])
            y[:, shift:].addcmul_(x[:, :-shift], self._taps[middle - shift])
        return _normed(y)

    def steered(
        self,
        x: Float[Tensor, "B T C"],
        normed: Float[Tensor, "B T C"],
        steering: Float[Tensor, "B S"],
    ) -> Float[Tensor, "B T C"]:
        """What the block makes of x."""
        shift, scale, gate = F.linear(steering, *self._steer).unsqueeze(1).chunk(3, dim=-1)
        waves = F.linear(torch.addcmul(shift, normed, scale), *self._expand).sin_()
        return torch.addcmul(x, F.linear(waves, *self._project), gate)


class _LinearLayers(NamedTuple):
    """Linear layers side by side, weight (K, P, Q) and bias (K, 1, Q)."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(
        cls,
        layers: Sequence[nn.Module],
        norms: Sequence[nn.Module] | None = None,
        num_in: int | None = None,
    ) -> Self:
        """Layers as one.

        Args:
            layers: linear ones.
            norms: layer norms before them, whose weights and biases go into theirs.
            num_in: P, if there are layers that only look at the first so many inputs.
        """
        weights: list[Tensor] = []
        biases: list[Tensor] = []
        for layer in layers:
            assert isinstance(layer, nn.Linear)
            weight = layer.weight.T
            weights.append(F.pad(weight, (0, 0, 0, (num_in or len(weight)) - len(weight))))
            biases.append(layer.bias)
        weight, bias = torch.stack(weights), torch.stack(biases).unsqueeze(1)
        if norms is not None:
            scale, shift = (
                torch.stack([getattr(norm, name) for norm in norms]) for name in ("weight", "bias")
            )
            bias = bias + shift.unsqueeze(1) @ weight
            weight = scale.unsqueeze(2) * weight
        return cls(weight, bias)

    def __call__(self, x: Float[Tensor, "K B P"]) -> Float[Tensor, "K B Q"]:
        return torch.baddbmm(self.bias, x, self.weight)


def _normed(x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
    """Layer norm without weights, with the epsilon that all have."""
    return F.layer_norm(x, x.shape[-1:])


def _taps(convolution: DepthwiseConvolution) -> tuple[list[Tensor], Tensor]:
    """Weights (C,) of each shift in time, and the bias."""
    inner = convolution.convolution
    assert inner.bias is not None
    return [tap.contiguous() for tap in inner.weight[:, 0, :, 0].unbind(dim=1)], inner.bias
