"""The latents of a hierarchical VAE: how many there are, and Gaussians of all of them.

Shapes: B batch, T time steps, L levels, Z main latent, H latent of a level, Q all latents.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from .distributions import Gaussian, gaussian_from, kl_to_standard_normal

# Networks that say where a latent is start almost certain of it: a spread of 2%.
INITIAL_LOG_VARIANCE = -8.0
# Shortest axis of patches that is halved.
SHORTEST_HALVED = 8


class VaeArchitecture(BaseModel):
    """Everything that fixes the shapes of a VAE's weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_time_steps: int = Field(ge=1, description="T")
    num_channels: int = Field(ge=1, description="field channels: POD modes, or nodes")
    filters: tuple[int, ...] = Field(min_length=2, description="encoder widths, widest first")
    num_blocks: int = Field(ge=1, description="residual blocks per level")
    time_patch: int = Field(1, ge=1, description="time steps that are one step of level 0")
    latent_size: int = Field(ge=1, description="size of the main latent")
    hierarchical_latent_size: int = Field(ge=1, description="size of the latent of each level")
    spectral_normalisation: bool = Field(description="of the residual blocks' 1 x 1 convolutions")

    @model_validator(mode="after")
    def _widest_first(self) -> VaeArchitecture:
        if min(self.filters) < 1 or list(self.filters) != sorted(self.filters, reverse=True):
            raise ValueError(f"filters must be positive, widest first; got {list(self.filters)}")
        return self

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps of each level, level 0 first: patches of times, halved where they are many."""
        lengths = [-(-self.num_time_steps // self.time_patch)]
        for _ in self.filters[1:]:
            last = lengths[-1]
            lengths.append((last + 1) // 2 if last >= SHORTEST_HALVED else last)
        return tuple(lengths)

    @property
    def num_hierarchical(self) -> int:
        """Number of latents beside the main one, L - 1."""
        return len(self.filters) - 1

    @property
    def num_latents(self) -> int:
        """Number of all latent values, Z + (L - 1) H."""
        return self.latent_size + self.num_hierarchical * self.hierarchical_latent_size


class Latents(NamedTuple):
    """Values of all latents: main (B, Z) and hierarchical (B, L - 1, H), deepest level first."""

    main: Tensor
    hierarchical: Tensor

    def flat(self) -> Float[Tensor, "B Q"]:
        """All latents side by side, Q = Z + (L - 1) H."""
        return self.above(self.hierarchical.shape[1])

    def above(self, level: int) -> Float[Tensor, "B A"]:
        """What comes before a level's latent: the main one and those of `level` deeper levels."""
        return torch.cat([self.main, self.hierarchical[:, :level].flatten(1)], dim=-1)


def as_latents(flat: Float[Tensor, "B Q"], architecture: VaeArchitecture) -> Latents:
    """Values side by side, Q = Z + (L - 1) H, as latents: the inverse of `Latents.flat`."""
    main, levels = flat.tensor_split([architecture.latent_size], dim=-1)
    size = architecture.hierarchical_latent_size
    return Latents(main, levels.reshape(len(flat), architecture.num_hierarchical, size))


class Posterior(NamedTuple):
    """Gaussians of the main latent (B, Z) and of the levels (B, L - 1, H).

    A level's Gaussian is given relative to its prior, as are the latents drawn here: shifted by the
    prior's mean and scaled by its standard deviation they are the latents themselves (residual
    normal distributions, Vahdat & Kautz 2020, section 3.2).
    """

    main: Gaussian
    levels: Gaussian

    def mean(self) -> Latents:
        """The means, relative to the priors."""
        return Latents(self.main.mean, self.levels.mean)

    def log_variances(self) -> Float[Tensor, "B Q"]:
        """Log-variances of all latents side by side, relative to the priors."""
        return Latents(self.main.log_variance, self.levels.log_variance).flat()

    def sample(self, noise: Latents) -> Latents:
        """Latents relative to the priors, from standard normal noise."""
        return Latents(self.main.sample(noise.main), self.levels.sample(noise.hierarchical))

    def shifted(self, by: Float[Tensor, "B Q"]) -> Posterior:
        """The same with the means of all latents, side by side, shifted."""
        main, levels = self.main.mean, self.levels.mean
        main_shift, level_shift = by.tensor_split([main.shape[1]], dim=-1)
        return Posterior(
            self.main._replace(mean=main + main_shift),
            self.levels._replace(mean=levels + level_shift.view_as(levels)),
        )

    def kl(self) -> list[Float[Tensor, " B"]]:
        """KL of the main latent, then of each level, to their priors [nats]."""
        return [kl_to_standard_normal(self.main), *kl_to_standard_normal(self.levels).unbind(dim=1)]


def posterior_from(parameters: Float[Tensor, "B Q"], architecture: VaeArchitecture) -> Posterior:
    """Read a network's output, Q = 2 (Z + (L - 1) H), as a posterior, in float32."""
    levels, size = architecture.num_hierarchical, architecture.hierarchical_latent_size
    main, residual = parameters.float().split(
        [2 * architecture.latent_size, 2 * levels * size], dim=-1
    )
    return Posterior(
        gaussian_from(main, INITIAL_LOG_VARIANCE),
        gaussian_from(residual.reshape(-1, levels, 2 * size), INITIAL_LOG_VARIANCE),
    )
