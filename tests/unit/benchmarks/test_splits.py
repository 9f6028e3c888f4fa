"""Calibration over random splits: what is run, and the table of it."""

import json
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
        }
    }


def test_the_table_averages_over_the_splits_that_succeeded(tmp_path: Path) -> None:
    runs = [run_with(0.88, 0.9, 0.1), run_with(0.92, None, 0.2), {"error": "broken"}]
    result = {"code_revision": "0123456789", "runs": runs}
    (tmp_path / "burgers.splits.json").write_text(json.dumps(result), encoding="utf-8")
    row = splits.page(tmp_path).strip().splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "burgers",
        "2 of 3",
        "0.9 (0.88 to 0.92)",
        "0.9 (0.9 to 0.9)",
        "0.5 (0.5 to 0.5)",
        "0.15 (0.1 to 0.2)",
        "0123456",
    ]


def test_every_seed_is_a_split_of_the_sizes_of_the_data_sets_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Recorded:
        def __init__(self, folder: Path, logs: Path) -> None:
            pass

        def run(self, *arguments: Any) -> dict[str, Any]:
            asked.append(arguments[2:])
            return {"mode": arguments[2], **run_with(0.9, 0.9, 0.1)}

    parts = {"train": np.arange(6), "validation": np.arange(6, 8), "test": np.arange(8, 10)}
    monkeypatch.setattr(splits, "Project", Recorded)
    monkeypatch.setattr(splits, "missing_files", lambda *_: [])
    monkeypatch.setattr(splits, "Study", lambda folder: type("Parts", (), {"parts": parts}))
    splits.main(
        [f"--data={tmp_path}", f"--out={tmp_path}", "--set", "burgers", "--seeds", "4", "9"]
    )
    drawn = {"data.split.validation": "0.2", "data.split.test": "0.2"}
    assert asked == [
        ("full_vae", 0, None, {"data.split.seed": seed, **drawn}) for seed in ("4", "9")
    ]
    written = json.loads((tmp_path / "burgers.splits.json").read_text(encoding="utf-8"))
    assert [run["split_seed"] for run in written["runs"]] == [4, 9]
    assert "burgers" in (tmp_path / "calibration.md").read_text(encoding="utf-8")
