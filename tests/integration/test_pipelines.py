"""Every pipeline once for real, as a user runs it, in a copy of the project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from simulgen_pipeline import Surrogate
from simulgen_pipeline.data.artifact import load_artifact
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.models.trained import TrainedConditioner

from .project import ERRORS, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with demo data, trained by `full_vae`."""
    project = Project(tmp_path_factory.mktemp("project"))
    said = project.kedro("run", "--pipeline=demo_data", "--env=smoke")
    assert "deprecated" not in said
    project.kedro("run", "--pipeline=full_vae", "--env=smoke")
    return project


def test_full_vae_writes_every_dataset_and_clears_its_work(project: Project) -> None:
    for place in (
        "02_intermediate/split.json",
        "03_primary/field_scaler",
        "03_primary/design_scaler",
        "04_feature/latents.h5",
        "06_models/vae",
        "06_models/conditioner",
        "06_models/surrogate",
        "08_reporting/metrics.json",
        "08_reporting/run_manifest.json",
        "08_reporting/plot_over_time.png",
        "08_reporting/plot_over_mesh.png",
        "08_reporting/plot_latents.png",
        "08_reporting/plot_peaks.png",
        "08_reporting/plot_worst.png",
        "08_reporting/plot_vae_losses.png",
    ):
        assert project.newest(f"data/{place}").exists(), place
    work = project.folder / "data/06_models/_work"
    assert list(work.iterdir()) == []
    with h5py.File(project.newest("data/04_feature/latents.h5")) as file:
        assert file["main"].shape == (40, 32)
        assert file["hierarchical"].shape == (40, 2, 8)
        assert file["design_ids"].asstr()[0] == "design_0000"


def test_metrics_have_the_promised_form_and_finite_values(project: Project) -> None:
    metrics = project.json("data/08_reporting/metrics.json")
    assert metrics["num_designs"] == {"train": 28, "validation": 4, "test": 8}
    for kind in ("reconstruction", "prediction"):
        assert metrics[kind].keys() == {"train", "validation", "test"}
        for errors in metrics[kind].values():
            assert errors.keys() == ERRORS
            assert np.isfinite(list(errors.values())).all()
    for model in ("pod_rbf", "pod_gpr"):
        assert metrics["baselines"][model].keys() == {"validation", "test"}
    assert metrics["uncertainty"]["test"].keys() == {
        "coverage_90",
        "coverage_90_active",
        "mean_width",
        "interval_score",
        "error_rank_correlation",
    }
    assert metrics["champion"] in ("vae", "pod_rbf", "pod_gpr")


def test_metrics_are_those_of_the_stored_surrogate_on_the_test_designs(project: Project) -> None:
    surrogate = Surrogate.load(project.newest("data/06_models/surrogate"))
    designs = pd.read_csv(project.folder / "data/01_raw/designs.csv")
    rows = project.json("data/02_intermediate/split.json")["test"]
    with h5py.File(project.folder / "data/01_raw/simulations.h5") as file:
        true = file["fields"][:][rows].astype(np.float64)
    predicted = surrogate.predict(designs.iloc[rows]).fields
    error = np.sqrt(((predicted - true) ** 2).sum((1, 2)) / (true**2).sum((1, 2)))
    stored = project.json("data/08_reporting/metrics.json")["prediction"]["test"]
    assert stored["relative_l2_mean"] == pytest.approx(error.mean(), rel=1e-5)
    assert stored["relative_l2_max"] == pytest.approx(error.max(), rel=1e-5)


def test_manifest_names_every_version(project: Project) -> None:
    manifest = project.json("data/08_reporting/run_manifest.json")
    version = project.versions("data/06_models/vae")[-1]
    assert manifest["run_id"] == version
    assert manifest["status"] == "success"
    assert manifest["saved"]["vae"] == version
    assert manifest["saved"]["metrics"] == version
    assert manifest["loaded"]["simulations"].endswith("data/01_raw/simulations.h5")
    assert manifest["parameters"]["vae"]["training"]["num_epochs"] == 8


def test_the_same_seed_gives_the_same_metrics(project: Project, tmp_path: Path) -> None:
    again = Project(tmp_path)
    raw = project.folder / "data/01_raw"
    files = f"simulations={raw / 'simulations.h5'},designs={raw / 'designs.csv'}"
    again.kedro("run", "--pipelines=full_vae", "--env=smoke", f"--params={files}", alone=True)
    first = project.versions("data/08_reporting/metrics.json")[0]
    path = project.folder / f"data/08_reporting/metrics.json/{first}/metrics.json"
    assert again.json("data/08_reporting/metrics.json") == json.loads(path.read_text())


