"""Metrics against one-shot NumPy and closed forms."""

import json
import logging
import math

import numpy as np
import pytest
from scipy import stats

from simulgen_pipeline.evaluation.metrics import (
    INTERVAL_90,
    FieldErrors,
    IntervalErrors,
    calibration_factor,
)

SHAPE = (7, 5, 11)
IDS = [f"d{i}" for i in range(SHAPE[0])]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def field_errors(true, predicted, ids=None, block=2):
    ids = ids or [str(i) for i in range(len(true))]
    errors = FieldErrors()
    for start in range(0, len(true), block):
        rows = slice(start, start + block)
        errors.update(true[rows], predicted[rows], ids[rows])
    return errors


def interval_errors(true, mean, std, block=2):
    errors = IntervalErrors()
    for start in range(0, len(true), block):
        rows = slice(start, start + block)
        errors.update(true[rows], mean[rows], std[rows])
    return errors


class TestFieldErrors:
    @pytest.mark.parametrize("block", [1, 2, 7])
    def test_blocks_give_what_numpy_gives_at_once(self, rng, block):
        true = 300 + rng.normal(size=SHAPE)
        predicted = true + 0.1 * rng.normal(size=SHAPE)
        errors = field_errors(true, predicted, IDS, block)

        difference = predicted - true
        relative = np.sqrt((difference**2).sum((1, 2)) / (true**2).sum((1, 2)))
        assert errors.relative_l2 == pytest.approx(dict(zip(IDS, relative, strict=True)))
        assert errors.result() == pytest.approx(
            {
                "relative_l2_mean": relative.mean(),
                "relative_l2_max": relative.max(),
                "rmse": np.sqrt((difference**2).mean()),
                "mae": np.abs(difference).mean(),
                "r2": 1 - (difference**2).sum() / ((true - true.mean()) ** 2).sum(),
            },
            rel=1e-12,
        )

    def test_scaled_prediction_has_its_scale_as_error(self, rng):
        true = rng.normal(size=SHAPE)
        result = field_errors(true, 1.25 * true).result()
        assert result["relative_l2_mean"] == pytest.approx(0.25)
        assert result["relative_l2_max"] == pytest.approx(0.25)

    def test_r2_of_the_mean_is_zero_and_of_the_truth_is_one(self, rng):
        true = rng.normal(size=SHAPE)
        at_mean = np.full_like(true, true.mean())
        assert field_errors(true, at_mean).result()["r2"] == pytest.approx(0, abs=1e-12)
        assert field_errors(true, true).result()["r2"] == 1

    def test_r2_survives_a_large_offset_in_single_precision(self, rng):
        """Sums of squares would lose the variance, 1e-14 of the squared mean."""
        true = (1e7 + rng.normal(size=(40, 50, 60))).astype(np.float32)  # spacing 1
        predicted = true + rng.normal(size=true.shape).astype(np.float32)
        exact_true, exact_error = true.astype(np.float64), predicted.astype(np.float64) - true
        expected = 1 - (exact_error**2).sum() / ((exact_true - exact_true.mean()) ** 2).sum()
        assert field_errors(true, predicted).result()["r2"] == pytest.approx(expected, abs=1e-9)

    def test_zero_design_has_no_relative_error_and_is_named_in_one_warning(self, rng, caplog):
        true = rng.normal(size=SHAPE)
        true[[1, 4]] = 0
        with caplog.at_level(logging.WARNING):
            errors = field_errors(true, true + 1, IDS)
            result = errors.result()
        assert len(caplog.records) == 1
        assert "d1, d4" in caplog.text
        assert set(errors.relative_l2) == set(IDS) - {"d1", "d4"}
        assert result["relative_l2_mean"] == pytest.approx(
            np.mean([math.sqrt(55 / (true[i] ** 2).sum()) for i in (0, 2, 3, 5, 6)])
        )
        assert result["rmse"] == pytest.approx(1)  # the zero designs count here

    def test_only_zero_designs_leave_relative_errors_and_r2_out(self):
        result = field_errors(np.zeros(SHAPE), np.ones(SHAPE)).result()
        assert result == {"rmse": 1, "mae": 1}

    def test_r2_of_a_constant_field_is_absent_despite_rounding(self):
        true = np.full((3, 7, 13), 0.1)
        assert "r2" not in field_errors(true, true + 1).result()

    def test_nothing_seen_gives_nothing(self):
        assert FieldErrors().result() == {}

    def test_result_is_plain_json(self, rng):
        true = rng.normal(size=SHAPE).astype(np.float32)
        json.dumps(field_errors(true, true + 1).result(), allow_nan=False)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_prediction_that_is_not_finite_is_refused_by_name(self, rng, value):
        true = rng.normal(size=SHAPE)
        predicted = true.copy()
        predicted[3, 1, 2] = value
        with pytest.raises(ValueError, match=r"d3 .*not finite"):
            field_errors(true, predicted, IDS)

    def test_shapes_that_would_broadcast_are_refused(self):
        with pytest.raises(ValueError, match=r"\(2, 3, 1\)"):
            FieldErrors().update(np.ones((2, 3, 4)), np.ones((2, 3, 1)), ["a", "b"])

    def test_static_simulation(self):
        true = np.array([[[3.0, 4.0]]])
        predicted = np.array([[[3.0, 5.0]]])
        assert field_errors(true, predicted).result()["relative_l2_mean"] == 0.2


