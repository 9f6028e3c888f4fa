"""Presets: named sets of parameters; a value that is given overrides the preset's."""

from __future__ import annotations

from typing import Any

VAE_PRESETS: dict[int, dict[str, Any]] = {
    1: {  # the values of the original SimulGen-VAE, and half as many steps in time
        "filters": [1024, 512, 256, 128],
        "num_blocks": 1,
        "time_patch": 2,
        "posterior": "field",
        "relative_loss": False,
        "reconstruction_weight": 1e6,
        "augmentation": {
            "noise_probability": 0.5,
            "scaling_probability": 0.5,
            "mixup_probability": 0.5,
        },
        "training": {
            "num_epochs": 10002,
            "batch_size": 16,
            "optimizer": "adamw",
            "learning_rate": 1e-3,
            "weight_decay": 1e-5,
            "first_period": 0.1,
            "patience": 1.0,
        },
    },
    2: {},  # compact: VaeConfig's defaults, for studies of tens to hundreds of designs
    3: {"training": {"auto_steps": 250}},  # quick look at what the VAE makes of a study
    4: {  # wide, for many simulations of rich fields
        "filters": [256, 192, 128],
        "num_blocks": 2,
        "training": {"auto_steps": 2000},
    },
    5: {"filters": [1024, 512, 256, 128], "num_blocks": 2},  # the original's width, on a GPU
}

CONDITIONER_PRESETS: dict[int, dict[str, Any]] = {
    1: {  # the values of the original SimulGen-VAE
        "filters": [4, 8, 16, 32, 64],
        "picture_filters": [32, 64, 128, 256],
        "squeeze_excitation": True,
        "spatial_attention": True,
        "dropout": 0.3,
        "latent_scaling": "range",
        "training": {
            "num_epochs": 10000,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "weight_decay": 1e-5,
        },
    },
    2: {},
}

# A time axis that is longer is taken apart into patches, of which there are at least as many.
FEWEST_PATCHES = 50
# Of a conditioner on a VAE with a posterior given the design, which its members add to, and without
# one: then there is nothing to start from but what the encoder says of the latents.
BASED_VALUES: dict[str, Any] = {"latent_weight": 0.1}
LONE_VALUES: dict[str, Any] = {"latent_weight": 1.0, "training": {"auto_steps": 800}}


def with_preset(values: Any, presets: dict[int, dict[str, Any]]) -> Any:
    """Values over those of the preset that they name."""
    preset = values.get("preset", 2) if isinstance(values, dict) else None
    if not isinstance(preset, int) or preset not in presets:
        return values  # the fields' own validation says what is wrong
    return _merged(presets[preset], values)


def settled(values: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """Values with what is usual in place of each `auto` that it is known of."""
    result = dict(values)
    for name, value in usual.items():
        if isinstance(value, dict):
            result[name] = settled(values[name], value)
        elif values[name] == "auto":
            result[name] = value
    return result


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged
