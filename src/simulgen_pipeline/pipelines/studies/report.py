"""What a study says, from the results of its members.

Shapes: N designs, K folds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.evaluation.power_law import FEWEST_SIZES, PowerLaw
from simulgen_pipeline.pipelines.evaluation.assessment import RECONSTRUCTION, Assessment
from simulgen_pipeline.surrogate import VAE
from simulgen_pipeline.training.fit import num_held_out_parts

from .members import Result

MEASURED = (
    "num_designs",
    "num_designs_fitted",
    "reconstruction",
    "prediction",
    "baselines",
    "uncertainty",
    "champion",
)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FOLD = "fold"
# How often more designs an extrapolation is for.
MULTIPLES = {"doubling": 2, "quadrupling": 4}


def member_result(assessment: Assessment) -> Result:
    """What is kept of a training: figures of all parts, and the errors of each test design."""
    metrics, table = assessment.metrics, assessment.design_errors
    models = [RECONSTRUCTION, VAE, *metrics["baselines"]]
    errors = table.loc[table["part"] == "test", models]
    measured = {name: metrics[name] for name in MEASURED if name in metrics}
    return {**measured, "design_errors": {str(name): dict(row) for name, row in errors.iterrows()}}


def report_folds(
    results: Sequence[Result], splits: Mapping[str, Split], design_ids: Sequence[str]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Figures of all folds with their summary, and the error of every design (N rows)."""
    models = [RECONSTRUCTION, VAE, *results[0]["baselines"]]
    records = {
        design_ids[row]: {FOLD: number, **result["design_errors"].get(design_ids[row], {})}
        for number, (split, result) in enumerate(zip(splits.values(), results, strict=True), 1)
        for row in split.test
    }
    table = pd.DataFrame.from_dict(records, orient="index", columns=[FOLD, *models])
    table = table.loc[list(design_ids)].rename_axis("id")
    coverages = pd.Series([result["uncertainty"]["test"]["coverage_90"] for result in results])
    champions = [result["champion"] for result in results]
    summary = {
        "num_designs": len(table),
        "relative_l2": {model: _error_summary(table[model], table[FOLD]) for model in models},
        "coverage_90": {"mean": coverages.mean(), "std": coverages.std()},
        "champion": {model: champions.count(model) for model in models[1:]},
    }
    folds = [{name: result[name] for name in MEASURED} for result in results]
    return {"summary": summary, "folds": folds}, table


def _error_summary(errors: pd.Series[float], folds: pd.Series[int]) -> dict[str, Any]:
    """Mean and spread of one model's errors (N,) over designs, and over folds' means (K,).

    The standard error is the larger one of two: designs of a fold share a model, so that their
    errors are not independent, and the spread of few folds can be small by chance. Folds share
    training designs, which neither of the two knows (Bengio & Grandvalet 2004, Journal of Machine
    Learning Research 5: there is no unbiased estimate).
    """
    known = errors.dropna()
    means = known.groupby(folds).mean()
    by_design, by_fold = (part.std() / math.sqrt(len(part)) for part in (known, means))
    return {
        "mean": known.mean(),
        "standard_error": max(by_design, by_fold),
        "max": known.max(),
        "quantiles": {f"{share:g}": known.quantile(share) for share in QUANTILES},
        "std_over_designs": known.std(),
        "mean_over_folds": means.mean(),
        "std_over_folds": means.std(),
    }


def report_sizes(results: Sequence[Result]) -> dict[str, Any]:
    """Errors at each number of training designs, power laws of them, and what they promise."""
    part = "test" if "test" in results[0]["prediction"] else "validation"
    sizes = [
        {
            "num_designs": result["num_designs"]["train"],
            "num_designs_fitted": _num_designs_fitted(result, part),
            "reconstruction": result["reconstruction"][part],
            "prediction": result["prediction"][part],
            "baselines": {name: of[part] for name, of in result["baselines"].items()},
            "champion": result["champion"],
        }
        for result in results
    ]
    num_designs = num_designs_by_model(sizes)
    laws = {
        model: _law(num_designs[model], errors)
        for model, errors in errors_by_model(sizes).items()
        if len(sizes) >= FEWEST_SIZES
        and min(errors) > 0
        and all(a < b for a, b in pairwise(num_designs[model]))  # a limit or a refit may not
    }
    return {
        "part": part,
        "num_designs": results[0]["num_designs"][part],
        "sizes": sizes,
        "power_laws": laws,
        "answer": _answer(sizes, laws.get(VAE)),
    }


