"""Training data as batches, in memory or read by the batch."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simulgen_pipeline.data.fields import SimulationFields, link_fields, open_fields
from simulgen_pipeline.models.latents import Latents
from simulgen_pipeline.training import data
from simulgen_pipeline.training.data import (
    AHEAD_BYTES,
    MOST_READERS,
    Rows,
    TrainingData,
    choose_memory,
    choose_num_readers,
)

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
        "psutil.virtual_memory",
        lambda: SimpleNamespace(available=free),
    )
    data = make("auto")  # 35 kB
    data.fields.path.unlink()
    if outlives:
        assert data.batch([1]).fields.shape == (1, 12, 30)
    else:
        with pytest.raises(OSError, match="simulations"):
            data.batch([1])


@pytest.mark.parametrize(
    ("memory", "num_readers"), [("preload", 0), *(("lazy", n) for n in (0, 1, 3))]
)
def test_batches_are_the_same_however_they_are_read(
    make: Make, monkeypatch: pytest.MonkeyPatch, memory: str, num_readers: int
) -> None:
    rng = np.random.default_rng(0)
    wanted = [Rows(rng.permutation(24)[:5].tolist()) for _ in range(6)]
    wanted += [Rows([3], [4]), Rows([7, 7], [0, 1])]
    monkeypatch.setattr(
        "simulgen_pipeline.training.data.choose_num_readers", lambda *_: num_readers
    )
    data = make(memory, LATENTS)
    found = list(data.batches(wanted))
    assert len(found) == len(wanted)
    for rows, batch in zip(wanted, found, strict=True):
        expected = data.batch(rows.designs)
        assert torch.equal(batch.fields, expected.fields)
        assert torch.equal(batch.norms, expected.norms)
        if rows.partners is None:
            assert batch.partners is None
        else:
            assert torch.equal(batch.partners, data.batch(rows.partners).fields)


def test_an_error_of_a_reader_reaches_who_asks_for_the_batch(make: Make) -> None:
    data = make("lazy")
    data.fields.path.unlink()
    with pytest.raises(OSError, match="simulations"):
        next(data.batches([Rows([1]), Rows([2])]))


def test_who_stops_asking_does_not_wait_for_batches_that_nobody_wants(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_reads, read = 0, SimulationFields.read

    def counted(fields: SimulationFields, rows: list[int]) -> object:
        nonlocal num_reads
        num_reads += 1
        return read(fields, rows)

    monkeypatch.setattr(SimulationFields, "read", counted)
    batches = make("lazy").batches([Rows([i]) for i in range(20)])
    next(batches)
    batches.close()
    assert 1 <= num_reads <= 1 + MOST_READERS


def test_batches_of_large_fields_go_through_the_networks_in_pieces(
    make: Make, pulse: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, design_bytes = np.arange(7), 4 * pulse.fields[0].size
    for memory in ("preload", "lazy"):
        training_data = make(memory)
        for num_bytes, sizes in ((7, [7]), (6, [4, 3]), (3, [3, 2, 2]), (0.1, [1] * 7)):
            monkeypatch.setattr(data, "PIECE_BYTES", int(num_bytes * design_bytes))
            pieces = training_data.pieces(places)
            assert [len(piece) for piece in pieces] == sizes
            assert np.concatenate(pieces).tolist() == places.tolist()


def test_readers_are_for_data_on_disk_whose_batches_are_not_too_large() -> None:
    assert choose_num_readers("preload", 10) == 0
    assert choose_num_readers("lazy", 10) == MOST_READERS
    assert choose_num_readers("lazy", AHEAD_BYTES // 2) == 1
    assert choose_num_readers("lazy", AHEAD_BYTES) == 0


def test_auto_divides_the_memory_of_a_machine_among_its_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "psutil.virtual_memory",
        lambda: SimpleNamespace(available=1000),
    )
    cpu = torch.device("cpu")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert choose_memory("auto", 250, cpu) == "preload"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose_memory("auto", 125, cpu) == "preload"
    assert choose_memory("auto", 126, cpu) == "lazy"


def test_auto_looks_at_the_memory_of_the_device_that_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # each has a GPU of its own
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1000, 8000))
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert choose_memory("auto", 250, cuda) == "preload"
    assert choose_memory("auto", 251, cuda) == "lazy"
    assert choose_memory("auto", 251, cpu) == "preload"
    assert choose_memory("preload", 10**15, cuda) == "preload"
