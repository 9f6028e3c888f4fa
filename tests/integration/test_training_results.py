"""What trainings give.

Those of one process run in the test's own, which spares seconds of starting: how processes are
started and what becomes of them is tested elsewhere.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import (
    FieldMetadata,
    SimulationFields,
    open_fields,
    write_fields,
)
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.dropout import Dropout
from simulgen_pipeline.models.latents import posterior_from
from simulgen_pipeline.models.trained import CrossFittedConditioners, TrainedConditioner
from simulgen_pipeline.training import fit
from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    RefitConfig,
    VaeConfig,
)
from simulgen_pipeline.training.data import Memory
from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.fit import fit_conditioner, fit_vae, refit_conditioner

from .small_training import SMALL, equal_weights, train

pytestmark = pytest.mark.usefixtures("in_this_process")


def first_time(prepared: Any) -> SimulationFields:
    """The channels of a static study: those of the first time alone."""
    path = prepared.work.parent / "static.h5"
    rows = np.arange(len(prepared.table))
    channels = prepared.channels.read(rows)[:, :1]
    write_fields(path, len(rows), [(rows, {"fields": channels})], FieldMetadata())
    return open_fields(path)


@pytest.mark.parametrize(
    ("preset", "is_static"),
    [(1, False), (2, False), (2, True), (3, False), (4, False), (5, False)],
)
def test_every_preset_trains_as_it_is_but_for_its_length(
    prepared: Any, preset: int, is_static: bool
) -> None:
    values = {"preset": preset, "training": {"num_epochs": 2}, "encoder_epochs": 0.5}
    config = VaeConfig.model_validate(values)
    channels = first_time(prepared) if is_static else prepared.channels
    vae, history = fit_vae(
        channels,
        prepared.table,
        prepared.split,
        prepared.representation,
        prepared.design_scaler,
        config,
        EngineConfig(),
        "auto",
        prepared.work,
        prepared.logs,
    )
    expected = config.for_fields(num_time_steps=channels.shape[1], have_pictures=False)
    assert vae.network.architecture.filters == expected.filters
    assert vae.network.architecture.num_blocks == expected.num_blocks
    assert np.isfinite(history[["loss", "gradient_norm"]]).all(axis=None)
    decoded = vae.decode(vae.encode(channels.read([0, 1])))
    assert decoded.shape == (2, *channels.shape[1:])
    assert np.isfinite(decoded).all()


def test_early_stopping_ends_training_and_keeps_the_best_epoch(prepared: Any) -> None:
    # By AdamW, whose errors go up and down at such a rate.
    optimisation = {
        "num_epochs": 30,
        "patience": 0.04,
        "learning_rate": 0.03,
        "optimizer": "adamw",
    }
    vae, history = train(prepared, prepared.work, {"training": optimisation}, precision="float32")
    rows = list(prepared.split.validation)
    true = torch.from_numpy(prepared.channels.read(rows))
    designs = torch.from_numpy(prepared.designs.features[rows].astype(np.float32))
    network = vae.network
    told = posterior_from(vae.design_posterior(designs), network.architecture)
    inferred = network.encoder(true)
    for name, num_epochs, term, posterior in (
        ("vae decoder", 30, "validation_prediction_error", told),
        ("vae encoder", 15, "validation_reconstruction_error", inferred),
    ):
        stage = history[history["stage"] == name]
        assert len(stage) < num_epochs
        scores = stage[term].dropna()
        assert scores.min() < 0.995 * scores.iloc[-1]  # the best was not the last
        decoded = network.decoder(network.decoder.latents(posterior.mean()))
        error = np.linalg.norm(decoded - true, axis=(1, 2))
        error /= prepared.representation.norms(true.numpy())
        assert error.mean() == pytest.approx(scores.min(), rel=1e-3)


def test_field_posterior_and_absolute_losses_train_too(prepared: Any) -> None:
    for loss in ("mae", "huber"):
        _, history = train(
            prepared,
            prepared.work,
            {"posterior": "field", "loss": loss, "relative_loss": False},
        )
        assert len(history) == 6
        assert history["reconstruction"].iloc[-1] < history["reconstruction"].iloc[0]
        assert history["validation_reconstruction_error"].notna().any()


def test_lazy_and_preloaded_data_give_the_same_bits(
    prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    results = []
    ways: tuple[tuple[Memory, str], ...] = (("preload", "in memory"), ("lazy", "read by the batch"))
    for memory, told in ways:
        vae, _ = fit_vae(
            prepared.channels,
            prepared.table,
            prepared.split,
            prepared.representation,
            prepared.design_scaler,
            VaeConfig(**SMALL),
            EngineConfig(),
            memory,
            prepared.work / memory,
            prepared.logs,
        )
        results.append(vae)
        how = rf"vae: 1 process\(es\) of \d thread\(s\) on the [CG]PU, data {told}"
        assert any(re.fullmatch(how, message) for message in caplog.messages)
        assert "vae decoder: matrix products in " in caplog.text
    assert equal_weights(*results)


@pytest.mark.parametrize("posterior", ["design", "field"])
def test_jobs_say_what_auto_is(
    prepared: Any, posterior: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae, _ = train(prepared, prepared.work / "vae", {"posterior": posterior})
    latents = vae.encode(prepared.channels.read(range(24)))
    jobs = []

    def refuse(job: Any, *_: Any) -> None:
        jobs.append(job)
        raise TrainingError("not now")

    monkeypatch.setattr(fit, "train", refuse)
    arguments: Any = (EngineConfig(), "auto", prepared.work, prepared.logs)
    known: Any = (prepared.table, prepared.split, prepared.representation, prepared.design_scaler)
    for channels in (prepared.channels, first_time(prepared)):
        with pytest.raises(TrainingError, match="not now"):
            fit_vae(channels, *known, VaeConfig(), *arguments)
    with pytest.raises(TrainingError, match="not now"):
        fit_conditioner(
            prepared.channels, prepared.designs, latents, vae, ConditionerConfig(), *arguments
        )
    transient, static, conditioner = (job.config for job in jobs)
    assert transient == VaeConfig().for_fields(num_time_steps=50, have_pictures=False)
    assert static == VaeConfig().for_fields(num_time_steps=1, have_pictures=False)
    has_one = posterior == "design"
    assert conditioner == ConditionerConfig().for_vae(has_design_posterior=has_one)


def train_conditioner(prepared: Any, vae: Any, dropout: float = 0.0, **training: Any) -> Any:
    """Train a small conditioner on a VAE's latents; it, and the history."""
    config = {"filters": (16,), "num_members": 2, "dropout": dropout, "training": training}
    return fit_conditioner(
        prepared.channels,
        prepared.designs,
        vae.encode(prepared.channels.read(range(24))),
        vae,
        ConditionerConfig.model_validate(config),
        EngineConfig(),
        "auto",
        prepared.work / "conditioner",
        prepared.logs,
    )


