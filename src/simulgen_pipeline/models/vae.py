"""The hierarchical variational autoencoder of simulations.

Shapes: B batch, T time steps, C field channels (POD modes, or nodes), L levels, Z main latent,
H latent of a level.

Level 0 has the whole time axis, some time steps at a time where there are many (patches, as vision
transformers take pictures apart, Dosovitskiy et al. 2021), and the widest filters; each further
level is no wider, and halves the axis where it is long enough. The encoder goes from level 0 to
level L - 1, whose features give the posterior of all latents: a main one, and one of size H for
each of the L - 1 levels above, relative to a learned prior given all latents before it. The decoder
goes back from level L - 1 to level 0 and sees the latents and nothing else.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .distributions import Gaussian, gaussian_from
from .latents import Latents, Posterior, VaeArchitecture, posterior_from
from .layers import Downsample, ResidualBlock, Upsample

# Refinement of the encoder's means: steps of Adam, the first one's size, and its decay rates.
NUM_REFINEMENTS = 20
REFINEMENT_RATE = 0.05
REFINEMENT_BETAS = (0.8, 0.95)
NUM_STEERING = 128  # features that steer a decoder level
NUM_PRIOR_FEATURES = 64
NUM_HEAD_FEATURES = 256


class Encoder(nn.Module):
    """Field to posterior: residual blocks over time, level by level down to the coarsest."""

    def __init__(self, architecture: VaeArchitecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.project = nn.Linear(a.time_patch * a.num_channels, a.filters[0])
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
        h = self.levels[0](self.project(self._patches(field)))
        for down, level in zip(self.down, self.levels[1:], strict=True):
            h = level(down(h))
        posterior = posterior_from(self.head(h.flatten(1)), self.architecture)
        if self.modes is None:
            return posterior
        return posterior.shifted(_exact_product(field[:, 0], self.modes.T))

    def _patches(self, field: Float[Tensor, "B T C"]) -> Float[Tensor, "B U D"]:
        """Time steps side by side in patches; the last one repeats the last time step."""
        a = self.architecture
        if a.time_patch == 1:
            return field
        missing = a.lengths[0] * a.time_patch - a.num_time_steps
        padded = torch.cat([field, field[:, -1:].expand(-1, missing, -1)], dim=1)
        return padded.reshape(len(field), a.lengths[0], -1)


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
        self.out = nn.Linear(filters[-1], a.time_patch * a.num_channels)
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

    @property
    def last_linear(self) -> nn.Linear | None:
        """The layer that takes `features` to the field; None where more is between them: patches of
        time steps, or modes of static fields."""
        is_all = self.architecture.time_patch == 1 and self.modes is None
        return self.out if is_all else None

    def features(self, latents: Latents) -> Float[Tensor, "B U F"]:
        """Features of the steps of level 0, from which a linear layer tells the field."""
        h = self.start.expand(len(latents.main), -1, -1)
        for i, blocks in enumerate(self.levels):
            if i > 0:
                h = self.up[i - 1](h)
            steering = self.steering[i](latents.above(i))
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, steering)
        features: Tensor = self.norm(h)
        return features

    def forward(self, latents: Latents) -> Float[Tensor, "B T C"]:
        return self.field_of(self.features(latents), latents)

    def field_of(
        self, features: Float[Tensor, "B U F"], latents: Latents
    ) -> Float[Tensor, "B T C"]:
        """The field that features tell, and latents where they add to it themselves."""
        y: Tensor = self.out(features)
        a = self.architecture
        y = y.reshape(len(y), -1, a.num_channels)[:, : a.num_time_steps]
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
