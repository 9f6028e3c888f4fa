"""The divisions of the same designs that a study trains with, by name."""

from __future__ import annotations

import numpy as np

from simulgen_pipeline.data.config import SplitConfig
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.split import Split, check_split


def fold_splits(num_designs: int, num_folds: int, config: SplitConfig) -> dict[str, Split]:
    """Splits in which every design is a test design exactly once, `fold_1`, `fold_2`, ...

    Folds are consecutive stretches of one random order, by `config.seed`; their sizes differ by at
    most one. Each fold's validation designs are those that follow it in that order, as many as
    `config.validation` says, so that fold 1 is the split of `split_designs` where that has as many
    test designs.

    Raises:
        DataError: there are too few designs for that many folds.
    """
    if num_designs < num_folds:
        raise DataError(
            f"studies.num_folds={num_folds} folds need at least as many designs, got {num_designs}."
            f" Lower it, or add simulations."
        )
    order = np.random.default_rng(config.seed).permutation(num_designs)
    num_validation = max(1, round(config.validation * num_designs))
    splits = {}
    for number, test in enumerate(np.array_split(np.arange(num_designs), num_folds), start=1):
        others = np.roll(order, -(test[-1] + 1))[: num_designs - len(test)].tolist()
        split = Split(
            test=tuple(sorted(order[test].tolist())),
            validation=tuple(sorted(others[:num_validation])),
            train=tuple(sorted(others[num_validation:])),
        )
        splits[f"fold_{number}"] = check_split(
            split,
            f"studies.num_folds={num_folds} of {num_designs} designs",
            "add simulations, raise studies.num_folds, or lower data.split.validation",
        )
    return splits


def growing_splits(split: Split, fractions: tuple[float, ...], seed: int) -> dict[str, Split]:
    """The same split with growing parts of its training designs, `designs_10`, `designs_20`, ...

    Each part holds the smaller ones, in the split's own order. Validation and test designs stay.

    Raises:
        DataError: a fraction leaves too few designs, or two of them leave the same number.
    """
    order = np.random.default_rng(seed).permutation(split.train).tolist()
    splits: dict[str, Split] = {}
    for fraction in fractions:
        num_designs = round(fraction * len(order))
        chosen = set(order[:num_designs])
        rows = tuple(row for row in split.train if row in chosen)
        name, source = f"designs_{num_designs}", f"studies.fractions={list(fractions)}"
        if name in splits:
            raise DataError(
                f"{source}: two of them are {num_designs} of {len(order)} training designs. Take "
                f"fewer fractions, or ones that are further apart."
            )
        smaller = split.model_copy(update={"train": rows})
        remedy = "add simulations, or take larger fractions"
        splits[name] = check_split(smaller, source, remedy)
    return splits
