"""The newest run in a few lines: how good the surrogate is, and where its pictures are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractVersionedDataset, DataCatalog

from .data.errors import DataError
from .data.fields import SimulationFields
from .evaluation.metrics import FieldErrors, IntervalErrors

PARTS = ("train", "validation", "test")
STUDIES = ("repeated_splits", "learning_curve")
USE_CHAMPION = "prediction.model=champion predicts with it"


def summarise(catalog: DataCatalog, truth: Path | None) -> str:
    """Text with the errors of the newest trained surrogate and, if true fields are given, those of
    the newest predictions.

    Raises:
        DataError: there are no results, or the true fields do not fit the predictions.
    """
    if catalog.exists("metrics"):
        sections = [_error_table(catalog.load("metrics"))]
    elif any(catalog.exists(study) for study in STUDIES):
        sections = ["There is no surrogate yet: kedro run --pipeline=full_vae trains one."]
    else:
        raise DataError(
            "There are no results yet. Train a surrogate first: kedro run --pipeline=full_vae."
        )
    if truth is not None:
        if not catalog.exists("predictions"):
            raise DataError(
                "There are no predictions yet to compare. Predict first: kedro run "
                "--pipeline=predict."
            )
        sections.append(_against_truth(catalog.load("predictions"), truth))
    sections.append(_places(catalog))
    return "\n\n".join(sections)


def _error_table(metrics: dict[str, Any]) -> str:
    rows = {
        "VAE reconstruction": metrics["reconstruction"],
        "VAE prediction": metrics["prediction"],
        **metrics["baselines"],
    }
    counts = metrics["num_designs"]
    parts = [part for part in PARTS if counts[part]]
    lines = ["Relative L2 error, mean / worst design, in physical units:"]
    lines.append(" " * 20 + "".join(f"{f'{part} ({counts[part]})':>20}" for part in parts))
    for name, by_part in rows.items():
        cells = (_mean_and_worst(by_part.get(part, {})) for part in parts)
        lines.append(f"{name:<20}" + "".join(f"{cell:>20}" for cell in cells))
    fitted = metrics.get("num_designs_fitted", {}).values()
    if counts["test"] and max(fitted, default=0) > counts["train"]:
        lines.append("Test designs are predicted by models that know the validation designs, too.")
    limits = metrics.get("baseline_limits_reached")
    if limits:
        lines.append(f"The baselines could do with more than baselines.{', '.join(limits)} allows.")
    suspects = metrics.get("suspect_designs")
    if suspects:
        names = " and ".join(metrics["baselines_not_refitted"])
        lines.append(
            f"{names}: fitted to the training designs only, as the validation designs would "
            f"not make errors smaller. Look first at {', '.join(suspects)}."
        )
    lines.append(_champion(metrics))
    for part, figures in metrics.get("uncertainty", {}).items():
        if "coverage_90" in figures:
            lines.append(
                f"The prediction's 90% intervals hold for {figures['coverage_90']:.0%} of the "
                f"{part} values."
            )
    return "\n".join(lines)


def _champion(metrics: dict[str, Any]) -> str:
    """Which model it is, and if not the VAE, by how much."""
    name = metrics["champion"]
    if name == "vae":
        return "Champion: vae"
    errors = metrics["champion_errors"]
    factor = errors["vae"] / errors[name]
    if factor < 1:
        return (
            f"Champion: {name} (the VAE is better by less than the validation designs can tell); "
            f"{USE_CHAMPION}"
        )
    return (
        f"Champion: {name} (on the validation designs, which none of them knew, the VAE's error is "
        f"{factor:.3g} times as large; likely the fields are smooth in few parameters, or nearly "
        f"linear in the picture); {USE_CHAMPION}"
    )


def _mean_and_worst(errors: dict[str, float]) -> str:
    if "relative_l2_mean" not in errors:
        return "-"
    return f"{errors['relative_l2_mean']:.2%} / {errors['relative_l2_max']:.2%}"


def _against_truth(predictions: SimulationFields, path: Path) -> str:
    true = SimulationFields(path)
    if true.shape != predictions.shape:
        raise DataError(
            f"{path} holds fields of shape {list(true.shape)}; the newest predictions have "
            f"{list(predictions.shape)}. Expected the true fields of the predicted designs."
        )
    ids = predictions.metadata.design_ids or tuple(str(i) for i in range(true.shape[0]))
    known = true.metadata.design_ids or ids
    if set(known) != set(ids):
        raise DataError(f"{path} holds other designs than the newest predictions.")
    errors, intervals = FieldErrors(), IntervalErrors()
    spread = SimulationFields(predictions.path, "std")
    for rows, predicted in predictions.blocks():
        block_ids = [ids[row] for row in rows]
        values = true.read(np.array([known.index(design_id) for design_id in block_ids]))
        errors.update(values, predicted, block_ids)
        intervals.update(values, predicted, spread.read(rows))
    lines = [f"The {len(ids)} designs that were held back and predicted, against {path.name}:"]
    lines += [f"  {name}: {error:.2%}" for name, error in errors.relative_l2.items()]
    result = errors.result()
    lines.append(
        f"  mean / worst: {_mean_and_worst(result)}; 90% intervals hold for "
        f"{intervals.result()['coverage_90']:.0%} of the values"
    )
    return "\n".join(lines)


def _places(catalog: DataCatalog) -> str:
    """Where the newest version of everything worth a look is."""
    names = ["metrics", "design_errors", "node_errors", "time_errors"]
    names += ["run_manifest", "surrogate", "predictions", *STUDIES]
    names += [
        f"plot_{name}"
        for name in (
            *STUDIES,
            "over_time",
            "over_mesh",
            "design_errors",
            "peaks",
            "worst",
            "vae_losses",
            "conditioner_losses",
            "latents",
        )
    ]
    lines = ["Where to look:"]
    for name in names:
        dataset = catalog.get(name)
        if isinstance(dataset, AbstractVersionedDataset) and dataset.exists():
            lines.append(f"  {name:<24}{_relative(dataset.list_versions()[0])}")
    lines.append(f"  {'lineage':<24}kedro viz run --pipeline=full_vae")
    lines.append(f"  {'training curves':<24}tensorboard --logdir data/08_reporting/tensorboard")
    return "\n".join(lines)


def _relative(path: str) -> str:
    full = Path(path)
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else path
