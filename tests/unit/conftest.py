"""What tests of versions share: a project's folder with fake versions in it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from kedro.io import DataCatalog

from simulgen_pipeline.prune import Plan, carry_out, plan_prune
from simulgen_pipeline.training.work_folders import LOCK_FILE, locked
from simulgen_pipeline.versions import Manifest, find_stored

KINDS = {
    "vae": "simulgen_pipeline.datasets.artifacts.VaeDataset",
    "surrogate": "simulgen_pipeline.datasets.artifacts.SurrogateDataset",
    "metrics": "json.JSONDataset",
    "run_manifest": "json.JSONDataset",
}


class FakeProject:
    """A project's folder with versions that runs of one per day have saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config = {
            name: {"type": kind, "filepath": str(self.path(name)), "versioned": True}
            for name, kind in KINDS.items()
        }
        config["work_folder"] = {
            "type": "simulgen_pipeline.datasets.fields.PathDataset",
            "filepath": str(folder / "data/_work"),
        }
        self.catalog = DataCatalog.from_config(config)

    def version(self, day: int) -> str:
        """The version of a run of some day."""
        return f"2026-01-{day:02d}T12.00.00.000Z"

    def path(self, name: str) -> Path:
        """A dataset's place."""
        return self.folder / "data" / (name + (".json" if "JSON" in KINDS[name] else ""))

    def place(self, name: str, day: int) -> Path:
        """The folder of a dataset's version of some day."""
        return self.path(name) / self.version(day)

    def run(
        self, day: int, *saves: str, loads: Mapping[str, str] | None = None, manifest: bool = True
    ) -> None:
        """What a run of some day leaves behind."""
        for name in saves:
            self.write(name, self.version(day))
        if manifest:
            written = Manifest(
                run_id=self.version(day),
                status="success",
                pipelines=("full_vae",),
                environment=None,
                parameters={},
                code_revision=None,
                loaded=dict(loads or {}),
                saved={name: self.version(day) for name in saves},
            )
            path = self.place("run_manifest", day) / "run_manifest.json"
            path.parent.mkdir(parents=True)
            path.write_text(written.model_dump_json())

    def write(self, name: str, at: str) -> Path:
        """A version of a dataset: 1,000 bytes."""
        path = self.path(name) / at / self.path(name).name
        if not path.suffix:
            path /= "config.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(b" " * 1000)
        return path

    def training(self, name: str) -> Path:
        """What an interrupted training leaves behind."""
        folder = self.folder / "data/_work" / name
        with locked(folder, name):
            (folder / "stage-0-00000001-00000000.pt").write_bytes(b" " * 1000)
        return folder

    def plan(self, keep: int, with_interrupted: bool = False) -> Plan:
        stored = find_stored(self.catalog, [])
        return plan_prune(stored, keep, self.folder, with_interrupted)

    def prune(self, keep: int, with_interrupted: bool = False) -> None:
        carry_out(self.plan(keep, with_interrupted))

    def days(self, name: str) -> list[int]:
        """Days of a dataset's complete versions, as Kedro finds them."""
        versions = self.catalog[name].list_versions(full_path=False)
        return sorted(int(version[8:10]) for version in versions)

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.name != LOCK_FILE}


@pytest.fixture
def project(tmp_path: Path) -> FakeProject:
    """A project without any versions yet."""
    return FakeProject(tmp_path / "project")
