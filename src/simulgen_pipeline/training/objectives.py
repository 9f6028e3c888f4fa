"""What is minimised: modules whose forward gives the terms of each design's loss.

Shapes: B batch, T time steps, C channels, M nodes, P features, Z main latent, H latent of a
level, Q all latents.

A forward returns a dictionary of (B,) terms; the one called `loss` is minimised, the others are
logged. `decode` gives the field that a design's posterior means stand for. `validate` gives (B,)
figures of merit; the one called `score` chooses the best model, the lower the better. All
randomness but that of `Dropout` comes in as `noise`; both are drawn for the whole batch before it
is divided among processes, so that the result does not depend on their number. Every trained
parameter takes part in every loss.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from simulgen_pipeline.models.conditioner import Conditioner
from simulgen_pipeline.models.design_sampler import DesignExplorer
from simulgen_pipeline.models.latents import Latents, Posterior, as_latents, posterior_from
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.vae import Decoder, Encoder

from .config import Loss, VaeConfig
from .field_augmentation import FieldAugmentation, augment, corrupt, mix, mixing_weights
from .losses import NodeLift, reconstruction_loss, squared_relative_error
from .picture_augmentation import NUM_NOISE_COLUMNS, PictureAugmentation, augment_pictures
from .schedule import kl_weight

# Share of the encoder's examples that are real simulations, not decoded ones.
REAL_SHARE = 0.2

Terms = dict[str, Tensor]


class Batch(NamedTuple):
    """Some designs: channels (B, T, C), scaled features (B, P), norms (B,), latents or None, levels
    of pictures or None, and channels and norms of other designs to mix with or None."""

    fields: Tensor
    designs: Tensor
    norms: Tensor
    latents: Latents | None = None
    pictures: Tensor | None = None
    partners: Tensor | None = None
    partner_norms: Tensor | None = None


class Objective(Protocol):
    """What the training loop needs of an objective beside being an `nn.Module`."""

    noise_size: int
    needs_partners: bool

    def __call__(self, batch: Batch, noise: Tensor, progress: float) -> Terms: ...

    def decode(self, batch: Batch) -> Tensor: ...

    def validate(self, batch: Batch) -> Terms: ...


def relative_error(decoded: Float[Tensor, "B T C"], batch: Batch) -> Float[Tensor, " B"]:
    """Relative L2 error of each design's decoded field."""
    return squared_relative_error(decoded - batch.fields, batch.norms).sqrt()


