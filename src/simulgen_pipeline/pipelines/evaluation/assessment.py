"""Calibration and assessment of a surrogate: what is measured on which designs.

Shapes: n designs, T time steps, M nodes.

The validation designs calibrate the spread and choose the champion, with baselines that have not
seen them; the test designs are only looked at by `assess`.
"""

from __future__ import annotations

import logging
from collections import deque
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
from simulgen_pipeline.models.trained import (
    HeldOutConditioners,
    LatentArrays,
    StoredLatents,
    TrainedVae,
)
from simulgen_pipeline.surrogate import VAE, Surrogate

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
    """The content of `metrics.json`, and by design the errors of models and of the VAE's peak."""

    metrics: dict[str, Any]
    design_errors: pd.DataFrame


def calibrate(
    surrogate: Surrogate,
    held_out: HeldOutConditioners,
    fields: SimulationFields,
    designs: pd.DataFrame,
) -> Surrogate:
    """The surrogate with spreads that hold on the validation designs, and its champion named.

    Args:
        surrogate: with models that know the training designs alone, which are compared.
        held_out: conditioners like the one that will predict, whose spread is the VAE's.
        fields: of all designs.
        designs: all of them.
    """
    rows = surrogate.vae.split.validation
    surrogate.factors = dict.fromkeys(surrogate.models, 1.0)
    inputs = surrogate.inputs(designs, warn=False)
    alike = [(surrogate.with_models(c, surrogate.baselines), part) for c, part in held_out.parts]
    surrogate.shape = choose_shape(_members(alike, fields, inputs))
    factors, by_design = {}, {}
    for model in surrogate.models:
        errors = FieldErrors()
        compared = _compared(surrogate, model, fields, designs, inputs, rows, errors)
        if model == VAE:
            deque(compared, maxlen=0)  # errors are counted on the way
            compared = _compared_in_parts(alike, surrogate.shape, fields, designs, inputs)
        factors[model] = calibration_factor(compared)
        by_design[model] = errors.relative_l2
    for model in [model for model, factor in factors.items() if not np.isfinite(factor)]:
        logger.warning(
            "The spread of %s is not calibrated: no finite factor makes its intervals hold for "
            "90%% of the values of the %d validation designs.",
            model,
            len(rows),
        )
        factors[model] = 1.0
    surrogate.factors = factors
    surrogate.champion = choose_champion(by_design, surrogate.baselines.names)
    logger.info(
        "Champion on the %d validation designs: %s (%s)",
        len(rows),
        surrogate.champion,
        ", ".join(f"{m} {np.mean(list(errors.values())):.2%}" for m, errors in by_design.items()),
    )
    return surrogate


def _members(
    parts: Sequence[Part], fields: SimulationFields, inputs: DesignInputs
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """True field, mean and variance (T, M) of the VAE's members, of the first designs of parts."""
    for surrogate, rows in parts:
        for row in rows[: MOST_DESIGNS_FOR_SHAPE // len(parts)]:
            mean, variance = surrogate.members_moments(inputs.take([row]))
            yield fields.read([row])[0], mean[0], variance[0]


def _compared_in_parts(
    parts: Sequence[Part],
    shape: SpreadShape,
    fields: SimulationFields,
    designs: pd.DataFrame,
    inputs: DesignInputs,
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """As `_compared`, by the VAE, with each surrogate on the designs that it does not know."""
    for surrogate, rows in parts:
        surrogate.shape = shape
        yield from _compared(surrogate, VAE, fields, designs, inputs, rows, FieldErrors())


def _compared(
    surrogate: Surrogate,
    model: str,
    fields: SimulationFields,
    designs: pd.DataFrame,
    inputs: DesignInputs,
    rows: tuple[int, ...],
    errors: FieldErrors,
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Blocks of true fields, predicted ones and spreads, whose errors are counted on the way."""
    for block, true in fields.blocks(rows, BLOCK_BYTES):
        predicted = surrogate.predict_inputs(inputs.take(block), model)
        errors.update(true, predicted.fields, designs.index[block].tolist())
        yield true, predicted.fields, predicted.std


def assess(
    surrogate: Surrogate,
    unaware: Surrogate,
    latents: StoredLatents,
    fields: SimulationFields,
    designs: pd.DataFrame,
) -> Assessment:
    """Errors of reconstruction, prediction and baselines on every part, and how far samples of the
    VAE's prior are from the training designs, in physical units.

    Args:
        surrogate: whose models know training and validation designs.
        unaware: the same, with models that know training designs alone, which are measured on the
            validation designs.
        latents: of all designs.
        fields: of all designs.
        designs: all of them.
    """
    split = surrogate.vae.split
    report = surrogate.baselines.report
    measured = dict.fromkeys(split.parts, surrogate) | {"validation": unaware}
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
        "peaks": {},
        "worst": {},
        "generation": assess_samples(surrogate.vae, latents, fields, split),
    }
    per_design, metadata = [], fields.metadata
    inputs = surrogate.inputs(designs, warn=False)
    for part, rows in split.parts.items():
        models = surrogate.models if part != "train" else (VAE,)
        errors = {name: FieldErrors() for name in (RECONSTRUCTION, *models)}
        interval = IntervalErrors()
        peaks, worst = PeakErrors(metadata), WorstErrors(metadata)
        for block, true in fields.blocks(rows, BLOCK_BYTES):
            ids = designs.index[block].tolist()
            reconstructed = reconstruct(surrogate.vae, latents, block)
            errors[RECONSTRUCTION].update(true, reconstructed, ids)
            for model in models:
                predicted = measured[part].predict_inputs(inputs.take(block), model)
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
        if part == "test":
            metrics["uncertainty"] = {part: interval.result()}
        table = pd.DataFrame({name: error.relative_l2 for name, error in errors.items()})
        per_design.append(table.assign(part=part).join(_peak_table(peaks)))
    return Assessment(metrics, pd.concat(per_design).rename_axis("id"))


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
