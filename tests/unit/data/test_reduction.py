"""The POD basis, against the singular value decomposition."""

import logging
import tracemalloc
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from simulgen_pipeline.data.reduction import OVERSAMPLING, PodBasis

Blocks = Callable[[], Iterator[np.ndarray]]


def in_blocks(fields: np.ndarray, size: int = 5) -> Blocks:
    return lambda: (fields[start : start + size] for start in range(0, len(fields), size))


def with_spectrum(singular_values: np.ndarray, num_nodes: int, seed: int = 0) -> np.ndarray:
    """Fields (10, 20, M) whose snapshots have given singular values."""
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.normal(size=(200, len(singular_values))))[0]
    right = np.linalg.qr(rng.normal(size=(num_nodes, len(singular_values))))[0]
    return ((left * singular_values) @ right.T).reshape(10, 20, num_nodes)


def lost_energy(fields: np.ndarray, basis: PodBasis) -> float:
    rest = fields - basis.inverse_transform(basis.transform(fields))
    return float(np.square(rest).sum() / np.square(fields).sum())


# A smooth decay over more nodes than there are sketched directions: the randomised case.
DECAY = 2.0 ** -np.arange(30)


@pytest.mark.parametrize("num_nodes", [25, 400], ids=["exact", "randomised"])
def test_modes_are_orthonormal(num_nodes: int) -> None:
    fields = with_spectrum(DECAY[:25], num_nodes)
    modes = PodBasis(1e-10, 40).fit(in_blocks(fields)).modes_
    np.testing.assert_allclose(modes @ modes.T, np.eye(len(modes)), atol=1e-12)


@pytest.mark.parametrize("num_nodes", [30, 400], ids=["exact", "randomised"])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-6, 1e-9])
def test_what_is_left_out_meets_the_tolerance_with_the_fewest_modes(
    num_nodes: int, tolerance: float
) -> None:
    fields = with_spectrum(DECAY, num_nodes)
    basis = PodBasis(tolerance, 40).fit(in_blocks(fields))
    assert lost_energy(fields, basis) <= tolerance * (1 + 1e-6)
    assert basis.lost_energy_ == pytest.approx(lost_energy(fields, basis), rel=1e-3, abs=1e-12)
    shares = np.square(DECAY) / np.square(DECAY).sum()
    needed = int(np.argmax(1 - np.cumsum(shares) <= tolerance)) + 1
    assert len(basis.modes_) == needed


@pytest.mark.parametrize("num_nodes", [30, 400], ids=["exact", "randomised"])
def test_modes_and_energies_agree_with_the_singular_value_decomposition(num_nodes: int) -> None:
    fields = with_spectrum(DECAY, num_nodes)
    basis = PodBasis(1e-8, 20).fit(in_blocks(fields))
    _, _, modes = np.linalg.svd(fields.reshape(-1, num_nodes), full_matrices=False)
    num_modes = len(basis.modes_)
    alignment = np.abs(np.sum(basis.modes_ * modes[:num_modes], axis=1))
    np.testing.assert_allclose(alignment, 1, atol=1e-8)
    coefficients = basis.transform(fields).reshape(-1, num_modes) * basis.coefficient_scale_
    found = np.linalg.norm(coefficients, axis=0)
    np.testing.assert_allclose(found, DECAY[:num_modes], rtol=1e-6)


def test_a_flat_spectrum_is_captured_almost_as_well_as_by_the_best_basis(
    caplog: pytest.LogCaptureFixture,
) -> None:
    values = 1 / np.sqrt(1 + np.arange(150.0))
    fields = with_spectrum(values, 300)
    basis = PodBasis(1e-6, 40).fit(in_blocks(fields))
    best = np.square(values[40:]).sum() / np.square(values).sum()
    assert best <= lost_energy(fields, basis) <= 1.1 * best
    assert "40 POD modes" in caplog.text


@pytest.mark.parametrize("num_nodes", [12, 500], ids=["exact", "randomised"])
def test_fields_of_low_rank_come_back_exactly(num_nodes: int) -> None:
    fields = with_spectrum(np.array([5.0, 3.0, 0.5]), num_nodes)
    basis = PodBasis(1e-12, 64).fit(in_blocks(fields))
    assert len(basis.modes_) == 3
    back = basis.inverse_transform(basis.transform(fields))
    np.testing.assert_allclose(back, fields, atol=1e-12)


