"""Reading a user's simulations: every format, and every way in which a file can be wrong."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.fields import SimulationFields, open_fields
from simulgen_pipeline.data.ingest import SUFFIXES, ingest

Write = Callable[..., Path]
ALL = DataConfig()


def write_array(path: Path, values: np.ndarray) -> Path:
    """Store an array in the format that the suffix says."""
    if path.suffix in (".h5", ".hdf5"):
        with h5py.File(path, "w") as file:
            file["fields"] = values
    elif path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, anything=values)
    else:
        path.write_bytes(pickle.dumps(values))
    return path


def ingested(path: Path, config: DataConfig = ALL) -> SimulationFields:
    """The canonical file of some simulations, opened."""
    canonical = path.parent / "canonical" / "fields.h5"
    ingest(path, config).save(canonical)
    return open_fields(canonical)


def refusal(path: Path, config: DataConfig = ALL) -> str:
    with pytest.raises(DataError) as caught:
        ingest(path, config)
    return str(caught.value)


def assert_says(message: str, *parts: object) -> None:
    for part in parts:
        assert str(part) in message


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".H5", ".NPY"])
def test_every_format_gives_the_same_fields(
    tmp_path: Path, pulse: SimpleNamespace, suffix: str
) -> None:
    path = write_array(tmp_path / f"study{suffix.lower()}", pulse.fields)
    path = path.rename(tmp_path / f"study{suffix}")
    fields = ingested(path)
    assert fields.shape == pulse.fields.shape
    read = fields.read(range(24))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, pulse.fields)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_the_same_selection(
    tmp_path: Path, pulse: SimpleNamespace, suffix: str
) -> None:
    config = DataConfig(time_range=(3, 9), node_range=(4, 5))
    fields = ingested(write_array(tmp_path / f"study{suffix}", pulse.fields), config)
    np.testing.assert_array_equal(fields.read(range(24)), pulse.fields[:, 3:9, 4:5])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_double_precision_is_kept(tmp_path: Path, pulse: SimpleNamespace, suffix: str) -> None:
    values = pulse.fields.astype(np.float64) / 3
    read = ingested(write_array(tmp_path / f"study{suffix}", values)).read(range(24))
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(
    tmp_path: Path, pulse: SimpleNamespace, protocol: int
) -> None:
    path = tmp_path / "study.pickle"
    path.write_bytes(pickle.dumps(pulse.fields, protocol=protocol))
    np.testing.assert_array_equal(ingested(path).read(range(24)), pulse.fields)


@pytest.mark.parametrize("suffix", [".pkl", ".npy", ".npz", ".h5"])
def test_arrays_in_fortran_order_are_read(
    tmp_path: Path, pulse: SimpleNamespace, suffix: str
) -> None:
    path = write_array(tmp_path / f"study{suffix}", np.asfortranarray(pulse.fields))
    np.testing.assert_array_equal(ingested(path).read(range(24)), pulse.fields)


def test_a_static_simulation_has_one_time_step(tmp_path: Path, pulse: SimpleNamespace) -> None:
    path = write_array(tmp_path / "study.npy", pulse.fields[:, :1])
    assert ingested(path).shape == (24, 1, 30)


def test_metadata_of_an_hdf5_file_is_kept(write_pulse: Write, pulse: SimpleNamespace) -> None:
    metadata = ingested(write_pulse()).metadata
    assert (metadata.name, metadata.units, metadata.components) == ("displacement", "mm", 2)
    assert metadata.design_ids == tuple(pulse.ids)
    np.testing.assert_array_equal(metadata.time, pulse.time)
    np.testing.assert_array_equal(metadata.coordinates, pulse.coordinates)
    np.testing.assert_array_equal(metadata.cells, pulse.cells)


def test_integer_ids_are_read_as_text(write_pulse: Write) -> None:
    path = write_pulse(design_ids=np.arange(24))
    assert ingested(path).metadata.design_ids == tuple(str(i) for i in range(24))


def test_hdf5_is_referred_to_and_not_copied(tmp_path: Path, pulse: SimpleNamespace) -> None:
    values = np.tile(pulse.fields, (1, 50, 1))
    path = write_array(tmp_path / "study.h5", values)
    fields = ingested(path)
    assert fields.path.stat().st_size < path.stat().st_size / 20
    np.testing.assert_array_equal(fields.read([5]), values[[5]])


def test_another_dataset_is_read_by_name(write_pulse: Write, pulse: SimpleNamespace) -> None:
    path = write_pulse(field="u", fields=2 * pulse.fields)
    fields = ingested(path, DataConfig(field="u"))
    np.testing.assert_array_equal(fields.read([1]), 2 * pulse.fields[[1]])


def test_one_of_several_arrays_is_read_by_name(tmp_path: Path, pulse: SimpleNamespace) -> None:
    np.savez_compressed(tmp_path / "study.npz", u=pulse.fields, time=pulse.time)
    fields = ingested(tmp_path / "study.npz", DataConfig(field="u"))
    np.testing.assert_array_equal(fields.read([1]), pulse.fields[[1]])


class Malicious:
    """Runs a command where it is unpickled by Python's own loader."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "inside an array"])
