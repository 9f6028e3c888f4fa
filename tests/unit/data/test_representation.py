"""What the networks see of a field, and the way back to physical units."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from simulgen_pipeline.data.fields import (
    FieldMetadata,
    SimulationFields,
    open_fields,
    write_fields,
)
from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import ChannelFields, FieldRepresentation
from simulgen_pipeline.data.scaling import FieldScaler, FieldScaling

TRAIN = slice(0, 16)


def fit(
    fields: np.ndarray, scaling: FieldScaling, reduced: bool, tolerance: float = 1e-7
) -> FieldRepresentation:
    scaler = FieldScaler(scaling).fit([fields[TRAIN]])
    if not reduced:
        return FieldRepresentation(scaler, None)
    basis = PodBasis(tolerance).fit(lambda: iter([scaler.transform(fields[TRAIN])]))
    return FieldRepresentation(scaler, basis)


@pytest.fixture(params=[False, True], ids=["nodes", "pod"])
def reduced(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("scaling", ["centred", "min_max"])
def test_training_fields_come_back_from_the_channels(
    pulse: SimpleNamespace, scaling: FieldScaling, reduced: bool
) -> None:
    representation = fit(pulse.fields, scaling, reduced)
    channels = representation.transform(pulse.fields)
    assert channels.dtype == np.float32
    assert channels.shape == (24, 12, representation.num_channels)
    assert representation.num_nodes == 30
    assert (representation.num_channels < 30) == reduced
    back = representation.inverse_transform(channels)
    np.testing.assert_allclose(back[TRAIN], pulse.fields[TRAIN], atol=5e-3)


def test_channels_have_the_mean_square_that_networks_expect(
    pulse: SimpleNamespace, reduced: bool
) -> None:
    channels = fit(pulse.fields, "centred", reduced).transform(pulse.fields[TRAIN])
    assert np.square(channels).mean() == pytest.approx(1, rel=1e-4)


def unit_of(representation: FieldRepresentation) -> float:
    """The size of a channel's unit in the field's units."""
    basis = representation.basis
    return float(
        representation.scaler.scale_[0] * (1 if basis is None else basis.coefficient_scale_)
    )


@pytest.mark.parametrize("offset", [0.0, 50.0], ids=["around zero", "far from zero"])
def test_norms_are_those_of_the_physical_fields_in_channel_units(
    pulse: SimpleNamespace, reduced: bool, offset: float
) -> None:
    fields = pulse.fields.astype(np.float64) + offset
    representation = fit(fields, "centred", reduced, tolerance=1e-12)
    norms = representation.norms(representation.transform(fields[TRAIN]))
    expected = np.linalg.norm(fields[TRAIN].reshape(16, -1), axis=1) / unit_of(representation)
    np.testing.assert_allclose(norms, expected, rtol=1e-5)


def test_norms_count_a_mean_field_that_the_basis_does_not_hold() -> None:
    rng = np.random.default_rng(0)
    mean, modes = 5 * rng.normal(size=40), rng.normal(size=(2, 40))
    fields = mean + rng.normal(size=(16, 6, 2)) @ modes
    representation = fit(fields, "centred", reduced=True, tolerance=1e-12)
    assert representation.num_channels == 2
    assert unit_of(representation) > 2 * representation.scaler.scale_[0]
    norms = representation.norms(representation.transform(fields))
    expected = np.linalg.norm(fields.reshape(16, -1), axis=1) / unit_of(representation)
    np.testing.assert_allclose(norms, expected, rtol=1e-6)


def test_a_relative_error_of_channels_is_one_of_physical_fields(
    pulse: SimpleNamespace, reduced: bool
) -> None:
    fields = pulse.fields.astype(np.float64) + 3
    representation = fit(fields, "centred", reduced, tolerance=1e-12)
    channels = representation.transform(fields[TRAIN])
    wrong = channels + np.random.default_rng(0).normal(size=channels.shape).astype(np.float32)
    error = np.linalg.norm((wrong - channels).reshape(16, -1), axis=1)
    physical = representation.inverse_transform(wrong) - representation.inverse_transform(channels)
    np.testing.assert_allclose(
        error / representation.norms(channels),
        np.linalg.norm(physical.reshape(16, -1), axis=1)
        / np.linalg.norm(fields[TRAIN].reshape(16, -1), axis=1),
        rtol=1e-5,
    )


def test_a_field_of_zeros_has_no_norm(pulse: SimpleNamespace, reduced: bool) -> None:
    pulse.fields[3] = 0
    representation = fit(pulse.fields, "centred", reduced, tolerance=1e-12)
    norms = representation.norms(representation.transform(pulse.fields))
    assert np.isfinite(norms).all()
    assert norms[3] < 1e-3 * norms.max()


def test_fields_that_never_change_can_be_represented(reduced: bool) -> None:
    fields = np.full((20, 3, 8), 0.1, dtype=np.float32)
    representation = fit(fields, "centred", reduced)
    channels = representation.transform(fields)
    assert np.isfinite(channels).all()
    assert np.isfinite(representation.norms(channels)).all()
    np.testing.assert_allclose(representation.inverse_transform(channels), fields, rtol=1e-6)


@pytest.mark.parametrize("scaling", ["centred", "min_max"])
def test_a_representation_is_rebuilt_from_config_and_state(
    pulse: SimpleNamespace, scaling: FieldScaling, reduced: bool
) -> None:
    representation = fit(pulse.fields, scaling, reduced)
    again = FieldRepresentation.from_state(representation.config(), representation.state())
    channels = representation.transform(pulse.fields)
    np.testing.assert_array_equal(again.transform(pulse.fields), channels)
    np.testing.assert_array_equal(again.norms(channels), representation.norms(channels))
    np.testing.assert_array_equal(
        again.inverse_transform(channels), representation.inverse_transform(channels)
    )


@pytest.fixture
def stored(tmp_path: Path, pulse: SimpleNamespace) -> SimulationFields:
    metadata = FieldMetadata(
        "u", "mm", 2, pulse.time, pulse.coordinates, pulse.cells, tuple(pulse.ids)
    )
    blocks: list[tuple[np.ndarray, dict[str, Any]]] = [(np.arange(24), {"fields": pulse.fields})]
    write_fields(tmp_path / "fields.h5", 24, blocks, metadata, "abc")
    return open_fields(tmp_path / "fields.h5")


def test_channels_on_disk_are_the_transformed_fields(
    tmp_path: Path, pulse: SimpleNamespace, stored: SimulationFields, reduced: bool
) -> None:
    representation = fit(pulse.fields, "centred", reduced)
    ChannelFields(stored, representation).save(tmp_path / "channels.h5")
    channels = open_fields(tmp_path / "channels.h5")
    assert channels.fingerprint == "abc"
    read = channels.read([20, 3])
    assert read.dtype == np.float32
    expected = representation.transform(pulse.fields[[20, 3]])
    np.testing.assert_allclose(read, expected, rtol=1e-5, atol=1e-5)
    assert channels.metadata.design_ids == tuple(pulse.ids)
    np.testing.assert_array_equal(channels.metadata.time, pulse.time)


def test_channels_of_nodes_are_a_view_of_a_selection(
    tmp_path: Path, pulse: SimpleNamespace, stored: SimulationFields
) -> None:
    part = SimulationFields(stored.path, time_range=(2, 7), node_range=(4, 10))
    representation = fit(part.read(range(24)), "centred", reduced=False)
    ChannelFields(part, representation).save(tmp_path / "channels.h5")
    read = open_fields(tmp_path / "channels.h5").read(range(24))
    expected = representation.transform(pulse.fields[:, 2:7, 4:10])
    np.testing.assert_allclose(read, expected, rtol=1e-5, atol=1e-5)
    with h5py.File(tmp_path / "channels.h5") as file:
        assert isinstance(file.get("fields", getlink=True), h5py.ExternalLink)