def test_conditioner_only_trains_no_vae(project: Project) -> None:
    before = project.versions("data/06_models/vae")
    output = project.kedro(
        "run", "--pipelines=conditioner_only", "--env=smoke", f"--load-versions=vae:{before[0]}"
    )
    assert project.versions("data/06_models/vae") == before
    assert "vae decoder:" not in output
    assert "in POD coefficients): vae.* of this run does nothing" in output
    manifest = project.json("data/08_reporting/run_manifest.json")
    assert manifest["loaded"]["vae"] == before[0]
    assert "vae" not in manifest["saved"]
    assert {"conditioner", "surrogate", "metrics"} <= manifest["saved"].keys()


def test_end_to_end_tunes_a_decoder_of_its_own_and_leaves_the_vae(project: Project) -> None:
    before = project.versions("data/06_models/vae")
    output = project.kedro("run", "--pipelines=end_to_end", "--env=smoke")
    assert project.versions("data/06_models/vae") == before
    assert "vae decoder:" not in output
    assert "end to end: epoch 8/8" in output
    manifest = project.json("data/08_reporting/run_manifest.json")
    assert manifest["loaded"]["vae"] == before[-1]
    assert {"conditioner", "surrogate", "metrics"} <= manifest["saved"].keys()
    surrogate = Surrogate.load(project.newest("data/06_models/surrogate"))
    conditioners = [
        load_artifact(TrainedConditioner, project.newest(f"data/06_models/{name}"))
        for name in ("conditioner", "refitted_conditioner")
    ]
    decoders = [
        surrogate.vae.network.decoder,
        *(conditioner.decoder for conditioner in conditioners),
    ]
    known, tuned, refitted = (decoder.state_dict()["out.weight"] for decoder in decoders)
    assert not torch.equal(tuned, known)
    assert not torch.equal(refitted, tuned)
    predicts = surrogate.conditioner.decoder
    assert predicts is not None
    assert torch.equal(predicts.state_dict()["out.weight"], refitted)
    predictions = project.json("data/08_reporting/metrics.json")["prediction"]
    assert predictions["test"].keys() == ERRORS


def test_repeated_splits_test_every_design_once(project: Project) -> None:
    output = project.kedro("run", "--pipelines=repeated_splits", "--env=smoke", alone=True)
    assert "repeated_splits, training 2 of 2: fold_2, 16 designs" in output
    report = project.json("data/08_reporting/repeated_splits.json")
    assert [fold["num_designs"]["test"] for fold in report["folds"]] == [20, 20]
    table = pd.read_csv(project.newest("data/08_reporting/repeated_splits_errors.csv"))
    designs = pd.read_csv(project.folder / "data/01_raw/designs.csv")
    assert table["id"].tolist() == designs["id"].tolist()
    assert table["fold"].value_counts().to_dict() == {1: 20, 2: 20}
    for number, fold in enumerate(report["folds"], start=1):
        errors = table[table["fold"] == number]["vae"]
        expected = fold["prediction"]["test"]
        assert errors.mean() == pytest.approx(expected["relative_l2_mean"], rel=1e-9)
        assert errors.max() == pytest.approx(expected["relative_l2_max"], rel=1e-9)
        assert 0 < fold["uncertainty"]["test"]["coverage_90"] <= 1
    summary = report["summary"]
    assert summary["relative_l2"]["vae"]["mean"] == pytest.approx(table["vae"].mean(), rel=1e-9)
    assert sum(summary["champion"].values()) == 2
    assert project.newest("data/08_reporting/plot_repeated_splits.png").exists()
    assert list((project.folder / "data/06_models/_work").iterdir()) == []


def test_learning_curve_ends_with_what_full_vae_measures(project: Project) -> None:
    project.kedro("run", "--pipelines=learning_curve", "--env=smoke", alone=True)
    report = project.json("data/08_reporting/learning_curve.json")
    assert (report["part"], report["num_designs"]) == ("test", 8)
    assert [size["num_designs"] for size in report["sizes"]] == [14, 28]
    assert "Too few sizes" in report["answer"]
    folder = project.folder / "data/08_reporting/metrics.json"
    first = folder / project.versions("data/08_reporting/metrics.json")[0] / "metrics.json"
    metrics, last = json.loads(first.read_text()), report["sizes"][-1]
    assert last["champion"] == metrics["champion"]
    for kind in ("reconstruction", "prediction"):
        assert last[kind] == pytest.approx(metrics[kind]["test"], rel=1e-6)
    for name, errors in last["baselines"].items():
        assert errors == pytest.approx(metrics["baselines"][name]["test"], rel=1e-6)
    assert project.newest("data/08_reporting/plot_learning_curve.png").exists()
    assert list((project.folder / "data/06_models/_work").iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("data.split.seed=5", "trained on another split"),
        ("simulations=OTHER", "trained on other simulations"),
    ],
)
def test_conditioner_only_refuses_other_data_and_another_split(
    project: Project, parameters: str, message: str
) -> None:
    other = project.folder / "other.h5"
    if not other.exists():
        shutil.copy(project.folder / "data/01_raw/simulations.h5", other)
        with h5py.File(other, "a") as file:
            file["fields"][3, 2, 1] += 1.0
    output = project.kedro(
        "run",
        "--pipelines=conditioner_only",
        "--env=smoke",
        f"--params={parameters.replace('OTHER', str(other))}",
        fails=True,
    )
    assert message in output


