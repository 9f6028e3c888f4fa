"""Training jobs: what is laid down for the processes, and the key that names it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from simulgen_pipeline.data.fields import (
    FieldMetadata,
    SimulationFields,
    open_fields,
    write_fields,
)
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.conditioner import ConditionerArchitecture
from simulgen_pipeline.models.latents import VaeArchitecture
from simulgen_pipeline.training.config import ConditionerConfig, EngineConfig, VaeConfig
from simulgen_pipeline.training.job import (
    Arrays,
    ConditionerJob,
    Job,
    VaeJob,
    job_key,
    read_job,
    write_job,
)

ARCHITECTURE = VaeArchitecture(
    num_time_steps=12,
    num_channels=5,
    filters=(8, 6, 4),
    num_blocks=1,
    latent_size=4,
    hierarchical_latent_size=2,
    spectral_normalisation=False,
)
SPLIT = Split(train=(0, 1, 2, 3), validation=(4,), test=(5,))


def common(path: Path) -> dict[str, Any]:
    return {
        "fields": path,
        "memory": "auto",
        "split": SPLIT,
        "architecture": ARCHITECTURE,
        "engine": EngineConfig(),
        "log_folder": path.parent / "logs",
    }


@pytest.fixture
def vae_job(tmp_path: Path) -> VaeJob:
    return VaeJob(
        **common(tmp_path / "channels.h5"),
        mix_designs=False,
        design_filters=(256, 256),
        config=VaeConfig(),
    )


@pytest.fixture
def conditioner_job(tmp_path: Path) -> ConditionerJob:
    architecture = ConditionerArchitecture(
        kind="mlp", num_features=2, filters=(16,), dropout=0.0, num_members=3
    )
    return ConditionerJob(
        **common(tmp_path / "channels.h5"),
        config=ConditionerConfig(),
        end_to_end=None,
        conditioner=architecture,
    )


@pytest.fixture
def arrays() -> Arrays:
    generator = torch.Generator().manual_seed(0)
    return {
        "designs": torch.randn(6, 2, generator=generator),
        "norms": torch.rand(6, generator=generator),
    }


@pytest.fixture
def store(tmp_path: Path, pulse: SimpleNamespace) -> Callable[..., SimulationFields]:
    """Writes fields under a name, with a fingerprint."""

    def write(name: str = "channels.h5", fingerprint: str = "abc") -> SimulationFields:
        blocks = [(np.arange(24), {"fields": pulse.fields})]
        write_fields(tmp_path / name, 24, blocks, FieldMetadata(), fingerprint)
        return open_fields(tmp_path / name)

    return write


def changed(job: Job, path: str, value: Any) -> Job:
    """The job with one value replaced, named by its path."""
    values = job.model_dump()
    inner = values
    *parents, name = path.split(".")
    for parent in parents:
        inner = inner[parent]
    assert name in inner
    assert inner[name] != value
    inner[name] = value
    return type(job).model_validate(values)


VAE_CHANGES = [
    ("split.train", (0, 1, 2)),
    ("split.test", ()),
    ("architecture.num_time_steps", 13),
    ("architecture.filters", (8, 6)),
    ("architecture.num_blocks", 2),
    ("architecture.spectral_normalisation", True),
    ("engine.seed", 1),
    ("engine.precision", "bfloat16"),
    ("engine.compile", True),
    ("config.loss", "huber"),
    ("config.posterior", "field"),
    ("config.reconstruction_weight", 10.0),
    ("config.kl_annealing.end", 0.9),
    ("config.pod.tolerance", 1e-3),
    ("config.training.num_epochs", 7),
    ("config.training.learning_rate", 1e-4),
    ("config.training.patience", 0.5),
    ("design_filters", (256,)),
]
CONDITIONER_CHANGES = [
    ("split.train", (0, 1, 2)),
    ("architecture.latent_size", 5),
    ("engine.seed", 1),
    ("conditioner.filters", (16, 16)),
    ("conditioner.num_members", 2),
    ("config.latent_weight", 1.0),
    ("config.training.batch_size", 3),
]


@pytest.mark.parametrize(("path", "value"), VAE_CHANGES)
def test_the_key_changes_with_what_determines_a_vae(
    vae_job: VaeJob, arrays: Arrays, store: Callable[..., Any], path: str, value: Any
) -> None:
    fields = store()
    before = job_key(vae_job, arrays, fields, 1, "1")
    assert job_key(changed(vae_job, path, value), arrays, fields, 1, "1") != before


@pytest.mark.parametrize(("path", "value"), CONDITIONER_CHANGES)
def test_the_key_changes_with_what_determines_a_conditioner(
    conditioner_job: ConditionerJob,
    arrays: Arrays,
    store: Callable[..., Any],
    path: str,
    value: Any,
) -> None:
    fields = store()
    before = job_key(conditioner_job, arrays, fields, 1, "1")
    assert job_key(changed(conditioner_job, path, value), arrays, fields, 1, "1") != before


def one_value(arrays: Arrays) -> Arrays:
    designs = arrays["designs"].clone()
    designs[3, 1] += 1e-6
    return {**arrays, "designs": designs}


def another_shape(arrays: Arrays) -> Arrays:
    return {**arrays, "designs": arrays["designs"].reshape(4, 3)}


def another_name(arrays: Arrays) -> Arrays:
    return {"designs": arrays["designs"], "norm": arrays["norms"]}


def another_type(arrays: Arrays) -> Arrays:
    return {**arrays, "designs": arrays["designs"].view(torch.int32)}


def one_more(arrays: Arrays) -> Arrays:
    return {**arrays, "lift": torch.eye(5)}


@pytest.mark.parametrize("change", [one_value, another_shape, another_name, another_type, one_more])
def test_the_key_changes_with_the_arrays(
    vae_job: VaeJob,
    arrays: Arrays,
    store: Callable[..., Any],
    change: Callable[[Arrays], Arrays],
) -> None:
    fields = store()
    assert job_key(vae_job, change(arrays), fields, 1, "1") != job_key(
        vae_job, arrays, fields, 1, "1"
    )


def test_the_key_changes_with_the_data_and_with_who_shares_the_work(
    vae_job: VaeJob, arrays: Arrays, store: Callable[..., Any]
) -> None:
    fields = store()
    keys = {
        job_key(vae_job, arrays, fields, 1, "1"),
        job_key(vae_job, arrays, fields, 2, "1"),
        job_key(vae_job, arrays, fields, 1, "2"),
        job_key(vae_job, arrays, fields, 1, None),
        job_key(vae_job, arrays, store("other.h5", "abcd"), 1, "1"),
    }
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("fields", Path("/elsewhere/channels.h5")),
        ("log_folder", Path("/elsewhere/logs")),
        ("memory", "lazy"),
        ("engine.checkpoint_interval", 1.0),
        ("engine.gradient_checkpointing", True),  # gives the same bits
        ("engine.timeout", 5.0),
        ("engine.num_processes", 1),  # the number that runs is given, whoever chose it
    ],
)
def test_the_key_does_not_change_with_where_and_how_a_job_is_run(
    vae_job: VaeJob, arrays: Arrays, store: Callable[..., Any], path: str, value: Any
) -> None:
    fields = store()
    before = job_key(vae_job, arrays, fields, 1, "1")
    assert job_key(changed(vae_job, path, value), arrays, fields, 1, "1") == before


def test_the_key_does_not_change_with_the_place_of_the_data_or_the_order_of_arrays(
    vae_job: VaeJob, arrays: Arrays, store: Callable[..., Any]
) -> None:
    before = job_key(vae_job, arrays, store(), 1, "1")
    assert job_key(vae_job, arrays, store("copy.h5"), 1, "1") == before
    backwards = dict(reversed(arrays.items()))
    assert job_key(vae_job, backwards, store(), 1, "1") == before
    transposed = {**arrays, "designs": arrays["designs"].T.contiguous().T}
    assert job_key(vae_job, transposed, store(), 1, "1") == before


def test_the_key_is_fit_for_the_name_of_a_folder(
    vae_job: VaeJob, arrays: Arrays, store: Callable[..., Any]
) -> None:
    key = job_key(vae_job, arrays, store(), 1, "1")
    assert len(key) == 16
    assert int(key, 16) >= 0


@pytest.mark.parametrize("kind", ["vae", "conditioner"])
def test_a_job_is_read_back_as_it_was_laid_down(
    tmp_path: Path, vae_job: VaeJob, conditioner_job: ConditionerJob, arrays: Arrays, kind: str
) -> None:
    job: Job = vae_job if kind == "vae" else conditioner_job
    arrays["lift"] = torch.randn(4, 3).T  # not contiguous
    write_job(tmp_path, job, arrays)
    again, read = read_job(tmp_path)
    assert again == job
    assert type(again) is type(job)
    assert read.keys() == arrays.keys()
    for name, value in arrays.items():
        assert torch.equal(read[name], value)


def test_a_job_of_an_unknown_kind_is_refused(
    tmp_path: Path, vae_job: VaeJob, arrays: Arrays
) -> None:
    write_job(tmp_path, vae_job, arrays)
    path = tmp_path / "job.json"
    path.write_text(path.read_text().replace('"name": "vae"', '"name": "forest"'))
    with pytest.raises(ValidationError, match="forest"):
        read_job(tmp_path)