class TestIntervalErrors:
    def test_calibrated_gaussian_covers_ninety_percent(self, rng):
        mean = 100 + rng.normal(size=(20, 50, 200))  # all values are active
        std = rng.uniform(0.5, 2, size=mean.shape)
        true = mean + std * rng.normal(size=mean.shape)
        result = interval_errors(true, mean, std).result()
        assert result["coverage_90"] == pytest.approx(0.9, abs=0.003)
        assert result["coverage_90_active"] == pytest.approx(0.9, abs=0.003)
        assert result["mean_width"] == pytest.approx(2 * 1.645 * 1.25, rel=0.005)

    def test_gaussian_interval_score_is_its_closed_form(self, rng):
        """E = 2 z s + (2 / alpha) 2 s (pdf(z) - z (1 - cdf(z))) for N(0, s^2) and z = 1.645."""
        std = 3.0
        true = std * rng.normal(size=(10, 100, 1000))
        result = interval_errors(true, np.zeros_like(true), np.full_like(true, std)).result()
        tail = stats.norm.pdf(INTERVAL_90) - INTERVAL_90 * stats.norm.sf(INTERVAL_90)
        expected = 2 * INTERVAL_90 * std + 20 * 2 * std * tail
        assert result["interval_score"] == pytest.approx(expected, rel=0.005)

    def test_interval_score_by_hand(self):
        true = np.array([[[0.0, 5.0, -4.0, 1.0]]])  # inside, 2 above, 1 below, inside
        std = np.full_like(true, 3 / INTERVAL_90)
        result = interval_errors(true, np.zeros_like(true), std).result()
        assert result["coverage_90"] == 0.5
        assert result["mean_width"] == pytest.approx(6)
        assert result["interval_score"] == pytest.approx(6 + 20 * (2 + 1) / 4)

    def test_active_is_relative_to_each_designs_own_peak(self):
        true = np.array([[[100.0, 1.0, 1.01]], [[-1.0, 0.005, 0.5]]])
        mean = np.array([[[100.0, 9.0, 9.0]], [[-1.0, 9.0, 0.5]]])
        result = interval_errors(true, mean, np.full_like(true, 0.1)).result()
        assert result["coverage_90"] == 3 / 6
        assert result["coverage_90_active"] == 3 / 4  # of 100, 1.01, -1 and 0.5 all but 1.01

    def test_rank_correlation_sees_that_larger_std_means_larger_error(self, rng):
        true = rng.normal(size=SHAPE)
        true /= np.sqrt((true**2).sum((1, 2), keepdims=True))
        size = np.array([3, 1, 2, 7, 5, 4, 6])[:, None, None] / 100
        std = np.broadcast_to(size**2, SHAPE)
        rising = interval_errors(true, true * (1 + size), std).result()
        falling = interval_errors(true, true * (1 + size), 1 - std).result()
        assert rising["error_rank_correlation"] == pytest.approx(1)
        assert falling["error_rank_correlation"] == pytest.approx(-1)

    def test_rank_correlation_is_absent_for_two_designs_or_one_std(self, rng):
        true, noise = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
        std = rng.uniform(1, 2, size=SHAPE)
        one_std = interval_errors(true, true + noise, np.ones(SHAPE)).result()
        two = interval_errors(true[:2], (true + noise)[:2], std[:2]).result()
        three = interval_errors(true[:3], (true + noise)[:3], std[:3]).result()
        assert "error_rank_correlation" not in one_std
        assert "error_rank_correlation" not in two
        assert "error_rank_correlation" in three

    def test_zero_fields_have_no_active_values(self):
        zero = np.zeros((4, 2, 3))
        result = interval_errors(zero, zero, zero).result()
        assert result == {"coverage_90": 1, "mean_width": 0, "interval_score": 0}

    def test_blocks_do_not_matter(self, rng):
        true, noise = rng.normal(size=SHAPE), rng.normal(size=SHAPE)
        std = rng.uniform(0.5, 2, size=SHAPE)
        assert interval_errors(true, true + noise, std, block=1).result() == pytest.approx(
            interval_errors(true, true + noise, std, block=7).result(), rel=1e-12
        )

    def test_nothing_seen_gives_nothing(self):
        assert IntervalErrors().result() == {}

    def test_std_that_is_not_finite_is_refused(self, rng):
        true = rng.normal(size=SHAPE)
        with pytest.raises(ValueError, match="not finite"):
            interval_errors(true, true, np.full(SHAPE, np.nan))


