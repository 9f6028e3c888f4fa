"""What MLflow has of a run, in a store of its own."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog, MemoryDataset

from simulgen_pipeline.tracking import TrackingHooks

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages of MLflow's


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    hooks = TrackingHooks()
    loader = OmegaConfigLoader(str(PROJECT / "conf"), base_env="base", default_run_env="base")
    hooks.after_context_created(SimpleNamespace(config_loader=loader))  # type: ignore[arg-type]
    return hooks


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    config: dict[str, Any] = {
        name: {
            "type": "json.JSONDataset" if suffix == "json" else "pandas.CSVDataset",
            "filepath": str(tmp_path / f"{name}.{suffix}"),
            "versioned": True,
            "metadata": {"kedro-viz": {"layer": layer}},
        }
        for name, suffix, layer in (
            ("metrics", "json", "reporting"),
            ("split", "json", "intermediate"),
            ("refit_training_history", "csv", "reporting"),
        )
    }
    catalog = DataCatalog.from_config(config)
    catalog["plot_peaks"] = MemoryDataset()
    return catalog


def record(hooks: Any, catalog: DataCatalog, data: dict[str, Any]) -> Any:
    """A run that saves data, as MLflow has it afterwards."""
    with mlflow.start_run() as run:
        hooks.before_pipeline_run(catalog)
        for name, value in data.items():
            catalog.save(name, value)
            hooks.after_dataset_saved(name, value)
    return mlflow.get_run(run.info.run_id)


def test_parameters_and_figures_go_by_their_full_names(hooks: Any, catalog: DataCatalog) -> None:
    metrics = {"champion": "vae", "prediction": {"test": {"relative_l2_mean": 0.05}}}
    run = record(hooks, catalog, {"metrics": metrics})
    assert run.data.params["vae.training.batch_size"] == "16"
    assert run.data.params["refit.enabled"] == "True"
    assert run.data.metrics == {"prediction.test.relative_l2_mean": 0.05}


def test_histories_become_curves_without_gaps(hooks: Any, catalog: DataCatalog) -> None:
    history = pd.DataFrame(
        {
            "stage": ["refit"] * 1200,
            "epoch": range(1, 1201),
            "loss": 0.5,
            "validation_error": [0.1, *[float("nan")] * 1198, 0.2],
        }
    )
    run = record(hooks, catalog, {"refit_training_history": history})
    client = mlflow.MlflowClient()
    loss = client.get_metric_history(run.info.run_id, "refit/loss")
    assert [point.step for point in loss] == list(range(1, 1201))
    error = client.get_metric_history(run.info.run_id, "refit/validation_error")
    assert [(point.step, point.value) for point in error] == [(1, 0.1), (1200, 0.2)]


def test_reports_are_artifacts_and_nothing_else(hooks: Any, catalog: DataCatalog) -> None:
    data = {"metrics": {}, "split": {"train": [0]}, "plot_peaks": "drawn"}
    run = record(hooks, catalog, data)
    artifacts = mlflow.MlflowClient().list_artifacts(run.info.run_id)
    assert [artifact.path for artifact in artifacts] == ["metrics.json"]


def test_without_a_run_nothing_is_recorded(hooks: Any, catalog: DataCatalog) -> None:
    hooks.before_pipeline_run(catalog)
    catalog.save("metrics", {"a": 1})
    hooks.after_dataset_saved("metrics", {"a": 1})
    assert mlflow.active_run() is None
