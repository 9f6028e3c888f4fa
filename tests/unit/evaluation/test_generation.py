"""Distances of samples and designs to the training designs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.evaluation import generation
from simulgen_pipeline.evaluation.generation import distances_to_training

TRAINING = (1, 3, 4, 8, 0)
ROWS = np.array([3, 2, 8, 6])


@pytest.fixture
def values() -> NDArray[np.float64]:
    """Fields that differ little, far from zero, of which one is zero and one another's copy."""
    rng = np.random.default_rng(0)
    fields = 300 + rng.normal(size=(9, 7, 5))
    fields[6] = 0
    fields[8] = fields[4]
    return fields


@pytest.fixture
def store(tmp_path: Path) -> Callable[[NDArray[Any]], SimulationFields]:
    def write(fields: NDArray[Any]) -> SimulationFields:
        with h5py.File(tmp_path / "fields.h5", "w") as file:
            file["fields"] = fields
        return SimulationFields(tmp_path / "fields.h5")

    return write


def by_brute_force(field: NDArray[Any], others: list[NDArray[Any]]) -> float:
    return float(min(np.linalg.norm(field - other) for other in others) / np.linalg.norm(field))


@pytest.mark.parametrize("block_bytes", [1, 8 * 9 * 5 * 3, 2**20])
@pytest.mark.parametrize("time_range", [None, (2, 6)])
def test_distances_are_those_of_the_nearest_other_training_field(
    values: NDArray[np.float64],
    store: Callable[[NDArray[Any]], SimulationFields],
    monkeypatch: pytest.MonkeyPatch,
    block_bytes: int,
    time_range: tuple[int, int] | None,
) -> None:
    monkeypatch.setattr(generation, "BLOCK_BYTES", block_bytes)
    source = store(values)
    fields = SimulationFields(source.path, time_range=time_range)
    seen = values if time_range is None else values[:, slice(*time_range)]
    samples = 301 + np.random.default_rng(1).normal(size=(2, *seen.shape[1:]))
    found = distances_to_training(fields, TRAINING, ROWS, samples / 2, lambda part: 2 * part)
    known = {row: seen[row] for row in TRAINING}
    expected = [by_brute_force(sample, list(known.values())) for sample in samples]
    for row in (3, 2):
        others = [field for other, field in known.items() if other != row]
        expected.append(by_brute_force(seen[row], others))
    np.testing.assert_allclose(found[:4], expected, rtol=1e-9)
    assert found[4] == pytest.approx(0, abs=1e-8)  # its copy is another training design
    assert np.isnan(found[5])  # zero everywhere


def test_a_field_that_is_not_finite_is_refused(
    values: NDArray[np.float64], store: Callable[[NDArray[Any]], SimulationFields]
) -> None:
    samples = np.full((1, 7, 5), np.nan)
    with pytest.raises(ValueError, match=r"not finite.*did the training diverge"):
        distances_to_training(store(values), TRAINING, ROWS, samples, lambda part: part)
