"""POD of trajectories, its regressions against closed forms and scikit-learn, and the baselines."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from simulgen_pipeline.data.artifact import load_artifact, save_artifact
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.models import baseline_tuning, radial_basis
from simulgen_pipeline.models.baselines import POD_GPR, POD_RBF, BaselineConfig, Baselines
from simulgen_pipeline.models.cross_validation import Folds
from simulgen_pipeline.models.gaussian_process import (
    condition,
    held_out_errors,
    log_marginal_likelihood,
    posterior,
)
from simulgen_pipeline.models.radial_basis import RadialBasis
from simulgen_pipeline.models.trajectory_pod import TrajectoryPod

SMOOTHNESS = {"matern_1.5": 1.5, "matern_2.5": 2.5, "squared_exponential": np.inf}
NUM_FITTED = 30


@pytest.fixture(scope="module")
def smooth_set(array_reader: Callable[..., Any]) -> Callable[..., SimpleNamespace]:
    """A wave (N, T, M) around 300 whose frequency and phase depend on designs (N, P) in [-1, 1]."""

    def make(
        num_designs: int = 50, num_inputs: int = 2, num_times: int = 4, num_nodes: int = 15
    ) -> SimpleNamespace:
        designs = np.random.default_rng(0).uniform(-1, 1, (num_designs, num_inputs))
        t, x = np.linspace(0, 1, num_times)[:, None], np.linspace(0, 1, num_nodes)
        first, last = designs[:, 0, None, None], designs[:, -1, None, None]
        fields = 300 + 50 * np.sin((2 + first) * x + t + last) + 5 * first * last * x
        return SimpleNamespace(
            reader=array_reader(fields.astype(np.float32)),
            designs=designs,
            fitted=np.arange(NUM_FITTED),
            unseen=np.arange(NUM_FITTED, num_designs),
        )

    return make


def fit(data: SimpleNamespace, num_jobs: int = 1, **config: Any) -> Baselines:
    rows = data.fitted
    return Baselines.fit(
        data.reader, rows, data.designs[rows], BaselineConfig(**config), num_jobs=num_jobs
    )


@pytest.fixture(scope="module")
def smooth(smooth_set: Callable[..., SimpleNamespace]) -> SimpleNamespace:
    data = smooth_set()
    data.baselines = fit(data)
    return data


def relative_error(predicted: np.ndarray, true: np.ndarray) -> float:
    errors = np.linalg.norm((predicted - true).reshape(len(true), -1), axis=1)
    return float(np.mean(errors / np.linalg.norm(true.reshape(len(true), -1), axis=1)))


# POD of trajectories


def rough_fields() -> np.ndarray:
    """Fields (12, 5, 40) of full rank whose singular values span eight decades."""
    rng = np.random.default_rng(1)
    left = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    right = np.linalg.qr(rng.standard_normal((200, 12)))[0]
    return 10 + ((left * np.logspace(2, -4, 12)) @ right.T).reshape(12, 5, 40)


@pytest.mark.parametrize("max_bytes", [2**20, 12 * 200 * 8 - 1], ids=["svd", "streamed"])
def test_pod_is_orthonormal_and_reproduces_the_fields(
    max_bytes: int, array_reader: Callable[..., Any]
) -> None:
    fields, rows = rough_fields(), np.arange(1, 12)
    pod = TrajectoryPod(max_bytes if max_bytes > 2**19 else 11 * 200 * 8 - 1)
    pod.fit(array_reader(fields), rows)
    assert pod.streamed_ is (max_bytes < 2**19)
    modes = pod.modes_.astype(np.float64)
    assert modes.shape == (10, 200)
    np.testing.assert_allclose(modes @ modes.T, np.eye(10), atol=1e-6)
    np.testing.assert_allclose(pod.inverse_transform(pod.coefficients_), fields[rows], atol=1e-5)
    np.testing.assert_allclose(pod.norms_, np.linalg.norm(fields[rows], axis=(1, 2)))
    np.testing.assert_allclose(pod.coefficients_.mean(axis=0), 0, atol=1e-8)
    assert pod.lost_energy_ < 1e-12
    assert not pod.limited_


def test_streamed_pod_agrees_with_svd_and_reads_small_blocks(
    array_reader: Callable[..., Any],
) -> None:
    fields, rows = rough_fields(), np.arange(12)
    whole = TrajectoryPod().fit(array_reader(fields), rows)
    reader = array_reader(fields)
    streamed = TrajectoryPod(max_bytes=11 * 200 * 8).fit(reader, rows)
    assert reader.most_read <= 5  # half the bytes of eleven
    strengths = [np.linalg.norm(pod.coefficients_, axis=0) for pod in (whole, streamed)]
    np.testing.assert_allclose(*strengths, rtol=1e-6, atol=1e-8 * strengths[0][0])
    overlaps = np.abs(np.sum(whole.modes_ * streamed.modes_, axis=1))
    np.testing.assert_allclose(overlaps, 1, atol=1e-5)


@pytest.mark.parametrize("max_bytes", [2**30, 2**13])
def test_pod_leaves_the_round_off_of_float32_values_out(
    max_bytes: int, array_reader: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    exact = np.einsum("nr,rtm->ntm", rng.uniform(1, 2, (12, 3)), rng.uniform(1, 2, (3, 5, 40)))
    pods = [
        TrajectoryPod(max_bytes).fit(array_reader(fields), np.arange(12))
        for fields in (exact, exact.astype(np.float32))
    ]
    assert [len(pod.modes_) for pod in pods] == [3, 3]
    assert pods[1].lost_energy_ < 1e-12
    assert not pods[1].limited_


def test_streamed_pod_keeps_the_modes_that_fit_and_says_what_is_lost(
    array_reader: Callable[..., Any],
) -> None:
    fields = rough_fields()
    pod = TrajectoryPod(max_bytes=4 * 200 * 4).fit(array_reader(fields), np.arange(12))
    assert len(pod.modes_) == 4
    assert pod.limited_
    centred = fields - fields.mean(axis=0)
    lost = centred - (pod.inverse_transform(pod.coefficients_) - pod.mean_.reshape(5, 40))
    assert pod.lost_energy_ == pytest.approx(np.sum(lost**2) / np.sum(centred**2), rel=1e-3)


def test_pod_std_is_that_of_independent_coefficients(array_reader: Callable[..., Any]) -> None:
    pod = TrajectoryPod().fit(array_reader(rough_fields()), np.arange(12))
    rng = np.random.default_rng(2)
    mean, variances = rng.standard_normal((3, 11)), rng.uniform(0, 2, (3, 11))
    fields, std = pod.inverse_transform_with_std(mean, variances)
    np.testing.assert_allclose(fields, pod.inverse_transform(mean))
    covariance = (pod.modes_.T * variances[1]) @ pod.modes_
    np.testing.assert_allclose(std[1].ravel(), np.sqrt(np.diag(covariance)), rtol=1e-4)
    residuals = rng.standard_normal((7, 11))
    expected = np.sqrt(np.mean((residuals @ pod.modes_) ** 2, axis=0))
    np.testing.assert_allclose(pod.root_mean_square(residuals).ravel(), expected, rtol=1e-4)


@pytest.mark.parametrize("max_bytes", [2**30, 2**10])
def test_pod_refuses_fields_it_cannot_decompose(
    max_bytes: int, array_reader: Callable[..., Any]
) -> None:
    pod, fields = TrajectoryPod(max_bytes), rough_fields()
    fields[7, 2, 3] = np.nan
    with pytest.raises(DataError, match=r"not finite \(rows 7\)"):
        pod.fit(array_reader(fields), np.arange(12))
    with pytest.raises(DataError, match="all designs are the same"):
        pod.fit(array_reader(np.repeat(fields[:1] * 1e-3, 4, axis=0)), np.arange(4))


# Gaussian processes


def process(covariance: str) -> SimpleNamespace:
    """A process by us, and the same by scikit-learn at the amplitude that we find best."""
    rng = np.random.default_rng(3)
    points, new_points = rng.standard_normal((25, 3)), rng.standard_normal((6, 3))
    target = np.sin(points @ [1.0, 0.5, 0.1]) + 0.01 * rng.standard_normal(25)
    theta = np.log([0.8, 1.5, 4.0, 1e-3])
    given = condition(theta, points, target, covariance)
    kernel = ConstantKernel(given.amplitude) * Matern(
        np.exp(theta[:-1]), nu=SMOOTHNESS[covariance]
    ) + WhiteKernel(given.amplitude * np.exp(theta[-1]))
    reference = GaussianProcessRegressor(kernel, alpha=1e-15, optimizer=None).fit(points, target)
    return SimpleNamespace(**locals())


@pytest.mark.parametrize("covariance", SMOOTHNESS)
def test_likelihood_and_gradient_are_those_of_scikit_learn(covariance: str) -> None:
    p = process(covariance)
    value, gradient = log_marginal_likelihood(p.theta, p.points, p.target, covariance)
    expected, slopes = p.reference.log_marginal_likelihood(
        p.reference.kernel_.theta, eval_gradient=True
    )
    assert value == pytest.approx(expected, rel=1e-9)
    assert slopes[0] + slopes[-1] == pytest.approx(0, abs=1e-6)  # the amplitude is the best one
    np.testing.assert_allclose(gradient, slopes[1:], rtol=1e-6)


@pytest.mark.parametrize("covariance", SMOOTHNESS)
def test_posterior_is_that_of_scikit_learn(covariance: str) -> None:
    p = process(covariance)
    mean, variance = posterior(p.theta, p.points, covariance, p.given, p.new_points)
    expected, std = p.reference.predict(p.new_points, return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(variance), std, rtol=1e-6)


def test_held_out_errors_are_those_of_leaving_the_fold_out() -> None:
    p = process("matern_2.5")
    folds = np.array_split(np.arange(25), 4)
    errors = held_out_errors(p.theta, p.points, p.target, "matern_2.5", folds)
    for fold in folds:
        others = np.setdiff1d(np.arange(25), fold)
        given = condition(p.theta, p.points[others], p.target[others], "matern_2.5")
        mean, _ = posterior(p.theta, p.points[others], "matern_2.5", given, p.points[fold])
        np.testing.assert_allclose(errors[fold], p.target[fold] - mean, rtol=1e-6)


def test_noise_is_raised_where_a_factorisation_fails() -> None:
    points = np.linspace(0, 1e-3, 200)[:, None]
    theta = np.array([0.0, -60.0])
    given = condition(theta, points, np.sin(points[:, 0]), "squared_exponential")
    assert np.isfinite(given.log_likelihood)


# Radial basis functions


def test_singular_candidates_have_no_error_and_are_not_chosen() -> None:
    line = np.linspace(-1, 1, 20)[:, None] * [1.0, 1.0]
    folds = Folds.split(line, np.sin(3 * line), np.ones(20), num_folds=5)
    assert radial_basis.held_out_errors(RadialBasis("thin_plate_spline", 1, 1, 0), folds) is None
    chosen, errors, table = radial_basis.choose(folds, num_jobs=1)
    assert None in [candidate["error"] for candidate in table]
    best = min(candidate["error"] for candidate in table if candidate["error"] is not None)
    assert folds.score(errors) == best
    assert chosen.degree == 0


def test_rbf_without_smoothing_reproduces_the_fitted_designs(
    smooth: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radial_basis, "candidates", lambda: [RadialBasis("cubic", 1, 1.0, 0.0)])
    rows = smooth.fitted
    predicted = fit(smooth).predict(smooth.designs[rows], POD_RBF)
    np.testing.assert_allclose(predicted.fields, smooth.reader.fields[rows], rtol=1e-6)


# Baselines


@pytest.mark.parametrize(("num_inputs", "num_times"), [(1, 1), (1, 4), (2, 1), (3, 4)])
def test_smooth_fields_are_predicted_well(
    num_inputs: int, num_times: int, smooth_set: Callable[..., SimpleNamespace]
) -> None:
    data = smooth_set(num_inputs=num_inputs, num_times=num_times)
    baselines = fit(data)
    true = data.reader.fields[data.unseen]
    of_mean = relative_error(data.reader.fields[data.fitted].mean(axis=0)[None], true)
    for model in baselines.names:
        predicted = baselines.predict(data.designs[data.unseen], model)
        assert predicted.fields.shape == predicted.std.shape == true.shape
        assert relative_error(predicted.fields, true) < 0.02 * of_mean
        assert relative_error(predicted.fields, true) < 10 * baselines.report[model]["error"]


def test_modes_do_not_collapse_to_the_mean_beside_noise(
    smooth_set: Callable[..., SimpleNamespace],
) -> None:
    data = smooth_set()
    noise = np.random.default_rng(4).standard_normal(data.reader.fields.shape)
    clean, data.reader.fields = data.reader.fields, data.reader.fields + noise.astype(np.float32)
    predicted = fit(data).predict(data.designs[data.unseen], POD_GPR)
    error = np.abs(predicted.fields - clean[data.unseen])
    assert np.sqrt(np.mean(error**2)) < 0.9  # the noise has 1, the mean 30
    assert 0.5 < np.mean(predicted.std) < 1.5


def test_std_of_gpr_knows_where_designs_are_and_that_of_rbf_is_the_held_out_error(
    smooth: SimpleNamespace,
) -> None:
    near, far = smooth.designs[:5], smooth.designs[:5] + 3.0
    stds = [smooth.baselines.predict(designs, POD_GPR).std.mean() for designs in (near, far)]
    assert stds[0] < 0.1 * stds[1]
    std = smooth.baselines.predict(smooth.designs[smooth.unseen], POD_RBF).std
    assert (std == std[0]).all()
    norms = np.linalg.norm(smooth.reader.fields[smooth.fitted], axis=(1, 2))
    relative = np.linalg.norm(std[0]) / norms.mean()
    error = smooth.baselines.report[POD_RBF]["error"]
    assert error < relative < 5 * error  # root mean square and mean of the same errors


def test_state_round_trip_predicts_the_same(smooth: SimpleNamespace, tmp_path: Path) -> None:
    limited = fit(smooth, max_gp_modes=2)
    for number, original in enumerate((smooth.baselines, limited)):
        save_artifact(original, tmp_path / str(number))
        loaded = load_artifact(Baselines, tmp_path / str(number))
        assert loaded.report == original.report
        for model in original.names:
            expected = original.predict(smooth.designs, model)
            predicted = loaded.predict(smooth.designs, model)
            np.testing.assert_allclose(predicted.fields, expected.fields, rtol=1e-10)
            np.testing.assert_allclose(predicted.std, expected.std, rtol=1e-6)


def test_number_of_jobs_does_not_matter(
    smooth: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline_tuning, "FEWEST_DESIGNS_FOR_JOBS", 0)
    parallel = fit(smooth, num_jobs=2)
    assert parallel.report == smooth.baselines.report
    for name, values in smooth.baselines.state().items():
        np.testing.assert_array_equal(parallel.state()[name], values, err_msg=name)


def test_limits_that_are_reached_are_reported(smooth: SimpleNamespace) -> None:
    assert smooth.baselines.report["limits_reached"] == []
    limited = fit(
        smooth,
        max_tuning_designs=20,
        max_rbf_designs=28,
        max_gp_designs=25,
        max_gp_modes=3,
        max_length_scales=1,
    )
    report = limited.report
    json.dumps(report, allow_nan=False)
    assert report["limits_reached"] == [
        "max_tuning_designs",
        "max_rbf_designs",
        "max_gp_designs",
        "max_gp_modes",
        "max_length_scales",
    ]
    assert report["num_tuning_designs"] == 20
    assert (report[POD_RBF]["num_designs"], report[POD_GPR]["num_designs"]) == (28, 25)
    assert report[POD_GPR]["num_modes"] == 3
    assert 0.9 < report[POD_GPR]["energy"] < 1
    assert report[POD_GPR]["other_modes"] in (POD_RBF, "mean")
    assert not any(candidate["anisotropic"] for candidate in report[POD_GPR]["candidates"])
    true = smooth.reader.fields[smooth.unseen]
    for model in limited.names:
        predicted = limited.predict(smooth.designs[smooth.unseen], model)
        assert relative_error(predicted.fields, true) < 0.02


def test_memory_limit_is_reported(smooth_set: Callable[..., SimpleNamespace]) -> None:
    data = smooth_set(num_times=30, num_nodes=70)
    report = fit(data, max_bytes=2**16).report
    assert report["num_modes"] == 2**16 // (4 * 30 * 70)
    assert report["limits_reached"] == ["max_bytes"]
    assert 0 < report["lost_energy"] < 1e-3


def test_repeated_designs_count_once_with_the_mean_of_their_fields(
    smooth: SimpleNamespace,
    caplog: pytest.LogCaptureFixture,
    smooth_set: Callable[..., SimpleNamespace],
) -> None:
    data = smooth_set()
    data.designs[[7, 20]] = data.designs[3]
    with caplog.at_level("WARNING"):
        baselines = fit(data)
    assert baselines.report["repeated_designs"] == [[3, 7, 20]]
    assert "[[3, 7, 20]]" in caplog.text
    assert baselines.report["num_designs"] == NUM_FITTED - 2
    for model in baselines.names:
        assert np.isfinite(baselines.predict(data.designs[:4], model).fields).all()


def test_parameters_that_do_not_vary_are_ignored(
    smooth: SimpleNamespace, smooth_set: Callable[..., SimpleNamespace]
) -> None:
    data = smooth_set()
    data.designs = np.insert(data.designs, 1, 7.0, axis=1)
    baselines = fit(data)
    assert baselines.report["ignored_parameters"] == [1]
    for model in baselines.names:
        expected = smooth.baselines.predict(smooth.designs, model).fields
        np.testing.assert_allclose(
            baselines.predict(data.designs, model).fields, expected, rtol=1e-6
        )


def test_designs_that_cannot_be_fitted_are_refused(
    smooth_set: Callable[..., SimpleNamespace],
) -> None:
    data = smooth_set()
    rows, designs = data.fitted, data.designs[data.fitted]
    with pytest.raises(DataError, match="at least 3 distinct designs"):
        Baselines.fit(data.reader, rows[:2], designs[:2])
    with pytest.raises(DataError, match="got 2 in 30 rows"):
        Baselines.fit(data.reader, rows, np.sign(designs[:, :1]))
    with pytest.raises(DataError, match="for each of 30 rows, got 29"):
        Baselines.fit(data.reader, rows, designs[:-1])
    with pytest.raises(DataError, match="got shape"):
        Baselines.fit(data.reader, rows, designs[:, 0])
    designs[[4, 9], 1] = np.nan
    with pytest.raises(DataError, match=r"\[4, 9\]"):
        Baselines.fit(data.reader, rows, designs)


def test_three_designs_are_enough(smooth_set: Callable[..., SimpleNamespace]) -> None:
    data = smooth_set()
    baselines = Baselines.fit(data.reader, data.fitted[:3], data.designs[:3])
    for model in baselines.names:
        assert np.isfinite(baselines.predict(data.designs, model).fields).all()


def test_predictions_that_make_no_sense_are_refused(smooth: SimpleNamespace) -> None:
    with pytest.raises(DataError, match="2 parameters, got 3"):
        smooth.baselines.predict(np.zeros((1, 3)), POD_RBF)
    with pytest.raises(DataError, match="one of pod_rbf, pod_gpr, got 'vae'"):
        smooth.baselines.predict(np.zeros((1, 2)), "vae")
    with pytest.raises(DataError, match="finite"):
        smooth.baselines.predict(np.full((1, 2), np.inf), POD_GPR)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="max_modes"):
        BaselineConfig(max_modes=3)