def num_designs_by_model(sizes: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Number of designs that each model is fitted to at each size."""
    fitted = pd.DataFrame([size["num_designs_fitted"] for size in sizes])
    trained = [size["num_designs"] for size in sizes]
    return {RECONSTRUCTION: trained, **{str(name): list(fitted[name]) for name in fitted}}


def _num_designs_fitted(result: Result, part: str) -> dict[str, int]:
    """By model, the designs that it knew when it was measured on a part.

    On validation designs baselines know training designs alone; of the VAE, each was predicted by a
    conditioner that was refitted with some of the others, if it was refitted.
    """
    fitted: dict[str, int] = result["num_designs_fitted"]
    if part == "test":
        return fitted
    trained = result["num_designs"]["train"]
    given = fitted[VAE] - trained
    lacking = math.ceil(given / num_held_out_parts(trained, given)) if given else 0
    return dict.fromkeys(fitted, trained) | {VAE: fitted[VAE] - lacking}


def errors_by_model(sizes: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Mean relative L2 error of each model at each size, of the models that have one at all."""
    by_size = [
        {RECONSTRUCTION: size["reconstruction"], VAE: size["prediction"], **size["baselines"]}
        for size in sizes
    ]
    key = "relative_l2_mean"
    return {
        model: [of[model][key] for of in by_size]
        for model in by_size[0]
        if all(key in of[model] for of in by_size)
    }


def _law(num_designs: Sequence[int], errors: Sequence[float]) -> dict[str, Any]:
    law = PowerLaw.fit(num_designs, errors)
    described: dict[str, Any] = {
        "factor": law.factor,
        "exponent": law.exponent,
        "exponent_interval_90": list(law.exponent_interval()),
        "num_sizes": law.num_sizes,
    }
    if law.exponent <= 0:
        return described
    for name, multiple in MULTIPLES.items():
        more = multiple * num_designs[-1]
        described[name] = {
            "num_designs": more,
            "expected_error": law.error(more),
            "interval_90": list(law.interval(more)),
        }
    return described


def _answer(sizes: Sequence[Mapping[str, Any]], law: Mapping[str, Any] | None) -> str:
    """Whether more simulations would help the VAE's prediction, in a sentence."""
    largest = sizes[-1]
    if law is None and len(sizes) < FEWEST_SIZES:
        return (
            f"Too few sizes to say whether more simulations would help: at least {FEWEST_SIZES} "
            f"are needed (studies.fractions)."
        )
    if law is None:
        return (
            "Whether more simulations would help cannot be told: the number of designs that "
            "the model knows did not grow with each size, as a refit was not kept, or an error is "
            "zero."
        )
    num_designs = largest["num_designs_fitted"][VAE]
    now = f"{largest['prediction']['relative_l2_mean']:.2%} with {num_designs}"
    if "doubling" not in law:
        return (
            f"No gain to expect from more simulations: the error did not fall with the number of "
            f"designs to train with ({now}; exponent {law['exponent']:.2f})."
        )
    doubled = law["doubling"]
    low, high = doubled["interval_90"]
    certain = high < largest["prediction"]["relative_l2_mean"]
    return (
        f"Twice the designs to train with ({doubled['num_designs']}) would give an error of about "
        f"{doubled['expected_error']:.2%} (90% interval {low:.2%} to {high:.2%}; now {now}). "
        + (
            "More simulations would help."
            if certain
            else "That more simulations would help is not certain."
        )
    )
