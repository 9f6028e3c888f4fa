"""Calibration over random splits: what is run, and the table of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import splits


def run_with(coverage: float, active: float | None, error: float) -> dict[str, Any]:
    uncertainty = {"coverage_90": coverage, "error_rank_correlation": 0.5}
    if active is not None:
        uncertainty["coverage_90_active"] = active
    return {
        "metrics": {
            "uncertainty": {"test": uncertainty},
            "prediction": {"test": {"relative_l2_mean": error}},
            "reconstruction": {"test": {"relative_l2_mean": error / 4}},
            "generation": {"distance_to_training": {"samples": 2 * error, "test": 0.4}},
            "baselines": {"pod_rbf": {"test": {"relative_l2_mean": 0.08}}},
            "champion": "vae",
        }
    }


def test_the_table_averages_over_the_splits_that_succeeded(tmp_path: Path) -> None:
    runs = [run_with(0.88, 0.9, 0.1), run_with(0.92, None, 0.2), {"error": "broken"}]
    runs = [{**run, "split_seed": seed} for seed, run in enumerate(runs)]
    result = {"code_revision": "0123456789", "runs": runs}
    (tmp_path / "burgers.splits.json").write_text(json.dumps(result), encoding="utf-8")
    row = splits.page(tmp_path).strip().splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "burgers",
        "`full_vae`",
        "2 of 3",
        "0.9 (0.88 to 0.92)",
        "0.9 (0.9 to 0.9)",
        "0.5 (0.5 to 0.5)",
        "0.15 (0.1 to 0.2)",
        "0.0375 (0.025 to 0.05)",
        "0.75 (0.5 to 1)",
        "vae",
        "1.88 (1.25 to 2.5)",
        "0, 1, 2",
        "0123456",
    ]


DRAWN = {"data.split.validation": "0.2", "data.split.test": "0.2"}


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """A call that measures `burgers` with some seeds, and returns what was run; seed 7 fails."""
    asked: list[Any] = []

    class Recorded:
        def __init__(self, folder: Path, logs: Path) -> None:
            pass

        def run(self, *arguments: Any) -> dict[str, Any]:
            asked.append(arguments[2:])
            failed = arguments[5]["data.split.seed"] == "7" and arguments[2] == "full_vae"
            return {"error": "broken"} if failed else run_with(0.9, 0.9, 0.1)

    parts = {"train": np.arange(6), "validation": np.arange(6, 8), "test": np.arange(8, 10)}
    monkeypatch.setattr(splits, "Project", Recorded)
    monkeypatch.setattr(splits, "missing_files", lambda *_: [])
    monkeypatch.setattr(splits, "Study", lambda folder: type("Parts", (), {"parts": parts}))

    def measured(*seeds: str, revision: str = "0123456789", mode: str = "full_vae") -> list[Any]:
        asked.clear()
        monkeypatch.setattr(splits, "code_revision", lambda: revision)
        out = [f"--data={tmp_path}", f"--out={tmp_path}", f"--mode={mode}"]
        splits.main([*out, "--set", "burgers", "--seeds", *seeds])
        return list(asked)

    return measured


def seeds_written(folder: Path) -> list[int]:
    written = json.loads((folder / "burgers.splits.json").read_text(encoding="utf-8"))
    return [run["split_seed"] for run in written["runs"]]


def test_every_seed_is_a_split_of_the_sizes_of_the_data_sets_own(
    measure: Callable[..., list[Any]], tmp_path: Path
) -> None:
    assert measure("4", "9") == [
        ("full_vae", 0, None, {"data.split.seed": seed, **DRAWN}) for seed in ("4", "9")
    ]
    assert seeds_written(tmp_path) == [4, 9]
    assert "burgers" in (tmp_path / "calibration.md").read_text(encoding="utf-8")


def test_end_to_end_is_measured_after_the_vae_that_it_starts_from(
    measure: Callable[..., list[Any]], tmp_path: Path
) -> None:
    assert [run[0] for run in measure("4", "7", mode="end_to_end")] == [
        "full_vae",
        "end_to_end",
        "full_vae",  # which failed
    ]
    written = json.loads((tmp_path / "burgers.end_to_end.splits.json").read_text(encoding="utf-8"))
    assert ["metrics" in run for run in written["runs"]] == [True, False]
    assert not (tmp_path / "burgers.splits.json").exists()
    page = (tmp_path / "calibration.md").read_text(encoding="utf-8")
    assert "| burgers | `end_to_end` | 1 of 2 |" in page


def test_what_is_measured_goes_on_with_the_splits_that_are_missing_or_failed(
    measure: Callable[..., list[Any]], tmp_path: Path
) -> None:
    measure("4", "7")
    assert [run[3]["data.split.seed"] for run in measure("4", "7", "9")] == ["7", "9"]
    assert seeds_written(tmp_path) == [4, 7, 9]


@pytest.mark.parametrize("revisions", [("0123456789", "9876543210"), ("0123+", "0123+")])
def test_what_other_code_measured_is_measured_again(
    measure: Callable[..., list[Any]], tmp_path: Path, revisions: tuple[str, str]
) -> None:
    first, second = revisions
    measure("4", revision=first)
    assert len(measure("4", "9", revision=second)) == 2
    assert seeds_written(tmp_path) == [4, 9]
