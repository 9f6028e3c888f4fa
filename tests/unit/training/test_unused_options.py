"""Options that are set and not used are warned of, and no others."""

from typing import Any

import pytest

from simulgen_pipeline.training.config import ConditionerConfig, RefitConfig, VaeConfig
from simulgen_pipeline.training.unused_options import (
    warn_of_unused_conditioner_options,
    warn_of_unused_refit_options,
    warn_of_unused_vae_options,
)

VARIATIONS = {"mixup_probability": 0.5, "scaling_probability": 0.5, "shift_probability": 0.1}
CORRUPTIONS = {"noise_probability": 0.5, "cutout_probability": 0.5}


@pytest.mark.parametrize(
    ("given", "unused"),
    [
        ({"posterior": "design"}, []),
        ({"posterior": "field"}, []),
        ({"preset": 1}, []),
        ({"posterior": "field", "augmentation": VARIATIONS | CORRUPTIONS}, []),
        ({"posterior": "design", "augmentation": CORRUPTIONS}, []),
        (
            {"posterior": "design", "augmentation": VARIATIONS},
            [f"augmentation.{name}" for name in VARIATIONS],
        ),
        (
            {"preset": 1, "posterior": "design"},
            ["augmentation.mixup_probability", "augmentation.scaling_probability"],
        ),
        ({"posterior": "design", "encoder_epochs": 0.4}, []),
        ({"posterior": "field", "encoder_epochs": 0.4}, ["encoder_epochs"]),
        ({"posterior": "field", "reduction": "none", "pod": {"max_modes": 9}}, ["pod.max_modes"]),
    ],
)
def test_unused_options_of_the_vae_are_warned_of(
    given: dict[str, Any], unused: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_unused_vae_options(VaeConfig.model_validate(given), num_time_steps=2)
    assert [message.partition("=")[0] for message in caplog.messages] == [
        f"vae.{name}" for name in unused
    ]


@pytest.mark.parametrize("posterior", ["field", "design"])
def test_what_concerns_times_is_warned_of_once_with_static_fields(
    posterior: str, caplog: pytest.LogCaptureFixture
) -> None:
    of_times = {"cutout_probability": 0.5, "shift_probability": 0.1}
    given = {"posterior": posterior, "augmentation": of_times}
    warn_of_unused_vae_options(VaeConfig.model_validate(given), num_time_steps=1)
    assert [message.partition(":")[0] for message in caplog.messages] == [
        f"vae.augmentation.{name}={share} does nothing" for name, share in of_times.items()
    ]


@pytest.mark.parametrize("preset", [1, 2])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "vit"])
def test_what_only_a_preset_sets_is_not_warned_of(
    preset: int, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_unused_conditioner_options(
        ConditionerConfig.model_validate({"preset": preset, "kind": kind})
    )
    assert not caplog.messages


@pytest.mark.parametrize(
    ("given", "used_with"),
    [
        ({"filters": [64]}, ["mlp"]),
        ({"picture_filters": [16, 32]}, ["cnn"]),
        ({"squeeze_excitation": True}, ["cnn"]),
        ({"spatial_attention": True}, ["cnn"]),
        ({"patch_size": 8}, ["vit"]),
        ({"num_layers": 3}, ["vit"]),
        ({"augmentation": {"rotation": {"probability": 0.5}}}, ["cnn", "vit"]),
        ({"augmentation": {"brightness": {"probability": 0.5}}}, ["cnn", "vit"]),
        ({"dropout": 0.1}, ["mlp", "cnn", "vit"]),
    ],
)
@pytest.mark.parametrize("kind", ["mlp", "cnn", "vit"])
def test_options_of_other_kinds_of_conditioner_are_warned_of(
    given: dict[str, Any], used_with: list[str], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_unused_conditioner_options(ConditionerConfig.model_validate(given | {"kind": kind}))
    assert len(caplog.messages) == (kind not in used_with)
    for message in caplog.messages:
        assert message.startswith(f"conditioner.{next(iter(given))}")
        assert f"conditioner.kind={kind}: it is used with {' or '.join(used_with)} only" in message


def test_patience_of_a_refit_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    quick = RefitConfig.model_validate({"training": {"learning_rate": 1e-3}})
    warn_of_unused_refit_options(quick)
    assert not caplog.messages
    patient = RefitConfig.model_validate({"training": {"patience": 0.2}})
    warn_of_unused_refit_options(patient)
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "refit.training.patience=0.2 does nothing"
    ]
