"""Learning rate and KL weight as functions of progress: nothing to store, nothing to restore."""

from __future__ import annotations

import math

from .config import KlAnnealing, OptimisationConfig


def learning_rate(step: int, num_steps: int, config: OptimisationConfig) -> float:
    """Linear warm-up, then cosine annealing with warm restarts (Loshchilov & Hutter 2017).

    The first period is `first_period` of the steps after warm-up; each further one is twice as
    long.
    """
    num_warm_up, period = _warm_up_and_first_period(num_steps, config)
    if step < num_warm_up:
        return config.learning_rate * (step + 1) / num_warm_up
    position = float(step - num_warm_up)
    while position >= period:
        position -= period
        period *= 2
    cosine = 0.5 * (1 + math.cos(math.pi * position / period))
    low = min(config.minimum_learning_rate, config.learning_rate)
    return low + (config.learning_rate - low) * cosine


def has_restarted(step: int, num_steps: int, config: OptimisationConfig) -> bool:
    """Whether the first period is over: after a restart errors rise before they fall again."""
    return step > sum(_warm_up_and_first_period(num_steps, config))


def _warm_up_and_first_period(num_steps: int, config: OptimisationConfig) -> tuple[int, float]:
    """How long they are, in steps."""
    num_warm_up = round(config.warm_up * num_steps)
    return num_warm_up, max(1.0, config.first_period * (num_steps - num_warm_up))


def kl_weight(progress: float, config: KlAnnealing) -> float:
    """Weight beta of the KL terms at a share of the epochs: a half cosine between start and end."""
    if progress <= config.start:
        return config.initial_beta
    if progress >= config.end:
        return config.final_beta
    share = (progress - config.start) / (config.end - config.start)
    rise = 0.5 * (1 - math.cos(math.pi * share))
    return config.initial_beta + (config.final_beta - config.initial_beta) * rise
