"""The latent conditioner: from a design to the latents of its simulation.

Shapes: B batch, K members, P features (parameters, or principal components of pictures), C colour
channels, S side of a picture, Z main latent, L levels, H latent of a level.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, UInt8
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from .latents import Posterior, VaeArchitecture, posterior_from
from .layers import ResidualMlp
from .picture_networks import PictureCnn, VisionTransformer

Kind = Literal["mlp", "cnn", "vit"]

# What a network of pictures hands on to the members, and their width.
NUM_PICTURE_FEATURES = 128
MEMBER_FILTERS = (128,)
# What members add to a base starts as small as this, relative to a layer's usual weights: it is
# never forgotten where there are no designs. With 1 members of a smooth problem predicted
# validation designs twice as badly as their base (unsteady heat: 1.1% and 0.5%), with 0.1 as well.
ADDED_START = 0.1


class ConditionerArchitecture(BaseModel):
    """Everything that fixes the shapes of a conditioner's weights, beside the VAE's latents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    num_features: int = Field(ge=1, description="P")
    base_filters: tuple[int, ...] | None = Field(
        None, description="widths of the VAE's own posterior given the design; None without one"
    )
    num_channels: int = Field(0, ge=0, description="C of pictures; 0 where there are none")
    image_size: int = Field(0, ge=0, description="S of pictures; 0 where there are none")
    filters: tuple[int, ...] = Field(min_length=1, description="widths (mlp, cnn)")
    squeeze_excitation: bool = Field(False, description="of the cnn")
    spatial_attention: bool = Field(False, description="of the cnn")
    patch_size: int = Field(16, ge=1, description="of the vit [pixel]")
    embedding: int = Field(64, ge=1, description="of the vit")
    num_layers: int = Field(2, ge=1, description="of the vit")
    num_heads: int = Field(4, ge=1, description="of the vit")
    dropout: float = Field(ge=0, lt=1)
    num_members: int = Field(ge=1, description="K, networks of the ensemble")


class Conditioner(nn.Module):
    """An ensemble of networks that each give a posterior of all latents for a design.

    The members see the same designs and start from different weights; where they disagree, the
    prediction is uncertain (deep ensembles, Lakshminarayanan et al. 2017). Members that see
    pictures share the network that reads them, which is most of the cost.

    A VAE that was trained with a posterior given the design has one already, which knows best what
    its decoder needs. It is then the base of all members, who learn what to add to it; it learns
    when the decoder does.
    """

    def __init__(self, architecture: ConditionerArchitecture, vae: VaeArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.vae_architecture = vae
        self.reader = _picture_reader(a)
        num_in, filters = a.num_features, a.filters
        if self.reader is not None:
            num_in, filters = NUM_PICTURE_FEATURES, MEMBER_FILTERS
        self.members = nn.ModuleList(
            ResidualMlp(num_in, 2 * vae.num_latents, filters, a.dropout)
            for _ in range(a.num_members)
        )
        self.base: ResidualMlp | None = None
        if a.base_filters is not None:
            base = ResidualMlp(a.num_features, 2 * vae.num_latents, a.base_filters)
            self.base = base.requires_grad_(False)
            self._start_small()

    @torch.no_grad()
    def _start_small(self) -> None:
        for member in self.members:
            assert isinstance(member, ResidualMlp)
            last = member.last[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(ADDED_START)
            last.bias.mul_(ADDED_START)

    def forward(
        self,
        features: Float[Tensor, "B P"],
        pictures: UInt8[Tensor, "B C S S"] | Float[Tensor, "B C S S"] | None = None,
    ) -> list[Posterior]:
        """Each member's posterior for the designs; pictures have levels from 0 to 255."""
        base = None if self.base is None else self.base(features)
        if self.reader is not None:
            features = self.reader(pictures).float()
        members = torch.stack([member(features) for member in self.members])
        parameters = members if base is None else base + members
        return [posterior_from(each, self.vae_architecture) for each in parameters]


def _picture_reader(a: ConditionerArchitecture) -> nn.Module | None:
    if a.kind == "mlp":
        return None
    if a.kind == "cnn":
        return PictureCnn(
            a.num_channels,
            a.image_size,
            NUM_PICTURE_FEATURES,
            a.filters,
            a.dropout,
            a.squeeze_excitation,
            a.spatial_attention,
        )
    return VisionTransformer(
        a.num_channels,
        a.image_size,
        NUM_PICTURE_FEATURES,
        a.patch_size,
        a.embedding,
        a.num_layers,
        a.num_heads,
        a.dropout,
    )
