"""Prune removes what is old and unused, and nothing else, whenever it is interrupted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.prune import TRASH, carry_out, plan_prune, show_plan
from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.job import TRAINED_FILE
from simulgen_pipeline.training.work_folders import LOCK_FILE, lock_all
from simulgen_pipeline.versions import find_stored


def test_the_newest_versions_of_every_dataset_stay(project: Any) -> None:
    for day in (1, 2, 3, 4):
        project.run(day, "vae", "metrics")
    project.run(5, "metrics")
    project.prune(keep=2)
    assert project.days("vae") == [3, 4]
    assert project.days("metrics") == [4, 5]
    assert list((project.folder / "data/vae").glob(".*")) == []


def test_what_a_run_that_stays_has_loaded_stays(project: Any) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae")
    project.run(
        4, "surrogate", loads={"vae": project.version(1), "designs": "/elsewhere/designs.csv"}
    )
    plan = project.plan(keep=1)
    assert plan.named == [f"vae:{project.version(1)}"]
    assert f"used by a run that stays: vae:{project.version(1)}" in show_plan(plan)
    carry_out(plan)
    assert project.days("vae") == [1, 3]


def test_what_a_version_that_stays_was_made_from_stays_whatever_ran_since(project: Any) -> None:
    project.run(1, "vae", "metrics")
    project.run(2, "vae")
    project.run(3, "surrogate", loads={"vae": project.version(1)})
    project.run(4, "vae")
    project.run(5, "metrics", loads={"surrogate": project.version(3)})
    for day in (6, 7):  # a design's name misspelt, twice
        project.run(day)
    plan = project.plan(keep=1)
    assert plan.named == [f"vae:{project.version(1)}"]
    carry_out(plan)
    assert project.days("vae") == [1, 4]
    assert project.days("surrogate") == [3]
    assert project.days("metrics") == [5]
    assert project.days("run_manifest") == [1, 3, 4, 5, 7]


def test_what_it_was_made_from_is_traced_through_runs_of_which_nothing_else_stays(
    project: Any,
) -> None:
    project.run(1, "vae")
    project.run(2, "surrogate", loads={"vae": project.version(1)})
    project.run(3, "metrics", loads={"surrogate": project.version(2)})
    for day in (4, 5):
        project.run(day, "vae", "surrogate")
    project.prune(keep=1)
    assert project.days("vae") == [1, 5]
    assert project.days("surrogate") == [2, 5]
    assert project.days("metrics") == [3]


def test_the_manifest_of_every_version_that_stays_does_too(project: Any) -> None:
    project.run(1, "vae", "metrics")
    project.run(2, "metrics")
    project.run(3, "metrics")
    for _ in range(2):  # and what such a manifest names is not kept on its behalf
        project.prune(keep=1)
        assert project.days("run_manifest") == [1, 3]
        assert project.days("metrics") == [3]


def test_versions_of_killed_runs_go_with_age(project: Any) -> None:
    project.run(1, "vae", manifest=False)
    unfinished = project.place("vae", 2) / ".vae.17.tmp"
    unfinished.mkdir(parents=True)
    writing = project.place("vae", 4) / ".vae.18.tmp"
    writing.mkdir(parents=True)
    project.run(3, "vae")
    project.prune(keep=1)
    assert project.days("vae") == [3]
    assert not unfinished.parent.exists()
    assert writing.exists()


def test_an_incomplete_version_is_not_one_of_the_newest(project: Any) -> None:
    project.run(1, "vae")
    project.place("vae", 2).mkdir()
    project.prune(keep=1)
    assert project.days("vae") == [1]


def test_versions_named_by_hand_and_other_files_stay(project: Any) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae")
    others = [
        project.write("vae", name) for name in ("best", "2026-01-01", project.version(1) + "x")
    ]
    notes = project.folder / "data/vae/2026-01-01T12.00.00.000Z.txt"
    notes.write_text("not a version")
    project.prune(keep=2)
    assert all(path.exists() for path in [*others, notes])
    assert not project.place("vae", 1).exists()
    assert project.place("vae", 2).exists()


def test_a_plan_says_how_much_goes_and_stays_and_removes_nothing(project: Any) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae", "metrics")
    before = project.files()
    plan = project.plan(keep=1)
    table = {line.split()[0]: line.split(maxsplit=1)[1] for line in show_plan(plan).splitlines()}
    assert table["vae"].split("  ")[0].strip() == "2: 2.0 kB"
    assert table["vae"].split("  ")[-1].strip() == "1: 1.0 kB"
    assert table["total"].startswith("6: ")
    assert project.files() == before


def test_an_interrupted_removal_leaves_no_version_that_looks_complete(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae", "metrics")

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            project.prune(keep=1)
    (trash,) = (project.folder / "data").glob(f"*/{TRASH}")
    assert list(trash.iterdir())
    assert sorted(project.days(name) for name in ("vae", "metrics")) == [[1, 2, 3], [2, 3]]
    for name in ("vae", "metrics"):
        assert project.catalog[name].resolve_load_version() == project.version(3)
    assert "interrupted prune" in show_plan(project.plan(keep=3))
    project.prune(keep=3)
    assert not trash.exists()
    project.prune(keep=1)
    assert project.days("vae") == [3]


def test_a_removal_that_fails_says_why(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in (1, 2):
        project.run(day, "vae")

    def refuse(path: Path) -> None:
        raise PermissionError(f"no right to remove {path}")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(DataError, match="no right to remove"):
        project.prune(keep=1)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run_id": "\\u001b[2J"}', "\xff"])
def test_nothing_goes_if_a_manifest_that_matters_cannot_be_read(project: Any, text: str) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae")
    path = project.place("run_manifest", 3) / "run_manifest.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="is not a manifest as a run writes it"):
        project.plan(keep=1)
    shutil.rmtree(path.parent)
    project.prune(keep=1)
    assert project.days("vae") == [2, 3]


def test_a_manifest_cannot_lead_elsewhere(project: Any) -> None:
    precious = project.folder / "precious" / project.version(1)
    precious.mkdir(parents=True)
    for day in (1, 2):
        project.run(day, "vae")
    path = project.place("run_manifest", 2) / "run_manifest.json"
    manifest = json.loads(path.read_text())
    manifest["saved"] = {"../../precious": project.version(1), "vae": "../../precious"}
    path.write_text(json.dumps(manifest))
    project.prune(keep=1)
    assert precious.exists()
    assert project.days("vae") == [2]


def test_links_are_not_followed_out_of_the_project(project: Any, tmp_path: Path) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae", "metrics")
    elsewhere = tmp_path / "elsewhere"
    (project.folder / "data/vae").rename(elsewhere)
    (project.folder / "data/vae").symlink_to(elsewhere)
    linked = tmp_path / "linked"
    project.place("metrics", 1).rename(linked)
    project.place("metrics", 1).symlink_to(linked)
    plan = project.plan(keep=1)
    assert plan.outside == {"vae": elsewhere}
    assert f"Outside of the project, stays: vae in {elsewhere}" in show_plan(plan)
    carry_out(plan)
    assert project.days("vae") == [1, 2, 3]
    assert (linked / "metrics.json").exists()
    assert project.place("metrics", 1).is_symlink()
    assert not project.place("metrics", 2).exists()


def test_two_names_of_one_folder_keep_what_either_needs(project: Any) -> None:
    for day in (1, 2, 3):
        project.run(day, "vae")
    project.run(4, "surrogate", loads={"vae": project.version(1)})
    stored = find_stored(project.catalog, [])
    carry_out(plan_prune({"another_vae": stored["vae"], **stored}, 1, project.folder))
    assert project.days("vae") == [1, 3]


def test_nothing_goes_while_a_training_runs(project: Any) -> None:
    for day in (1, 2):
        project.run(day, "vae")
    folder = project.training("vae-0123")
    with FileLock(folder / LOCK_FILE):
        plan = project.plan(keep=1, with_interrupted=True)
        assert "Running training: 1.0 kB" in show_plan(plan)
        with pytest.raises(TrainingError, match="Nothing was removed"):
            carry_out(plan)
    assert project.days("vae") == [1, 2]
    assert folder.exists()


def test_nothing_goes_while_a_run_is_between_two_trainings(project: Any) -> None:
    folder = project.training("vae-0123")
    lock = lock_all(folder.parent)
    with pytest.raises(TrainingError, match=r"A training is running in .*_work, which may"):
        carry_out(project.plan(keep=1, with_interrupted=True))
    assert folder.exists()
    lock.release()
    carry_out(project.plan(keep=1, with_interrupted=True))
    assert not folder.exists()


def test_interrupted_trainings_go_only_when_asked(project: Any) -> None:
    project.run(1, "vae")
    folder = project.training("vae-0123")
    (folder / TRAINED_FILE).write_bytes(b" " * 1000)
    mine = project.folder / "data/_work/mine"
    mine.mkdir()
    plan = project.plan(keep=1)
    assert "stays without --interrupted: 2.0 kB" in show_plan(plan)
    assert plan.folders == []
    carry_out(plan)
    assert folder.exists()
    project.prune(keep=1, with_interrupted=True)
    assert not folder.exists()
    assert mine.exists()


def test_a_work_folder_outside_of_the_project_stays(project: Any, tmp_path: Path) -> None:
    folder = project.training("vae-0123")
    (project.folder / "data/_work").rename(tmp_path / "work")
    (project.folder / "data/_work").symlink_to(tmp_path / "work")
    plan = project.plan(keep=1, with_interrupted=True)
    assert plan.outside == {"work_folder": tmp_path / "work"}
    carry_out(plan)
    assert folder.exists()