@pytest.mark.parametrize("suffix", [".pkl", ".npy", ".npz"])
def test_a_malicious_pickle_is_refused_and_does_not_run(
    tmp_path: Path, suffix: str, wrapped: bool
) -> None:
    proof = tmp_path / "it_ran"
    value: Any = Malicious(f"touch {proof}")
    if wrapped or suffix != ".pkl":
        value = np.array([[[value]]], dtype=object)
    message = refusal(write_array(tmp_path / f"study{suffix}", value))
    assert not proof.exists()
    assert_says(message, tmp_path / f"study{suffix}", "Store the array")
    if suffix == ".pkl":
        assert_says(message, "system", "only plain NumPy arrays")


def test_the_malicious_pickle_would_run_elsewhere(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(f"touch {tmp_path / 'it_ran'}")))
    assert (tmp_path / "it_ran").exists()


def test_a_missing_file_names_the_ways_to_get_one(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nothing.h5")
    assert_says(message, tmp_path / "nothing.h5", ".npz", "demo_data", "--params=simulations=PATH")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert_says(refusal(tmp_path), tmp_path, "a folder", ".h5", "num_designs")


@pytest.mark.parametrize("name", ["study.csv", "study", "study.mat"])
def test_an_unknown_suffix_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("1,2")
    suffix = Path(name).suffix
    assert_says(refusal(tmp_path / name), tmp_path / name, f"suffix '{suffix}'", ".h5")


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".npz", ".pkl"])
class TestWrongArrays:
    """The same faults in files of every kind."""

    @pytest.mark.parametrize("shape", [(), (4,), (4, 5), (4, 5, 6, 1)], ids=str)
    def test_wrong_rank(self, tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
        path = write_array(tmp_path / f"study{suffix}", np.ones(shape))
        message = refusal(path)
        assert_says(message, path, f"shape {list(shape)}", "[num_designs, num_time_steps, ")
        assert_says(message, "static simulation")

    @pytest.mark.parametrize("shape", [(0, 5, 6), (4, 0, 6), (4, 5, 0)], ids=str)
    def test_empty(self, tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
        path = write_array(tmp_path / f"study{suffix}", np.ones(shape))
        assert_says(refusal(path), path, f"shape {list(shape)}", "none of them 0")

    @pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float16, np.complex64, bool])
    def test_wrong_type(self, tmp_path: Path, suffix: str, dtype: type) -> None:
        path = write_array(tmp_path / f"study{suffix}", np.ones((4, 5, 6), dtype))
        assert_says(refusal(path), path, np.dtype(dtype), "float32 or float64", "Convert")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(
        self, tmp_path: Path, pulse: SimpleNamespace, suffix: str, value: float
    ) -> None:
        values = pulse.fields
        values[17, 8, 5] = values[20, 0, 0] = value
        path = write_array(tmp_path / f"study{suffix}", values)
        message = refusal(path)
        assert_says(message, path, "2 values", "design 17", "time step 8", "node 5")
        assert_says(message, "remove or recompute")

    def test_not_finite_outside_the_selection_is_no_matter(
        self, tmp_path: Path, pulse: SimpleNamespace, suffix: str
    ) -> None:
        values = pulse.fields
        values[17, 8, 5] = np.nan
        path = write_array(tmp_path / f"study{suffix}", values)
        assert ingested(path, DataConfig(time_range=(0, 8))).shape == (24, 8, 30)
        message = refusal(path, DataConfig(time_range=(8, 12), node_range=(2, 10)))
        assert_says(message, "design 17", "time step 0", "node 3", "of the selection")

    @pytest.mark.parametrize(
        ("name", "size"), [("time_range", 12), ("node_range", 30)], ids=["time", "node"]
    )
    def test_range_out_of_bounds(
        self, tmp_path: Path, pulse: SimpleNamespace, suffix: str, name: str, size: int
    ) -> None:
        path = write_array(tmp_path / f"study{suffix}", pulse.fields)
        config = DataConfig.model_validate({name: [1, size + 1]})
        assert_says(refusal(path, config), f"data.{name}=[1, {size + 1}]", path, f"end <= {size}")
        assert ingested(path, DataConfig.model_validate({name: [1, size]})).shape[0] == 24

    def test_truncated(self, tmp_path: Path, pulse: SimpleNamespace, suffix: str) -> None:
        path = write_array(tmp_path / f"study{suffix}", pulse.fields)
        path.write_bytes(path.read_bytes()[:-2000])
        assert_says(refusal(path), path, "again")

    @pytest.mark.parametrize("content", [b"", b"speed,width\n1,2\n", bytes(100)], ids=repr)
    def test_other_content(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        path = tmp_path / f"study{suffix}"
        path.write_bytes(content)
        assert_says(refusal(path), path, "again")


def test_a_missing_dataset_names_those_that_are_there(write_pulse: Write) -> None:
    path = write_pulse(field="stress")
    message = refusal(path)
    assert_says(message, path, "no dataset 'fields'", "stress", "--params=data.field=NAME")


def test_an_hdf5_file_without_datasets_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "study.h5", "w") as file:
        file.create_group("fields")
    message = refusal(tmp_path / "study.h5")
    assert_says(message, tmp_path / "study.h5", "no dataset 'fields'", "none")


