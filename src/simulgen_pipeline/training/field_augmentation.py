"""Augmentation of fields on the fly: what an encoder sees, and what is to be reconstructed from it.

Two kinds, so that physics is respected. A corruption changes what the encoder sees and nothing
else, as in a denoising autoencoder (Vincent et al. 2008); it needs no assumption:

- noise: white noise over times and channels.
- cutout: some consecutive times are zero, the scaler's offset. Static fields stay as they are.

A variation changes both alike: the changed field is itself what is to be reconstructed. It is
another possible simulation under assumptions on the problem, which whoever turns it on makes:

- mixup (Zhang et al. 2018): a weighted mean of two designs' fields. Possible where the problem is
  linear: its loads are mixed as the fields are.
- scaling: of the deviation from the scaler's offset, which is what channels are. Possible where the
  problem is linear and the offset is a state of it, such as zero or rest.
- shift: a delay, before which the first state is held; nothing wraps round. Possible where the
  process does not depend on absolute time, and begins from a state that would stay as it is.

Shapes: B batch, T time steps, C channels, K standard normal values per design
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

# Columns of the noise: one that decides and one that sizes, for each kind.
KINDS = ("mixup", "scaling", "shift", "noise", "cutout")


class FieldAugmentation(BaseModel):
    """How often each kind of augmentation is applied to a design, and how strongly."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    noise_probability: float = Field(0.0, ge=0, le=1)
    noise_level: float = Field(
        0.05, gt=0, description="standard deviation, relative to the RMS of the design's channels"
    )
    cutout_probability: float = Field(0.0, ge=0, le=1)
    cutout_share: float = Field(0.1, gt=0, lt=1, description="of the time axis; at least one step")
    mixup_probability: float = Field(0.0, ge=0, le=1)
    mixup_alpha: float = Field(
        0.2, gt=0, description="weights are Beta(alpha, alpha): near 0 or 1 if it is small"
    )
    scaling_probability: float = Field(0.0, ge=0, le=1)
    scaling_range: tuple[float, float] = Field((0.9, 1.1), description="lowest and highest factor")
    shift_probability: float = Field(0.0, ge=0, le=1)
    shift_steps: int = Field(3, ge=1, description="longest delay in steps; each is as likely")

    @model_validator(mode="after")
    def _ordered(self) -> FieldAugmentation:
        low, high = self.scaling_range
        if not 0 < low <= high:
            raise ValueError(
                f"scaling_range must be a lowest and a highest positive factor, got {low} and "
                f"{high}"
            )
        return self

    @property
    def noise_size(self) -> int:
        """K, standard normal values that `augment` needs for each design; none if all is off."""
        return 2 * len(KINDS) if any(self.probability(kind) > 0 for kind in KINDS) else 0

    def probability(self, kind: str) -> float:
        """How often one of `KINDS` is applied."""
        value: float = getattr(self, f"{kind}_probability")
        return value


class Augmented(NamedTuple):
    """What the encoder sees, and what is to be reconstructed from it, each (B, T, C)."""

    seen: Tensor
    target: Tensor


def augment(
    fields: Float[Tensor, "B T C"],
    partners: Float[Tensor, "B T C"] | None,
    noise: Float[Tensor, "B K"],
    config: FieldAugmentation,
) -> Augmented:
    """Vary the fields, then corrupt what is seen of them.

    A row of the result depends on that row of the arguments alone: all that is random comes from
    the row's noise, and the RMS that noise is relative to is the row's own. So the result does not
    depend on how a batch is divided among processes. A mixup partner cannot be taken from the rows
    at hand, which are one process's share; the caller gives it: the row numbers of the whole batch
    are known to every process, so that the partner of a design may be the next one of the whole
    batch, wherever that is trained on.

    Args:
        fields: channels.
        partners: for each design the channels of the one that it may be mixed with; may be None
            where nothing is mixed.
        noise: standard normal values in float32, `config.noise_size` for each design.

    Raises:
        ValueError: mixup is on and there are no partners.
    """
    target = vary(fields, partners, noise, config)
    return Augmented(corrupt(target, noise, config), target)


