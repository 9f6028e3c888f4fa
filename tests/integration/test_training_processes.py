"""Training in processes of its own: resumed, divided, failing, watched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from simulgen_pipeline.data.fields import (
    FieldMetadata,
    SimulationFields,
    open_fields,
    write_fields,
)
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.trained import CrossFittedConditioners, TrainedConditioner
from simulgen_pipeline.training import fit
from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    RefitConfig,
    VaeConfig,
)
from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.fit import fit_conditioner, fit_vae, refit_conditioner

SMALL: dict[str, Any] = {
    "filters": (16, 12),
    "num_blocks": 1,
    "latent_size": 4,
    "hierarchical_latent_size": 2,
    "training": {"num_epochs": 6, "batch_size": 5, "patience": 1.0},
    "encoder_epochs": 0.5,
}


def train(prepared: Any, work: Path, config: dict[str, Any] | None = None, **engine: Any) -> Any:
    """Train a small VAE; weights by name, and the history."""
    vae, history = fit_vae(
        prepared.channels,
        prepared.table,
        prepared.split,
        prepared.representation,
        prepared.design_scaler,
        VaeConfig(**(SMALL | (config or {}))),
        EngineConfig(checkpoint_interval=0, **engine),
        "auto",
        work,
        prepared.logs,
    )
    return vae, history


def undisturbed(prepared: Any, known: dict[int, Any], num_processes: int) -> Any:
    """What comes of a training to which nothing happens."""
    if num_processes not in known:
        work = prepared.work.parent / "undisturbed"
        known[num_processes], _ = train(prepared, work, num_processes=num_processes)
    return known[num_processes]


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(prepared: Any) -> None:
    first, history = train(prepared, prepared.work / "a")
    second, _ = train(prepared, prepared.work / "b")
    other, _ = train(prepared, prepared.work / "c", seed=1)
    assert equal_weights(first, second)
    assert not equal_weights(first, other)
    assert len(history) == 6 + 3  # the decoder's epochs, then the encoder's
    assert history["epoch"].tolist() == list(range(1, 10))
    for column in ("reconstruction", "kl_main", "kl_level_1", "learning_rate", "gradient_norm"):
        assert np.isfinite(history[column].iloc[:6]).all()


def test_several_threads_give_the_same_bits_each_time(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    wide = {"filters": (256, 192, 128), "training": {"num_epochs": 3, "batch_size": 8}}
    first, _ = train(prepared, prepared.work / "a", wide)
    second, _ = train(prepared, prepared.work / "b", wide)
    assert equal_weights(first, second)


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
    config = VaeConfig(preset=preset, training={"num_epochs": 2}, encoder_epochs=0.5)  # type: ignore[arg-type]
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


def test_any_number_of_processes_gives_what_one_gives(prepared: Any) -> None:
    """In shards of unequal size: of 5 designs, and of 2, where the third process has none."""
    assert len(prepared.split.validation) < 3  # nor any to validate on
    for batch_size, numbers in ((5, (2, 3)), (2, (3,))):
        short = {"training": {"num_epochs": 2, "batch_size": batch_size}, "encoder_epochs": 0.5}
        one = train_on(prepared, 1, short)
        for num_processes in numbers:
            assert_equal_within_rounding(train_on(prepared, num_processes, short), one)


def train_on(prepared: Any, num_processes: int, config: dict[str, Any]) -> Any:
    work = prepared.work / f"{num_processes}"
    return train(prepared, work, config, num_processes=num_processes, precision="float32")


def assert_equal_within_rounding(result: Any, expected: Any) -> None:
    """The same weights and figures, from trainings too short for rounding errors to grow."""
    (vae, history), (expected_vae, expected_history) = result, expected
    weights = vae.network.state_dict()
    for name, value in expected_vae.network.state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
    for column in ("loss", "gradient_norm", "validation_score"):
        np.testing.assert_allclose(history[column], expected_history[column], rtol=1e-4)


RUN_AND_DIE = """
import os, signal, sys
from simulgen_pipeline.training import checkpoints, worker

save, killed_at = checkpoints.Checkpoints.save, int(sys.argv.pop())

