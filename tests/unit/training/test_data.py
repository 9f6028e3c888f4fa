"""Training data as batches, in memory or read by the batch."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simulgen_pipeline.data.fields import SimulationFields, link_fields, open_fields
from simulgen_pipeline.models.vae import Latents
from simulgen_pipeline.training.data import TrainingData

DESIGNS = torch.arange(48.0).reshape(24, 2)
NORMS = torch.arange(24.0) + 1
LATENTS = Latents(torch.arange(24.0).reshape(24, 1), torch.arange(48.0).reshape(24, 2, 1))

Make = Callable[..., TrainingData]


@pytest.fixture
def make(write_pulse: Callable[..., object]) -> Make:
    def training_data(memory: str, latents: Latents | None = None, **items: object) -> TrainingData:
        fields = SimulationFields(write_pulse(**items))  # type: ignore[arg-type]
        return TrainingData(fields, DESIGNS, NORMS, latents, None, memory, torch.device("cpu"))

    return training_data


@pytest.mark.parametrize("memory", ["preload", "lazy", "auto"])
@pytest.mark.parametrize("rows", [[0], [20, 3, 3, 7]], ids=str)
def test_a_batch_has_its_designs_in_the_order_asked_for(
    make: Make, pulse: SimpleNamespace, memory: str, rows: list[int]
) -> None:
    batch = make(memory, LATENTS).batch(rows)
    np.testing.assert_array_equal(batch.fields.numpy(), pulse.fields[rows])
    assert torch.equal(batch.designs, DESIGNS[rows])
    assert torch.equal(batch.norms, NORMS[rows])
    assert batch.latents is not None
    assert torch.equal(batch.latents.main, LATENTS.main[rows])
    assert torch.equal(batch.latents.hierarchical, LATENTS.hierarchical[rows])


def test_without_latents_a_batch_has_none(make: Make) -> None:
    assert make("preload").batch([1, 2]).latents is None


@pytest.mark.parametrize("memory", ["preload", "lazy"])
def test_double_precision_fields_are_given_in_single(
    make: Make, pulse: SimpleNamespace, memory: str
) -> None:
    batch = make(memory, fields=pulse.fields.astype(np.float64)).batch([5])
    assert batch.fields.dtype == torch.float32


def test_scaled_views_are_batches_too(
    write_pulse: Callable[..., object], pulse: SimpleNamespace
) -> None:
    source = SimulationFields(write_pulse())  # type: ignore[arg-type]
    path = source.path.with_name("scaled.h5")
    link_fields(path, source, scaling=(np.full(30, 0.5), np.full(30, 2.0)))
    for memory in ("preload", "lazy"):
        data = TrainingData(
            open_fields(path), DESIGNS, NORMS, None, None, memory, torch.device("cpu")
        )
        expected = (pulse.fields[[9, 2]] - 0.5) / 2
        np.testing.assert_allclose(data.batch([9, 2]).fields.numpy(), expected, atol=1e-6)


def test_channels_are_those_of_the_fields(make: Make) -> None:
    assert make("lazy").num_channels == 30


def test_only_preloaded_data_outlives_its_file(make: Make) -> None:
    preloaded, lazy = make("preload"), make("lazy")
    preloaded.fields.path.unlink()
    assert preloaded.batch([1]).fields.shape == (1, 12, 30)
    with pytest.raises(OSError, match="simulations"):
        lazy.batch([1])


@pytest.mark.parametrize(("free", "outlives"), [(10**9, True), (10**5, False)])
def test_auto_preloads_what_is_small_beside_the_free_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch, free: int, outlives: bool
) -> None:
    monkeypatch.setattr(
        "simulgen_pipeline.training.data.psutil.virtual_memory",
        lambda: SimpleNamespace(available=free),
    )
    data = make("auto")  # 35 kB
    data.fields.path.unlink()
    if outlives:
        assert data.batch([1]).fields.shape == (1, 12, 30)
    else:
        with pytest.raises(OSError, match="simulations"):
            data.batch([1])