def test_several_arrays_without_the_named_one_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "study.npz", u=np.ones((3, 2, 2)), v=np.ones((3, 2, 2)))
    message = refusal(tmp_path / "study.npz")
    assert_says(message, tmp_path / "study.npz", "u, v", "'fields'", "--params=data.field=NAME")


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.pkl").write_bytes(pickle.dumps({"fields": [1.0, 2.0]}))
    assert_says(refusal(tmp_path / "study.pkl"), tmp_path / "study.pkl", "a dict", "NumPy array")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("time", np.arange(11.0), "[11]; expected [12], one per time step"),
        ("time", 0.5, "[]; expected [12], one per time step"),
        ("coordinates", np.zeros((30, 2)), "[30, 2]; expected [15, num_dimensions], one per mesh"),
        ("coordinates", np.zeros(15), "[15]; expected [15, num_dimensions], one per mesh"),
        ("design_ids", ["a", "b"], "[2]; expected [24], one per design"),
    ],
)
def test_an_optional_item_of_the_wrong_shape_is_refused(
    write_pulse: Write, name: str, values: Any, expected: str
) -> None:
    path = write_pulse(**{name: values})
    assert_says(refusal(path), path, f"`{name}`", expected, "Correct or remove")


def test_an_optional_item_of_the_wrong_type_is_refused(write_pulse: Write) -> None:
    path = write_pulse(time=["early"] * 12)
    assert_says(refusal(path), path, "time", "Correct or remove")


def test_attributes_stored_as_arrays_of_one_are_read(write_pulse: Write) -> None:
    path = write_pulse()
    with h5py.File(path, "a") as file:
        file["fields"].attrs["components"] = np.array([2])
        file["fields"].attrs["units"] = np.array([b"mm"])
    metadata = ingested(path).metadata
    assert (metadata.components, metadata.units) == (2, "mm")


def test_repeated_ids_are_named(write_pulse: Write, pulse: SimpleNamespace) -> None:
    pulse.ids[7] = pulse.ids[3]
    path = write_pulse(design_ids=pulse.ids)
    assert_says(refusal(path), path, "not unique", "run_03")


@pytest.mark.parametrize("components", [0, -2, 4, 31])
def test_components_that_do_not_divide_are_refused(write_pulse: Write, components: int) -> None:
    path = write_pulse(components=components)
    assert_says(refusal(path), path, f"components={components}", "30 values", "Correct")


@pytest.mark.parametrize(
    "cells", [[[0, 15]], [[-1, 0]], [0, 1, 2]], ids=["too large", "negative", "flat"]
)
def test_cells_that_do_not_fit_the_mesh_are_refused(write_pulse: Write, cells: Any) -> None:
    path = write_pulse(cells=np.array(cells))
    assert_says(refusal(path), path, "`cells`", "0 to 14", "Correct or remove")


def test_a_mesh_without_cells_may_say_so(write_pulse: Write) -> None:
    metadata = ingested(write_pulse(cells=np.zeros((0, 2), dtype=int))).metadata
    assert metadata.cells is not None
    assert len(metadata.cells) == 0


