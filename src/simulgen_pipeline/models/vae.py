"""The hierarchical variational autoencoder of simulations.

Shapes: B batch, T time steps, C field channels (POD modes, or nodes), L levels, Z main latent,
H latent of a level.

Level 0 has the whole time axis and the widest filters; each further level is narrower, and halves
the time axis where it is long enough. The encoder goes from level 0 to level L - 1, whose features
give the posterior of all latents: a main one, and one of size H for each of the L - 1 levels above,
relative to a learned prior given all latents before it. The decoder goes back from level L - 1 to
level 0 and sees the latents and nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from .distributions import Gaussian, gaussian_from, kl_to_standard_normal
from .layers import Downsample, ResidualBlock, Upsample

# Networks that say where a latent is start almost certain of it: a spread of 2%.
INITIAL_LOG_VARIANCE = -8.0
# Shortest time axis that is halved.
SHORTEST_HALVED = 8
# Refinement of the encoder's means: steps of Adam, the first one's size, and its decay rates.
NUM_REFINEMENTS = 20
REFINEMENT_RATE = 0.05
REFINEMENT_BETAS = (0.8, 0.95)
NUM_STEERING = 128  # features that steer a decoder level
NUM_PRIOR_FEATURES = 64
NUM_HEAD_FEATURES = 256


class VaeArchitecture(BaseModel):
    """Everything that fixes the shapes of a VAE's weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_time_steps: int = Field(ge=1, description="T")
    num_channels: int = Field(ge=1, description="field channels: POD modes, or nodes")
    filters: tuple[int, ...] = Field(min_length=2, description="encoder widths, widest first")
    num_blocks: int = Field(ge=1, description="residual blocks per level")
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
        """Time steps of each level, level 0 first."""
        lengths = [self.num_time_steps]
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


class Encoder(nn.Module):
    """Field to posterior: residual blocks over time, level by level down to the coarsest."""

    def __init__(self, architecture: VaeArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.project = nn.Linear(a.num_channels, a.filters[0])
        self.down = nn.ModuleList(
            Downsample(a.filters[i], a.filters[i + 1], a.lengths[i + 1] < a.lengths[i])
            for i in range(a.num_hierarchical)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(
                *(
                    ResidualBlock(width, spectral=a.spectral_normalisation)
                    for _ in range(a.num_blocks)
                )
            )
            for width in a.filters
        )
        num_features = a.lengths[-1] * a.filters[-1]
        self.head = nn.Sequential(
            nn.LayerNorm(num_features),
            nn.Linear(num_features, NUM_HEAD_FEATURES),
            nn.SiLU(),
            nn.Linear(NUM_HEAD_FEATURES, 2 * a.num_latents),
        )
        self.modes: Tensor | None
        self.register_buffer("modes", _no_modes(a))

    def forward(self, field: Float[Tensor, "B T C"]) -> Posterior:
        h = self.levels[0](self.project(field))
        for down, level in zip(self.down, self.levels[1:], strict=True):
            h = level(down(h))
        posterior = posterior_from(self.head(h.flatten(1)), self.architecture)
        if self.modes is None:
            return posterior
        return posterior.shifted(_exact_product(field[:, 0], self.modes.T))


class Decoder(nn.Module):
    """Latents to field: from a learned coarse start up to the whole time axis, steered by latents.

    Level l of the way up is steered by the main latent and the latents of the levels so far, which
    are also what the prior of the next level's latent is given.
    """

    def __init__(self, architecture: VaeArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        filters, lengths = a.filters[::-1], a.lengths[::-1]
        num_above = [a.latent_size + i * a.hierarchical_latent_size for i in range(len(filters))]
        self.start = nn.Parameter(0.5 * torch.randn(lengths[0], filters[0]))
        self.steering = nn.ModuleList(_steering(num) for num in num_above)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                ResidualBlock(width, NUM_STEERING, a.spectral_normalisation)
                for _ in range(a.num_blocks)
            )
            for width in filters
        )
        self.up = nn.ModuleList(
            Upsample(filters[i], filters[i + 1], lengths[i], lengths[i + 1])
            for i in range(a.num_hierarchical)
        )
        self.priors = nn.ModuleList(
            _prior(num, a.hierarchical_latent_size) for num in num_above[:-1]
        )
        self.norm = nn.LayerNorm(filters[-1])
        self.out = nn.Linear(filters[-1], a.num_channels)
        self.modes: Tensor | None
        self.register_buffer("modes", _no_modes(a))

    def prior(self, level: int, above: Float[Tensor, "B A"]) -> Gaussian:
        """Prior of a level's latent given what is above it."""
        return gaussian_from(self.priors[level](above).float())

    def latents(self, relative: Latents) -> Latents:
        """Latents from those relative to the priors, level by level."""
        levels: list[Tensor] = []
        for level in range(self.architecture.num_hierarchical):
            prior = self.prior(level, _beside(relative.main, levels))
            levels.append(prior.sample(relative.hierarchical[:, level]))
        return Latents(relative.main, torch.stack(levels, dim=1))

    def relative(self, latents: Latents) -> Latents:
        """Latents relative to the priors: the inverse of `latents`."""
        levels = []
        for level in range(self.architecture.num_hierarchical):
            prior = self.prior(level, latents.above(level))
            deviation = latents.hierarchical[:, level] - prior.mean
            levels.append(deviation * torch.exp(-0.5 * prior.log_variance))
        return Latents(latents.main, torch.stack(levels, dim=1))

    def forward(self, latents: Latents) -> Float[Tensor, "B T C"]:
        h = self.start.expand(len(latents.main), -1, -1)
        for i, blocks in enumerate(self.levels):
            if i > 0:
                h = self.up[i - 1](h)
            steering = self.steering[i](latents.above(i))
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, steering)
        y: Tensor = self.out(self.norm(h))
        if self.modes is not None:
            y = y + _exact_product(latents.flat(), self.modes).unsqueeze(1)
        return y


