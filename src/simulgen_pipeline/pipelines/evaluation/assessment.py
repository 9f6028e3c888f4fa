"""Calibration and assessment of a surrogate: what is measured on which designs.

Shapes: n designs, T time steps, M nodes.

The validation designs calibrate the spread, by models that do not know them, and choose the
champion, by models that know the training designs alone; the test designs are only looked at by
`assess`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulgen_pipeline.data.design_inputs import DesignInputs
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.evaluation.calibration import SpreadShape, choose_shape
from simulgen_pipeline.evaluation.champion import choose_champion
from simulgen_pipeline.evaluation.generation import assess_samples
from simulgen_pipeline.evaluation.metrics import FieldErrors, IntervalErrors, calibration_factor
from simulgen_pipeline.evaluation.peaks import PeakErrors, WorstErrors
from simulgen_pipeline.models.baselines import Baselines
from simulgen_pipeline.models.trained import (
    CrossFittedConditioners,
    LatentArrays,
    StoredLatents,
    TrainedVae,
)
from simulgen_pipeline.surrogate import VAE, Prediction, Surrogate

logger = logging.getLogger(__name__)

RECONSTRUCTION = "reconstruction"
PEAK_COLUMNS = ["true_peak", "peak_error", "peak_place_error", "peak_time_error"]
# Validation designs that the shape of the spread is chosen on.
MOST_DESIGNS_FOR_SHAPE = 50
# A block of true fields is compared with a prediction by every model at once.
BLOCK_BYTES = 64 * 2**20

# A surrogate, and the designs that it is looked at on.
Part = tuple[Surrogate, tuple[int, ...]]


class Assessment(NamedTuple):
    """What is known of a surrogate's errors.

    Attributes:
        metrics: the content of `metrics.json`.
        design_errors: errors of all models and of the VAE's peak, a row per design.
        node_errors, time_errors: root-mean-square error of the VAE's prediction in the field's
            units, a row per mesh node or time, and a column for each part but training.
    """

    metrics: dict[str, Any]
    design_errors: pd.DataFrame
    node_errors: pd.DataFrame
    time_errors: pd.DataFrame


class Calibration(NamedTuple):
    """What a surrogate has from the validation designs; see its attributes."""

    factors: dict[str, float]
    champion: str
    shape: SpreadShape
    champion_errors: dict[str, float]


def cross_validated(
    surrogate: Surrogate, cross_fitted: CrossFittedConditioners, baselines: Baselines
) -> list[Part]:
    """Surrogates with models that do not know the validation designs that they come with.

    Args:
        surrogate: of which they have all else, calibration included.
        cross_fitted: conditioners that were refitted without some of these designs.
        baselines: fitted to the training designs.
    """
    return [(surrogate.with_models(one, baselines), rows) for one, rows in cross_fitted.parts]


def calibrate(
    parts: Sequence[Part], rivals: Surrogate, fields: SimulationFields, designs: pd.DataFrame
) -> Calibration:
    """Spreads that hold on the validation designs, and the champion there.

    Args:
        parts: surrogates before calibration, and the validation designs that each does not know.
        rivals: with models that were all fitted to the same designs, the training ones.
        fields: of all designs.
        designs: all of them.
    """
    first, num_designs = parts[0][0], sum(len(rows) for _, rows in parts)
    inputs = first.inputs(designs, warn=False)
    for surrogate, _ in parts:
        surrogate.factors = dict.fromkeys(surrogate.models, 1.0)
    shape = choose_shape(_members(parts, fields, inputs))
    for surrogate, _ in parts:
        surrogate.shape = shape
    factors = {
        model: calibration_factor(
            (true, predicted.fields, predicted.std)
            for _, true, predicted in _predicted(parts, model, fields, inputs)
        )
        for model in first.models
    }
    for model in [model for model, factor in factors.items() if not np.isfinite(factor)]:
        logger.warning(
            "The spread of %s is not calibrated: no finite factor makes its intervals hold for "
            "90%% of the values of the %d validation designs.",
            model,
            num_designs,
        )
        factors[model] = 1.0
    everything = [(rivals, rivals.vae.split.validation)]
    errors = {model: FieldErrors() for model in rivals.models}
    for model in rivals.models:
        for block, true, predicted in _predicted(everything, model, fields, inputs):
            errors[model].update(true, predicted.fields, designs.index[block].tolist())
    by_design = {model: of.relative_l2 for model, of in errors.items()}
    champion = choose_champion(by_design, rivals.baselines.names)
    means = {model: float(np.mean(list(of.values()))) for model, of in by_design.items() if of}
    logger.info(
        "Champion on the %d validation designs, known to none: %s (%s)",
        num_designs,
        champion,
        ", ".join(f"{model} {mean:.2%}" for model, mean in means.items()),
    )
    return Calibration(factors, champion, shape, means)


def _members(
    parts: Sequence[Part], fields: SimulationFields, inputs: DesignInputs
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """True field, mean and variance (T, M) of the VAE's members, of the first designs of parts."""
    for surrogate, rows in parts:
        for row in rows[: MOST_DESIGNS_FOR_SHAPE // len(parts)]:
            mean, variance = surrogate.members_moments(inputs.take([row]))
            yield fields.read([row])[0], mean[0], variance[0]


def _predicted(
    parts: Sequence[Part], model: str, fields: SimulationFields, inputs: DesignInputs
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], Prediction]]:
    """Row numbers of blocks of designs, their true fields and predicted ones."""
    for surrogate, block, true in _blocks(parts, fields):
        yield block, true, surrogate.predict_inputs(inputs.take(block), model)


