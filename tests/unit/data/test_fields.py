"""The canonical HDF5 form of fields: writing, lazy reading, selections and references."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.fields import (
    FieldMetadata,
    SimulationFields,
    link_fields,
    new_hdf5_file,
    open_fields,
    write_fields,
)

Write = Callable[..., Path]


def metadata_of(pulse: SimpleNamespace) -> FieldMetadata:
    return FieldMetadata(
        "displacement", "mm", 2, pulse.time, pulse.coordinates, pulse.cells, tuple(pulse.ids)
    )


def in_blocks(fields: np.ndarray, size: int = 5) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    for start in range(0, len(fields), size):
        rows = np.arange(start, min(start + size, len(fields)))
        yield rows, {"fields": fields[rows]}


def assert_same_metadata(found: FieldMetadata, expected: FieldMetadata) -> None:
    for name in ("name", "units", "components", "design_ids"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("time", "coordinates", "cells"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_written_fields_are_read_back_with_their_metadata(
    tmp_path: Path, pulse: SimpleNamespace, dtype: type
) -> None:
    path, values = tmp_path / "new" / "fields.h5", pulse.fields.astype(dtype)
    write_fields(path, len(values), in_blocks(values), metadata_of(pulse), "abc")
    fields = open_fields(path)
    assert fields.shape == values.shape
    assert fields.fingerprint == "abc"
    read = fields.read(np.arange(len(values)))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values)
    assert_same_metadata(fields.metadata, metadata_of(pulse))


def test_fields_without_optional_items_have_default_metadata(
    tmp_path: Path, pulse: SimpleNamespace
) -> None:
    write_fields(tmp_path / "f.h5", 24, in_blocks(pulse.fields), FieldMetadata())
    assert open_fields(tmp_path / "f.h5").metadata == FieldMetadata()
    assert open_fields(tmp_path / "f.h5").fingerprint == ""


def test_file_without_attributes_has_one_component_and_no_units(
    tmp_path: Path, pulse: SimpleNamespace
) -> None:
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["fields"] = pulse.fields
    assert SimulationFields(tmp_path / "plain.h5").metadata == FieldMetadata()


def test_metadata_stored_as_bytes_is_read_as_text(tmp_path: Path, pulse: SimpleNamespace) -> None:
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["fields"] = pulse.fields
        file["fields"].attrs["name"] = np.bytes_("pressure")
        file["design_ids"] = np.array(pulse.ids, dtype="S")
    metadata = SimulationFields(tmp_path / "plain.h5").metadata
    assert metadata.name == "pressure"
    assert metadata.design_ids == tuple(pulse.ids)


def test_several_datasets_are_written_side_by_side(tmp_path: Path, pulse: SimpleNamespace) -> None:
    path = tmp_path / "predictions.h5"
    blocks = (
        (rows, {**arrays, "std": 2 * arrays["fields"]}) for rows, arrays in in_blocks(pulse.fields)
    )
    write_fields(path, 24, blocks, FieldMetadata())
    std = SimulationFields(path, "std").read(range(24))
    np.testing.assert_array_equal(std, 2 * pulse.fields)


@pytest.mark.parametrize(
    "rows", [[3], [5, 1, 20], [2, 2, 0, 2], [], list(range(24))[::-1]], ids=str
)
def test_rows_are_read_in_the_order_given(
    write_pulse: Write, pulse: SimpleNamespace, rows: list[int]
) -> None:
    read = SimulationFields(write_pulse()).read(rows)
    np.testing.assert_array_equal(read, pulse.fields[np.array(rows, dtype=int)])


@pytest.mark.parametrize("wrong", [[24], [3, 24], [0, 100]], ids=str)
def test_rows_that_do_not_exist_are_refused(write_pulse: Write, wrong: list[int]) -> None:
    with pytest.raises((IndexError, OSError)):
        SimulationFields(write_pulse()).read(wrong)


@pytest.mark.parametrize("rows", [None, [7, 3, 3, 20, 1]], ids=str)
@pytest.mark.parametrize("num_per_block", [1, 3, 1000])
def test_blocks_cover_rows_once_in_order_and_within_bounds(
    write_pulse: Write, pulse: SimpleNamespace, rows: list[int] | None, num_per_block: int
) -> None:
    size = 8 * 12 * 30  # bytes of a design in float64
    blocks = list(SimulationFields(write_pulse()).blocks(rows, num_per_block * size))
    expected = np.arange(24) if rows is None else np.array(rows)
    np.testing.assert_array_equal(np.concatenate([found for found, _ in blocks]), expected)
    np.testing.assert_array_equal(
        np.concatenate([values for _, values in blocks]), pulse.fields[expected]
    )
    assert max(len(found) for found, _ in blocks) <= num_per_block


def test_blocks_go_one_by_one_when_a_design_is_larger_than_a_block(write_pulse: Write) -> None:
    blocks = SimulationFields(write_pulse()).blocks(max_bytes=1)
    assert [len(rows) for rows, _ in blocks] == [1] * 24


def test_ranges_select_values_and_restrict_the_mesh(
    write_pulse: Write, pulse: SimpleNamespace
) -> None:
    fields = SimulationFields(write_pulse(), time_range=(2, 9), node_range=(4, 12))
    assert fields.shape == (24, 7, 8)
    np.testing.assert_array_equal(fields.read([6, 1]), pulse.fields[[6, 1], 2:9, 4:12])
    metadata = fields.metadata
    np.testing.assert_array_equal(metadata.time, pulse.time[2:9])
    np.testing.assert_array_equal(metadata.coordinates, pulse.coordinates[2:6])
    # The bar's cells between mesh nodes 2 and 5, renumbered; those that leave it are dropped.
    np.testing.assert_array_equal(metadata.cells, [[0, 1], [1, 2], [2, 3]])
    assert metadata.components == 2
    assert metadata.design_ids == tuple(pulse.ids)


def test_a_selection_without_metadata_stays_without(tmp_path: Path) -> None:
    assert FieldMetadata().select((1, 2), (0, 2)) == FieldMetadata()


def test_cells_outside_the_selection_leave_none() -> None:
    metadata = FieldMetadata(cells=np.array([[0, 1, 2], [2, 3, 4]])).select(None, (1, 4))
    assert metadata.cells is not None
    assert metadata.cells.shape == (0, 3)


def test_a_handle_can_be_pickled(write_pulse: Write) -> None:
    fields = SimulationFields(write_pulse(), time_range=(0, 3))
    assert pickle.loads(pickle.dumps(fields)) == fields


def test_a_link_refers_to_values_and_keeps_metadata(
    tmp_path: Path, write_pulse: Write, pulse: SimpleNamespace
) -> None:
    source = SimulationFields(write_pulse(field="u"), "u", (1, 5), (2, 20))
    link_fields(tmp_path / "link.h5", source, "abc")
    linked = open_fields(tmp_path / "link.h5")
    assert linked.shape == (24, 4, 18)
    assert (linked.time_range, linked.node_range) == ((1, 5), (2, 20))
    assert linked.fingerprint == "abc"
    np.testing.assert_array_equal(linked.read([9, 0]), pulse.fields[[9, 0], 1:5, 2:20])
    assert_same_metadata(linked.metadata, source.metadata)
    assert linked.metadata.units == "mm"


def test_a_link_to_a_link_refers_to_the_end(
    tmp_path: Path, write_pulse: Write, pulse: SimpleNamespace
) -> None:
    link_fields(tmp_path / "first.h5", SimulationFields(write_pulse(), time_range=(1, 5)))
    link_fields(tmp_path / "second.h5", open_fields(tmp_path / "first.h5"))
    (tmp_path / "first.h5").unlink()
    second = open_fields(tmp_path / "second.h5")
    np.testing.assert_array_equal(second.read([4]), pulse.fields[[4], 1:5])
    np.testing.assert_array_equal(second.metadata.time, pulse.time[1:5])


@pytest.mark.parametrize("ranges", [(None, None), ((1, 5), (2, 20))], ids=str)
def test_a_scaled_view_is_scaled_as_it_is_read(
    tmp_path: Path, write_pulse: Write, pulse: SimpleNamespace, ranges: tuple[Any, Any]
) -> None:
    source = SimulationFields(write_pulse(), time_range=ranges[0], node_range=ranges[1])
    rng = np.random.default_rng(1)
    num_nodes = source.shape[2]
    offset, scale = rng.normal(size=num_nodes), rng.uniform(0.5, 2, num_nodes)
    link_fields(tmp_path / "scaled.h5", source, scaling=(offset, scale))
    read = open_fields(tmp_path / "scaled.h5").read([8, 8, 2])
    expected = (source.read([8, 8, 2]).astype(np.float64) - offset) / scale
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, expected, rtol=1e-6, atol=1e-6)


def test_scaling_does_not_lose_digits_of_a_small_change_on_a_large_value(tmp_path: Path) -> None:
    values = 1e5 + np.linspace(0, 1e-3, 6).reshape(3, 2, 1)
    write_fields(tmp_path / "f.h5", 3, in_blocks(values), FieldMetadata())
    link_fields(
        tmp_path / "scaled.h5",
        open_fields(tmp_path / "f.h5"),
        scaling=(np.array([1e5]), np.array([1e-3])),
    )
    read = open_fields(tmp_path / "scaled.h5").read(range(3)).ravel()
    np.testing.assert_allclose(read, np.linspace(0, 1, 6), atol=1e-6)


def test_a_reference_whose_file_is_gone_says_so(tmp_path: Path, write_pulse: Write) -> None:
    source = write_pulse()
    link_fields(tmp_path / "link.h5", SimulationFields(source))
    linked = open_fields(tmp_path / "link.h5")
    source.unlink()
    uses: list[Callable[[], object]] = [
        lambda: linked.shape,
        lambda: linked.metadata,
        lambda: linked.read([0]),
        lambda: list(linked.blocks()),
    ]
    for use in uses:
        with pytest.raises(DataError, match="is gone") as caught:
            use()
        assert str(source) in str(caught.value)
        assert str(tmp_path / "link.h5") in str(caught.value)
        assert "put the file back" in str(caught.value)


def test_a_users_relative_link_is_followed_from_its_own_folder(
    tmp_path: Path, write_pulse: Write, pulse: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pulse("values.h5")
    with h5py.File(tmp_path / "study.h5", "w") as file:
        file["fields"] = h5py.ExternalLink("values.h5", "fields")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    source = SimulationFields(tmp_path / "study.h5")
    np.testing.assert_array_equal(source.read([3]), pulse.fields[[3]])
    link_fields(tmp_path / "elsewhere" / "link.h5", source)
    linked = open_fields(tmp_path / "elsewhere" / "link.h5")
    np.testing.assert_array_equal(linked.read([3]), pulse.fields[[3]])


def test_a_writer_that_fails_leaves_no_file(tmp_path: Path, pulse: SimpleNamespace) -> None:
    def failing() -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        yield from list(in_blocks(pulse.fields))[:2]
        raise RuntimeError("the simulation broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        write_fields(tmp_path / "fields.h5", 24, failing(), FieldMetadata())
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_an_earlier_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "values.h5"
    with new_hdf5_file(path) as file:
        file["x"] = 1

    def interrupted() -> None:
        with new_hdf5_file(path) as file:
            file["x"] = 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with h5py.File(path) as file:
        assert file["x"][()] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with new_hdf5_file(tmp_path / "values.h5") as file:
        file["x"] = 1
        assert not (tmp_path / "values.h5").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["values.h5"]


def test_metadata_can_be_replaced_item_by_item(pulse: SimpleNamespace) -> None:
    changed = replace(metadata_of(pulse), units="m")
    assert changed.units == "m"
    assert changed.name == "displacement"
