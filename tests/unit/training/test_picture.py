"""The picture of a design's field, true and decoded."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from simulgen_pipeline.data.reduction import PodBasis
from simulgen_pipeline.data.representation import FieldRepresentation
from simulgen_pipeline.data.scaling import FieldScaler
from simulgen_pipeline.training.picture import NUM_SHOWN, View, draw_reconstruction, shown_nodes


def images_of(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes[:3]]


@pytest.mark.parametrize("num_nodes", [1, 30, NUM_SHOWN, 12345])
def test_shown_nodes_are_spread_over_all(num_nodes: int) -> None:
    nodes = shown_nodes(num_nodes)
    assert len(nodes) == min(num_nodes, NUM_SHOWN)
    assert nodes[0] == 0
    assert nodes[-1] == num_nodes - 1
    assert (np.diff(nodes) > 0).all()


@pytest.mark.parametrize("with_basis", [True, False])
def test_a_view_gives_the_field_in_its_own_unit(pulse: SimpleNamespace, with_basis: bool) -> None:
    scaler = FieldScaler().fit([pulse.fields])
    basis = None
    if with_basis:
        basis = PodBasis().fit(lambda: iter([scaler.transform(pulse.fields)]))
    representation = FieldRepresentation(scaler, basis)
    channels = representation.transform(pulse.fields[:1])[0]
    lift = None if basis is None else torch.tensor(basis.modes_ * basis.coefficient_scale_).float()
    view = View(torch.tensor(scaler.scale_), torch.tensor(scaler.offset_), lift)
    expected = representation.inverse_transform(channels)
    np.testing.assert_allclose(view(torch.from_numpy(channels)), expected, atol=1e-5)


def test_a_pulse_is_a_rising_curve_whatever_the_order_of_nodes(pulse: SimpleNamespace) -> None:
    nodes = np.random.default_rng(0).permutation(pulse.fields.shape[2] // 2)
    true = pulse.fields[0][:, ::2][:, nodes]
    drawn, decoded, difference = images_of(draw_reconstruction(true, true + 0.25, "a pulse"))
    assert (np.diff(np.abs(drawn).argmax(axis=0)) >= 0).all()
    np.testing.assert_allclose(np.sort(drawn, axis=None), np.sort(true, axis=None))
    np.testing.assert_allclose(decoded, drawn + 0.25, atol=1e-6)
    np.testing.assert_allclose(difference, 0.25, atol=1e-6)


@pytest.mark.parametrize("true", [np.ones((1, 5)), np.zeros((4, 3))], ids=["static", "zero"])
def test_static_and_constant_fields_are_drawn_too(true: np.ndarray, tmp_path: Path) -> None:
    file = io.BytesIO()
    draw_reconstruction(true, true, "constant").savefig(file)
    assert file.getvalue()
