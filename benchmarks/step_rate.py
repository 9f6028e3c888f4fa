"""What a training's steps do: `python -m benchmarks.step_rate FOLDER RESULT [LEVER]`.

FOLDER is one that `benchmarks.training_rate` has trained in. Its job is taken up again, with fresh
weights and in this process, and for each of its stages an epoch's floating-point operations are
counted, an epoch is timed and one is profiled. LEVER is the name of one of the architecture's
levers, which is then off.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.models import latents, layers
from simulgen_pipeline.training.checkpoints import Checkpoints
from simulgen_pipeline.training.data import TrainingData
from simulgen_pipeline.training.job import Arrays, VaeJob, read_job
from simulgen_pipeline.training.loop import Trainer
from simulgen_pipeline.training.progress import Progress
from simulgen_pipeline.training.stages import build_stages
from simulgen_pipeline.training.world import World, find_world, joined

from .training_rate import WORK

NUM_TIMED_EPOCHS = 3
NUM_TOP = 12  # operators of a profile
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}


class DenseConvolution(nn.Module):
    """What `DepthwiseConvolution` saves: the same with every channel in every output."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        padding = layers.KERNEL_SIZE // 2
        self.convolution = nn.Conv1d(
            num_channels, num_channels, layers.KERNEL_SIZE, padding=padding
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x.transpose(1, 2))
        return y.transpose(1, 2)


# Each takes a choice of the architecture back, which has no parameter.
LEVERS = {
    "multi-scale": partial(patch.object, latents, "SHORTEST_HALVED", sys.maxsize),
    "depthwise": partial(patch.object, layers, "DepthwiseConvolution", DenseConvolution),
}


def main(folder: Path, result: Path, lever: str | None) -> None:
    """Measure all stages of a folder's job."""
    os.environ.update(ALONE | MEETING)
    without: AbstractContextManager[Any] = nullcontext() if lever is None else LEVERS[lever]()
    (work,) = (path.parent for path in (folder / WORK).glob("*/job.json"))
    job, arrays = read_job(work)
    assert isinstance(job, VaeJob)
    world = find_world(leads=True)
    with without, joined(world, job.engine.timeout):
        stages = [measure(*stage) for stage in trainers(job, arrays, world)]
    result.write_text(json.dumps(stages), encoding="utf-8")


def trainers(job: VaeJob, arrays: Arrays, world: World) -> Iterator[tuple[str, Trainer]]:
    """The trainers of a job's stages, not compiled, so that operations can be seen."""
    fields = open_fields(job.fields)
    data = TrainingData(
        fields, arrays["designs"], arrays["norms"], None, None, job.memory, world.device
    )
    engine = job.engine.model_copy(update={"compile": False})
    for stage in build_stages(job, arrays)[1]:
        progress = Progress(None)
        progress.begin(stage.name, 0)
        with TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder), "stage", engine.checkpoint_interval)
            yield (
                stage.name,
                Trainer(
                    stage.objective(),
                    data,
                    job.split,
                    stage.optimisation,
                    engine,
                    world,
                    checkpoints,
                    progress,
                ),
            )


def measure(name: str, trainer: Trainer) -> dict[str, Any]:
    """Operations, time and profile of a stage's steps."""
    with counter() as counted:
        trainer._epoch(0)
    flops = counted.get_total_flops() / trainer.steps_per_epoch
    seconds = []
    for _ in range(NUM_TIMED_EPOCHS):
        start = time.perf_counter()
        trainer._epoch(0)
        seconds.append((time.perf_counter() - start) / trainer.steps_per_epoch)
    size = min(trainer.config.batch_size, len(trainer.split.train))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        trainer._epoch(0)
    return {
        "name": name,
        "precision": str(trainer.precision).removeprefix("torch."),
        "gflop_per_sample": 1e-9 * flops / size,
        "samples_per_second": size / min(seconds),
        "profile": shares({e.key: e.self_cpu_time_total for e in profiled.key_averages()}),
    }


def counter() -> FlopCounterMode:
    """Counts the operations of matrix products and convolutions, forward and backward.

    PyTorch's own formula takes a depthwise convolution's backward pass for a dense one's.
    """
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: backward_flops}
    )


def backward_flops(
    output_gradient: Any, image: Any, weight: Any, *rest: Any, out_shape: Any, **options: Any
) -> int:
    """Operations of a convolution's backward pass: the forward pass' for each gradient asked for.

    Args:
        output_gradient, image, weight: shapes.
        rest: the operator's further arguments, whose last says which gradients are asked for.
    """
    for_image, for_weight, _ = rest[-1]
    return int(for_image + for_weight) * int(conv_flop_count(image, weight, output_gradient))


def shares(microseconds: dict[str, float]) -> dict[str, float]:
    """Share of the time of the operators that take most of it, and of all others together."""
    total = sum(microseconds.values())
    first = sorted(microseconds, key=lambda name: -microseconds[name])[:NUM_TOP]
    top = {name: microseconds[name] / total for name in first}
    return top | {"all others": 1.0 - sum(top.values())}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
