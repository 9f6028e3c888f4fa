"""Nodes that train repeatedly, and draw what came of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.split import Split, split_designs
from simulgen_pipeline.evaluation import plots
from simulgen_pipeline.evaluation.power_law import PowerLaw
from simulgen_pipeline.models.baselines import BaselineConfig
from simulgen_pipeline.surrogate import VAE
from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EngineConfig,
    RefitConfig,
    VaeConfig,
)

from .config import StudiesConfig
from .members import Result, train_members
from .report import (
    FOLD,
    errors_by_model,
    member_result,
    num_designs_by_model,
    report_folds,
    report_sizes,
)
from .splits import fold_splits, growing_splits
from .train import Settings, determined_by, train_and_assess

logger = logging.getLogger(__name__)


def repeat_splits(
    fields: SimulationFields,
    design_table: pd.DataFrame,
    data: DataConfig,
    vae: VaeConfig,
    conditioner: ConditionerConfig,
    refit: RefitConfig,
    baselines: BaselineConfig,
    training: EngineConfig,
    studies: StudiesConfig,
    work_folder: Path,
    tensorboard: Path,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train once per fold, so that every design is a test design once."""
    if data.split.file is not None:
        logger.warning("data.split.file is not used: folds are drawn by data.split.seed")
    settings = Settings(
        data=data,
        vae=vae,
        conditioner=conditioner,
        refit=refit,
        baselines=baselines,
        training=training,
    )
    splits = fold_splits(len(design_table), studies.num_folds, data.split)
    results = _train(
        "repeated_splits", splits, fields, design_table, settings, work_folder, tensorboard
    )
    report, errors = report_folds(results, splits, design_table.index.tolist())
    error = report["summary"]["relative_l2"][VAE]
    logger.info(
        "Relative L2 error of the VAE's prediction over %d designs in %d folds: %.2f%%, standard "
        "error %.2f%%; the means of folds differ by %.2f%% (standard deviation)",
        len(errors),
        len(splits),
        100 * error["mean"],
        100 * error["standard_error"],
        100 * error["std_over_folds"],
    )
    return report, errors


def learn_with_growing_designs(
    fields: SimulationFields,
    design_table: pd.DataFrame,
    data: DataConfig,
    vae: VaeConfig,
    conditioner: ConditionerConfig,
    refit: RefitConfig,
    baselines: BaselineConfig,
    training: EngineConfig,
    studies: StudiesConfig,
    work_folder: Path,
    tensorboard: Path,
) -> dict[str, Any]:
    """Train with growing parts of the training designs, and measure on the same test designs."""
    settings = Settings(
        data=data,
        vae=vae,
        conditioner=conditioner,
        refit=refit,
        baselines=baselines,
        training=training,
    )
    split = split_designs(design_table.index.tolist(), data.split)
    splits = growing_splits(split, studies.fractions, data.split.seed)
    results = _train(
        "learning_curve", splits, fields, design_table, settings, work_folder, tensorboard
    )
    report = report_sizes(results)
    logger.info("%s", report["answer"])
    return report


def _train(
    study: str,
    splits: Mapping[str, Split],
    fields: SimulationFields,
    design_table: pd.DataFrame,
    settings: Settings,
    work_folder: Path,
    tensorboard: Path,
) -> list[Result]:
    def trainer(name: str, split: Split, folder: Path) -> Result:
        logs = tensorboard / study / name
        return member_result(train_and_assess(fields, design_table, split, settings, folder, logs))

    identity = determined_by(fields, design_table, settings)
    return train_members(study, splits, identity, trainer, work_folder)


def draw_repeated_splits(errors: pd.DataFrame) -> Figure:
    """Errors of all designs by every model, by fold and together."""
    models = [str(name) for name in errors.columns.drop(FOLD)]
    return plots.plot_repeated_splits(
        errors[FOLD].to_numpy(), {name: errors[name].to_numpy() for name in models}
    )


def draw_learning_curve(learning_curve: dict[str, Any]) -> Figure:
    """Errors over the number of designs fitted, and where they lead."""
    num_designs = num_designs_by_model(learning_curve["sizes"])
    errors = errors_by_model(learning_curve["sizes"])
    laws = {
        model: PowerLaw.fit(num_designs[model], errors[model])
        for model in learning_curve["power_laws"]
    }
    return plots.plot_learning_curve(num_designs, errors, laws, learning_curve["part"])
