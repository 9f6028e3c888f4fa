"""Learning rate and KL weight as functions of progress, against closed forms and PyTorch."""

import math
from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from simulgen_pipeline.training.config import KlAnnealing, OptimisationConfig
from simulgen_pipeline.training.schedule import has_restarted, kl_weight, learning_rate


def config(**values: float) -> OptimisationConfig:
    plain = {"learning_rate": 1.0, "minimum_learning_rate": 0.0, "warm_up": 0.0}
    return OptimisationConfig.model_validate({**plain, **values})


def rates(num_steps: int, c: OptimisationConfig) -> list[float]:
    return [learning_rate(step, num_steps, c) for step in range(num_steps)]


def test_warm_up_rises_in_equal_steps_to_the_full_rate() -> None:
    found = rates(100, config(warm_up=0.1, learning_rate=2.0))
    assert found[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert found[10] == pytest.approx(2.0)
    assert found[11] < 2.0


def test_without_warm_up_the_first_rate_is_the_highest() -> None:
    found = rates(50, config())
    assert found[0] == max(found) == 1.0


@pytest.mark.parametrize("warm_up", [0.0, 0.2])
def test_without_restarts_the_rate_falls_along_half_a_cosine(warm_up: float) -> None:
    c = config(warm_up=warm_up, learning_rate=3.0, minimum_learning_rate=0.5)
    start = round(200 * warm_up)
    found = rates(200, c)[start:]
    num = len(found)
    expected = [0.5 + 1.25 * (1 + math.cos(math.pi * i / num)) for i in range(num)]
    assert found == pytest.approx(expected)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(("num_steps", "first"), [(70, 10), (100, 20), (64, 64), (50, 1)])
def test_restarts_are_those_of_pytorch_with_doubling_periods(num_steps: int, first: int) -> None:
    low = 0.01
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=first, T_mult=2, eta_min=low)
    expected = []
    for _ in range(num_steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = rates(num_steps, config(first_period=first / num_steps, minimum_learning_rate=low))
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("first_period", "warm_up"), [(0.25, 0.0), (0.2, 0.1), (1.0, 0.05)])
def test_the_first_period_is_over_where_the_rate_rises_again(
    first_period: float, warm_up: float
) -> None:
    c = config(first_period=first_period, warm_up=warm_up)
    found = rates(100, c)[round(100 * warm_up) :]
    rises = [step for step, (a, b) in enumerate(pairwise(found), 1) if b > a]
    first = (rises[0] if rises else len(found)) + round(100 * warm_up)
    assert [has_restarted(step, 100, c) for step in range(101)] == [s > first for s in range(101)]


def test_restarts_begin_after_warm_up() -> None:
    # 20 steps of warm-up leave 180: periods of 18, 36, 72 and the rest.
    found = rates(200, config(warm_up=0.1, first_period=0.1))
    restarts = [i for i in range(21, 200) if found[i] > found[i - 1]]
    assert restarts == [38, 74, 146]
    assert [found[i] for i in restarts] == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7])
@pytest.mark.parametrize("warm_up", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("first_period", [1e-3, 0.1, 1.0])
def test_rates_of_short_trainings_are_within_bounds(
    num_steps: int, warm_up: float, first_period: float
) -> None:
    c = config(warm_up=warm_up, first_period=first_period, minimum_learning_rate=0.1)
    assert all(0 < rate <= 1 for rate in rates(num_steps, c))


def test_a_rate_below_the_minimum_is_kept_and_not_raised() -> None:
    assert set(rates(20, config(learning_rate=1e-8, minimum_learning_rate=1e-6))) == {1e-8}


ANNEALING = KlAnnealing(initial_beta=0.001, final_beta=1.0, start=0.3, end=0.8)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0.0, 0.001),
        (0.15, 0.001),
        (0.3, 0.001),
        (0.55, (0.001 + 1.0) / 2),
        (0.8, 1.0),
        (0.9, 1.0),
        (1.0, 1.0),
    ],
)
def test_the_kl_weight_has_its_ends_and_its_midpoint(progress: float, expected: float) -> None:
    assert kl_weight(progress, ANNEALING) == pytest.approx(expected)


def test_the_kl_weight_rises_monotonically_without_jumps() -> None:
    weights = [kl_weight(i / 1000, ANNEALING) for i in range(1001)]
    assert weights == sorted(weights)
    steepest = max(b - a for a, b in pairwise(weights))
    assert steepest == pytest.approx(0.999 * math.pi / 2 / 500, rel=1e-3)


def test_the_kl_weight_may_jump_where_start_is_end() -> None:
    annealing = KlAnnealing(start=0.5, end=0.5)
    assert kl_weight(0.5, annealing) == annealing.initial_beta
    assert kl_weight(0.501, annealing) == annealing.final_beta
