"""What MLflow is told of a run, where the extra `mlflow` (kedro-mlflow) is installed.

kedro-mlflow starts a run of MLflow with each of Kedro's, and ends it.
"""

from __future__ import annotations

import time
from typing import Any

import mlflow
import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, DataCatalog
from mlflow.entities import Metric

from .parameters import check_parameters

# Artifacts are the files of this layer, and the models that predict.
LAYER, MODELS = "reporting", "surrogate"
# What `metrics` says in numbers can be compared between runs; a training's history is a curve.
FIGURES, CURVES = "metrics", "_training_history"
# A request may not have more metrics.
MOST_METRICS = 1000


class TrackingHooks:
    """Records parameters, training curves, figures and reports."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Parameters are logged when there is a run."""
        self._parameters = check_parameters(context.config_loader["parameters"])

    @hook_impl(trylast=True)
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Log every parameter by its full name."""
        self._catalog = catalog
        if mlflow.active_run() is not None:
            for section, values in self._parameters.model_dump(mode="json").items():
                mlflow.log_params(_flat({section: values}))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log what a dataset says."""
        run = mlflow.active_run()
        dataset = self._catalog[dataset_name]
        if run is None or not isinstance(dataset, AbstractVersionedDataset):
            return
        if dataset_name.endswith(CURVES):
            metrics = _curves(dataset_name.removesuffix(CURVES), data)
            for start in range(0, len(metrics), MOST_METRICS):
                batch = metrics[start : start + MOST_METRICS]
                mlflow.MlflowClient().log_batch(run.info.run_id, metrics=batch)
        if dataset_name == FIGURES:
            figures = _flat(data).items()
            mlflow.log_metrics({name: x for name, x in figures if isinstance(x, int | float)})
        if dataset_name == MODELS:
            mlflow.log_artifacts(dataset.list_versions()[0], MODELS)
        elif _layer(dataset) == LAYER:
            mlflow.log_artifact(dataset.list_versions()[0])


def _flat(nested: dict[str, Any]) -> dict[str, Any]:
    """Values by their full name: {"a": {"b": 1}} is {"a.b": 1}."""
    return {str(name): values[0] for name, values in pd.json_normalize(nested).items()}


def _curves(name: str, history: pd.DataFrame) -> list[Metric]:
    """The numbers of every epoch that has them."""
    numbers = history.select_dtypes("number").melt("epoch").dropna()
    now = int(1000 * time.time())
    return [
        Metric(f"{name}/{column}", value, now, int(epoch))
        for epoch, column, value in numbers.itertuples(index=False)
    ]


def _layer(dataset: AbstractVersionedDataset[Any, Any]) -> str | None:
    metadata = getattr(dataset, "metadata", None) or {}
    layer: str | None = metadata.get("kedro-viz", {}).get("layer")
    return layer
