"""What determines a result, and what does not."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.fields import SimulationFields, open_fields
from simulgen_pipeline.data.ingest import ingest
from simulgen_pipeline.pipelines.studies.train import Settings, determined_by


@pytest.fixture
def fields(write_pulse: Callable[..., Path], tmp_path: Path) -> SimulationFields:
    ingest(write_pulse(), DataConfig()).save(tmp_path / "fields.h5")
    return open_fields(tmp_path / "fields.h5")


def settings(**changed: Any) -> Settings:
    blocks: dict[str, Any] = {
        "data": {},
        "vae": {},
        "conditioner": {},
        "refit": {},
        "baselines": {},
        "training": {},
    }
    return Settings.model_validate(blocks | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"data": {"memory": "lazy"}},
        {"data": {"split": {"seed": 7}}},  # a study has splits of its own
        {"training": {"checkpoint_interval": 1, "timeout": 5, "num_processes": 1}},
    ],
)
def test_how_it_is_computed_does_not_count(
    fields: SimulationFields, pulse: SimpleNamespace, changed: dict[str, Any]
) -> None:
    same = determined_by(fields, pulse.designs, settings(training={"num_processes": 1}))
    changed = {"training": {"num_processes": 1}} | changed
    assert determined_by(fields, pulse.designs, settings(**changed)) == same


def test_parameters_and_designs_and_simulations_count(
    fields: SimulationFields,
    pulse: SimpleNamespace,
    write_pulse: Callable[..., Path],
    tmp_path: Path,
) -> None:
    other = tmp_path / "other_fields.h5"
    ingest(write_pulse("other.h5", fields=2 * pulse.fields), DataConfig()).save(other)
    found = [
        determined_by(fields, pulse.designs, settings()),
        determined_by(fields, 2 * pulse.designs, settings()),
        determined_by(open_fields(other), pulse.designs, settings()),
        *(
            determined_by(fields, pulse.designs, settings(**changed))
            for changed in (
                {"training": {"seed": 1}},
                {"training": {"num_processes": 3}},
                {"vae": {"latent_size": 5}},
                {"conditioner": {"num_members": 4}},
                {"baselines": {"num_folds": 3}},
                {"data": {"field_scaling": "min_max"}},
            )
        ),
    ]
    assert len(set(found)) == len(found)
