"""Parameters of training: presets, what overrides them, and what is refused."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    KlAnnealing,
    OptimisationConfig,
    PodConfig,
    RefitConfig,
    VaeConfig,
    divides_into_patches,
)
from simulgen_pipeline.training.presets import VAE_PRESETS


def test_preset_1_has_the_originals_values() -> None:
    config = VaeConfig(preset=1)
    assert config.filters == (1024, 512, 256, 128)
    assert config.training.num_epochs == 10002
    assert config.training.batch_size == 16
    assert config.training.learning_rate == 1e-3
    annealing = config.kl_annealing
    assert (annealing.initial_beta, annealing.final_beta) == (0.001, 1.0)
    assert (annealing.start, annealing.end) == (0.3, 0.8)
    assert config.reconstruction_weight == 1e6
    assert config.posterior == "field"
    assert (config.latent_size, config.hierarchical_latent_size) == (32, 8)
    assert (config.loss, config.relative_loss) == ("mse", False)
    assert (config.size, config.reduction) == ("small", "pod")


def test_the_conditioners_preset_1_has_the_originals_values() -> None:
    config = ConditionerConfig(preset=1)
    assert config.filters == (4, 8, 16, 32, 64)
    assert config.picture_filters == (32, 64, 128, 256)
    assert (config.dropout, config.latent_scaling) == (0.3, "range")
    assert (config.training.num_epochs, config.training.weight_decay) == (10000, 1e-5)


def test_preset_2_is_the_default_and_the_fields_own_defaults() -> None:
    assert VaeConfig() == VaeConfig(preset=2)
    assert VAE_PRESETS[2] == {}
    assert VaeConfig().latent_size == 32
    assert VaeConfig().hierarchical_latent_size == 8


def test_preset_3_is_a_seventh_as_long() -> None:
    quick, default = VaeConfig(preset=3), VaeConfig()
    assert 7 * quick.training.epochs(160) == default.training.epochs(160) == 175
    assert (quick.filters, quick.num_blocks) == (default.filters, default.num_blocks)


def test_what_is_given_stays_whatever_the_study() -> None:
    original = VaeConfig(preset=1)
    static = original.for_fields(num_time_steps=1, have_pictures=True)
    assert (static.filters, static.num_blocks) == (original.filters, original.num_blocks)
    assert static.training.epochs(100) == original.training.epochs(100)

    given = VaeConfig.model_validate({"filters": [64, 32], "training": {"auto_steps": 2000}})
    static = given.for_fields(num_time_steps=1, have_pictures=False)
    assert (static.filters, static.num_blocks) == ((64, 32), 1)
    assert static.training == given.training


@pytest.mark.parametrize("preset", [1, 2, 3, 4, 5])
def test_what_is_written_down_means_the_same_when_it_is_read(preset: int) -> None:
    vae, conditioner = VaeConfig(preset=preset), ConditionerConfig()
    written = VaeConfig.model_validate_json(vae.model_dump_json())
    for num_time_steps in (1, 50):
        expected = vae.for_fields(num_time_steps=num_time_steps, have_pictures=False)
        assert written.for_fields(num_time_steps=num_time_steps, have_pictures=False) == expected
    written_conditioner = ConditionerConfig.model_validate_json(conditioner.model_dump_json())
    for has_one in (True, False):
        expected_conditioner = conditioner.for_vae(has_design_posterior=has_one)
        assert written_conditioner.for_vae(has_design_posterior=has_one) == expected_conditioner


def test_preset_4_is_wide_and_shorter() -> None:
    wide = VaeConfig(preset=4)
    assert (wide.filters, wide.num_blocks) == ((256, 192, 128), 2)
    assert wide.training.epochs(160) == 200


@pytest.mark.parametrize("preset", [2, 3, 4, 5])
@pytest.mark.parametrize("have_pictures", [True, False])
def test_a_study_decides_of_a_preset_what_is_auto_and_nothing_else(
    preset: int, have_pictures: bool
) -> None:
    config = VaeConfig(preset=preset)
    patch = 2 if preset == 1 else 1
    expected = config.model_copy(update={"posterior": "design", "time_patch": patch})
    assert config.for_fields(num_time_steps=50, have_pictures=have_pictures) == expected
    static = config.for_fields(num_time_steps=1, have_pictures=have_pictures)
    posterior = "field" if have_pictures else "design"
    assert static == config.model_copy(update={"posterior": posterior, "time_patch": 1})


@pytest.mark.parametrize(
    ("num_time_steps", "patch"), [(1, 1), (50, 1), (99, 1), (100, 2), (201, 4), (1000, 20)]
)
def test_long_series_are_taken_apart_into_fifty_patches_or_more(
    num_time_steps: int, patch: int
) -> None:
    def patch_of(config: VaeConfig) -> object:
        config = config.for_fields(num_time_steps=num_time_steps, have_pictures=False)
        return config.time_patch

    assert patch_of(VaeConfig()) == patch
    assert patch_of(VaeConfig(time_patch=5)) == min(5, num_time_steps)
    assert patch_of(VaeConfig(preset=1)) == min(2, num_time_steps)


@pytest.mark.parametrize(
    ("have_pictures", "given", "expected"),
    [(True, "auto", "field"), (False, "auto", "design"), (True, "design", "design")],
)
def test_static_fields_of_pictures_are_learned_from_the_field(
    have_pictures: bool, given: Any, expected: str
) -> None:
    config = VaeConfig(posterior=given)
    resolved = config.for_fields(num_time_steps=1, have_pictures=have_pictures)
    assert resolved.posterior == expected


def test_conditioners_without_the_vaes_own_prediction_mind_the_latents_more() -> None:
    config = ConditionerConfig(dropout=0.1)
    based = config.for_vae(has_design_posterior=True)
    assert (based.latent_weight, based.dropout) == (0.1, 0.1)
    assert based.training.epochs(160) == 25
    lone = config.for_vae(has_design_posterior=False)
    assert (lone.latent_weight, lone.dropout) == (1.0, 0.1)
    assert lone.training.epochs(160) == 80
    given = ConditionerConfig.model_validate({"latent_weight": 0.2, "training": {"num_epochs": 3}})
    lone = given.for_vae(has_design_posterior=False)
    assert (lone.latent_weight, lone.training.epochs(160)) == (0.2, 3)


@pytest.mark.parametrize("preset", [1, 2, 3, 4, 5])
def test_every_preset_is_valid_and_its_own(preset: int) -> None:
    config = VaeConfig(preset=preset)
    assert config.preset == preset
    values = config.model_dump(exclude={"preset"})
    for other in VAE_PRESETS.keys() - {preset}:
        assert VaeConfig(preset=other).model_dump(exclude={"preset"}) != values


@pytest.mark.parametrize("preset", [1, 2, 3, 4, 5])
def test_a_given_value_overrides_the_presets_at_any_depth(preset: int) -> None:
    before = VaeConfig(preset=preset)
    given = {
        "preset": preset,
        "filters": [32, 16],
        "training": {"num_epochs": 3},
        "kl_annealing": {"end": 0.9},
        "pod": {"max_modes": 7},
    }
    config = VaeConfig.model_validate(given)
    assert config.filters == (32, 16)
    assert config.training == before.training.model_copy(update={"num_epochs": 3})
    assert config.kl_annealing == before.kl_annealing.model_copy(update={"end": 0.9})
    assert config.pod == before.pod.model_copy(update={"max_modes": 7})
    assert config.reconstruction_weight == before.reconstruction_weight


def test_overriding_does_not_change_the_preset_itself() -> None:
    VaeConfig.model_validate({"preset": 1, "training": {"num_epochs": 3}})
    assert VaeConfig(preset=1).training.num_epochs == 10002


def test_a_config_survives_json() -> None:
    config = VaeConfig.model_validate({"preset": 1, "training": {"num_epochs": 3}})
    assert VaeConfig.model_validate(config.model_dump(mode="json")) == config
    assert VaeConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("preset", ["1", 1.5, None, [1], {"a": 1}, "original", 0, 6])
def test_a_preset_that_is_none_is_refused_and_never_taken_for_another(preset: Any) -> None:
    with pytest.raises(ValidationError, match="preset"):
        VaeConfig.model_validate({"preset": preset})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"filters": [8]}, "filters"),
        ({"filters": [8, 16]}, r"widest first; got \[8, 16\]"),
        ({"filters": [8, 0]}, r"positive, widest first; got \[8, 0\]"),
        ({"latent_size": 0}, "latent_size"),
        ({"hierarchical_latent_size": 0}, "hierarchical_latent_size"),
        ({"loss": "l1"}, "loss.*mse.*mae.*smooth_l1.*huber"),
        ({"size": "medium"}, "size.*small.*large"),
        ({"reduction": "svd"}, "reduction.*pod.*none"),
        ({"posterior": "both"}, "posterior"),
        ({"reconstruction_weight": 0}, "reconstruction_weight"),
        ({"pod": {"tolerance": 0}}, "pod.tolerance"),
        ({"pod": {"tolerance": 1}}, "pod.tolerance"),
        ({"pod": {"max_modes": 0}}, "pod.max_modes"),
        ({"kl_annealing": {"start": 0.9}}, r"start must not be after end, got 0\.9 and 0\.8"),
        ({"kl_annealing": {"end": 1.5}}, "kl_annealing.end"),
        ({"kl_annealing": {"final_beta": -1}}, "kl_annealing.final_beta"),
        ({"training": {"num_epochs": 0}}, "at least 1, got 0"),
        ({"training": {"num_epochs": -5}}, "at least 1, got -5"),
        ({"training": {"num_epochs": "many"}}, "training.num_epochs"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"training": {"learning_rate": float("inf")}}, "training.learning_rate"),
        ({"training": {"warm_up": 1}}, "training.warm_up"),
        ({"training": {"first_period": 0}}, "training.first_period"),
        ({"training": {"gradient_clip": 0}}, "training.gradient_clip"),
        ({"training": {"patience": 0}}, "training.patience"),
        ({"training": {"epochs": 3}}, "training.epochs"),
        ({"latent_sise": 3}, "latent_sise"),
    ],
    ids=str,
)
@pytest.mark.parametrize("preset", [1, 2])
def test_impossible_or_unknown_values_are_refused_by_name(
    values: dict[str, Any], named: str, preset: int
) -> None:
    with pytest.raises(ValidationError, match=f"(?s){named}"):
        VaeConfig.model_validate({"preset": preset, **values})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"precision": "float64"}, "precision"),
        ({"compile": "inductor"}, "compile"),
        ({"gradient_checkpointing": 2}, "gradient_checkpointing"),
        ({"num_processes": 0}, "'auto' or at least 1, got 0"),
        ({"num_processes": "all"}, "num_processes"),
        ({"num_nodes": 0}, "num_nodes"),
        ({"num_nodes": 2}, "num_nodes=2 needs a rendezvous=HOST:PORT"),
        ({"rendezvous": "node1:29400"}, "num_nodes above 1 .* got num_nodes=1"),
        ({"num_nodes": 2, "rendezvous": "node1"}, "must be HOST:PORT .* got 'node1'"),
        ({"seed": -1}, "seed"),
        ({"checkpoint_interval": -1}, "checkpoint_interval"),
        ({"timeout": 0}, "timeout"),
        ({"gpus": 2}, "gpus"),
    ],
    ids=str,
)
def test_impossible_engines_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){named}"):
        EngineConfig.model_validate(values)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"kind": "forest"}, "kind"),
        ({"filters": []}, "filters"),
        ({"filters": [16, 0]}, "filters"),
        ({"dropout": 1}, "dropout"),
        ({"num_members": 1}, "num_members"),
        ({"latent_weight": -1}, "latent_weight"),
        ({"training": {"num_epochs": 0}}, "got 0"),
    ],
    ids=str,
)
def test_impossible_conditioners_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){named}"):
        ConditionerConfig.model_validate(values)


@pytest.mark.parametrize(
    ("num_designs", "batch_size", "steps"),
    [(24, 8, 3), (25, 8, 3), (31, 8, 3), (5, 16, 1), (16, 16, 1), (1, 1, 1)],
)
def test_an_epoch_is_made_of_full_batches(num_designs: int, batch_size: int, steps: int) -> None:
    assert OptimisationConfig(batch_size=batch_size).steps_per_epoch(num_designs) == steps


def test_auto_epochs_aim_at_a_number_of_steps() -> None:
    config = VaeConfig().training
    for num_designs in (5, 40, 200):
        steps = config.epochs(num_designs) * config.steps_per_epoch(num_designs)
        assert steps == pytest.approx(1750, rel=0.05)
    assert OptimisationConfig(num_epochs=7).epochs(200) == 7


def test_many_designs_are_seen_several_times_all_the_same() -> None:
    assert VaeConfig().training.epochs(10**6) == 20
    # What starts from trained weights needs fewer.
    assert ConditionerConfig().training.epochs(10**6) == 10
    assert EndToEndConfig().training.epochs(10**6) == 20


@pytest.mark.parametrize(
    "model",
    [ConditionerConfig, EngineConfig, KlAnnealing, OptimisationConfig, PodConfig, VaeConfig],
)
def test_configs_cannot_be_changed(model: type[BaseModel]) -> None:
    config = model()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, next(iter(model.model_fields)), None)


@pytest.mark.parametrize(
    ("image_size", "patch_size", "fits"),
    [(256, 16, True), (32, 16, True), (16, 16, False), (100, 16, False)],
)
def test_pictures_are_seen_in_two_by_two_patches_at_least(
    image_size: int, patch_size: int, fits: bool
) -> None:
    assert divides_into_patches(image_size, patch_size) == fits


@pytest.mark.parametrize(
    ("model", "learning_rate"), [(VaeConfig, 2e-3), (EndToEndConfig, 3e-4), (RefitConfig, 3e-4)]
)
def test_muon_is_for_trainings_of_a_decoder(model: type[BaseModel], learning_rate: float) -> None:
    usual: Any = model()
    assert usual.training.optimizer == "muon"
    assert usual.training.learning_rate == learning_rate
    other: Any = model.model_validate({"training": {"optimizer": "adamw"}})
    assert other.training.optimizer == "adamw"
    assert VaeConfig(preset=1).training.optimizer == "adamw"
    with pytest.raises(ValidationError, match="optimizer"):
        ConditionerConfig.model_validate({"training": {"optimizer": "muon"}})
