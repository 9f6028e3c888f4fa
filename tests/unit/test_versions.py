"""What runs saved is found and summed up, and what they loaded can be loaded again."""

import json
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.versions import (
    find_stored,
    load_versions,
    read_manifest,
    readable,
    show_runs,
    show_sizes,
    size_of,
)


def option_of(project: Any, day: int) -> str | None:
    stored = find_stored(project.catalog, [])
    return load_versions(read_manifest(stored, project.version(day)), stored)


def test_the_option_loads_what_a_run_loaded(project: Any) -> None:
    project.run(1, "vae", "surrogate")
    project.run(2, "metrics")
    loads = {name: project.version(1) for name in ("vae", "surrogate")}
    project.run(3, "surrogate", loads=loads | {"work_folder": "/somewhere"})
    assert option_of(project, 3) == (
        "--load-versions=surrogate:2026-01-01T12.00.00.000Z,vae:2026-01-01T12.00.00.000Z"
    )


def test_a_run_that_loaded_only_files_needs_no_option(project: Any) -> None:
    project.run(1, "vae", loads={"work_folder": "/somewhere"})
    assert option_of(project, 1) is None


@pytest.mark.parametrize(
    ("loads", "message"),
    [
        ({"encoder": "2026-01-01T12.00.00.000Z"}, "'encoder', which is no dataset of this catalog"),
        ({"vae": "2026-01-09T12.00.00.000Z"}, "there are: 2026-01-01T12.00.00.000Z"),
        ({"vae": "../2026-01-01T12.00.00.000Z"}, "loaded version '../2026"),
    ],
)
def test_what_is_not_there_is_not_offered(
    project: Any, loads: dict[str, str], message: str
) -> None:
    project.run(1, "vae")
    project.run(2, "surrogate", loads=loads)
    with pytest.raises(DataError, match=message):
        option_of(project, 2)


def test_a_run_without_manifest_is_refused_with_the_newest(project: Any) -> None:
    with pytest.raises(DataError, match="there are none"):
        option_of(project, 1)
    project.run(1, "vae")
    with pytest.raises(DataError, match=r"run '2026-01-02.*the newest: 2026-01-01"):
        option_of(project, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saved": None}, "saved Input should be an object"),
        ({"loaded": {"vae": 1}}, "loaded.vae Input should be a valid string"),
        ({"pipelines": ["full_vae; rm"]}, "pipelines.0 String should match"),
    ],
)
def test_a_manifest_that_no_run_wrote_is_refused(
    project: Any, change: dict[str, Any], message: str
) -> None:
    project.run(1, "vae")
    path = project.place("run_manifest", 1) / "run_manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        option_of(project, 1)


def test_runs_are_listed_with_what_is_left_of_them(project: Any) -> None:
    project.run(1, "vae", "surrogate", "metrics")
    project.run(2, "metrics")
    for name in ("vae", "surrogate"):
        project.place(name, 1).rename(project.folder / name)
    _, newest, oldest = show_runs(find_stored(project.catalog, [])).splitlines()
    assert newest.startswith(project.version(2))
    assert oldest.split() == [
        project.version(1), "full_vae", "success", "1.0", "kB", "metrics",
    ]  # fmt: skip


def test_sizes_are_summed_by_dataset_and_files_counted_once(project: Any, tmp_path: Path) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae", manifest=False)
    raw = project.folder / "data/01_raw"
    raw.mkdir()
    (raw / "designs.csv").write_bytes(b" " * 500)
    outside = tmp_path / "simulations.npy"
    outside.write_bytes(b" " * 500)
    kind = "simulgen_pipeline.datasets.fields.PathDataset"
    places = {"raw": raw, "designs": raw / "designs.csv", "simulations": outside}
    others = DataCatalog.from_config(
        {name: {"type": kind, "filepath": str(path)} for name, path in places.items()}
    )
    stored = find_stored(project.catalog, []) | find_stored(others, [])
    rows = [line.split() for line in show_sizes(stored, project.folder).splitlines()[1:]]
    assert rows == [
        ["vae", "3", "3.0", "kB"],
        ["raw", "-", "500", "bytes"],
        ["total", "3.5", "kB"],
    ]


def test_datasets_that_match_a_pattern_are_found_by_name(tmp_path: Path) -> None:
    config = {
        "type": "json.JSONDataset",
        "filepath": str(tmp_path / "plot_{name}.json"),
        "versioned": True,
    }
    catalog = DataCatalog.from_config({"plot_{name}": config})
    stored = find_stored(catalog, ["plot_latents", "params:data", "in_memory"])
    assert {name: dataset.path.name for name, dataset in stored.items()} == {
        "plot_latents": "plot_latents.json"
    }


def test_datasets_without_a_place_on_this_disk_or_without_versions_have_none(
    tmp_path: Path,
) -> None:
    catalog = DataCatalog.from_config(
        {
            "memory": {"type": "MemoryDataset"},
            "plain": {"type": "json.JSONDataset", "filepath": str(tmp_path / "plain.json")},
        }
    )
    stored = find_stored(catalog, [])
    assert list(stored) == ["plain"]
    assert stored["plain"].versions is None


def test_links_do_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "large").write_bytes(b" " * 10_000)
    (folder / "link").symlink_to(tmp_path / "large")
    assert size_of(folder) < 1000
    assert size_of(tmp_path / "missing") == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2.5e9, "2.5 GB"), (3e15, "3000.0 TB")],
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable(size) == text
