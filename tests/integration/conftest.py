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
