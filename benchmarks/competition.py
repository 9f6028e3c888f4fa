"""What engineers use otherwise, measured: POD + RBF and POD + GP of EZyRB, and the nearest design.

EZyRB 1.3.3 (Demo, Tezzele & Rozza 2018, Journal of Open Source Software 3) is measured with its
defaults, and tuned: centred POD, scaled inputs, kernels chosen by cross-validation, one Gaussian
process per mode. Choices are made on training designs alone; test designs are only predicted.

`python -m benchmarks.competition FOLDER COMPETITOR RESULT` measures one, in a process of its own.

Shapes: n designs, q designs asked for, F values of a field (times after each other)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ezyrb import GPR, POD, RBF, Approximation, Database, ReducedOrderModel
from numpy.typing import NDArray

from . import measure
from .data_sets import DATA_SETS, Study
from .errors import relative_l2
from .kernels import Folds, ModeProcesses, choose_rbf, process_error
from .points import Transform, picture_components, scaled_parameters

Array = NDArray[np.float64]
Choices = dict[str, Any]
Predict = Callable[[Array], Array]

# Candidates for the number of principal components of pictures.
COMPONENTS = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
BLOCK_DESIGNS = 32  # predicted at once, to bound memory
SEED = 0


class Competitor(NamedTuple):
    """Choices from designs (n, ...) and fields (n, F), and a fit by them, which predicts fields."""

    choose: Callable[[Array, Array, bool], Choices]
    fit: Callable[[Array, Array, Choices], Predict]


def to_points(designs: Array, choices: Choices) -> Transform:
    """The tuned competitors' inputs, as fitted to designs."""
    if "num_components" in choices:
        return picture_components(designs, choices["num_components"])
    return scaled_parameters(designs)


def candidates(designs: Array, has_pictures: bool) -> list[Choices]:
    """What may be chosen of the inputs: nothing for parameters, for pictures how many components.

    Fewer than the designs that are left when a fold is held out.
    """
    if not has_pictures:
        return [{}]
    most = min(designs.shape[1], int(0.8 * len(designs)) - 1)
    return [{"num_components": number} for number in COMPONENTS if number < most]


def folds_of(fields: Array) -> Folds:
    """Folds of the coefficients of a centred POD of fields (n, F)."""
    centred = fields - fields.mean(axis=0)
    coefficients = POD().fit(centred.T).transform(centred.T).T
    return Folds.split(coefficients, np.linalg.norm(fields, axis=1))


def choose_default(designs: Array, fields: Array, has_pictures: bool) -> Choices:
    """Nothing for parameters; for pictures the number of components that suits the default RBF.

    The Gaussian process takes the same: to fit it in every fold would take hours.
    """
    inputs = candidates(designs, has_pictures)
    if len(inputs) == 1:
        return inputs[0]
    folds = folds_of(fields)
    return min(inputs, key=lambda tried: folds.error(to_points(designs, tried)(designs), RBF))


def default_gp() -> GPR:
    """EZyRB's Gaussian process, one kernel for all modes, but for its twenty restarts.

    With hundreds of modes they take hours, and end where two do.
    """
    return GPR(optimization_restart=2)


def fit_default(make: Callable[[], Approximation]) -> Callable[[Array, Array, Choices], Predict]:
    """EZyRB as it is: raw parameters, POD not centred, defaults of the approximation."""

    def fit(designs: Array, fields: Array, choices: Choices) -> Predict:
        transform = to_points(designs, choices) if choices else np.asarray
        database = Database(transform(designs), fields)
        model = ReducedOrderModel(database, POD(), make()).fit()
        return lambda asked: np.asarray(model.predict(transform(asked)))

    return fit


def choose_tuned_rbf(designs: Array, fields: Array, has_pictures: bool) -> Choices:
    """Kernel, width and smoothing, for pictures the number of components too."""
    folds, scored = folds_of(fields), []
    for inputs in candidates(designs, has_pictures):
        error, rbf = choose_rbf(to_points(designs, inputs)(designs), folds)
        scored.append((error, inputs | {"rbf": rbf}))
    error, choices = min(scored, key=lambda pair: pair[0])
    return choices | {"cross_validated_error": error}


def choose_tuned_gp(designs: Array, fields: Array, has_pictures: bool) -> Choices:
    """Radial basis functions for the last modes, for pictures the number of components."""
    inputs, folds = candidates(designs, has_pictures), folds_of(fields)
    choices = inputs[0]
    if len(inputs) > 1:
        choices = min(
            inputs, key=lambda tried: process_error(to_points(designs, tried)(designs), folds)
        )
    return choices | {"rbf": choose_rbf(to_points(designs, choices)(designs), folds)[1]}