class EvidenceObjective(nn.Module):
    """The evidence lower bound of a hierarchical VAE: reconstruction, and the KL of every latent.

    The posterior that feeds the decoder is the encoder's given the field (Kingma & Welling 2014),
    or, since an encoder memorises few simulations, that of a network given the design; the encoder
    then learns afterwards, by `EncoderObjective`.
    """

    def __init__(
        self,
        decoder: Decoder,
        posterior: Encoder | ResidualMlp,
        config: VaeConfig,
        lift: Float[Tensor, "C M"] | None = None,
    ) -> None:
        super().__init__()
        self.decoder, self.posterior, self.config = decoder, posterior, config
        # A posterior given the design knows nothing of what was done to its field.
        infers_from_field = isinstance(posterior, Encoder)
        self.augmentation = config.augmentation if infers_from_field else FieldAugmentation()
        self.needs_partners = self.augmentation.mixup_probability > 0
        self.noise_size = decoder.architecture.num_latents + self.augmentation.noise_size
        self.lift = None if lift is None else NodeLift(lift)

    def forward(self, batch: Batch, noise: Float[Tensor, "B Q"], progress: float) -> Terms:
        num_latents, c = self.decoder.architecture.num_latents, self.config
        latent_noise, field_noise = noise.tensor_split([num_latents], dim=-1)
        seen, target = augment(batch.fields, batch.partners, field_noise, self.augmentation)
        posterior = self._infer(batch._replace(fields=seen))
        relative = posterior.sample(as_latents(latent_noise, self.decoder.architecture))
        error = self.decoder(self.decoder.latents(relative)) - target
        norms = batch.norms  # scaling, of some percent, and delays are let pass
        if batch.partner_norms is not None:
            norms = mix(norms, batch.partner_norms, mixing_weights(field_noise, self.augmentation))
        reconstruction = reconstruction_loss(error, norms, c.loss, c.relative_loss, self.lift)
        kl, beta = posterior.kl(), kl_weight(progress, c.kl_annealing)
        loss = reconstruction + beta / c.reconstruction_weight * torch.stack(kl).sum(dim=0)
        levels = {f"kl_level_{i}": term for i, term in enumerate(kl[1:], 1)}
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "kl_main": kl[0],
            **levels,
            "kl_weight": torch.full_like(loss, beta),
        }

    def _infer(self, batch: Batch) -> Posterior:
        if isinstance(self.posterior, Encoder):
            posterior: Posterior = self.posterior(batch.fields)
            return posterior
        return posterior_from(self.posterior(batch.designs), self.decoder.architecture)

    def decode(self, batch: Batch) -> Float[Tensor, "B T C"]:
        """The field decoded from the posterior means."""
        field: Tensor = self.decoder(self.decoder.latents(self._infer(batch).mean()))
        return field

    def validate(self, batch: Batch) -> Terms:
        """Relative L2 error of the field decoded from the posterior means."""
        error = relative_error(self.decode(batch), batch)
        inferred_from_field = isinstance(self.posterior, Encoder)
        name = "reconstruction_error" if inferred_from_field else "prediction_error"
        return {name: error, "score": error}


class EncoderObjective(nn.Module):
    """An encoder's error in telling the latents of decoded fields: wake-sleep (Hinton et al. 1995).

    Designs are sampled, their latents drawn and decoded by the frozen decoder; the encoder has to
    tell the latents. That gives it as many examples as it wants where the simulations are few; a
    share of the examples is real simulations all the same.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        design_posterior: ResidualMlp,
        sampler: DesignExplorer,
        augmentation: FieldAugmentation,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder.requires_grad_(False)
        self.design_posterior = design_posterior.requires_grad_(False)
        self.sampler, self.augmentation, self.needs_partners = sampler, augmentation, False
        # Augmentation, latents, sampled designs, real or sampled.
        num_latents = decoder.architecture.num_latents
        self.sizes = [augmentation.noise_size, num_latents, sampler.noise_size, 1]
        self.noise_size = sum(self.sizes)

    def train(self, mode: bool = True) -> EncoderObjective:
        """Train or evaluate; the decoder stays as it is, estimates of spectral norms included."""
        super().train(mode)
        self.decoder.eval()
        return self

    def forward(self, batch: Batch, noise: Float[Tensor, "B N"], progress: float) -> Terms:
        architecture = self.decoder.architecture
        field_noise, latent_noise, design_noise, choice = noise.split(self.sizes, dim=-1)
        real = torch.special.ndtr(choice) < REAL_SHARE  # (B, 1)
        designs = torch.where(real, batch.designs, self.sampler(design_noise))
        posterior = posterior_from(self.design_posterior(designs), architecture)
        relative = posterior.sample(as_latents(latent_noise, architecture))
        decoded = self.decoder(self.decoder.latents(relative)).float()
        fields = torch.where(real.unsqueeze(-1), batch.fields, decoded)
        # What is seen may be corrupted, not varied: a varied field has other latents.
        told: Posterior = self.encoder(corrupt(fields, field_noise, self.augmentation))
        squared = (told.mean().flat() - relative.flat()).square()  # (B, Q)
        # The variance learns the squared error it finds and leaves the mean alone, whose error
        # counts the same whatever the variance (beta-NLL of Seitzer et al. 2022 with beta = 1).
        variance = told.log_variances().exp()
        fit = variance.detach() * (squared.detach() / variance + variance.log())
        latent_error = squared.mean(dim=-1)
        return {"loss": latent_error + 0.5 * fit.mean(dim=-1), "latent_error": latent_error}

    def decode(self, batch: Batch) -> Float[Tensor, "B T C"]:
        """The field decoded from the encoder's means."""
        field: Tensor = self.decoder(self.decoder.latents(self.encoder(batch.fields).mean()))
        return field

    def validate(self, batch: Batch) -> Terms:
        """Relative L2 error of reconstruction."""
        error = relative_error(self.decode(batch), batch)
        return {"reconstruction_error": error, "score": error}


