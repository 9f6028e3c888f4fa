"""A training job: all that determines a trained model, as values and arrays in a work folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.data.whole_files import whole_file
from simulgen_pipeline.models.conditioner import ConditionerArchitecture
from simulgen_pipeline.models.latents import VaeArchitecture

from .config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    LatentScaling,
    RefitConfig,
    VaeConfig,
)
from .data import Memory
from .picture_augmentation import PictureAugmentation

# To be raised when the code gives other results for the same job, or, of a study, for the same
# settings.
RECIPE = 19

JOB_FILE = "job.json"
ARRAYS_FILE = "arrays.safetensors"
# What was trained: weights of the objective by name, and a row of the history per epoch.
TRAINED_FILE = "trained.pt"

Arrays = dict[str, Tensor]


class _Job(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: Path = Field(description="file with the channels (N, T, C) to train on")
    memory: Memory
    split: Split
    architecture: VaeArchitecture
    engine: EngineConfig
    log_folder: Path = Field(description="folder of TensorBoard events")


class VaeJob(_Job):
    """Train a VAE. Arrays: `designs` (N, P), `norms` (N,), those of the `View` of pictures prefixed
    with `view.` and, to lift errors, `lift` (C, M)."""

    name: Literal["vae"] = "vae"
    mix_designs: bool = Field(description="sample mixtures of designs, not the box they lie in")
    design_filters: tuple[int, ...] = Field(description="widths of the posterior given the design")
    config: VaeConfig


class ConditionerJob(_Job):
    """Train a conditioner. Arrays: `designs`, `norms`, the latents `main` (N, Z) and `hierarchical`
    (N, L - 1, H), the VAE's weights prefixed with `vae.`, those of its posterior given the
    design, if it has one, with `design_posterior.`, for networks that see pictures `pictures`
    (N, C, S, S), and those of `view.` and `lift` as for the VAE."""

    name: Literal["conditioner"] = "conditioner"
    config: ConditionerConfig
    end_to_end: EndToEndConfig | None = Field(
        None, description="how, if not by the conditioner's own"
    )
    conditioner: ConditionerArchitecture


class RefitJob(_Job):
    """Train a trained conditioner and its decoder on, once for each part of the designs that is
    held out, always from the same weights. Arrays: those of a `ConditionerJob` but for the design
    posterior's, which the conditioner has; its weights prefixed with `conditioner.`, and those of a
    decoder of its own with `decoder.`."""

    name: Literal["refit"] = "refit"
    held_out: tuple[tuple[int, ...], ...] = Field(description="of the training designs, by refit")
    config: RefitConfig
    end_to_end: EndToEndConfig | None = Field(
        None, description="whose loss and frozen decoder a refit keeps"
    )
    augmentation: PictureAugmentation
    latent_scaling: LatentScaling
    conditioner: ConditionerArchitecture


Job = VaeJob | ConditionerJob | RefitJob


class _AnyJob(BaseModel):
    job: Annotated[Job, Field(discriminator="name")]


def part_of_arrays(arrays: Arrays, part: str) -> Arrays:
    """The arrays whose names begin with `part.`, by the rest of their names."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): v for n, v in arrays.items() if n.startswith(prefix)}


def job_key(
    job: Job, arrays: Arrays, fields: SimulationFields, num_processes: int, num_threads: str | None
) -> str:
    """A hash of what determines the result: values, arrays, data, and how many processes and
    threads share the work (on GPUs threads have no part in it: None).

    Where files lie, how often checkpoints are written, how data is read, what the backward pass
    keeps, where machines meet and how long processes wait for each other do not count.
    """
    values = job.model_dump(mode="json", exclude={"fields", "memory", "log_folder"})
    for name in (
        "checkpoint_interval",
        "gradient_checkpointing",
        "num_processes",
        "rendezvous",
        "timeout",
    ):
        del values["engine"][name]
    shared = [num_processes, num_threads]
    text = json.dumps([RECIPE, values, fields.fingerprint, *shared], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {tuple(arrays[name].shape)}".encode())
        digest.update(arrays[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def write_job(folder: Path, job: Job, arrays: Arrays) -> None:
    """Lay a job down in a work folder."""
    with whole_file(folder / JOB_FILE) as path:
        path.write_text(_AnyJob(job=job).model_dump_json(indent=2), encoding="utf-8")
    contiguous = {name: value.contiguous() for name, value in arrays.items()}
    with whole_file(folder / ARRAYS_FILE) as path:
        save_file(contiguous, path)


def read_job(folder: Path) -> tuple[Job, Arrays]:
    """What `write_job` laid down."""
    job = _AnyJob.model_validate_json((folder / JOB_FILE).read_text(encoding="utf-8")).job
    return job, load_file(folder / ARRAYS_FILE)