def fit_tuned_rbf(designs: Array, fields: Array, choices: Choices) -> Predict:
    """Centred POD and the chosen radial basis functions."""
    return _fit_tuned(designs, fields, choices, RBF(**choices["rbf"]))


def fit_tuned_gp(designs: Array, fields: Array, choices: Choices) -> Predict:
    """Centred POD and one process per leading mode; their number is added to the choices."""
    processes = ModeProcesses(choices["rbf"])
    predict = _fit_tuned(designs, fields, choices, processes)
    choices["num_processes"] = processes.num_processes
    return predict


def _fit_tuned(
    designs: Array, fields: Array, choices: Choices, approximation: Approximation
) -> Predict:
    transform, mean = to_points(designs, choices), fields.mean(axis=0)
    database = Database(transform(designs), fields - mean)
    model = ReducedOrderModel(database, POD(), approximation).fit()
    return lambda asked: np.asarray(model.predict(transform(asked)) + mean)


def choose_nothing(designs: Array, fields: Array, has_pictures: bool) -> Choices:
    """The nearest design leaves nothing to choose but how inputs are scaled."""
    return {"pixels": True} if has_pictures else {}


def fit_nearest(designs: Array, fields: Array, choices: Choices) -> Predict:
    """The field of the nearest design, by scaled parameters or by pixels."""
    transform: Transform = np.asarray if choices else scaled_parameters(designs)
    points = transform(designs)

    def predict(asked: Array) -> Array:
        distances = np.linalg.norm(transform(asked)[:, None] - points, axis=2)  # (q, n)
        return np.asarray(fields[distances.argmin(axis=1)])

    return predict


COMPETITORS = {
    "ezyrb_rbf_default": Competitor(choose_default, fit_default(RBF)),
    "ezyrb_gp_default": Competitor(choose_default, fit_default(default_gp)),
    "ezyrb_rbf_tuned": Competitor(choose_tuned_rbf, fit_tuned_rbf),
    "ezyrb_gp_tuned": Competitor(choose_tuned_gp, fit_tuned_gp),
    "nearest_design": Competitor(choose_nothing, fit_nearest),
}


def compete(study: Study, competitor: Competitor, parts: tuple[str, ...]) -> dict[str, Any]:
    """Errors, times and choices of a competitor.

    Args:
        study: the data.
        competitor: which.
        parts: that it is fitted to when it predicts test designs.

    Returns:
        `errors` by part: `validation` and `test_by_train` of a fit to the training designs,
        `test` of a fit to `parts`; `fit_seconds` for choices and fit to `parts`;
        what `measure.prediction_seconds` says; `choices`.
    """
    rows = study.parts["train"]
    designs, fields = study.designs[rows], study.fields(rows)
    start = time.perf_counter()
    choices = competitor.choose(designs, fields, study.has_pictures)
    choosing = time.perf_counter() - start
    start = time.perf_counter()
    predict = competitor.fit(designs, fields, choices)
    fitting = time.perf_counter() - start
    validation = assess(study, "validation", predict)
    by_train = assess(study, "test", predict)
    test = by_train
    if parts != ("train",):
        rows = study.rows(parts)
        designs, fields = study.designs[rows], study.fields(rows)
        start = time.perf_counter()
        predict = competitor.fit(designs, fields, choices)
        fitting = time.perf_counter() - start
        test = assess(study, "test", predict)
    return {
        "errors": {"validation": validation, "test_by_train": by_train, "test": test},
        "fit_seconds": choosing + fitting,
        **measure.prediction_seconds(
            lambda asked: predict(study.designs[asked]), study.parts["test"]
        ),
        "choices": choices,
    }


def assess(study: Study, part: str, predict: Predict) -> dict[str, float]:
    """Mean and worst error of a part."""
    errors, rows = [], study.parts[part]
    for start in range(0, len(rows), BLOCK_DESIGNS):
        block = rows[start : start + BLOCK_DESIGNS]
        errors.append(relative_l2(study.fields(block), predict(study.designs[block])))
    joined = np.concatenate(errors)
    return {"relative_l2_mean": float(joined.mean()), "relative_l2_max": float(joined.max())}


def main(arguments: list[str]) -> None:
    """Measure one competitor on one data set, and write what came out as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.competition", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the data set, which its name tells")
    parser.add_argument("competitor", choices=COMPETITORS)
    parser.add_argument("result", type=Path)
    options = parser.parse_args(arguments)
    # EZyRB's processes draw their restarts from the global generator.
    np.random.seed(SEED)  # noqa: NPY002
    parts = DATA_SETS[options.folder.name].competitor_parts
    result = compete(Study(options.folder), COMPETITORS[options.competitor], parts)
    options.result.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