class FieldFit(NamedTuple):
    """How a conditioner's decoded field is compared with the true one."""

    loss: Loss
    relative: bool
    latent_weight: float
    tune_decoder: bool


class ConditionerObjective(nn.Module):
    """A conditioner's error in the latents, and through the decoder in the field.

    Every member learns the latents of every design; which member's latents of a design are decoded
    is drawn anew each time, so that an ensemble costs one decoder pass. Latent errors are relative
    to `latent_scale`. The decoder is frozen, or learns too.
    """

    def __init__(
        self,
        conditioner: Conditioner,
        decoder: Decoder,
        latent_scale: Float[Tensor, " Q"],
        augmentation: PictureAugmentation,
        fit: FieldFit,
        lift: Float[Tensor, "C M"] | None = None,
    ) -> None:
        super().__init__()
        self.conditioner, self.augmentation, self.fit = conditioner, augmentation, fit
        # Which member, augmentation.
        self.sizes = [1, NUM_NOISE_COLUMNS]
        self.noise_size, self.needs_partners = sum(self.sizes), False
        self.decoder = decoder.requires_grad_(fit.tune_decoder)
        # What latents mean is the trained VAE's to say: the priors stay.
        self.decoder.priors.requires_grad_(False)
        self.latent_scale: Tensor
        self.register_buffer("latent_scale", latent_scale, persistent=False)
        self.lift = None if lift is None else NodeLift(lift)

    def train(self, mode: bool = True) -> ConditionerObjective:
        """Train or evaluate; a frozen decoder stays as it is, estimates of spectral norms too."""
        super().train(mode)
        if not self.fit.tune_decoder:
            self.decoder.eval()
        return self

    def forward(self, batch: Batch, noise: Float[Tensor, "B N"], progress: float) -> Terms:
        assert batch.latents is not None
        decoder = self.decoder
        true = decoder.relative(batch.latents).flat()
        choice, picture_noise = noise.split(self.sizes, dim=-1)
        pictures = batch.pictures
        if pictures is not None:
            pictures = augment_pictures(pictures, picture_noise, self.augmentation)
        posteriors = self.conditioner(batch.designs, pictures)
        told = [posterior.mean() for posterior in posteriors]
        deviation = torch.stack([latents.flat() for latents in told]) - true  # (K, B, Q)
        latent_error = (deviation / self.latent_scale).square().mean(dim=(0, 2))
        member = (len(told) * torch.special.ndtr(choice[:, 0])).long().clamp_max(len(told) - 1)
        rows = torch.arange(len(member), device=member.device)
        chosen = Latents(*(torch.stack(parts)[member, rows] for parts in zip(*told, strict=True)))
        error = decoder(decoder.latents(chosen)) - batch.fields
        fit = self.fit
        reconstruction = reconstruction_loss(error, batch.norms, fit.loss, fit.relative, self.lift)
        loss = reconstruction + fit.latent_weight * latent_error
        return {"loss": loss, "reconstruction": reconstruction, "latent_error": latent_error}

    def decode(self, batch: Batch) -> Float[Tensor, "B T C"]:
        """The members' mean prediction."""
        decoder = self.decoder
        posteriors = self.conditioner(batch.designs, batch.pictures)
        fields = [decoder(decoder.latents(posterior.mean())) for posterior in posteriors]
        return torch.stack(fields).mean(dim=0)

    def validate(self, batch: Batch) -> Terms:
        """Relative L2 error of the members' mean prediction."""
        error = relative_error(self.decode(batch), batch)
        return {"prediction_error": error, "score": error}