class TestCalibrationFactor:
    @pytest.mark.parametrize(
        ("size", "level"),
        [
            ((1, 1, 9), 0.97),
            ((6, 3, 5), 0.97),
            ((7, 3, 5), 0.9 * 15 / 14),
            ((17, 3, 5), 0.9 * 35 / 34),
            ((23, 3, 5), 0.9 * 47 / 46),
            ((30, 7, 11), 0.915),
            ((90, 1, 1), 0.905),
        ],
    )
    def test_is_the_quantile_of_pooled_values_that_leaves_room_for_half_a_design(
        self, rng, size, level
    ):
        true, mean = rng.normal(size=(2, *size))
        std = rng.uniform(0.01, 3, size=size)
        ratios = np.sort(np.abs(true - mean) / (INTERVAL_90 * std), axis=None)
        exact = ratios[math.ceil(len(ratios) * level - 1e-9) - 1]
        blocks = [(true[:1], mean[:1], std[:1]), (true[1:], mean[1:], std[1:])]
        factor = calibration_factor(blocks)
        assert exact <= factor <= 1.00085 * exact

    @pytest.mark.parametrize("num_designs", range(7, 120))
    def test_of_one_value_per_design_it_is_at_most_a_rank_below_split_conformal_prediction(
        self, rng, num_designs
    ):
        errors = np.sort(rng.exponential(size=num_designs))
        zero, std = np.zeros((num_designs, 1, 1)), np.ones((num_designs, 1, 1))
        factor = calibration_factor([(errors[:, None, None], zero, std)])
        conformal = math.ceil(0.9 * (num_designs + 1) - 1e-9)
        below, exact = errors[max(conformal - 2, 0)], errors[min(conformal, num_designs) - 1]
        assert below <= factor * INTERVAL_90 <= 1.00085 * exact

    @pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
    def test_recovers_the_scale_of_an_overconfident_std(self, rng, scale):
        mean = rng.normal(size=(500, 10, 60))
        true = mean + scale * rng.normal(size=mean.shape)
        factor = calibration_factor([(true, mean, np.ones_like(mean))])
        assert factor == pytest.approx(scale, rel=0.02)

    @pytest.mark.parametrize("num_designs", [20, 50])
    def test_intervals_hold_on_average_for_new_designs_of_very_different_errors(
        self, rng, num_designs
    ):
        """Errors of a design share a size; the 90% quantile would hold for less than 90%."""
        covered = []
        for _ in range(300):
            sizes = np.exp(rng.normal(size=(num_designs + 20, 1, 1)))
            true = sizes * rng.normal(size=(num_designs + 20, 1, 50))
            mean, std = np.zeros_like(true), np.ones_like(true)
            known, new = slice(num_designs), slice(num_designs, None)
            factor = calibration_factor([(true[known], mean[known], std[known])])
            result = interval_errors(true[new], mean[new], factor * std[new]).result()
            covered.append(result["coverage_90"])
        assert 0.9 < np.mean(covered) < 0.94

    def test_zero_std_without_error_is_covered_and_with_error_is_not(self):
        true = np.zeros((1, 1, 200))
        std = np.ones_like(true)
        std[..., :100] = 0  # 0 / 0
        mean = np.where(std > 0, INTERVAL_90 * 7.0, 0.0)
        assert calibration_factor([(true, mean, std)]) == pytest.approx(7, rel=1e-3)

        mean[..., :5] = 1  # error / 0, few enough
        assert calibration_factor([(true, mean, std)]) == pytest.approx(7, rel=1e-3)
        mean[..., :13] = 1
        assert calibration_factor([(true, mean, std)]) == math.inf

    def test_no_values_cannot_be_calibrated(self):
        with pytest.raises(ValueError, match="no values"):
            calibration_factor([])

    def test_value_that_is_not_finite_is_refused(self):
        ones = np.ones((1, 1, 10))
        with pytest.raises(ValueError, match="not finite"):
            calibration_factor([(ones, np.nan * ones, ones)])
