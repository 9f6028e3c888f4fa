"""Power laws: known ones are found, and their intervals hold as often as they say."""

import numpy as np
import pytest

from simulgen_pipeline.evaluation.power_law import PowerLaw

SIZES = np.array([25, 50, 75, 100])


@pytest.mark.parametrize("exponent", [0.5, 1.3, 0.0, -0.2])
def test_an_exact_law_is_found_and_continued(exponent: float) -> None:
    law = PowerLaw.fit(SIZES, 0.7 * SIZES**-exponent)
    assert law.exponent == pytest.approx(exponent, abs=1e-12)
    assert law.factor == pytest.approx(0.7)
    assert law.error(400) == pytest.approx(0.7 * 400.0**-exponent)
    assert law.interval(400) == pytest.approx((law.error(400), law.error(400)))
    assert law.exponent_interval() == pytest.approx((exponent, exponent), abs=1e-9)


@pytest.mark.parametrize(
    ("sizes", "num_used"),
    [
        ([5, 10, 25, 50, 75, 100], 4),
        ([1, 2, 3, 100], 3),
        ([7, 15, 22, 29], 4),  # a quarter of 29 designs, rounded
        ([30, 40, 50, 60, 70, 80, 90, 100], 8),
    ],
)
def test_sizes_within_a_factor_of_four_count_and_at_least_three(
    sizes: list[int], num_used: int
) -> None:
    errors = 1 / np.sqrt(sizes)
    errors[:-num_used] = 1e6
    law = PowerLaw.fit(sizes, errors)
    assert law.exponent == pytest.approx(0.5)
    assert (law.num_sizes, law.smallest_size) == (num_used, sizes[-num_used])


def test_fewer_than_three_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 sizes, got 2"):
        PowerLaw.fit([1, 2], [0.2, 0.1])


def test_intervals_hold_for_nine_of_ten_further_trainings_and_exponents() -> None:
    rng = np.random.default_rng(0)
    true, num_trials, hits, exponents = 200.0**-0.5, 2000, 0, 0
    for _ in range(num_trials):
        law = PowerLaw.fit(SIZES, SIZES**-0.5 * np.exp(0.1 * rng.normal(size=len(SIZES))))
        low, high = law.interval(200)
        hits += low < true * np.exp(0.1 * rng.normal()) < high
        low, high = law.exponent_interval()
        exponents += low < 0.5 < high
    assert hits / num_trials == pytest.approx(0.9, abs=0.02)
    assert exponents / num_trials == pytest.approx(0.9, abs=0.02)


def test_the_interval_widens_with_the_distance() -> None:
    law = PowerLaw.fit(SIZES, [0.2, 0.15, 0.11, 0.1])
    widths = [np.divide(*law.interval(size)[::-1]) for size in (50, 100, 200, 400)]
    assert widths == sorted(widths)
