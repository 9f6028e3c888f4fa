"""The latent conditioner: from a design to the latents of its simulation.

Shapes: B batch, K members, P parameters, Z main latent, L levels, H latent of a level.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from .layers import ResidualMlp
from .vae import Posterior, VaeArchitecture, posterior_from


class ConditionerArchitecture(BaseModel):
    """Everything that fixes the shapes of a conditioner's weights, beside the VAE's latents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["mlp"] = "mlp"
    num_parameters: int = Field(ge=1, description="P")
    filters: tuple[int, ...] = Field(min_length=1, description="hidden widths")
    dropout: float = Field(ge=0, lt=1)
    num_members: int = Field(ge=1, description="K, networks of the ensemble")


class Conditioner(nn.Module):
    """An ensemble of networks that each give a posterior of all latents for a design.

    The members see the same designs and start from different weights; where they disagree, the
    prediction is uncertain (deep ensembles, Lakshminarayanan et al. 2017).
    """

    def __init__(self, architecture: ConditionerArchitecture, vae: VaeArchitecture) -> None:
        super().__init__()
        self.architecture, self.vae_architecture = architecture, vae
        self.members = nn.ModuleList(
            ResidualMlp(
                architecture.num_parameters,
                2 * vae.num_latents,
                architecture.filters,
                architecture.dropout,
            )
            for _ in range(architecture.num_members)
        )

    def forward(self, designs: Float[Tensor, "B P"]) -> list[Posterior]:
        """Each member's posterior for the scaled designs."""
        return [posterior_from(member(designs), self.vae_architecture) for member in self.members]