@pytest.mark.parametrize("posterior", ["design", "field"])
def test_a_conditioner_learns_and_leaves_the_vae_alone(prepared: Any, posterior: str) -> None:
    long = {"training": {"num_epochs": 40}, "posterior": posterior}
    vae, _ = train(prepared, prepared.work / "vae", long)
    before = {name: value.clone() for name, value in vae.network.state_dict().items()}
    conditioner, history = train_conditioner(prepared, vae, num_epochs=40, batch_size=5)
    assert len(conditioner.latents(prepared.designs, vae)) == 2
    errors = history["latent_error"]
    if posterior == "field":
        assert conditioner.network.base is None
        assert errors.iloc[-1] < 0.5 * errors.iloc[0]
        assert history["reconstruction"].iloc[-1] < history["reconstruction"].iloc[0]
    else:  # the base decodes as well from the start: members learn what the latents are
        assert errors.iloc[-1] < 0.7 * errors.iloc[0]
        assert conditioner.network.base is not None
        assert vae.design_posterior is not None
        known = vae.design_posterior.state_dict()
        for name, value in conditioner.network.base.state_dict().items():
            torch.testing.assert_close(value, known[name], rtol=0, atol=0)
    assert history["validation_prediction_error"].notna().any()
    for name, value in vae.network.state_dict().items():
        assert torch.equal(value, before[name])