def test_fewer_snapshots_than_modes_are_enough() -> None:
    fields = np.random.default_rng(0).normal(size=(2, 3, 50))
    basis = PodBasis(1e-10, 512).fit(in_blocks(fields))
    assert basis.modes_.shape == (6, 50)
    np.testing.assert_allclose(basis.inverse_transform(basis.transform(fields)), fields, atol=1e-10)


def test_coefficients_have_unit_mean_square_and_one_scale() -> None:
    fields = with_spectrum(DECAY, 400)
    basis = PodBasis(1e-8, 40).fit(in_blocks(fields))
    coefficients = basis.transform(fields)
    assert np.square(coefficients).mean() == pytest.approx(1)
    # One scale for all: squared errors of coefficients are squared errors of fields.
    ratio = np.square(basis.inverse_transform(coefficients)).sum() / np.square(coefficients).sum()
    assert ratio == pytest.approx(basis.coefficient_scale_**2)


def test_too_few_modes_are_warned_of_with_the_loss_and_the_remedy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fields = with_spectrum(DECAY, 400)
    basis = PodBasis(1e-9, 4).fit(in_blocks(fields))
    assert len(basis.modes_) == 4
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    message = record.getMessage()
    assert f"4 POD modes leave out {lost_energy(fields, basis):.2g}" in message
    assert "more than the tolerance 1e-09" in message
    assert "raise vae.pod.max_modes" in message


def test_enough_modes_give_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    PodBasis(1e-6, 512).fit(in_blocks(with_spectrum(DECAY, 400)))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_the_basis_follows_from_the_data_and_the_seed() -> None:
    fields = with_spectrum(DECAY, 400)
    first = PodBasis(1e-6, 8).fit(in_blocks(fields))
    again = PodBasis(1e-6, 8).fit(in_blocks(fields))
    np.testing.assert_array_equal(first.modes_, again.modes_)
    other = PodBasis(1e-6, 8, seed=1).fit(in_blocks(fields))
    assert not np.array_equal(first.modes_, other.modes_)


def test_the_basis_does_not_depend_on_the_size_of_blocks() -> None:
    fields = with_spectrum(DECAY, 400)
    small = PodBasis(1e-6, 20).fit(in_blocks(fields, 1))
    large = PodBasis(1e-6, 20).fit(in_blocks(fields, 10))
    np.testing.assert_allclose(np.abs(np.sum(small.modes_ * large.modes_, axis=1)), 1, atol=1e-9)


def test_single_precision_fields_are_taken(pulse: SimpleNamespace) -> None:
    basis = PodBasis(1e-8, 64).fit(in_blocks(pulse.fields))
    assert basis.modes_.dtype == np.float64
    assert lost_energy(pulse.fields, basis) <= 1.1e-8


def test_zero_fields_are_kept_by_a_single_mode(caplog: pytest.LogCaptureFixture) -> None:
    fields = np.zeros((4, 3, 2 * OVERSAMPLING))
    basis = PodBasis(1e-6, 8).fit(in_blocks(fields))
    assert len(basis.modes_) == 1
    assert basis.lost_energy_ == 0
    np.testing.assert_array_equal(basis.inverse_transform(basis.transform(fields)), fields)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_two_arrays_of_nodes_times_directions_are_held_at_most() -> None:
    fields = np.random.default_rng(0).normal(size=(20, 4, 20_000))
    directions = 8 * fields.shape[-1] * (48 + OVERSAMPLING)  # [bytes]
    tracemalloc.start()
    try:
        PodBasis(1e-6, 48).fit(in_blocks(fields, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * directions


def test_a_basis_needs_snapshots() -> None:
    with pytest.raises(ValueError, match="at least one snapshot"):
        PodBasis().fit(lambda: iter(()))


def test_a_basis_is_rebuilt_from_config_and_state() -> None:
    fields = with_spectrum(DECAY, 50)
    basis = PodBasis(1e-5, 20, 3).fit(in_blocks(fields))
    again = PodBasis.from_state(basis.config(), basis.state())
    assert (again.tolerance, again.max_modes, again.seed) == (1e-5, 20, 3)
    assert again.lost_energy_ == basis.lost_energy_
    np.testing.assert_array_equal(again.transform(fields), basis.transform(fields))