def vary(
    fields: Float[Tensor, "B T C"],
    partners: Float[Tensor, "B T C"] | None,
    noise: Float[Tensor, "B K"],
    config: FieldAugmentation,
) -> Float[Tensor, "B T C"]:
    """Mix, scale and shift; arguments are those of `augment`."""
    if config.mixup_probability > 0:
        if partners is None:
            raise ValueError(
                f"mixup_probability is {config.mixup_probability:g}, which needs partners. "
                f"Expected the fields of another design for each design, got None."
            )
        mixed = mix(fields, partners, mixing_weights(noise, config))
        fields = torch.where(_chosen(noise, "mixup", config)[:, None, None], mixed, fields)
    if config.scaling_probability > 0:
        low, high = config.scaling_range
        factor = _per_design(low + (high - low) * _share(noise, "scaling"), fields)
        chosen = _chosen(noise, "scaling", config)[:, None, None]
        fields = torch.where(chosen, factor * fields, fields)
    if config.shift_probability > 0:
        delay = 1 + _integer(_share(noise, "shift"), config.shift_steps)
        delay = torch.where(_chosen(noise, "shift", config), delay, 0)
        times = torch.arange(fields.shape[1], device=fields.device)
        source = (times - delay[:, None]).clamp_min(0)  # (B, T)
        fields = fields.gather(1, source.unsqueeze(-1).expand_as(fields))
    return fields


def mixing_weights(noise: Float[Tensor, "B K"], config: FieldAugmentation) -> Float[Tensor, " B"]:
    """A design's own weight in its mixture, 1 where it is not mixed; noise is that of `augment`."""
    from scipy.special import betaincinv  # slow to import, and few trainings mix

    share = _share(noise, "mixup")
    quantile = betaincinv(config.mixup_alpha, config.mixup_alpha, share.cpu().numpy())
    weights = torch.as_tensor(quantile).to(noise.device)
    return torch.where(_chosen(noise, "mixup", config), weights, 1.0)


def mix(
    own: Float[Tensor, "B ..."], partners: Float[Tensor, "B ..."], weights: Float[Tensor, " B"]
) -> Float[Tensor, "B ..."]:
    """Weighted means of designs' values and their partners'."""
    weights = weights.to(own).reshape(-1, *(1 for _ in own.shape[1:]))
    return weights * own + (1 - weights) * partners


def corrupt(
    fields: Float[Tensor, "B T C"], noise: Float[Tensor, "B K"], config: FieldAugmentation
) -> Float[Tensor, "B T C"]:
    """Add noise and cut times out; arguments are those of `augment`."""
    if config.noise_probability > 0:
        seeds = _sizing(noise, "noise").view(torch.int32).tolist()
        fields = fields.clone()
        for row in _chosen(noise, "noise", config).nonzero().flatten().tolist():
            # On the CPU, whose random numbers are the same beside every device.
            generator = torch.Generator().manual_seed(seeds[row] & 0xFFFFFFFF)
            white = torch.randn(fields.shape[1:], generator=generator).to(fields)
            level = config.noise_level * fields[row].square().mean().sqrt()
            fields[row] += level * white
    num_times = fields.shape[1]
    if config.cutout_probability > 0 and num_times > 1:
        length = max(1, round(config.cutout_share * num_times))
        start = _integer(_share(noise, "cutout"), num_times - length + 1)
        after_start = torch.arange(num_times, device=fields.device) - start[:, None]  # (B, T)
        cut = (after_start >= 0) & (after_start < length)
        cut &= _chosen(noise, "cutout", config)[:, None]
        fields = fields.masked_fill(cut.unsqueeze(-1), 0.0)
    return fields


def _chosen(
    noise: Float[Tensor, "B K"], kind: str, config: FieldAugmentation
) -> Bool[Tensor, " B"]:
    """Which designs a kind is applied to."""
    share: Tensor = torch.special.ndtr(noise[:, 2 * KINDS.index(kind)].double())
    return share < config.probability(kind)


def _sizing(noise: Float[Tensor, "B K"], kind: str) -> Float[Tensor, " B"]:
    """The column that says how strongly a kind is applied."""
    return noise[:, 2 * KINDS.index(kind) + 1].contiguous()


def _share(noise: Float[Tensor, "B K"], kind: str) -> Float[Tensor, " B"]:
    """The same, uniform between 0 and 1."""
    share: Tensor = torch.special.ndtr(_sizing(noise, kind).double())
    return share


def _integer(share: Float[Tensor, " B"], num: int) -> Tensor:
    """A uniform share as a whole number from 0 to num - 1, (B,)."""
    return (share * num).long().clamp_max(num - 1)


def _per_design(values: Float[Tensor, " B"], fields: Float[Tensor, "B T C"]) -> Tensor:
    """A value for each design, to be multiplied with its field (B, 1, 1)."""
    return values.to(fields)[:, None, None]
