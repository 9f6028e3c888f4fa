"""What is measured on which designs, with a surrogate whose errors are known."""

from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest

from simulgen_pipeline.data.design_inputs import DesignInputs
from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.evaluation import generation
from simulgen_pipeline.models.trained import LatentArrays
from simulgen_pipeline.pipelines.evaluation.assessment import PEAK_COLUMNS, assess, shown_designs
from simulgen_pipeline.pipelines.evaluation.nodes import (
    draw_design_errors,
    draw_peaks,
    draw_worst,
)
from simulgen_pipeline.surrogate import Prediction

SPLIT = Split(train=(0, 1, 2), validation=(3, 4), test=(5, 6, 7))
NUM_DESIGNS, NUM_TIMES, NUM_NODES = 8, 4, 5
# The VAE's prediction is the truth times 1.1, one time step late.
FACTOR = 1.1
# The baseline's, fitted to training designs only, is the truth times 0.7; refitted, the truth.
WORSE = 0.7


@pytest.fixture
def true():
    """A peak of each design's own size at node 2, half a second in."""
    fields = np.random.default_rng(0).uniform(size=(NUM_DESIGNS, NUM_TIMES, NUM_NODES))
    fields[:, 1, 2] = 10 + np.arange(NUM_DESIGNS)
    return fields


@pytest.fixture
def assessed(true, tmp_path, monkeypatch):
    # Samples of the prior are the fields of designs 3 and 6.
    drawn = LatentArrays(np.array([3, 6]), np.zeros(2))
    monkeypatch.setattr(generation, "sample_latents", lambda *args: drawn)

    def run(split=SPLIT):
        path = tmp_path / "fields.h5"
        with h5py.File(path, "w") as file:
            file["fields"] = true
            file["time"] = 0.5 * np.arange(NUM_TIMES)
            file["coordinates"] = np.arange(NUM_NODES, dtype=float)[:, None]

        def predict_inputs(inputs, model):
            rows = inputs.features[:, 0].astype(int)
            late = FACTOR * np.roll(true[rows], 1, axis=1)
            return Prediction(late if model == "vae" else true[rows], np.ones_like(true[rows]))

        def predict_by_training(inputs, model):
            fields, std = predict_inputs(inputs, model)
            return Prediction(fields if model == "vae" else WORSE * fields, std)

        surrogate = SimpleNamespace(
            models=("vae", "pod_rbf"),
            baselines=SimpleNamespace(
                names=("pod_rbf",),
                report={
                    "limits_reached": [],
                    "pod_rbf": {"num_designs": 5},
                    "not_refitted": ["pod_rbf"],
                    "suspect_rows": [4, 3],
                },
            ),
            conditioner=SimpleNamespace(num_designs=6),
            champion="pod_rbf",
            champion_errors={"vae": 0.2, "pod_rbf": 0.1},
            predict_inputs=predict_inputs,
            inputs=lambda table, warn: DesignInputs(table.to_numpy(float)),
            vae=SimpleNamespace(
                split=split,
                decode=lambda stored: true[stored.main],
                representation=SimpleNamespace(inverse_transform=lambda channels: channels),
            ),
        )
        latents = SimpleNamespace(values=(np.arange(NUM_DESIGNS), np.zeros(NUM_DESIGNS)))
        designs = pd.DataFrame({"row": range(NUM_DESIGNS)}, index=[f"d{i}" for i in range(8)])
        fields = SimulationFields(path)
        validated = [(SimpleNamespace(predict_inputs=predict_by_training), split.validation)]
        return fields, assess(surrogate, validated, latents, fields, designs)

    return run


def test_designs_to_look_at_are_named_by_their_ids(assessed):
    _, (metrics, *_) = assessed()
    assert metrics["baselines_not_refitted"] == ["pod_rbf"]
    assert metrics["suspect_designs"] == ["d4", "d3"]


def test_how_many_designs_each_model_knows_is_said(assessed):
    _, (metrics, *_) = assessed()
    assert metrics["num_designs_fitted"] == {"vae": 6, "pod_rbf": 5}


def test_peaks_are_the_vaes_on_validation_and_test_designs(assessed):
    _, (metrics, *_) = assessed()
    assert metrics["peaks"].keys() == {"validation", "test"}
    assert metrics["peaks"]["test"] == pytest.approx(
        {
            "value_error_mean": 0.1 * 16,
            "value_error_max": 0.1 * 17,
            "relative_error_mean": 0.1,
            "relative_error_max": 0.1,
            "place_error_mean": 0,
            "place_error_max": 0,
            "time_error_mean": 0.5,
            "time_error_max": 0.5,
        }
    )


def test_worst_node_and_time_are_those_of_the_part(assessed, true):
    _, (metrics, *_) = assessed()
    for part in ("validation", "test"):
        rows = list(getattr(SPLIT, part))
        squared = (FACTOR * np.roll(true, 1, axis=1) - true)[rows] ** 2
        assert metrics["worst"][part]["worst_node"] == pytest.approx(
            {"node": 2, "rmse": np.sqrt(squared[:, :, 2].mean())}
        )
        # The peak is missing at its own time, and larger where it is late.
        assert metrics["worst"][part]["worst_time"] == pytest.approx(
            {"time": 1.0, "rmse": np.sqrt(squared[:, 2].mean())}
        )
    assert metrics["worst"].keys() == {"validation", "test"}


