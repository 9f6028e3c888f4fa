"""Competitors on studies whose answer is known. EZyRB comes with the extra `benchmark`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import make_data
from benchmarks.data_sets import Study
from benchmarks.errors import relative_l2
from simulgen_pipeline.data.fields import FieldMetadata

pytest.importorskip("ezyrb")

from benchmarks import competition, kernels

NODES = np.linspace(0, 1, 12)


def write_study(folder: Path, designs: np.ndarray, pictures: np.ndarray | None = None) -> Study:
    """Fields exp(-a x) sin(3 b (x + t)) for designs (a, b), at two times."""
    a, b = (column[:, None, None] for column in designs.T)
    time = np.array([0.0, 0.5])[:, None]
    fields = np.exp(-a * NODES) * np.sin(3 * b * (NODES + time)) + 2
    table = pd.DataFrame(designs, columns=["a", "b"])
    content = make_data.Content(
        fields.astype(np.float32),
        FieldMetadata(),
        table if pictures is None else pictures,
        num_validation=len(designs) // 10,
        num_test=len(designs) // 5,
    )
    make_data.write(folder, content)
    return Study(folder)


@pytest.fixture
def designs() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([10 ** rng.uniform(-1, 1, 60), rng.uniform(0, 1, 60)], axis=1)


@pytest.fixture
def study(tmp_path: Path, designs: np.ndarray) -> Study:
    return write_study(tmp_path, designs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", list(competition.COMPETITORS))
def test_results_are_errors_of_fits_to_the_parts_that_they_name(study: Study, name: str) -> None:
    np.random.seed(0)  # noqa: NPY002
    competitor = competition.COMPETITORS[name]
    result = competition.compete(study, competitor, ("train", "validation"))
    assert result["errors"].keys() == {"validation", "test_by_train", "test"}
    assert result["fit_seconds"] > 0
    assert result["seconds_of_one"] > result["seconds_per_design"] > 0
    json.dumps(result)
    rows, asked = study.rows(("train", "validation")), study.parts["test"]
    np.random.seed(0)  # noqa: NPY002
    predict = competitor.fit(study.designs[rows], study.fields(rows), result["choices"])
    errors = relative_l2(study.fields(asked), predict(study.designs[asked]))
    if name != "ezyrb_gp_default":  # whose restarts are random
        figures = result["errors"]["test"]
        assert figures["relative_l2_mean"] == pytest.approx(errors.mean(), rel=1e-6)
        assert figures["relative_l2_max"] == pytest.approx(errors.max(), rel=1e-6)


def test_tuning_pays(study: Study) -> None:
    def error(name: str) -> float:
        result = competition.compete(study, competition.COMPETITORS[name], ("train",))
        return float(result["errors"]["test"]["relative_l2_mean"])

    assert error("ezyrb_rbf_tuned") < 0.5 * error("ezyrb_rbf_default")
    assert error("ezyrb_gp_tuned") < 0.5 * error("ezyrb_rbf_default")
    assert error("ezyrb_rbf_default") < error("nearest_design")


def test_choices_see_training_designs_only(tmp_path: Path, designs: np.ndarray) -> None:
    seen = []
    competitor = competition.Competitor(
        lambda designs, fields, has_pictures: seen.append((designs, fields)) or {},
        competition.COMPETITORS["nearest_design"].fit,
    )
    study = write_study(tmp_path, designs)
    competition.compete(study, competitor, ("train", "validation"))
    ((chosen_on, fields),) = seen
    rows = study.parts["train"]
    assert (chosen_on == study.designs[rows]).all()
    assert (fields == study.fields(rows)).all()


def test_pictures_are_taken_by_components(tmp_path: Path, designs: np.ndarray) -> None:
    unit = np.stack([np.log10(designs[:, 0]) / 2 + 0.5, designs[:, 1]], axis=1)
    corners = np.eye(2)[:, None, :] * np.ones((6, 1))  # (2, 6, 2): one column of pixels for each
    pictures = np.round(255 * np.einsum("np,phw->nhw", unit, corners)).astype(np.uint8)
    study = write_study(tmp_path, designs, pictures)
    result = competition.compete(study, competition.COMPETITORS["ezyrb_rbf_tuned"], ("train",))
    assert result["choices"]["num_components"] == 4
    assert result["errors"]["test"]["relative_l2_mean"] < 0.05


def test_the_nearest_design_is_found(designs: np.ndarray) -> None:
    fields = np.arange(60.0)[:, None]
    nearest = competition.COMPETITORS["nearest_design"]
    predict = nearest.fit(designs, fields, nearest.choose(designs, fields, False))
    assert (predict(designs[[4, 9]] * (1 + 1e-6)) == fields[[4, 9]]).all()


def test_last_modes_are_left_to_radial_basis_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    points = rng.random((30, 2))
    values = np.stack([np.sin(points[:, 0]), 1e-2 * np.cos(5 * points[:, 1]), 1e-5 * points[:, 0]])
    rbf = {"kernel": "cubic", "epsilon": 1.0, "smooth": 0.0}
    processes = kernels.ModeProcesses(rbf)
    processes.fit(points, values.T)
    assert processes.num_processes == 2
    monkeypatch.setattr(kernels, "MOST_PROCESSES", 1)
    processes.fit(points, values.T)
    assert processes.num_processes == 1
    asked = rng.random((5, 2))
    expected = kernels.RBF(**rbf)
    expected.fit(points, values.T)
    assert processes.predict(asked)[:, 1:] == pytest.approx(expected.predict(asked)[:, 1:])
    assert processes.predict(asked)[:, 0] == pytest.approx(np.sin(asked[:, 0]), abs=1e-2)


def test_candidates_that_are_singular_are_never_chosen() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((12, 30))  # fewer designs than terms of a linear polynomial
    folds = kernels.Folds.split(rng.random((12, 3)), np.ones(12))
    error, options = kernels.choose_rbf(points, folds)
    assert np.isfinite(error)
    assert options["kernel"] in ("linear", "multiquadric")
