"""What integration tests of training share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from simulgen_pipeline.data.config import DataConfig, SplitConfig
from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.data.ingest import ingest
from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import ChannelFields, FieldRepresentation
from simulgen_pipeline.data.scaling import DesignScaler, FieldScaler
from simulgen_pipeline.data.split import split_designs
from simulgen_pipeline.training import launch

from .kedro_alone import ONLY_WORKER, run_here
from .small_training import train

# A worker to which something happens before one of the first stage's epochs (0 to 5).
FAULTY_WORKER = """
import os, signal, sys, time
from simulgen_pipeline.training import loop, worker

fault, before = sys.argv.pop(), int(sys.argv.pop())
epoch_of = loop.Trainer._epoch

def _epoch(self, epoch):
    folder, launcher, world = self.checkpoints.folder, int(sys.argv[2]), self.world
    if epoch == before and self.checkpoints.stage == "stage-0":
        exec(fault)
    return epoch_of(self, epoch)

loop.Trainer._epoch = _epoch
worker.main()
"""


@pytest.fixture(scope="session")
def known() -> dict[int, Any]:
    """VAEs from trainings of `prepared` that nothing happened to, by the number of processes."""
    return {}


@pytest.fixture
def prepared(pulse: SimpleNamespace, write_pulse: Callable[..., Path], tmp_path: Path) -> Any:
    """The pulse as channels, with all that `fit_vae` needs."""
    ingest(write_pulse(), DataConfig()).save(tmp_path / "fields.h5")
    fields = open_fields(tmp_path / "fields.h5")
    split = split_designs(pulse.ids, SplitConfig())
    scaler = FieldScaler().fit(block for _, block in fields.blocks(split.train))
    basis = PodBasis().fit(lambda: (scaler.transform(b) for _, b in fields.blocks(split.train)))
    representation = FieldRepresentation(scaler, basis)
    ChannelFields(fields, representation).save(tmp_path / "channels.h5")
    design_scaler = DesignScaler().fit(pulse.designs.iloc[list(split.train)])
    return SimpleNamespace(
        channels=open_fields(tmp_path / "channels.h5"),
        table=pulse.designs,
        designs=design_scaler.inputs(pulse.designs),
        split=split,
        representation=representation,
        design_scaler=design_scaler,
        work=tmp_path / "_work",
        logs=tmp_path / "logs",
    )


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings of one process need no torchrun."""
    monkeypatch.setattr(launch, "run_torchrun", run_here)
    for name, value in ONLY_WORKER.items():
        monkeypatch.setenv(name, value)
    yield
    if dist.is_initialized():  # a training that failed has not left it
        dist.destroy_process_group()


@pytest.fixture
def disturbed(prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Trains with a fault, written as Python, before an epoch."""
    script, plain = tmp_path / "faulty_worker.py", launch.torchrun_command
    script.write_text(FAULTY_WORKER)

    def run(fault: str, before: int, num_processes: int = 1, **engine: Any) -> Any:
        def faulty(*arguments: Any) -> list[str]:
            command = plain(*arguments)
            place = command.index("simulgen_pipeline.training.worker")
            worker = [str(script), *command[place + 1 :], str(before), fault]
            return [*command[: place - 1], *worker]  # without -m: a file, not a module

        with monkeypatch.context() as patched:
            patched.setattr(launch, "torchrun_command", faulty)
            return train(prepared, prepared.work, num_processes=num_processes, **engine)

    return run