@pytest.mark.parametrize("node_range", [(1, 5), (2, 5), (1, 4)], ids=str)
def test_a_range_that_cuts_a_mesh_node_is_refused(
    write_pulse: Write, node_range: tuple[int, int]
) -> None:
    path = write_pulse()
    message = refusal(path, DataConfig(node_range=node_range))
    assert_says(message, f"data.node_range={list(node_range)}", path, "multiples of 2")


def test_the_fingerprint_does_not_depend_on_the_format(
    tmp_path: Path, write_pulse: Write, pulse: SimpleNamespace
) -> None:
    paths = [write_array(tmp_path / f"study{suffix}", pulse.fields) for suffix in SUFFIXES]
    fingerprints = {ingest(path, ALL).fingerprint for path in [*paths, write_pulse()]}
    assert len(fingerprints) == 1
    assert ingested(write_pulse()).fingerprint in fingerprints


def test_the_fingerprint_does_not_depend_on_the_memory_layout(
    tmp_path: Path, pulse: SimpleNamespace
) -> None:
    straight = ingest(write_array(tmp_path / "c.npy", pulse.fields), ALL)
    swapped = ingest(write_array(tmp_path / "f.npy", np.asfortranarray(pulse.fields)), ALL)
    assert straight.fingerprint == swapped.fingerprint


def test_the_fingerprint_is_that_of_the_selection(tmp_path: Path, pulse: SimpleNamespace) -> None:
    config = DataConfig(time_range=(2, 6), node_range=(3, 9))
    whole = ingest(write_array(tmp_path / "whole.h5", pulse.fields), config)
    part = ingest(write_array(tmp_path / "part.npy", pulse.fields[:, 2:6, 3:9]), ALL)
    assert whole.fingerprint == part.fingerprint


@pytest.mark.parametrize("num_per_block", [1, 7])
def test_neither_fingerprint_nor_error_depend_on_the_size_of_blocks(
    tmp_path: Path, pulse: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, num_per_block: int
) -> None:
    path = write_array(tmp_path / "study.npy", pulse.fields)
    once = ingest(path, ALL).fingerprint
    num_bytes = 8 * 12 * 30 * num_per_block
    monkeypatch.setattr("simulgen_pipeline.data.ingest.BLOCK_BYTES", num_bytes)
    assert ingest(path, ALL).fingerprint == once
    np.testing.assert_array_equal(ingested(path).read(range(24)), pulse.fields)
    pulse.fields[17, 8, 5] = np.nan
    assert_says(refusal(write_array(path, pulse.fields)), "at design 17", "time step 8", "node 5")


@pytest.mark.parametrize("position", [(0, 0, 0), (11, 5, 17), (23, 11, 29)], ids=str)
def test_any_changed_value_changes_the_fingerprint(
    tmp_path: Path, pulse: SimpleNamespace, position: tuple[int, int, int]
) -> None:
    before = ingest(write_array(tmp_path / "before.npy", pulse.fields), ALL).fingerprint
    pulse.fields[position] = np.nextafter(pulse.fields[position], np.float32(9))
    after = ingest(write_array(tmp_path / "after.npy", pulse.fields), ALL).fingerprint
    assert before != after


def test_shape_order_and_precision_change_the_fingerprint(
    tmp_path: Path, pulse: SimpleNamespace
) -> None:
    variants = [
        pulse.fields,
        pulse.fields[::-1],
        pulse.fields.astype(np.float64),
        pulse.fields.reshape(24, 30, 12),
        pulse.fields.reshape(12, 24, 30),
        pulse.fields[:, :6],
    ]
    fingerprints = {
        ingest(write_array(tmp_path / f"{i}.npy", values), ALL).fingerprint
        for i, values in enumerate(variants)
    }
    assert len(fingerprints) == len(variants)


def test_a_broken_compressed_chunk_is_a_data_error(tmp_path: Path, pulse: SimpleNamespace) -> None:
    path = tmp_path / "study.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("fields", data=pulse.fields, chunks=(1, 12, 30), compression="gzip")
        start = file["fields"].id.get_chunk_info(3).byte_offset
    content = bytearray(path.read_bytes())
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    assert_says(refusal(path), path, "cannot be read", "Write it again")


def test_of_an_array_only_the_selection_is_written(tmp_path: Path, pulse: SimpleNamespace) -> None:
    path = write_array(tmp_path / "study.npy", pulse.fields)
    canonical = ingested(path, DataConfig(time_range=(0, 1))).path
    with h5py.File(canonical) as file:
        assert file["fields"].shape == (24, 1, 30)
