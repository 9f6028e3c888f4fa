"""The shape of a spread: closed forms, and the one that fits made-up errors."""

import numpy as np
import pytest

from simulgen_pipeline.evaluation import calibration
from simulgen_pipeline.evaluation.calibration import (
    EXPONENTS,
    SHARES,
    UNSHAPED,
    SpreadShape,
    choose_shape,
    narrowing,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_unshaped_is_the_members_standard_deviation_but_for_a_floor(rng):
    mean, variance = rng.normal(size=(2, 3, 4)), rng.uniform(size=(2, 3, 4))
    floor = 1e-8 * np.square(mean).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(UNSHAPED.spread(mean, variance), np.sqrt(variance + floor))


@pytest.mark.parametrize("num_at_once", [1, 10, 2**20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_fields_are_seen_part_by_part(rng, monkeypatch, num_at_once, dtype):
    mean = rng.normal(3.0, 1.0, size=(2, 7, 4)).astype(dtype)
    variance = rng.uniform(size=(2, 7, 4)).astype(dtype)
    variance[0] = 0.0  # the floor is all there is
    shape = SpreadShape(0.3, 1.0, exponent=1.5, common_size=2.0)
    size = np.sqrt(np.square(mean).mean(axis=(1, 2), keepdims=True))
    floored = variance + 1e-8 * mean.var(axis=(1, 2), keepdims=True)
    disagreement = np.sqrt(floored).mean(axis=(1, 2), keepdims=True)
    pattern = floored / disagreement**2 + np.square(0.3 * mean / size) + 1.0
    known = 5.0 * 2.0 * (disagreement / size) ** 1.5 * np.sqrt(pattern)
    monkeypatch.setattr(calibration, "NUM_AT_ONCE", num_at_once)
    np.testing.assert_allclose(shape.spread(mean, variance, factor=5.0), known, rtol=1e-4)
    assert shape.spread(mean, variance, factor=5.0, out=variance) is variance
    np.testing.assert_allclose(variance, known, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "shape"), [(np.float64, (1, 3, 4)), (np.float32, (1, 50, 4096))])
def test_members_that_agree_on_a_constant_field_have_a_spread_all_the_same(dtype, shape):
    mean = np.full(shape, 300.1, dtype=dtype)  # which float32 and its sums round
    np.testing.assert_allclose(UNSHAPED.spread(mean, np.zeros_like(mean)), 1e-4 * mean, rtol=1e-4)


def test_spreads_of_values_are_those_of_their_field(rng):
    mean, variance = rng.normal(size=(3, 4)), rng.uniform(size=(3, 4))
    for varied in (variance, np.zeros_like(variance)):
        moments = calibration._Moments.of(mean, varied)
        for shape in (UNSHAPED, SpreadShape(0.3, 1.0, 1.5, 2.0)):
            np.testing.assert_allclose(
                shape.of_values(np.square(mean), varied, moments),
                shape.spread(mean[None], varied[None])[0],
            )


def test_shares_follow_the_magnitude_and_the_design_as_a_whole():
    mean = np.array([[[3.0, 0.0, 0.0]]])  # mean square 3
    variance = np.array([[[0.0, 0.0, 0.9]]])  # of standard deviations with mean square root of 0.1
    spread = SpreadShape(by_magnitude=2.0, everywhere=1.0).spread(mean, variance)
    expected = [0.1 * (4 * 9 / 3 + 1), 0.1, 0.1 + 0.9]
    np.testing.assert_allclose(np.square(spread[0, 0]), expected, rtol=1e-3)


def test_spread_grows_with_the_members_disagreement(rng):
    mean, variance = rng.normal(size=(2, 3, 4)), rng.uniform(size=(2, 3, 4))
    shape = SpreadShape(0.3, 3.0)
    np.testing.assert_allclose(
        shape.spread(mean, 4 * variance), 2 * shape.spread(mean, variance), rtol=1e-6
    )


def test_a_field_that_is_zero_everywhere_has_a_finite_spread():
    spread = SpreadShape(1.0, 1.0).spread(np.zeros((1, 2, 2)), np.ones((1, 2, 2)))
    np.testing.assert_allclose(spread, np.sqrt(2.0))


def test_the_level_grows_with_relative_disagreement_from_the_own_or_the_common_size(rng):
    mean, variance = rng.normal(size=(2, 3, 4)), rng.uniform(size=(2, 3, 4))
    pattern = UNSHAPED.spread(mean, variance)
    size = np.sqrt(np.square(mean).mean(axis=(1, 2), keepdims=True))
    disagreement = pattern.mean(axis=(1, 2), keepdims=True)
    own = SpreadShape(0.0, 0.0, exponent=2.0).spread(mean, variance)
    np.testing.assert_allclose(own, pattern * disagreement / size, rtol=1e-6)
    common = SpreadShape(0.0, 0.0, exponent=1.0, common_size=5.0).spread(mean, variance)
    np.testing.assert_allclose(common, 5.0 * pattern / size, rtol=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        SpreadShape(0.0, 0.0),
        SpreadShape(3.0, 0.0),
        SpreadShape(0.0, 3.0),
        SpreadShape(0.0, 1.0, exponent=2.0),
        SpreadShape(0.0, 1.0, common_size=1.0),
    ],
)
def test_the_shape_that_made_the_errors_is_chosen(rng, shape):
    def designs():
        for _ in range(40):
            mean = rng.uniform(0.2, 5.0) * rng.gamma(0.5, size=(20, 30))
            variance = 1e-3 * rng.uniform(0.1, 10) * rng.gamma(0.3, size=mean.shape)
            std = shape.spread(mean[None], variance[None])[0]
            yield mean + std * rng.normal(size=mean.shape), mean, variance

    chosen = choose_shape(designs())
    assert chosen[:3] == shape[:3]
    assert (chosen.common_size is None) == (shape.common_size is None)
    assert set(shape[:2]) <= set(SHARES)
    assert shape.exponent in EXPONENTS


def test_a_shape_that_misses_where_the_field_is_active_is_not_chosen(rng):
    """Errors follow the magnitude; most values are nearly zero, and dominate pooled coverage."""

    def designs():
        for _ in range(20):
            mean = np.where(rng.uniform(size=(20, 50)) < 0.1, 1.0, 1e-4)
            variance = np.full(mean.shape, 1e-6)
            yield mean + 0.1 * mean * rng.normal(size=mean.shape), mean, variance

    shape = choose_shape(designs())
    assert shape.by_magnitude > shape.everywhere


@pytest.mark.parametrize("common_size", [None, 3.0])
def test_spread_has_the_unit_of_the_field(common_size: float | None) -> None:
    rng = np.random.default_rng(0)
    mean, variance = rng.standard_normal((3, 4, 5)), rng.random((3, 4, 5))
    shape = SpreadShape(1.0, 0.3, 1.5, common_size)
    spread = shape.spread(mean, variance)
    in_units = shape.in_units_of(100.0).spread(mean / 100, variance / 100**2)
    np.testing.assert_allclose(100 * in_units, spread)


def test_spread_leaves_what_it_is_given_as_it_is() -> None:
    mean, variance = np.full((1, 2, 2), 2.0, np.float32), np.ones((1, 2, 2), np.float32)
    spread = SpreadShape(1.0, 0.3).spread(mean, variance)
    assert spread.dtype == np.float32
    assert (mean == 2).all()
    assert (variance == 1).all()


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_spread_follows_the_members_whatever_the_field_s_offset(rng, offset):
    mean = offset + 1e-3 * rng.normal(size=(1, 20, 30))
    variance = 1e-10 * rng.uniform(0.01, 1.0, size=mean.shape)
    spread = SpreadShape(0.0, 0.0).spread(mean, variance)
    np.testing.assert_allclose(spread, np.sqrt(variance), rtol=0.01)


def test_the_level_of_a_large_design_does_not_lose_to_rounding():
    mean = np.full((1, 200, 50_000), 0.1, dtype=np.float32)
    mean[:, ::2] = -0.1
    spread = SpreadShape(1.0, 0.0).spread(mean, np.full_like(mean, 1e-4))
    np.testing.assert_allclose(spread, np.sqrt(2e-4), rtol=1e-3)


def test_spreads_are_narrowed_by_the_root_of_how_many_more_designs_are_known():
    assert narrowing(num_designs=144, num_known=121) == pytest.approx(11 / 12)
    assert narrowing(num_designs=100, num_known=100) == 1