@pytest.mark.parametrize("split", [SPLIT, Split(train=(0, 1, 2), validation=(3, 4))])
def test_the_worst_of_all_nodes_and_times_as_stored_are_those_of_metrics_and_drawn(
    assessed, tmp_path, split
):
    fields, (metrics, _, *tables) = assessed(split)
    stored = []
    for name, table in zip(("node", "time"), tables, strict=True):
        table.to_csv(tmp_path / f"{name}.csv")
        stored.append(pd.read_csv(tmp_path / f"{name}.csv", index_col=name))
        for part, worst in metrics["worst"].items():
            errors = stored[-1][part]
            assert worst[f"worst_{name}"] == {name: errors.idxmax(), "rmse": errors.max()}
    shown = metrics["worst"].get("test", metrics["worst"]["validation"])
    for axes, worst in zip(draw_worst(fields, *stored).axes, ("time", "node"), strict=True):
        found = axes.lines[-1].get_xydata()
        place = shown[f"worst_{worst}"]
        np.testing.assert_allclose(found, [[place[worst], place["rmse"]]])


def test_figures_of_errors_stay_beside_those_of_peaks(assessed):
    _, (metrics, *_) = assessed()
    assert metrics["baselines"]["pod_rbf"]["test"]["relative_l2_max"] == 0
    assert metrics["prediction"].keys() == {"train", "validation", "test"}
    assert metrics["uncertainty"].keys() == {"test"}


def test_baselines_are_measured_where_they_were_not_fitted(assessed):
    _, (metrics, table, *_) = assessed()
    errors = metrics["baselines"]["pod_rbf"]
    assert errors["validation"]["relative_l2_mean"] == pytest.approx(1 - WORSE)
    assert errors["test"]["relative_l2_mean"] == 0
    by_part = table.groupby("part")["pod_rbf"].max()
    assert by_part["validation"] == pytest.approx(1 - WORSE)
    assert by_part["test"] == 0


def test_samples_are_as_far_from_the_training_designs_as_the_designs_that_they_are(assessed, true):
    _, (metrics, *_) = assessed()

    def nearest(row):
        norms = [np.linalg.norm(true[row] - true[other]) for other in SPLIT.train if other != row]
        return min(norms) / np.linalg.norm(true[row])

    distances = metrics["generation"]["distance_to_training"]
    assert distances == pytest.approx(
        {
            "samples": (nearest(3) + nearest(6)) / 2,
            "train": np.mean([nearest(row) for row in SPLIT.train]),
            "validation": np.mean([nearest(row) for row in SPLIT.validation]),
            "test": np.mean([nearest(row) for row in SPLIT.test]),
        }
    )


def test_without_test_designs_nothing_is_said_of_them(assessed):
    _, (metrics, table, *_) = assessed(Split(train=(0, 1, 2, 5, 6, 7), validation=(3, 4)))
    assert metrics["peaks"].keys() == metrics["worst"].keys() == {"validation"}
    assert metrics["generation"]["distance_to_training"].keys() == {
        "samples",
        "train",
        "validation",
    }
    assert set(table["part"]) == {"train", "validation"}


def test_the_table_has_the_peak_of_every_design(assessed):
    _, (_, table, *_) = assessed()
    assert len(table) == NUM_DESIGNS
    size = 10.0 + np.arange(NUM_DESIGNS)
    expected = np.stack([size, 0.1 * size, 0 * size, 0.5 + 0 * size], axis=1)
    found = table.loc[[f"d{i}" for i in range(NUM_DESIGNS)], PEAK_COLUMNS]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_design_that_is_zero_everywhere_is_not_in_the_table_and_counts_in_its_peak(
    assessed, true
):
    true[5] = 0
    _, (metrics, table, *_) = assessed()
    assert "d5" not in table.index
    assert "d5" not in shown_designs(table, 9)
    assert metrics["peaks"]["test"]["value_error_mean"] == pytest.approx(0.1 * (16 + 17) / 3)
    true[6:] = 0
    _, (metrics, table, *_) = assessed()
    assert set(table["part"]) == {"train", "validation"}
    assert "time_error_mean" not in metrics["peaks"]["test"]
    distances = metrics["generation"]["distance_to_training"]
    assert distances.keys() == {"samples", "train", "validation"}
    assert metrics["generation"]["num_samples"] == generation.NUM_SAMPLES


def test_pictures_are_drawn_from_the_table_as_it_is_stored(assessed, tmp_path):
    fields, (_, table, *_) = assessed()
    table.to_csv(tmp_path / "table.csv")
    stored = pd.read_csv(tmp_path / "table.csv", index_col="id", dtype={"id": str})
    legend = draw_peaks(fields, stored).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "validation (2 designs, mean |error| 1.35)",
        "test (3 designs, mean |error| 1.6)",
    ]
    legend = draw_design_errors(stored).axes[0].get_legend()
    assert [text.get_text().split(" (")[0] for text in legend.get_texts()] == [
        "VAE reconstruction",
        "VAE prediction",
        "pod_rbf",
    ]
