"""Presets: named sets of parameters; a value that is given overrides the preset's."""

from __future__ import annotations

from typing import Any

VAE_PRESETS: dict[int, dict[str, Any]] = {
    1: {  # the values of the original SimulGen-VAE
        "filters": [1024, 512, 256, 128],
        "num_blocks": 1,
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
            "learning_rate": 1e-3,
            "weight_decay": 1e-5,
            "first_period": 0.1,
            "patience": 1.0,
        },
    },
    2: {},  # compact: VaeConfig's defaults, for studies of tens to hundreds of designs
    3: {  # quick look, seconds on a laptop; with more steps for small studies of static fields
        "filters": [128, 128, 128],
        "num_blocks": 1,
        "training": {"auto_steps": 500},
    },
    4: {"filters": [384, 256, 192, 128], "num_blocks": 2},  # large studies, rich fields
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

# What else there is, where neither the user nor the preset says otherwise.
# The VAE of static fields: decoded in one time step, they do no better with a wider network, and a
# step of training costs little.
STATIC_VALUES: dict[str, Any] = {
    "filters": [128, 128, 128],
    "num_blocks": 1,
    "training": {"auto_steps": 3500},
}
# The conditioner of a VAE without a posterior given the design: nothing to start from but what the
# encoder says of the latents.
LONE_VALUES: dict[str, Any] = {"latent_weight": 1.0, "training": {"auto_steps": 800}}


def with_preset(values: Any, presets: dict[int, dict[str, Any]]) -> Any:
    """Values over those of the preset that they name."""
    preset = values.get("preset", 2) if isinstance(values, dict) else None
    if not isinstance(preset, int) or preset not in presets:
        return values  # the fields' own validation says what is wrong
    return merged(presets[preset], values)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values over others, block by block."""
    result = dict(base)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result
