"""Networks that read the picture of a design: a residual CNN and a vision transformer.

Shapes: B batch, C picture channels, S side of a picture [pixels], F features, G side of a feature
map, N patches, Q outputs.

Both take levels from 0 to 255, so that pictures can be kept in memory as uint8, and both end in the
same head. A picture is judged by itself: no layer looks at the other pictures of the batch, so that
the result does not depend on how a batch is divided among processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from .dropout import Dropout

# The CNN's stem brings a large picture down to this side.
STEM_SIDE = 64
# The CNN's first level halves a side above this one; at most this many pixels are worth their time.
LARGEST_SIDE = 32
# The smallest side that the CNN's further levels halve.
SMALLEST_HALVED = 8
NUM_GROUPS = 8  # of channels that are normalised together
NUM_SQUEEZED = 8  # channels per hidden unit of channel attention
SPATIAL_KERNEL_SIZE = 7  # of spatial attention [pixels]
HEAD_SIDE = 16  # largest side of the feature map that the head flattens
NUM_HEAD_FEATURES = 4  # per position of that map
EXPANSION = 4  # widening inside a transformer layer

Pictures = UInt8[Tensor, "B C S S"] | Float[Tensor, "B C S S"]


def scale_levels(pictures: Pictures) -> Float[Tensor, "B C S S"]:
    """Levels from 0 to 255 as numbers from -1 to 1."""
    return pictures / 127.5 - 1


class GridHead(nn.Module):
    """From a feature map to a vector: few features per position, flattened, and a linear layer.

    Where something is in the picture matters, so the positions are kept apart.
    """

    def __init__(self, num_features: int, side: int, num_out: int, dropout: float) -> None:
        super().__init__()
        self.side = min(side, HEAD_SIDE)
        self.norm = nn.LayerNorm(num_features)
        self.squeeze = nn.Linear(num_features, NUM_HEAD_FEATURES)
        self.dropout = Dropout(dropout)
        self.last = nn.Linear(self.side**2 * NUM_HEAD_FEATURES, num_out)

    def forward(self, x: Float[Tensor, "B F G G"]) -> Float[Tensor, "B Q"]:
        if x.shape[-1] > self.side:
            x = F.adaptive_avg_pool2d(x, self.side)
        x = self.squeeze(self.norm(x.permute(0, 2, 3, 1)))  # (B, side, side, features)
        y: Tensor = self.last(self.dropout(x.flatten(1)))
        return y


class ChannelAttention(nn.Module):
    """Weights channels by what is anywhere in the picture: squeeze-excitation (Hu et al. 2018)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        num_hidden = max(4, num_features // NUM_SQUEEZED)
        self.squeeze = nn.Linear(num_features, num_hidden)
        self.excite = nn.Linear(num_hidden, num_features)

    def forward(self, x: Float[Tensor, "B F G G"]) -> Float[Tensor, "B F G G"]:
        weights: Tensor = self.excite(F.silu(self.squeeze(x.mean(dim=(2, 3)))))
        return x * weights.sigmoid()[:, :, None, None]


class SpatialAttention(nn.Module):
    """Weights positions by their mean and largest feature: the second half of CBAM.

    Source: Woo et al. 2018, equation 3.
    """

    def __init__(self) -> None:
        super().__init__()
        padding = SPATIAL_KERNEL_SIZE // 2
        self.convolution = nn.Conv2d(2, 1, SPATIAL_KERNEL_SIZE, padding=padding)

    def forward(self, x: Float[Tensor, "B F G G"]) -> Float[Tensor, "B F G G"]:
        summary = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], dim=1)
        weights: Tensor = self.convolution(summary)
        return x * weights.sigmoid()


class PictureBlock(nn.Module):
    """Two 3 x 3 convolutions beside a skip, normalised before each (He et al. 2016).

    Group norm (Wu & He 2018) sees one picture at a time. Attention comes after the convolutions,
    channels before positions, as in CBAM.
    """

    def __init__(
        self, num_in: int, num_out: int, shrink: bool, attention: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _group_norm(num_in),
            nn.SiLU(),
            nn.Conv2d(num_in, num_out, 3, stride=2 if shrink else 1, padding=1),
            _group_norm(num_out),
            nn.SiLU(),
            nn.Conv2d(num_out, num_out, 3, padding=1),
            *attention,
        )
        self.skip = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True) if shrink else nn.Identity(),
            nn.Conv2d(num_in, num_out, 1) if num_in != num_out else nn.Identity(),
        )

    def forward(self, x: Float[Tensor, "B F G G"]) -> Float[Tensor, "B D H H"]:
        y: Tensor = self.skip(x) + self.branch(x)
        return y


class PictureMerge(nn.Module):
    """Brings coarse features to a finer map, beside what was seen there (Ronneberger et al. 2015).

    The two are added, and a residual block follows.
    """

    def __init__(self, num_coarse: int, num_fine: int, attention: Sequence[nn.Module]) -> None:
        super().__init__()
        self.project = nn.Conv2d(num_coarse, num_fine, 1)
        self.block = PictureBlock(num_fine, num_fine, False, attention)

    def forward(
        self, coarse: Float[Tensor, "B F G G"], fine: Float[Tensor, "B D H H"]
    ) -> Float[Tensor, "B D H H"]:
        x = F.interpolate(self.project(coarse), size=fine.shape[-2:], mode="nearest")
        y: Tensor = self.block(x + fine)
        return y


def _attention(num_features: int, channels: bool, positions: bool) -> list[nn.Module]:
    kinds: list[nn.Module] = [ChannelAttention(num_features)] if channels else []
    return [*kinds, SpatialAttention()] if positions else kinds


def _group_norm(num_features: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(NUM_GROUPS, num_features), num_features)


class PictureCnn(nn.Module):
    """Residual convolutional network down to coarse maps and up again, a level per filter.

    The way up brings what the coarse maps see of the whole picture back to the finest one (U-Net,
    Ronneberger et al. 2015), which keeps places apart: what is at one place of a picture can change
    a field everywhere, and how depends on where.

    The cost is the same for all large pictures: a strided stem brings them to at most 64 x 64, the
    first level to at most 32 x 32, and each further level halves the side down to 4. A picture of
    at most 32 x 32 meets the first level as it is.

    Args:
        num_channels: C.
        image_size: S.
        num_out: Q.
        filters: width of each level, the finest first.
        dropout: probability, of the features that the head flattens.
        squeeze_excitation: channel attention in every block.
        spatial_attention: attention over positions in every block.
    """

    def __init__(
        self,
        num_channels: int,
        image_size: int,
        num_out: int,
        filters: Sequence[int] = (32, 48, 64),
        dropout: float = 0.0,
        squeeze_excitation: bool = False,
        spatial_attention: bool = False,
    ) -> None:
        super().__init__()
        stride = math.ceil(image_size / STEM_SIDE)
        size = max(3, 2 * stride - 1)
        self.stem = nn.Conv2d(num_channels, filters[0], size, stride, size // 2)
        # Coordinates as two more channels (CoordConv, Liu et al. 2018). Their share of the stem's
        # convolution is the same for all pictures, and so is done once.
        self.position = nn.Conv2d(2, filters[0], size, stride, size // 2, bias=False)
        axis = torch.linspace(-1, 1, image_size)
        coordinates = torch.stack(torch.meshgrid(axis, axis, indexing="xy")).unsqueeze(0)
        self.coordinates: Tensor
        self.register_buffer("coordinates", coordinates, persistent=False)
        side = math.ceil(image_size / stride)
        attention = (squeeze_excitation, spatial_attention)
        down, up = [], []
        for index, (num_in, width) in enumerate(zip((filters[0], *filters), filters, strict=False)):
            shrink = side >= SMALLEST_HALVED if index else side > LARGEST_SIDE
            down.append(PictureBlock(num_in, width, shrink, _attention(width, *attention)))
            side = math.ceil(side / 2) if shrink else side
            if index == 0:
                finest = side
            else:
                up.append(PictureMerge(width, num_in, _attention(num_in, *attention)))
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up[::-1])
        self.head = GridHead(filters[0], finest, num_out, dropout)

    def forward(self, pictures: Pictures) -> Float[Tensor, "B Q"]:
        x = scale_levels(pictures).contiguous(memory_format=torch.channels_last)
        x = self.stem(x) + self.position(self.coordinates)
        seen = []
        for block in self.down:
            x = block(x)
            seen.append(x)
        for merge, fine in zip(self.up, seen[-2::-1], strict=True):
            x = merge(x, fine)
        y: Tensor = self.head(x)
        return y


class VisionTransformer(nn.Module):
    """Transformer over square patches of the picture, with learned positions.

    Source: Dosovitskiy et al. 2021; without a class token, since the head reads all patches.

    Args:
        num_channels: C.
        image_size: S.
        num_out: Q.
        patch_size: side of a patch [pixels].
        embedding: F, features of a patch; a multiple of `num_heads`.
        num_layers: transformer layers.
        num_heads: attention heads of each.
        dropout: probability, in every layer (not of attention weights) and of the features that the
            head flattens.

    Raises:
        ValueError: the patches do not tile the picture, or there are fewer than 2 x 2.
    """

    def __init__(
        self,
        num_channels: int,
        image_size: int,
        num_out: int,
        patch_size: int = 16,
        embedding: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch_size, self.side = patch_size, image_size // patch_size
        if self.side * patch_size != image_size or self.side < 2:
            raise ValueError(
                f"Expected patches that tile the picture, at least 2 x 2 of them; got patch_size "
                f"{patch_size} and image_size {image_size}. Choose a patch_size that divides "
                f"image_size and is at most half of it."
            )
        self.embed = nn.Linear(num_channels * patch_size**2, embedding)
        self.positions = nn.Parameter(0.02 * torch.randn(self.side**2, embedding))
        self.layers = nn.Sequential(
            *(_transformer_layer(embedding, num_heads, dropout) for _ in range(num_layers))
        )
        self.head = GridHead(embedding, self.side, num_out, dropout)

    def forward(self, pictures: Pictures) -> Float[Tensor, "B Q"]:
        patches = F.pixel_unshuffle(scale_levels(pictures), self.patch_size).flatten(2)
        x = self.embed(patches.transpose(1, 2)) + self.positions  # (B, N, F)
        x = self.layers(x).transpose(1, 2).unflatten(2, (self.side, self.side))
        y: Tensor = self.head(x)
        return y


def _transformer_layer(embedding: int, num_heads: int, dropout: float) -> nn.Module:
    """PyTorch's, with dropout that does not depend on how a batch is divided."""
    layer = nn.TransformerEncoderLayer(
        embedding,
        num_heads,
        EXPANSION * embedding,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    for name in ("dropout", "dropout1", "dropout2"):
        setattr(layer, name, Dropout(dropout))
    return layer
