"""Baselines that are given further designs: what stays, what improves, what is left out."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simulgen_pipeline.data.artifact import load_artifact, save_artifact
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.models import radial_basis
from simulgen_pipeline.models.baselines import POD_GPR, POD_RBF, BaselineConfig, Baselines
from simulgen_pipeline.models.fitted_designs import FittedDesigns
from simulgen_pipeline.models.radial_basis import RadialBasis
from simulgen_pipeline.models.trajectory_pod import TrajectoryPod

NUM_TIMES, NUM_NODES = 4, 30


def fields_of(designs: np.ndarray) -> np.ndarray:
    """A narrow pulse (N, T, M) whose place and width depend on designs (N, 2): of high rank."""
    t, x = np.linspace(0, 1, NUM_TIMES)[:, None], np.linspace(-2, 2, NUM_NODES)
    place, width = designs[:, 0, None, None] + 0.3 * t, 0.6 + 0.2 * designs[:, 1, None, None]
    return (3 + np.exp(-(((x - place) / width) ** 2))).astype(np.float32)


@pytest.fixture
def data(array_reader: Callable[..., Any]) -> SimpleNamespace:
    """Designs fitted in the left of the square, added and unseen ones in the right, too."""
    rng = np.random.default_rng(0)
    designs = rng.uniform(-1, 1, (60, 2))
    designs[:25, 0] = 0.5 * designs[:25, 0] - 0.5
    designs[25:, 0] = 0.5 * designs[25:, 0] + 0.5
    return SimpleNamespace(
        designs=designs,
        reader=array_reader(fields_of(designs)),
        fitted=np.arange(25),
        added=np.arange(25, 45),
        unseen=np.arange(45, 60),
    )


def fit(data: SimpleNamespace, **config: Any) -> Baselines:
    rows = data.fitted
    return Baselines.fit(data.reader, rows, data.designs[rows], BaselineConfig(**config))


def refit(first: Baselines, data: SimpleNamespace, **config: Any) -> Baselines:
    rows = data.added
    return first.refit(data.reader, rows, data.designs[rows], BaselineConfig(**config))


def error(baselines: Baselines, data: SimpleNamespace, rows: np.ndarray, model: str) -> float:
    true = data.reader.fields[rows]
    wrong = baselines.predict(data.designs[rows], model).fields - true
    return float(np.mean(np.linalg.norm(wrong, axis=(1, 2)) / np.linalg.norm(true, axis=(1, 2))))


# POD of trajectories


def test_extended_pod_keeps_its_modes_and_reproduces_the_added_fields(
    data: SimpleNamespace,
) -> None:
    first = TrajectoryPod().fit(data.reader, data.fitted)
    num_modes = len(first.modes_)
    extended, coefficients = first.extended(data.reader, data.added)
    assert len(extended.modes_) > num_modes
    assert len(first.modes_) == num_modes
    np.testing.assert_array_equal(extended.modes_[:num_modes], first.modes_)
    modes = extended.modes_.astype(np.float64)
    np.testing.assert_allclose(modes @ modes.T, np.eye(len(modes)), atol=1e-6)
    np.testing.assert_allclose(
        extended.inverse_transform(coefficients), data.reader.fields[data.added], rtol=1e-6
    )


def test_designs_in_the_span_of_the_modes_add_none(array_reader: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    fields = np.einsum("nr,rtm->ntm", rng.uniform(1, 2, (12, 3)), rng.uniform(1, 2, (3, 5, 40)))
    for values in (fields, fields.astype(np.float32)):
        pod = TrajectoryPod().fit(array_reader(values), np.arange(8))
        extended, coefficients = pod.extended(array_reader(values), np.arange(8, 12))
        assert len(extended.modes_) == len(pod.modes_) == 3
        np.testing.assert_allclose(extended.inverse_transform(coefficients), values[8:], rtol=1e-6)


def test_streamed_pod_is_extended_in_small_blocks_where_modes_fit(data: SimpleNamespace) -> None:
    num_bytes = 8 * NUM_TIMES * NUM_NODES
    streamed = TrajectoryPod(24 * num_bytes).fit(data.reader, data.fitted)
    assert streamed.streamed_
    assert not streamed.limited_
    data.reader.most_read = 0
    extended, coefficients = streamed.extended(data.reader, data.added)
    assert data.reader.most_read <= 3
    assert not extended.limited_
    np.testing.assert_allclose(
        extended.inverse_transform(coefficients), data.reader.fields[data.added], rtol=1e-5
    )


@pytest.mark.parametrize("max_bytes", [2**14, 8 * NUM_TIMES * NUM_NODES * 19])
def test_without_memory_for_more_modes_added_fields_are_projected_only(
    data: SimpleNamespace, max_bytes: int
) -> None:
    first = TrajectoryPod(max_bytes).fit(data.reader, data.fitted)
    extended, coefficients = first.extended(data.reader, data.added)
    assert extended.limited_
    np.testing.assert_array_equal(extended.modes_, first.modes_)
    snapshots = data.reader.fields[data.added].reshape(len(data.added), -1) - first.mean_
    np.testing.assert_allclose(coefficients, snapshots @ first.modes_.T, atol=1e-5)


def test_extended_pod_refuses_values_that_are_not_finite(data: SimpleNamespace) -> None:
    pod = TrajectoryPod().fit(data.reader, data.fitted)
    data.reader.fields[30, 2, 3] = np.inf
    with (
        pytest.raises(DataError, match=r"not finite \(rows 30\)"),
        np.errstate(invalid="ignore"),
    ):
        pod.extended(data.reader, data.added)


# Designs and their runs


def test_runs_of_a_known_design_are_averaged_with_its_own() -> None:
    points = np.array([[0.0, 1.0], [2.0, 0.0]])
    first = FittedDesigns(points, np.array([[3.0], [5.0]]), np.array([2, 1]), np.array([7, 4, 9]))
    runs = np.array([[8.0, 8.0], [2.0, 1.0], [12.0, 3.0], [4.0, 6.0]])
    both = first.with_runs(
        np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), runs, np.array([1, 2, 3, 0])
    )
    np.testing.assert_array_equal(both.points, [[0, 1], [2, 0], [1, 1]])
    np.testing.assert_allclose(both.coefficients, [[6, 1], [3.5, 0.5], [6, 7]])
    np.testing.assert_array_equal(both.num_runs, [3, 2, 2])
    assert both.repeated == [[7, 4, 3], [9, 2], [1, 0]]


# Baselines


def test_refit_rbf_without_smoothing_reproduces_designs_of_both_parts(
    data: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radial_basis, "candidates", lambda: [RadialBasis("cubic", 1, 1.0, 0.0)])
    both = refit(fit(data), data)
    for rows in (data.fitted, data.added):
        predicted = both.predict(data.designs[rows], POD_RBF).fields
        np.testing.assert_allclose(predicted, data.reader.fields[rows], rtol=1e-5)


def test_refit_predicts_better_near_the_added_designs_and_the_first_fit_stays(
    data: SimpleNamespace,
) -> None:
    first = fit(data)
    before = {model: error(first, data, data.unseen, model) for model in first.names}
    both = refit(first, data)
    for model in first.names:
        assert error(both, data, data.unseen, model) < 0.3 * before[model]
        assert error(both, data, data.added, model) < 0.1 * error(first, data, data.added, model)
        assert error(first, data, data.unseen, model) == before[model]
    stds = [of.predict(data.designs[data.unseen], POD_GPR).std.mean() for of in (first, both)]
    assert stds[1] < 0.5 * stds[0]


def test_refit_leaves_coefficients_of_fitted_designs_and_all_choices(
    data: SimpleNamespace,
) -> None:
    first = fit(data)
    both = refit(first, data)
    old, new = first.state(), both.state()
    num_designs, num_modes = old["coefficients"].shape
    np.testing.assert_array_equal(
        new["coefficients"][:num_designs, :num_modes], old["coefficients"]
    )
    assert (new["coefficients"][:num_designs, num_modes:] == 0).all()
    for name in ("theta", "rbf_std", "columns", "centre", "distance", "pod/mean"):
        np.testing.assert_array_equal(new[name], old[name])
    np.testing.assert_array_equal(new["points"][:num_designs], old["points"])
    assert both.report["num_designs"] == both.report[POD_RBF]["num_designs"] == 45
    assert both.report["num_modes"] > num_modes == first.report["num_modes"]
    assert both.report["limits_reached"] == []
    for name in (*RadialBasis._fields, "error"):
        assert both.report[POD_RBF][name] == first.report[POD_RBF][name]


def test_variances_of_added_modes_are_their_mean_square_over_all_designs(
    data: SimpleNamespace,
) -> None:
    first = fit(data, max_gp_modes=3)
    state = refit(first, data, max_gp_modes=3).state()
    known = len(first.state()["other_variances"])
    added = state["coefficients"][:, first.report["num_modes"] :]
    np.testing.assert_allclose(state["other_variances"][known:], np.mean(added**2, axis=0))
    np.testing.assert_array_equal(
        state["other_variances"][:known], first.state()["other_variances"]
    )


def test_refit_of_a_loaded_fit_is_stored_and_predicts_the_same(
    data: SimpleNamespace, tmp_path: Path
) -> None:
    first = fit(data)
    save_artifact(first, tmp_path / "first")
    both = refit(first, data)
    save_artifact(refit(load_artifact(Baselines, tmp_path / "first"), data), tmp_path / "both")
    loaded = load_artifact(Baselines, tmp_path / "both")
    assert loaded.report == both.report
    json.dumps(both.report, allow_nan=False)
    for model in both.names:
        expected, predicted = (of.predict(data.designs, model) for of in (both, loaded))
        np.testing.assert_allclose(predicted.fields, expected.fields, rtol=1e-10)
        np.testing.assert_allclose(predicted.std, expected.std, rtol=1e-6)


def test_a_design_of_both_parts_counts_once_with_the_mean_of_its_fields(
    data: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radial_basis, "candidates", lambda: [RadialBasis("cubic", 1, 1.0, 0.0)])
    data.designs[[7, 30]] = data.designs[3]
    both = refit(fit(data), data)
    assert both.report["repeated_designs"] == [[3, 7, 30]]
    assert both.report["num_designs"] == 45 - 2
    predicted = both.predict(data.designs[[3]], POD_RBF).fields[0]
    mean = data.reader.fields[[3, 7, 30]].mean(axis=0)
    np.testing.assert_allclose(predicted, mean, rtol=1e-5)


def test_limits_hold_and_those_of_choices_are_not_met_again(data: SimpleNamespace) -> None:
    limits = {"max_rbf_designs": 30, "max_gp_designs": 28, "max_tuning_designs": 25}
    both = refit(fit(data, **limits), data, **limits)
    report = both.report
    assert (report[POD_RBF]["num_designs"], report[POD_GPR]["num_designs"]) == (30, 28)
    assert report["limits_reached"] == ["max_rbf_designs", "max_gp_designs"]
    for model in both.names:
        assert error(both, data, data.fitted, model) < 0.01


def test_refit_within_little_memory_projects_and_says_so(
    data: SimpleNamespace, array_reader: Callable[..., Any]
) -> None:
    wide = np.repeat(data.reader.fields, 20, axis=2)
    data.reader = array_reader(wide)
    first = fit(data, max_bytes=2**18)
    both = refit(first, data, max_bytes=2**18)
    assert both.report["num_modes"] == first.report["num_modes"]
    assert both.report["limits_reached"] == ["max_bytes"]
    for model in both.names:
        assert error(both, data, data.unseen, model) < error(first, data, data.unseen, model)


def test_every_mode_is_predicted_where_every_fitted_one_has_a_process(
    data: SimpleNamespace,
) -> None:
    data.fitted = data.fitted[:12]
    first = fit(data)
    assert first.report[POD_GPR]["other_modes"] is None
    both = refit(first, data)
    assert both.report[POD_GPR]["other_modes"] == POD_RBF
    assert error(both, data, data.unseen, POD_GPR) < error(first, data, data.unseen, POD_GPR)


def test_designs_that_do_not_go_with_the_first_are_refused(data: SimpleNamespace) -> None:
    first, rows = fit(data), data.added
    with pytest.raises(DataError, match="2 parameters, got 3"):
        first.refit(data.reader, rows, np.zeros((20, 3)))
    with pytest.raises(DataError, match="for each of 20 rows, got 19"):
        first.refit(data.reader, rows, data.designs[rows[1:]])
    with pytest.raises(DataError, match="finite"):
        first.refit(data.reader, rows, np.full((20, 2), np.nan))
