"""Options that a training has no use for, so that none that was set is passed over in silence."""

from __future__ import annotations

import logging
from functools import reduce
from typing import Any, NamedTuple

from pydantic import BaseModel

from .config import ConditionerConfig, RefitConfig, VaeConfig

logger = logging.getLogger(__name__)


class _Use(NamedTuple):
    """The other option that decides whether one is used, and its values with which it is."""

    switch: str
    values: tuple[str, ...]


_OF_FIELD, _OF_POD = _Use("posterior", ("field",)), _Use("reduction", ("pod",))
_OF_CNN, _OF_VIT = _Use("kind", ("cnn",)), _Use("kind", ("vit",))
_OF_PICTURES = _Use("kind", ("cnn", "vit"))

VAE_OPTIONS = {
    "pod.tolerance": _OF_POD,
    "pod.max_modes": _OF_POD,
    "encoder_epochs": _Use("posterior", ("design",)),
    "augmentation.mixup_probability": _OF_FIELD,
    "augmentation.scaling_probability": _OF_FIELD,
    "augmentation.shift_probability": _OF_FIELD,
}
OF_TIMES = ("augmentation.cutout_probability", "augmentation.shift_probability")
CONDITIONER_OPTIONS = {
    "filters": _Use("kind", ("mlp",)),
    "picture_filters": _OF_CNN,
    "squeeze_excitation": _OF_CNN,
    "spatial_attention": _OF_CNN,
    "patch_size": _OF_VIT,
    "embedding": _OF_VIT,
    "num_layers": _OF_VIT,
    "num_heads": _OF_VIT,
    "augmentation.shift.probability": _OF_PICTURES,
    "augmentation.rotation.probability": _OF_PICTURES,
    "augmentation.scale.probability": _OF_PICTURES,
    "augmentation.brightness.probability": _OF_PICTURES,
}


def warn_of_unused_vae_options(config: VaeConfig, num_time_steps: int) -> None:
    """Warn of each option that is not the default's and not used; `posterior` is not `auto`."""
    usual, idle = VaeConfig(), OF_TIMES if num_time_steps == 1 else ()
    for name in idle:
        if _is_set(name, config, usual):
            given = _value(config, name)
            logger.warning("vae.%s=%s does nothing: these fields have one time step.", name, given)
    others = {name: use for name, use in VAE_OPTIONS.items() if name not in idle}
    _warn("vae", config, usual, others)


def warn_of_unused_conditioner_options(config: ConditionerConfig) -> None:
    """Warn of each option that is not the preset's and not used; `kind` is not `auto`.

    A preset has sizes for every kind, which nobody set.
    """
    preset = ConditionerConfig(preset=config.preset)
    _warn("conditioner", config, preset, CONDITIONER_OPTIONS)


def warn_of_unused_refit_options(config: RefitConfig) -> None:
    """Warn of a patience: a refit knows every design that could tell when to stop."""
    name = "training.patience"
    if _is_set(name, config, RefitConfig()):
        logger.warning(
            "refit.%s=%s does nothing: a refit has no designs left that tell when to stop.",
            *(name, _value(config, name)),
        )


def _warn(block: str, config: BaseModel, usual: BaseModel, options: dict[str, _Use]) -> None:
    for name, (switch, values) in options.items():
        setting = _value(config, switch)
        if setting not in values and _is_set(name, config, usual):
            logger.warning(
                "%s.%s=%s does nothing with %s.%s=%s: it is used with %s only.",
                *(block, name, _value(config, name), block, switch, setting),
                " or ".join(values),
            )


def _is_set(name: str, config: BaseModel, usual: BaseModel) -> bool:
    return bool(_value(config, name) != _value(usual, name))


def _value(config: BaseModel, name: str) -> Any:
    return reduce(getattr, name.split("."), config)
