"""What happens around runs: one at a time in a work folder, and what a full disk must not hide."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from simulgen_pipeline.hooks import ProjectHooks
from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.work_folders import lock_all
from simulgen_pipeline.versions import MANIFEST

PIPELINE = Pipeline([node(lambda folder: None, "work_folder", None, name="train")])
RUN = {"pipeline_names": ["full_vae"], "run_id": "now", "env": None}


class Full(MemoryDataset):
    """A dataset on a full disk."""

    def save(self, data: Any) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture
def hooks(tmp_path: Path) -> ProjectHooks:
    hooks = ProjectHooks()
    hooks._project_path = tmp_path
    checked: Any = SimpleNamespace(plots="save", model_dump=lambda mode: {})
    hooks._checked = checked
    return hooks


def catalog_of(folder: Path, manifest: MemoryDataset | None = None) -> DataCatalog:
    return DataCatalog(
        {
            "work_folder": MemoryDataset(folder / "_work"),
            MANIFEST: manifest or MemoryDataset(),
        }
    )


def test_a_second_run_is_refused_before_anything_is_done(
    hooks: ProjectHooks, tmp_path: Path
) -> None:
    catalog = catalog_of(tmp_path)
    other = lock_all(tmp_path / "_work")
    with pytest.raises(TrainingError, match=r"Another run is training in .*_work\. Wait for it"):
        hooks.before_pipeline_run(PIPELINE, catalog)
    other.release()
    for _ in range(2):  # the first is interrupted, and nothing is told of it
        hooks.before_pipeline_run(PIPELINE, catalog)
    with pytest.raises(TrainingError):
        lock_all(tmp_path / "_work")


def test_a_run_that_has_ended_lets_others_in(hooks: ProjectHooks, tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path)
    for end in (hooks.after_pipeline_run, hooks.on_pipeline_error):
        hooks.before_pipeline_run(PIPELINE, catalog)
        end(RUN, PIPELINE, catalog)
        lock_all(tmp_path / "_work").release()


def test_a_manifest_that_does_not_fit_on_the_disk_hides_no_error(
    hooks: ProjectHooks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = catalog_of(tmp_path, Full())
    hooks.before_pipeline_run(PIPELINE, catalog)
    hooks.on_pipeline_error(RUN, PIPELINE, catalog)
    assert "manifest could not be written" in caplog.text
    assert "No space left on device" in caplog.text
