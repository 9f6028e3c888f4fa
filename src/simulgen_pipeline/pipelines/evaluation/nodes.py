"""Nodes that fit the baselines, put the surrogate together, measure it and draw what was found."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.pictures import has_pictures
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.evaluation import plots
from simulgen_pipeline.evaluation.calibration import narrowing
from simulgen_pipeline.models.baselines import BaselineConfig, Baselines
from simulgen_pipeline.models.trained import (
    CrossFittedConditioners,
    StoredLatents,
    TrainedConditioner,
    TrainedVae,
)
from simulgen_pipeline.surrogate import VAE, Prediction, Surrogate

from .assessment import (
    PEAK_COLUMNS,
    RECONSTRUCTION,
    Assessment,
    assess,
    calibrate,
    cross_validated,
    reconstruct,
    shown_designs,
)

NUM_DESIGNS_OVER_TIME, NUM_NODES_OVER_TIME, NUM_TIMES_OVER_MESH = 3, 4, 4


def fit_baselines(
    fields: SimulationFields, design_table: pd.DataFrame, vae: TrainedVae, baselines: BaselineConfig
) -> Baselines:
    """Fit POD + RBF and POD + Gaussian process on the training designs of the same split."""
    rows = np.array(vae.split.train)
    designs = vae.design_scaler.inputs(design_table.iloc[rows])
    num_jobs, ordered = os.cpu_count() or 1, designs.pictures is not None
    return Baselines.fit(fields, rows, designs.features, baselines, num_jobs, ordered)


def assemble_surrogate(
    vae: TrainedVae,
    conditioner: TrainedConditioner,
    refitted_conditioner: TrainedConditioner,
    cross_fitted_conditioners: CrossFittedConditioners,
    baselines: Baselines,
    fields: SimulationFields,
    design_table: pd.DataFrame,
    config: BaselineConfig,
) -> Surrogate:
    """Calibrate with models that do not know the validation designs, and put in those that do.

    The conditioner that predicts knows more designs than those that calibrate, which narrows the
    VAE's spread.

    The champion is chosen among models that know the same designs: a conditioner that was refitted
    with some of the validation designs would have been given more than the baselines.
    """
    rows = np.array(vae.split.validation)
    designs = vae.design_scaler.inputs(design_table.iloc[rows], warn=False)
    rivals = Surrogate(vae, conditioner, baselines, fields.metadata)
    validated = cross_validated(rivals, cross_fitted_conditioners, baselines)
    calibration = calibrate(validated, rivals, fields, design_table)
    num_designs, num_known = refitted_conditioner.num_designs, cross_fitted_conditioners.num_designs
    narrowed = calibration.factors[VAE] * narrowing(num_designs, num_known)
    calibration = calibration._replace(factors={**calibration.factors, VAE: narrowed})
    return Surrogate(
        vae,
        refitted_conditioner,
        baselines.refit(fields, rows, designs.features, config),
        fields.metadata,
        *calibration,
    )


def evaluate(
    surrogate: Surrogate,
    cross_fitted_conditioners: CrossFittedConditioners,
    baselines: Baselines,
    latents: StoredLatents,
    fields: SimulationFields,
    design_table: pd.DataFrame,
) -> Assessment:
    """Measure the surrogate on every part, on validation designs by models without them."""
    validated = cross_validated(surrogate, cross_fitted_conditioners, baselines)
    return assess(surrogate, validated, latents, fields, design_table)


def draw_over_time(
    surrogate: Surrogate,
    cross_fitted_conditioners: CrossFittedConditioners,
    latents: StoredLatents,
    fields: SimulationFields,
    design_table: pd.DataFrame,
    design_errors: pd.DataFrame,
) -> Figure:
    """Values over time at fixed nodes: true, reconstructed, predicted."""
    ids = shown_designs(design_errors, NUM_DESIGNS_OVER_TIME)
    rows = design_table.index.get_indexer(pd.Index(ids))
    true = fields.read(rows)
    nodes = plots.representative_nodes(true, NUM_NODES_OVER_TIME)
    predicted = _predict_unknown(surrogate, cross_fitted_conditioners, design_table, rows)
    return plots.plot_over_time(
        surrogate.metadata.time,
        true[:, :, nodes],
        reconstruct(surrogate.vae, latents, rows)[:, :, nodes],
        predicted.fields[:, :, nodes],
        predicted.std[:, :, nodes],
        nodes,
        fields.metadata,
        ids,
        _errors(design_errors, VAE),
    )


def draw_over_mesh(
    surrogate: Surrogate,
    cross_fitted_conditioners: CrossFittedConditioners,
    fields: SimulationFields,
    design_table: pd.DataFrame,
    design_errors: pd.DataFrame,
) -> Figure:
    """The design of median error over the mesh at fixed times: true, predicted, error, spread."""
    shown = shown_designs(design_errors, 3)
    design_id = shown[len(shown) // 2]
    row = design_table.index.get_indexer(pd.Index([design_id]))
    times = plots.representative_times(fields.shape[1], NUM_TIMES_OVER_MESH)
    predicted = _predict_unknown(surrogate, cross_fitted_conditioners, design_table, row)
    return plots.plot_over_mesh(
        fields.metadata,
        times,
        fields.read(row)[0, times],
        predicted.fields[0, times],
        predicted.std[0, times],
        [design_id] * len(times),
        _errors(design_errors, VAE),
    )


def draw_design_errors(design_errors: pd.DataFrame) -> Figure:
    """Error of every test design by every model."""
    tested = design_errors["part"] == "test"
    shown = design_errors[tested if tested.any() else design_errors["part"] == "validation"]
    models = shown.columns.drop(["part", *PEAK_COLUMNS])
    errors = {str(name): _errors(shown, str(name)) for name in models}
    return plots.plot_error_per_design(errors.pop(RECONSTRUCTION), errors.pop(VAE), errors)


def draw_peaks(fields: SimulationFields, design_errors: pd.DataFrame) -> Figure:
    """Value, place and time of the predicted peaks of the validation and test designs."""
    parts = {
        str(part): plots.Peaks(*(rows[column].to_numpy() for column in PEAK_COLUMNS))
        for part, rows in design_errors.groupby("part", sort=False)
        if part != "train"
    }
    return plots.plot_peaks(parts, fields.metadata)


def draw_worst(
    fields: SimulationFields, node_errors: pd.DataFrame, time_errors: pd.DataFrame
) -> Figure:
    """Error of the test designs (validation, if there are none) at each time and each node."""
    part = "test" if "test" in node_errors else "validation"
    return plots.plot_worst(
        node_errors[part].to_numpy(), time_errors[part].to_numpy(), fields.metadata, part
    )


def draw_vae_losses(vae_training_history: pd.DataFrame) -> Figure:
    """Loss curves of the VAE."""
    return plots.plot_loss_curves(vae_training_history, "Training of the VAE")


def draw_conditioner_losses(
    conditioner_training_history: pd.DataFrame, refit_training_history: pd.DataFrame
) -> Figure:
    """Loss curves of the conditioner, and after them those of its refits."""
    first = conditioner_training_history
    refit = refit_training_history.assign(epoch=refit_training_history["epoch"] + len(first))
    return plots.plot_loss_curves(
        pd.concat([first, refit]).reset_index(drop=True), "Training of the conditioner"
    )


def draw_latents(
    latents: StoredLatents, design_table: pd.DataFrame, split: dict[str, Any], vae: TrainedVae
) -> Figure:
    """Principal components of the latents of every design."""
    colour, label = design_table.iloc[:, 0].to_numpy(), str(design_table.columns[0])
    if has_pictures(design_table):
        colour = vae.design_scaler.inputs(design_table, warn=False).features[:, 0]
        label = "first principal component of the pictures"
    return plots.plot_latents(
        latents.values.main,
        latents.values.hierarchical,
        {part: np.array(rows) for part, rows in Split.model_validate(split).parts.items()},
        colour,
        label,
    )


def _predict_unknown(
    surrogate: Surrogate,
    cross_fitted: CrossFittedConditioners,
    design_table: pd.DataFrame,
    rows: NDArray[np.int64],
) -> Prediction:
    """The VAE's prediction of designs, of validation designs by conditioners without them."""
    fields, std = [], []
    for row in rows:
        one = surrogate
        for conditioner, held_out in cross_fitted.parts:
            if row in held_out:
                one = surrogate.with_models(conditioner, surrogate.baselines)
        predicted = one.predict_inputs(one.inputs(design_table.iloc[[row]], warn=False))
        fields.append(predicted.fields)
        std.append(predicted.std)
    return Prediction(np.concatenate(fields), np.concatenate(std))


def _errors(design_errors: pd.DataFrame, model: str) -> dict[str, float]:
    """Relative L2 error by design id, of the designs that have one."""
    known = design_errors[model].dropna()
    return {str(design_id): float(error) for design_id, error in known.items()}