def _no_modes(architecture: VaeArchitecture) -> Float[Tensor, "Q C"] | None:
    """What a latent adds to a static field until `start_as_pod`; None of transient ones."""
    if architecture.num_time_steps > 1:
        return None
    return torch.zeros(architecture.num_latents, architecture.num_channels)


def _exact_product(x: Float[Tensor, "B I"], y: Float[Tensor, "I J"]) -> Float[Tensor, "B J"]:
    """Matrix product in float32 whatever the training's precision: POD is not to be rounded."""
    with torch.autocast(x.device.type, enabled=False):
        return x.float() @ y


def _beside(main: Tensor, levels: list[Tensor]) -> Float[Tensor, "B A"]:
    return torch.cat([main, *levels], dim=-1)


def _steering(num_latents: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(num_latents, NUM_STEERING),
        nn.SiLU(),
        nn.Linear(NUM_STEERING, NUM_STEERING),
        nn.SiLU(),
    )


def _prior(num_above: int, size: int) -> nn.Sequential:
    """A prior network that starts as N(0, 1)."""
    last = nn.Linear(NUM_PRIOR_FEATURES, 2 * size)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(num_above, NUM_PRIOR_FEATURES), nn.SiLU(), last)


class HierarchicalVae(nn.Module):
    """Encoder and decoder that share an architecture."""

    def __init__(self, architecture: VaeArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)

    @torch.no_grad()
    def start_as_pod(self, spreads: Float[Tensor, " C"]) -> None:
        """Make latents of static fields the first channels, each in units of its spread.

        Of channels that are POD coefficients those are the leading ones, and what is trained adds
        to them; it starts from nothing.
        """
        assert self.encoder.modes is not None
        assert self.decoder.modes is not None
        modes = torch.eye(self.architecture.num_latents, len(spreads))
        self.decoder.modes.copy_(modes * spreads)
        self.encoder.modes.copy_(modes / spreads)
        last = self.encoder.head[-1]
        assert isinstance(last, nn.Linear)
        for layer in (self.decoder.out, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def encode(self, field: Float[Tensor, "B T C"]) -> Latents:
        """Posterior means of all latents, refined for each field.

        The encoder's means are where a few steps of Adam start, on the error of the decoded field
        (semi-amortised inference, Kim et al. 2018): an encoder has seen few simulations, and the
        decoder tells how far off it is. The fields of a batch do not influence each other.
        """
        start: Posterior = self.encoder(field)
        parts = [part.detach().clone().requires_grad_(True) for part in start.mean()]
        optimizer = torch.optim.Adam(parts, betas=REFINEMENT_BETAS)
        with torch.enable_grad():
            for step in range(NUM_REFINEMENTS):
                optimizer.param_groups[0]["lr"] = REFINEMENT_RATE * (1 - step / NUM_REFINEMENTS)
                error = self.decoder(self.decoder.latents(Latents(*parts))) - field
                norms = torch.linalg.vector_norm(error, dim=(1, 2))
                gradients = torch.autograd.grad(norms.sum(), parts)
                for part, gradient in zip(parts, gradients, strict=True):
                    part.grad = gradient
                optimizer.step()
        return self.decoder.latents(Latents(*(part.detach() for part in parts)))