def test_predict_and_the_python_class_give_the_same_numbers(
    project: Project, tmp_path: Path
) -> None:
    project.kedro("run", "--pipelines=predict", "--env=smoke")
    copied = tmp_path / "surrogate"
    shutil.copytree(project.newest("data/06_models/surrogate"), copied)
    designs = pd.read_csv(project.folder / "data/01_raw/new_designs.csv")
    surrogate = Surrogate.load(copied)
    prediction = surrogate.predict(designs)
    with h5py.File(project.newest("data/07_model_output/predictions.h5")) as file:
        # To the rounding of float32: pandas reads a last digit differently, threads add up so.
        rounding = 1e-6 * np.abs(prediction.fields).max()
        np.testing.assert_allclose(file["fields"][:], prediction.fields, rtol=1e-5, atol=rounding)
        np.testing.assert_allclose(file["std"][:], prediction.std, rtol=1e-3, atol=rounding)
        assert file["design_ids"].asstr()[:].tolist() == designs["id"].tolist()
        assert file["fields"].attrs["units"] == "K"
        assert file["coordinates"].shape == (400, 2)
        assert (file["std"][:] > 0).any()
    for model in (*surrogate.models, "champion"):
        alone = surrogate.predict_fields(designs, model)
        np.testing.assert_array_equal(alone, surrogate.predict(designs, model).fields)


def test_predict_needs_no_training_data(project: Project, tmp_path: Path) -> None:
    elsewhere = Project(tmp_path)
    target = tmp_path / "data/06_models/surrogate"
    shutil.copytree(project.folder / "data/06_models/surrogate", target)
    (tmp_path / "designs.csv").write_text(
        (project.folder / "data/01_raw/new_designs.csv").read_text()
    )
    elsewhere.kedro("run", "--pipelines=predict", "--params=new_designs=designs.csv")
    with h5py.File(elsewhere.newest("data/07_model_output/predictions.h5")) as file:
        assert np.isfinite(file["fields"][:]).all()


def test_predict_warns_of_a_design_outside_the_training_range(
    project: Project, tmp_path: Path
) -> None:
    designs = pd.read_csv(project.folder / "data/01_raw/new_designs.csv")
    designs.loc[0, "scan_speed_mm_s"] = 100.0
    designs.to_csv(tmp_path / "outside.csv", index=False)
    output = project.kedro(
        "run", "--pipelines=predict", f"--params=new_designs={tmp_path / 'outside.csv'}"
    )
    assert "outside the training range in column 'scan_speed_mm_s'" in output


@pytest.mark.parametrize("model", ["vae", "pod_rbf"])
def test_predict_refuses_designs_that_have_no_finite_prediction(
    project: Project, tmp_path: Path, model: str
) -> None:
    elsewhere = Project(tmp_path)
    models = "data/06_models/surrogate"
    shutil.copytree(project.folder / models, tmp_path / models)
    designs = pd.read_csv(project.folder / "data/01_raw/new_designs.csv")
    designs.loc[1, "scan_speed_mm_s"] = 1e300
    designs.to_csv(tmp_path / "absurd.csv", index=False)
    output = elsewhere.kedro(
        "run",
        "--pipelines=predict",
        f"--params=new_designs=absurd.csv,prediction.model={model}",
        fails=True,
    )
    assert "The prediction of the design in row 1 (the first is 0) is not finite" in output
    assert not elsewhere.newest("data/07_model_output/predictions.h5").exists()
    surrogate = Surrogate.load(elsewhere.newest(models))
    for predict in (surrogate.predict, surrogate.predict_fields):
        refused = pytest.raises(DataError, match=r"row 1 .* is not finite")
        with refused, np.errstate(all="ignore"):
            predict(designs, model)


