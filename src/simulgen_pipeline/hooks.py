"""What happens around every run: parameters are checked first, a manifest is written last."""

from __future__ import annotations

import logging
import subprocess
import webbrowser
from pathlib import Path
from typing import Any

from filelock import BaseFileLock
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Pipeline

from .datasets.fields import PathDataset
from .parameters import check_parameters
from .training.work_folders import clear_finished, lock_all
from .versions import MANIFEST, WORK_FOLDER, Manifest

logger = logging.getLogger(__name__)

PLOT_PREFIX = "plot_"


class ProjectHooks:
    """Checks parameters, keeps trainings apart, records versions, clears up."""

    _lock: BaseFileLock | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse unknown names and impossible values before anything runs."""
        self._project_path = context.project_path
        self._checked = check_parameters(context.config_loader["parameters"])

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Keep other runs out of the work folder; with `plots: off`, pictures out of the reports.

        Raises:
            TrainingError: another run is training.
        """
        if WORK_FOLDER in pipeline.inputs():
            self._unlock()  # of a run that was interrupted in this process
            self._lock = lock_all(catalog.load(WORK_FOLDER))
        if self._checked.plots == "off":
            for name in filter(_is_plot, pipeline.all_outputs()):
                catalog[name] = MemoryDataset(copy_mode="assign")

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Record the run and clear what only an interrupted run would need."""
        self._write_manifest("success", run_params, pipeline, catalog)
        if WORK_FOLDER in pipeline.inputs():
            clear_finished(catalog.load(WORK_FOLDER))
        self._unlock()
        if self._checked.plots == "show":
            for name in sorted(filter(_is_plot, pipeline.all_outputs())):
                _show(catalog[name])

    @hook_impl
    def on_pipeline_error(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Record a failed run too: its versions must not be mixed up with others."""
        self._unlock()
        try:
            self._write_manifest("failed", run_params, pipeline, catalog)
        except DatasetError as error:  # the disk may be full, which the run's own error says
            logger.warning("The failed run's manifest could not be written: %s", error)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _write_manifest(
        self, status: str, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        names = run_params["pipeline_names"] or ["__default__"]
        manifest = Manifest(
            run_id=run_params["run_id"],
            status=status,
            pipelines=tuple(names),
            environment=run_params["env"],
            parameters=self._checked.model_dump(mode="json"),
            code_revision=_code_revision(self._project_path),
            loaded=_loaded(catalog, pipeline.inputs()),
            saved=_saved(catalog, pipeline.all_outputs(), run_params["run_id"]),
        )
        catalog.save(MANIFEST, manifest.model_dump(mode="json"))


def _is_plot(name: str) -> bool:
    return name.startswith(PLOT_PREFIX)


def _show(plot: object) -> None:
    """Open the newest version of a picture in the system's viewer."""
    if isinstance(plot, AbstractVersionedDataset):
        path = Path(plot.list_versions()[0])
        if not webbrowser.open(path.as_uri()):
            logger.warning("No viewer was found to show %s", path)


def _loaded(catalog: DataCatalog, names: set[str]) -> dict[str, str]:
    """Version, or place where there are no versions, of every dataset that came from outside."""
    found = {}
    for name in sorted(names):
        dataset = catalog[name]
        if isinstance(dataset, AbstractVersionedDataset) and dataset.exists():
            found[name] = str(dataset.resolve_load_version())
        elif isinstance(dataset, PathDataset):
            found[name] = str(dataset.load())
    return found


def _saved(catalog: DataCatalog, names: set[str], run_id: str) -> dict[str, str]:
    """Version of every dataset that this run wrote."""
    datasets = {name: catalog[name] for name in sorted(names)}
    return {
        name: run_id
        for name, dataset in datasets.items()
        if isinstance(dataset, AbstractVersionedDataset)
        and run_id in dataset.list_versions(full_path=False)
    }


def _code_revision(project_path: Path) -> str | None:
    """The commit of the project's code, marked where files differ from it; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        result = subprocess.run(
            command, cwd=project_path, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