def assess(
    surrogate: Surrogate,
    validated: Sequence[Part],
    latents: StoredLatents,
    fields: SimulationFields,
    designs: pd.DataFrame,
) -> Assessment:
    """Errors of reconstruction, prediction and baselines on every part, and how far samples of the
    VAE's prior are from the training designs, in physical units.

    Args:
        surrogate: whose models know training and validation designs.
        validated: surrogates with models that do not know the validation designs they come with.
        latents: of all designs.
        fields: of all designs.
        designs: all of them.
    """
    split = surrogate.vae.split
    report = surrogate.baselines.report
    metrics: dict[str, Any] = {
        "num_designs": {
            part: len(getattr(split, part)) for part in ("train", "validation", "test")
        },
        "num_designs_fitted": {
            VAE: surrogate.conditioner.num_designs,
            **{name: report[name]["num_designs"] for name in surrogate.baselines.names},
        },
        "reconstruction": {},
        "prediction": {},
        "baselines": {name: {} for name in surrogate.baselines.names},
        "baseline_limits_reached": report["limits_reached"],
        "baselines_not_refitted": report["not_refitted"],
        "suspect_designs": designs.index[report["suspect_rows"]].tolist(),
        "champion": surrogate.champion,
        "champion_errors": surrogate.champion_errors,
        "peaks": {},
        "worst": {},
        "generation": assess_samples(surrogate.vae, latents, fields, split),
    }
    per_design, at_nodes, at_times, metadata = [], {}, {}, fields.metadata
    inputs = surrogate.inputs(designs, warn=False)
    for part, rows in split.parts.items():
        models = surrogate.models if part != "train" else (VAE,)
        errors = {name: FieldErrors() for name in (RECONSTRUCTION, *models)}
        interval = IntervalErrors()
        peaks, worst = PeakErrors(metadata), WorstErrors(metadata)
        measured = validated if part == "validation" else [(surrogate, rows)]
        for one, block, true in _blocks(measured, fields):
            ids = designs.index[block].tolist()
            reconstructed = reconstruct(surrogate.vae, latents, block)
            errors[RECONSTRUCTION].update(true, reconstructed, ids)
            for model in models:
                predicted = one.predict_inputs(inputs.take(block), model)
                errors[model].update(true, predicted.fields, ids)
                if model == VAE:
                    interval.update(true, predicted.fields, predicted.std)
                    peaks.update(true, predicted.fields, ids)
                    worst.update(true, predicted.fields, ids)
        metrics["reconstruction"][part] = errors[RECONSTRUCTION].result()
        metrics["prediction"][part] = errors[VAE].result()
        for model in models[1:]:
            metrics["baselines"][model][part] = errors[model].result()
        if part != "train":
            metrics["peaks"][part] = peaks.result()
            metrics["worst"][part] = worst.result()
            at_nodes[part], at_times[part] = worst.at_nodes(), worst.at_times()
        if part == "test":
            metrics["uncertainty"] = {part: interval.result()}
        table = pd.DataFrame({name: error.relative_l2 for name, error in errors.items()})
        per_design.append(table.assign(part=part).join(_peak_table(peaks)))
    design_errors = pd.concat(per_design).rename_axis("id")
    return Assessment(metrics, design_errors, pd.DataFrame(at_nodes), pd.DataFrame(at_times))


def _blocks(
    parts: Sequence[Part], fields: SimulationFields
) -> Iterator[tuple[Surrogate, NDArray[np.int64], NDArray[Any]]]:
    """Surrogates, row numbers of designs to measure them on, and these designs' true fields."""
    for surrogate, rows in parts:
        for block, true in fields.blocks(rows, BLOCK_BYTES):
            yield surrogate, block, true


def _peak_table(peaks: PeakErrors) -> pd.DataFrame:
    """A row per design with the columns `PEAK_COLUMNS`, empty where there is no such figure."""
    rows = {
        design_id: (peak.true, peak.value, peak.place, peak.time)
        for design_id, peak in peaks.designs.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=PEAK_COLUMNS, dtype=np.float64)


def reconstruct(
    vae: TrainedVae, latents: StoredLatents, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Physical fields (n, T, M) decoded from the stored latents alone."""
    stored = LatentArrays(*(part[rows] for part in latents.values))
    return vae.representation.inverse_transform(vae.decode(stored))


def shown_designs(design_errors: pd.DataFrame, num: int) -> list[str]:
    """Ids of test designs (validation, if there are none) from the best to the worst predicted."""
    part = "test" if (design_errors["part"] == "test").any() else "validation"
    ranked = design_errors[design_errors["part"] == part].sort_values(VAE).index
    places = np.linspace(0, len(ranked) - 1, min(num, len(ranked))).round().astype(int)
    return [str(ranked[place]) for place in places]