@pytest.mark.parametrize("model", ["vae", "pod_rbf"])
def test_blocks_of_predictions_are_those_of_all_designs(
    project: Project, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    surrogate = Surrogate.load(project.newest("data/06_models/surrogate"))
    designs = pd.read_csv(project.folder / "data/01_raw/new_designs.csv")
    num_times, num_nodes = surrogate.field_shape
    monkeypatch.setattr("simulgen_pipeline.surrogate.BLOCK_BYTES", 3 * 24 * num_times * num_nodes)
    whole = surrogate.predict(designs, model)
    blocks = list(surrogate.predict_blocks(designs, model))
    assert [list(rows) for rows, _ in blocks] == [[0, 1, 2], [3]]
    # Spreads are computed in bfloat16 where that is fast.
    for part, tolerance in (("fields", 1e-5), ("std", 0.01)):
        together = np.concatenate([getattr(prediction, part) for _, prediction in blocks])
        values = getattr(whole, part)
        np.testing.assert_allclose(together, values, rtol=0, atol=tolerance * np.abs(values).max())
    designs.loc[3, "scan_speed_mm_s"] = 1e300
    with np.errstate(all="ignore"), pytest.raises(DataError, match=r"row 3 .* is not finite"):
        list(surrogate.predict_blocks(designs, model))


def test_predictions_can_be_fed_back_as_simulations(project: Project, tmp_path: Path) -> None:
    project.kedro("run", "--pipelines=predict")
    path = project.newest("data/07_model_output/predictions.h5")
    designs = project.folder / "data/01_raw/new_designs.csv"
    output = Project(tmp_path).kedro(
        "run",
        "--nodes=ingest_simulations,ingest_designs",
        f"--params=simulations={path},designs={designs}",
    )
    assert "Completed node: ingest_designs" in output


@pytest.mark.parametrize("pipeline", ["full_vae", "predict"])
def test_unknown_names_are_refused_before_any_node_runs(project: Project, pipeline: str) -> None:
    output = project.kedro(
        "run",
        f"--pipelines={pipeline}",
        "--params=simulation=x,vea.preset=3,vae.training.epochs=3,data.split.sed=1,vae.preset=9",
        fails=True,
    )
    for name in ("simulation", "vea", "vae.training.epochs", "data.split.sed"):
        assert f"- {name}: there is no such parameter" in output
    assert "- vae.preset" in output
    assert "got 9" in output
    assert "Running node" not in output


def test_a_conditioner_that_reads_pictures_is_refused_for_parameters_before_anything_is_trained(
    project: Project,
) -> None:
    output = project.kedro("run", "--env=smoke", "--params=conditioner.kind=cnn", fails=True)
    assert "conditioner.kind=cnn reads pictures, and the designs are parameters" in output
    assert "Running node: train_vae" not in output


def test_params_and_config_together_are_refused(project: Project, tmp_path: Path) -> None:
    config = tmp_path / "run.yml"
    config.write_text("run:\n  params:\n    plots: 'off'\n")
    output = project.kedro(
        "run", "--pipelines=predict", f"--config={config}", "--params=plots=save", fails=True
    )
    assert "cannot be used together" in output
    assert "Running node" not in output


def test_plots_off_draws_nothing(project: Project) -> None:
    before = project.versions("data/08_reporting/plot_latents.png")
    project.kedro("run", "--nodes=draw_latents", "--params=plots=off")
    assert project.versions("data/08_reporting/plot_latents.png") == before


def test_demo_data_never_overwrites_what_it_did_not_write(project: Project) -> None:
    designs = project.folder / "data/01_raw/designs.csv"
    original = designs.read_text()
    try:
        designs.write_text("a,b\n1,2\n")
        output = project.kedro("run", "--pipelines=demo_data", "--env=smoke", fails=True)
        assert "was not written by demo_data" in output
        assert designs.read_text() == "a,b\n1,2\n"
    finally:
        designs.write_text(original)


def test_a_missing_file_is_one_clear_error(project: Project) -> None:
    output = project.kedro("run", "--params=simulations=nowhere.h5", fails=True)
    assert "There are no simulations at" in output
    assert "nowhere.h5" in output
    assert "Traceback" not in output


def test_summary_says_what_is_missing(tmp_path: Path) -> None:
    output = Project(tmp_path).kedro("summary", fails=True)
    assert "There are no results yet" in output
    assert "kedro run --pipeline=full_vae" in output


def test_summary_compares_with_the_truth(project: Project) -> None:
    project.kedro("run", "--pipelines=predict", "--env=smoke")
    output = project.kedro("summary", "--truth=data/01_raw/new_simulations.h5")
    assert "VAE prediction" in output
    assert "new_0000" in output
    assert "plot_over_mesh" in output


def test_kedro_viz_builds_with_every_dataset_in_a_layer(project: Project) -> None:
    project.kedro("viz", "build", "--include-previews")
    lineage = json.loads((project.folder / "build/api/main").read_text())
    layers = lineage["layers"]
    story = ["raw", "intermediate", "primary", "vae", "feature", "models", "reporting"]
    assert [layer for layer in layers if layer in story] == story  # none at all if they are cyclic
    without = [
        node["name"]
        for node in lineage["nodes"]
        if node["type"] == "data" and node.get("layer") is None
    ]
    assert without == []


def test_no_result_depends_on_the_fields_of_a_test_design(project: Project, tmp_path: Path) -> None:
    """Other fields for a test design change no scaler, basis, weight, calibration or error of
    other designs."""
    row = project.json("data/02_intermediate/split.json")["test"][0]
    other = tmp_path / "simulations.h5"
    shutil.copy(project.folder / "data/01_raw/simulations.h5", other)
    with h5py.File(other, "a") as file:
        file["fields"][row] = 1e9 * np.random.default_rng(0).random(file["fields"].shape[1:])
    leaked = Project(tmp_path / "leaked")
    shutil.copytree(project.folder / "data/01_raw", leaked.folder / "data/01_raw")
    leaked.kedro("run", "--env=smoke", f"--params=simulations={other}")
    first = project.versions("data/06_models/vae")[0]
    for place in (
        "06_models/conditioner",
        "06_models/baselines",
        "06_models/surrogate",
        "06_models/vae",
        "03_primary/field_scaler",
        "03_primary/design_scaler",
        "03_primary/representation",
    ):
        ours = project.folder / f"data/{place}/{first}/{Path(place).name}"
        theirs = leaked.newest(f"data/{place}")
        states = [(folder / "state.safetensors").read_bytes() for folder in (ours, theirs)]
        assert states[0] == states[1], place
        configs = [(folder / "config.json").read_text().splitlines() for folder in (ours, theirs)]
        differing = [line for line in zip(*configs, strict=True) if line[0] != line[1]]
        assert all('"fingerprint"' in line for line, _ in differing), place
    path = project.folder / f"data/08_reporting/metrics.json/{first}/metrics.json"
    metrics, theirs = json.loads(path.read_text()), leaked.json("data/08_reporting/metrics.json")
    assert metrics["champion"] == theirs["champion"]
    assert metrics["champion_errors"] == theirs["champion_errors"]
    distances = [m["generation"]["distance_to_training"] for m in (metrics, theirs)]
    for kind in ("samples", "train", "validation"):
        # To the rounding of products with the changed design's huge values.
        assert distances[0][kind] == pytest.approx(distances[1][kind], rel=1e-4)
    for kind in ("reconstruction", "prediction"):
        for part in ("train", "validation"):
            assert metrics[kind][part] == theirs[kind][part]
        assert metrics[kind]["test"] != theirs[kind]["test"]


def test_without_test_designs_there_are_results_all_the_same(
    project: Project, tmp_path: Path
) -> None:
    other = Project(tmp_path / "other")
    shutil.copytree(project.folder / "data/01_raw", other.folder / "data/01_raw")

    def check(pipeline: str, refit: bool) -> None:
        output = other.kedro(
            "run",
            f"--pipelines={pipeline}",
            "--env=smoke",
            f"--params=data.split.test=0,refit.enabled={str(refit).lower()}",
            alone=True,
        )
        metrics = other.json("data/08_reporting/metrics.json")
        assert metrics["prediction"].keys() == {"train", "validation"}
        refitted = refit and "The refit made errors larger" not in output
        parts = ("train", "validation") if refitted else ("train",)
        num_known = sum(metrics["num_designs"][part] for part in parts)
        assert metrics["num_designs_fitted"]["vae"] == num_known
        states = [
            (other.newest(f"data/06_models/{name}") / "state.safetensors").read_bytes()
            for name in ("conditioner", "refitted_conditioner")
        ]
        assert (states[0] == states[1]) == (not refitted)
        for place in ("over_time", "over_mesh", "design_errors", "peaks"):
            drawn = f"data/08_reporting/plot_{place}.png"
            assert other.versions(drawn)[-1] == other.versions("data/06_models/surrogate")[-1]
        said = other.kedro("summary")
        assert "test (" not in said
        assert "know the validation designs" not in said

    check("full_vae", refit=True)
    check("conditioner_only", refit=False)
