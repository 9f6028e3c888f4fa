"""Members of a study are trained once, whatever interrupts it."""

from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from simulgen_pipeline.data.config import SplitConfig
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.pipelines.studies.members import train_members
from simulgen_pipeline.pipelines.studies.splits import fold_splits
from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.work_folders import clear_finished

SPLITS = fold_splits(20, 4, SplitConfig())


class Trainer:
    """Records what it is asked for, leaves files behind, and is killed once at a member."""

    def __init__(self, killed_at: str | None = None) -> None:
        self.killed_at, self.trained = killed_at, list[str]()

    def __call__(self, name: str, split: Split, folder: Path) -> dict[str, Any]:
        self.trained.append(name)
        found = (folder / "checkpoint").exists()
        (folder / "checkpoint").write_text("half of it")
        if name == self.killed_at:
            self.killed_at = None
            raise KeyboardInterrupt
        return {"error": len(split.test) / 3, "resumed": found}


def run(work: Path, trainer: Trainer, determined_by: str = "data and parameters") -> Any:
    return train_members("repeated_splits", SPLITS, determined_by, trainer, work)


def test_finished_members_of_an_interrupted_study_are_reused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer(killed_at="fold_3")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, trainer)
    with caplog.at_level("INFO"):
        results = run(tmp_path, trainer)
    assert trainer.trained == ["fold_1", "fold_2", "fold_3", "fold_3", "fold_4"]
    assert caplog.text.count("where it was finished") == 2
    assert [result["error"] for result in results] == 4 * [5 / 3]
    assert [result["resumed"] for result in results] == [False, False, True, False]


def test_a_study_of_other_data_parameters_or_splits_starts_anew(tmp_path: Path) -> None:
    trainer = Trainer()
    run(tmp_path, trainer)
    run(tmp_path, trainer, "other parameters")
    train_members("repeated_splits", dict(list(SPLITS.items())[:3]), "data", trainer, tmp_path)
    assert len(trainer.trained) == 4 + 4 + 3


def test_a_finished_member_leaves_nothing_but_its_result(tmp_path: Path) -> None:
    run(tmp_path, Trainer())
    (folder,) = tmp_path.iterdir()
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"fold_1.json", "fold_2.json", "fold_3.json", "fold_4.json", "finished"}


def test_only_finished_studies_are_cleared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Trainer(killed_at="fold_2"))
    run(tmp_path, Trainer(), "other parameters")
    with caplog.at_level("INFO"):
        clear_finished(tmp_path)
    (left,) = tmp_path.iterdir()
    assert (left / "fold_1.json").exists()
    assert "its command goes on" in caplog.text


def test_two_runs_of_one_study_do_not_mix(tmp_path: Path) -> None:
    run(tmp_path, Trainer())
    (folder,) = tmp_path.iterdir()
    with (
        FileLock(folder / ".lock"),
        pytest.raises(TrainingError, match="Another run is training the same repeated_splits"),
    ):
        run(tmp_path, Trainer())