def test_training_goes_on_with_the_validation_designs(
    prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    train_rows, validation_rows = prepared.split.train, prepared.split.validation
    prepared.split = Split(
        train=train_rows[1:],
        validation=tuple(sorted((*validation_rows, train_rows[0]))),  # three: in as many parts
        test=prepared.split.test,
    )
    vae, _ = train(prepared, prepared.work / "vae", {"training": {"num_epochs": 40}})
    latents = vae.encode(prepared.channels.read(range(24)))
    optimisation = {"num_epochs": 20, "batch_size": 5}
    config = ConditionerConfig.model_validate(
        {"filters": (16,), "num_members": 2, "training": optimisation}
    )
    data = (prepared.channels, prepared.designs, latents, vae)
    long = {"num_epochs": 60, "batch_size": 5, "learning_rate": 2e-3, "patience": 0.01}
    engine, folder = EngineConfig(), prepared.work / "conditioner"
    before, _ = fit_conditioner(*data, config, engine, "auto", folder, prepared.logs)

    def refit(
        channels: SimulationFields,
    ) -> tuple[TrainedConditioner, CrossFittedConditioners, pd.DataFrame]:
        return refit_conditioner(
            before,
            channels,
            *data[1:],
            config,
            RefitConfig.model_validate({"training": long}),
            engine,
            "auto",
            prepared.work / "refit",
            prepared.logs,
        )

    def errors(conditioner: TrainedConditioner, rows: tuple[int, ...]) -> NDArray[Any]:
        true = prepared.channels.read(rows)
        told = conditioner.channels(prepared.designs.take(rows), vae).mean(dim=0).numpy()
        return np.linalg.norm(told - true, axis=(1, 2)) / np.linalg.norm(true, axis=(1, 2))

    after, held_out, history = refit(prepared.channels)
    assert "refit.training.patience=0.01 does nothing" in caplog.text
    assert len(history) == 4 * 60
    assert not any(name.startswith("validation_") for name in history)
    stages = [*(f"refit without part {number}" for number in (1, 2, 3)), "refit"]
    assert history["stage"].unique().tolist() == stages
    validation, test = vae.split.validation, vae.split.test
    assert errors(after, validation).mean() < 0.5 * errors(before, validation).mean()
    assert after.num_designs == len(vae.split.train) + len(validation)
    assert before.decoder is None  # the VAE's serves, which stays as it was
    assert after.decoder is not None
    # Test designs are used by nothing, and a validation design not by all.
    (unaware, first), (aware, second), (_, third) = held_out.parts
    assert first + second + third == validation
    other = prepared.channels.read(range(24))
    other[list(test)] = 1e3
    other[list(first)] *= 1e4
    blocks = [(np.arange(24), {"fields": other})]
    write_fields(prepared.work / "other.h5", 24, blocks, FieldMetadata(), "other")
    changed, changed_parts, _ = refit(open_fields(prepared.work / "other.h5"))
    assert equal_weights(changed_parts.parts[0][0], unaware)
    assert not equal_weights(changed_parts.parts[1][0], aware)
    assert not equal_weights(changed, after)
    assert unaware.num_designs == aware.num_designs == after.num_designs - 1


def test_dropout_is_drawn_anew_in_each_step_and_alike_in_its_pieces(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def take_share(dropout: Dropout, places: torch.Tensor, num_designs: int) -> None:
        drawn.append((torch.initial_seed(), places.tolist()))
        original(dropout, places, num_designs)

    original = Dropout.take_share
    monkeypatch.setattr(Dropout, "take_share", take_share)
    monkeypatch.setattr("simulgen_pipeline.training.data.PIECE_BYTES", 1)
    vae, _ = train(prepared, prepared.work / "vae")
    assert not drawn  # it has none
    train_conditioner(prepared, vae, dropout=0.3, num_epochs=2, batch_size=7)
    places_of: dict[int, list[int]] = {}
    for seed, places in drawn:
        places_of.setdefault(seed, []).extend(places)
    assert len(places_of) == 2 * (len(prepared.split.train) // 7)
    each_twice = [place for place in range(7) for _ in range(2)]  # by both members
    assert all(sorted(places) == each_twice for places in places_of.values())


def test_a_refit_in_two_processes_goes_on_from_a_tuned_decoder_with_one_validation_design(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 14 designs, then 15, in unequal shards, with dropout; and in pieces of a design."""
    split = prepared.split
    prepared.split = Split(train=split.train[:14], validation=split.train[14:15], test=split.test)
    vae, _ = train(prepared, prepared.work / "vae")
    data = (prepared.channels, prepared.designs, vae.encode(prepared.channels.read(range(24))), vae)
    optimisation = {"num_epochs": 2, "batch_size": 5}
    config = ConditionerConfig.model_validate(
        {"filters": (16,), "num_members": 2, "dropout": 0.3, "training": optimisation}
    )
    engine = EngineConfig(precision="float32")
    together = EndToEndConfig.model_validate({"training": optimisation})
    folder = prepared.work / "conditioner"
    tuned, _ = fit_conditioner(
        *data, config, engine, "auto", folder, prepared.logs, end_to_end=together
    )
    assert tuned.decoder is not None

    def refit(num_processes: int, learning_rate: float, name: str = "whole") -> Any:
        training = optimisation | {"learning_rate": learning_rate}
        return refit_conditioner(
            tuned,
            *data,
            config,
            RefitConfig.model_validate({"training": training}),
            engine.model_copy(update={"num_processes": num_processes}),
            "auto",
            prepared.work / f"refit {num_processes} {name}",
            prepared.logs,
        )

    at_its_start, _, _ = refit(1, 1e-12)
    for name, value in at_its_start.decoder.state_dict().items():
        torch.testing.assert_close(value, tuned.decoder.state_dict()[name])
    one, held_out, history = refit(1, 1e-3)
    assert history["stage"].unique().tolist() == ["refit without part 1", "refit"]
    ((unaware, rows),) = held_out.parts
    assert rows == prepared.split.validation
    assert (unaware.num_designs, one.num_designs) == (14, 15)
    results = [refit(2, 1e-3)]
    monkeypatch.setattr("simulgen_pipeline.training.data.PIECE_BYTES", 1)
    results.append(refit(1, 1e-3, "in pieces"))
    for other, _, other_history in results:
        for mine, theirs in ((one.decoder, other.decoder), (one.network, other.network)):
            for name, value in theirs.state_dict().items():
                torch.testing.assert_close(value, mine.state_dict()[name], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(other_history["loss"], history["loss"], rtol=1e-4)
