"""Mean and variance of members' fields, against NumPy's on the fields themselves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import FieldScaler
from simulgen_pipeline.models import lift
from simulgen_pipeline.models.lift import Lift


def representation_of(
    fields: NDArray[np.float64], reduced: bool, scaling: str = "centred"
) -> FieldRepresentation:
    scaler = FieldScaler(scaling).fit([fields])  # type: ignore[arg-type]
    if not reduced:
        return FieldRepresentation(scaler, None)
    basis = PodBasis(1e-6).fit(lambda: iter([scaler.transform(fields)]))
    return FieldRepresentation(scaler, basis)


def moments(
    representation: FieldRepresentation, channels: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """In the field's unit."""
    shape = channels.shape[1], representation.num_nodes
    mean, variance = np.empty(shape, np.float32), np.empty(shape, np.float32)
    prepared = Lift(representation)
    prepared.moments(torch.from_numpy(channels), mean, variance)
    unit = prepared.unit
    return unit * mean.astype(np.float64), unit**2 * variance.astype(np.float64)


@pytest.mark.parametrize("fast", [True, False], ids=["bfloat16", "float32"])
@pytest.mark.parametrize("block_bytes", [2**24, 1000], ids=["at once", "by the snapshot"])
@pytest.mark.parametrize("scaling", ["centred", "min_max"])
@pytest.mark.parametrize("reduced", [True, False], ids=["pod", "nodes"])
@pytest.mark.parametrize("num_members", [1, 2, 5])
def test_moments_are_those_of_the_members_fields(
    pulse: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    num_members: int,
    reduced: bool,
    scaling: str,
    block_bytes: int,
    fast: bool,
) -> None:
    monkeypatch.setattr(lift, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(lift, "multiplies_bfloat16_fast", lambda: fast)
    representation = representation_of(pulse.fields, reduced, scaling)
    known = representation.transform(pulse.fields[0])  # (T, C)
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal((num_members, *known.shape))
    channels = (known + noise).astype(np.float32)
    fields = representation.inverse_transform(channels.astype(np.float64))
    mean, variance = moments(representation, channels)
    np.testing.assert_allclose(mean, fields.mean(axis=0), atol=1e-5 * np.abs(fields).max())
    std = fields.std(axis=0, ddof=1) if num_members > 1 else np.zeros_like(mean)
    rounding = 0.01 if fast and reduced else 1e-4
    np.testing.assert_allclose(np.sqrt(variance), std, atol=rounding * std.max())


@pytest.mark.parametrize("size", [1e-25, 1e25])
@pytest.mark.parametrize("scaling", ["centred", "min_max"])
def test_fields_may_be_given_in_any_unit(pulse: SimpleNamespace, size: float, scaling: str) -> None:
    fields = size * pulse.fields.astype(np.float64)
    fields[:, :, 0] = 0.0  # a node that is held
    representation = representation_of(fields, reduced=True, scaling=scaling)
    channels = representation.transform(fields[:3])
    mean, variance = moments(representation, channels)
    np.testing.assert_allclose(mean, fields[:3].mean(axis=0), atol=1e-2 * size)
    std = fields[:3].std(axis=0, ddof=1)
    np.testing.assert_allclose(np.sqrt(variance), std, atol=1e-2 * std.max())