def save_and_die(self, epoch, content):
    save(self, epoch, content)
    if self.stage == "stage-%d" % (killed_at // 10) and epoch == killed_at % 10:
        os.kill(os.getpid(), signal.SIGKILL)

checkpoints.Checkpoints.save = save_and_die
worker.main()
"""


@pytest.mark.parametrize(("stage", "epoch"), [(0, 3), (0, 6), (1, 1)])
def test_a_training_killed_by_sigkill_goes_on_to_the_same_bits(
    prepared: Any,
    known: dict[int, Any],
    stage: int,
    epoch: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from simulgen_pipeline.training import launch

    script = tmp_path / "run_and_die.py"
    script.write_text(RUN_AND_DIE)
    plain = launch.torchrun_command

    def dying(folder: Path, num_processes: int, meeting: None) -> list[str]:
        command = plain(folder, num_processes, meeting)
        place = command.index("simulgen_pipeline.training.worker")
        worker = [str(script), *command[place + 1 :], str(10 * stage + epoch)]
        return [*command[: place - 1], *worker]  # without -m: a file, not a module

    with monkeypatch.context() as patched:
        patched.setattr(launch, "torchrun_command", dying)
        with pytest.raises(TrainingError, match="goes on from the last checkpoint"):
            train(prepared, prepared.work, num_processes=1)
    with caplog.at_level("INFO"):
        resumed, history = train(prepared, prepared.work, num_processes=1)
    assert f"resumed from the checkpoint after epoch {epoch}" in caplog.text
    assert equal_weights(undisturbed(prepared, known, num_processes=1), resumed)
    assert history["epoch"].tolist() == list(range(1, 10))


def test_workers_end_when_their_launcher_is_killed(prepared: Any, tmp_path: Path) -> None:
    """torchrun puts workers into sessions of their own, so no signal reaches them."""
    script = tmp_path / "launcher.py"
    script.write_text(
        "import pickle, sys\n"
        "from test_training_processes import train\n"
        "from pathlib import Path\n"
        "prepared = pickle.load(open(sys.argv[1], 'rb'))\n"
        "train(prepared, Path(sys.argv[2]), {'training': {'num_epochs': 100000}})\n"
    )
    import pickle

    (tmp_path / "prepared.pkl").write_bytes(pickle.dumps(prepared))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    launcher = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "prepared.pkl"), str(prepared.work)],
        env=environment,
    )
    try:
        family = wait_for(lambda: workers_of(launcher.pid), 60)
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
        wait_for(lambda: not [p for p in family if is_alive(p)], 30)
    finally:
        launcher.kill()


def workers_of(pid: int) -> list[psutil.Process]:
    """torchrun and its workers, once there are any."""
    family = psutil.Process(pid).children(recursive=True)
    return family if len(family) >= 2 else []


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """The condition's value as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s")


def test_a_second_run_on_the_same_work_folder_says_so_and_stops(prepared: Any) -> None:
    from filelock import FileLock

    train(prepared, prepared.work)
    (folder,) = prepared.work.iterdir()
    with FileLock(folder / ".lock"), pytest.raises(TrainingError, match="Another run is training"):
        train(prepared, prepared.work)


def test_a_diverging_training_names_epoch_batch_and_term(prepared: Any) -> None:
    with pytest.raises(TrainingError, match=r"not finite in epoch \d+, batch \d+") as error:
        train(
            prepared,
            prepared.work,
            {"training": {"num_epochs": 4, "learning_rate": 1e30, "gradient_clip": 1e30}},
        )
    assert "Lower the learning rate" in str(error.value)
    assert "process 0" in str(error.value)
    assert "Traceback" in str(error.value)


def test_early_stopping_ends_training_and_keeps_the_best_epoch(prepared: Any) -> None:
    patient, _ = train(prepared, prepared.work / "a", {"training": {"num_epochs": 30}})
    optimisation = {"num_epochs": 30, "patience": 0.04, "learning_rate": 0.2}
    _, history = train(prepared, prepared.work / "b", {"training": optimisation})
    assert len(history) < 30 + 15
    assert patient is not None


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


def test_lazy_and_preloaded_data_give_the_same_bits(prepared: Any) -> None:
    results = []
    for memory in ("preload", "lazy"):
        vae, _ = fit_vae(
            prepared.channels,
            prepared.table,
            prepared.split,
            prepared.representation,
            prepared.design_scaler,
            VaeConfig(**SMALL),
            EngineConfig(),
            memory,  # type: ignore[arg-type]
            prepared.work / memory,
            prepared.logs,
        )
        results.append(vae)
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


@pytest.mark.parametrize("posterior", ["design", "field"])
def test_a_conditioner_learns_and_leaves_the_vae_alone(prepared: Any, posterior: str) -> None:
    long = {"training": {"num_epochs": 40}, "posterior": posterior}
    vae, _ = train(prepared, prepared.work / "vae", long)
    before = {name: value.clone() for name, value in vae.network.state_dict().items()}
    latents = vae.encode(prepared.channels.read(range(24)))
    config = {"filters": (16,), "num_members": 2, "training": {"num_epochs": 40, "batch_size": 5}}
    conditioner, history = fit_conditioner(
        prepared.channels,
        prepared.designs,
        latents,
        vae,
        ConditionerConfig(**config),  # type: ignore[arg-type]
        EngineConfig(),
        "auto",
        prepared.work / "conditioner",
        prepared.logs,
    )
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


def test_training_goes_on_with_the_validation_designs(prepared: Any) -> None:
    vae, _ = train(prepared, prepared.work / "vae", {"training": {"num_epochs": 40}})
    latents = vae.encode(prepared.channels.read(range(24)))
    optimisation = {"num_epochs": 20, "batch_size": 5}
    config = ConditionerConfig(filters=(16,), num_members=2, training=optimisation)  # type: ignore[arg-type]
    data = (prepared.channels, prepared.designs, latents, vae)
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
            RefitConfig(training={"num_epochs": 60, "batch_size": 5, "learning_rate": 2e-3}),  # type: ignore[arg-type]
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
    assert len(history) == 3 * 60
    assert not any(name.startswith("validation_") for name in history)
    stages = ["refit without part 1", "refit without part 2", "refit"]
    assert history["stage"].unique().tolist() == stages
    validation, test = vae.split.validation, vae.split.test
    assert errors(after, validation).mean() < 0.5 * errors(before, validation).mean()
    assert after.num_designs == len(vae.split.train) + len(validation)
    assert before.decoder is None  # the VAE's serves, which stays as it was
    assert after.decoder is not None
    # Test designs are used by nothing, and a validation design not by all.
    (unaware, first), (aware, others) = held_out.parts
    assert first + others == validation
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


def test_a_refit_in_two_processes_goes_on_from_a_tuned_decoder_with_one_validation_design(
    prepared: Any,
) -> None:
    """Of 14 designs, then 15, in shards of unequal size."""
    split = prepared.split
    prepared.split = Split(train=split.train[:14], validation=split.train[14:15], test=split.test)
    vae, _ = train(prepared, prepared.work / "vae")
    data = (prepared.channels, prepared.designs, vae.encode(prepared.channels.read(range(24))), vae)
    optimisation = {"num_epochs": 2, "batch_size": 5}
    config = ConditionerConfig(filters=(16,), num_members=2, training=optimisation)  # type: ignore[arg-type]
    engine = EngineConfig(precision="float32")
    together = EndToEndConfig(training=optimisation)  # type: ignore[arg-type]
    folder = prepared.work / "conditioner"
    tuned, _ = fit_conditioner(
        *data, config, engine, "auto", folder, prepared.logs, end_to_end=together
    )
    assert tuned.decoder is not None

    def refit(num_processes: int, learning_rate: float) -> Any:
        training = optimisation | {"learning_rate": learning_rate}
        return refit_conditioner(
            tuned,
            *data,
            config,
            RefitConfig(training=training),  # type: ignore[arg-type]
            engine.model_copy(update={"num_processes": num_processes}),
            "auto",
            prepared.work / f"refit {num_processes}",
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
    two, _, other_history = refit(2, 1e-3)
    for name, value in two.decoder.state_dict().items():
        torch.testing.assert_close(value, one.decoder.state_dict()[name], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other_history["loss"], history["loss"], rtol=1e-4)


def test_tensorboard_has_every_term(prepared: Any) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(prepared, prepared.work)
    (run,) = (prepared.logs / "vae").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    wanted = {"loss", "reconstruction", "kl_main", "kl_level_1", "kl_weight", "learning_rate"}
    assert wanted <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 10))
    pictures = ["reconstruction/vae_decoder", "reconstruction/vae_encoder"]
    assert sorted(events.Tags()["images"]) == pictures


def test_finished_work_is_taken_up_and_cleared_only_afterwards(
    prepared: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from simulgen_pipeline.training.work_folders import clear_finished

    first, _ = train(prepared, prepared.work)
    with caplog.at_level("INFO"):
        again, _ = train(prepared, prepared.work)
    assert "trained to the end" in caplog.text
    assert equal_weights(first, again)
    (folder,) = prepared.work.iterdir()
    assert load_file(folder / "weights.safetensors")
    clear_finished(prepared.work)
    assert list(prepared.work.iterdir()) == []


def equal_weights(a: Any, b: Any) -> bool:
    """Whether two trained VAEs have the same bits."""
    left, right = a.network.state_dict(), b.network.state_dict()
    return all(torch.equal(value, right[name]) for name, value in left.items())
