"""Baselines that are given designs which contradict the others, and ones which do not."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simulgen_pipeline.data.artifact import load_artifact, save_artifact
from simulgen_pipeline.models.baselines import POD_GPR, POD_RBF, BaselineConfig, Baselines
from simulgen_pipeline.models.cross_validation import Folds
from simulgen_pipeline.models.fitted_designs import FittedDesigns
from simulgen_pipeline.models.refit_check import is_harmed

FITTED, ADDED, UNSEEN = np.arange(30), np.arange(30, 40), np.arange(40, 70)
BAD = 33


@pytest.fixture(scope="module", params=[128, 3])
def data(array_reader: Callable[..., Any], request: pytest.FixtureRequest) -> SimpleNamespace:
    """A pulse whose place and width depend on designs (N, 2), and the first designs' fit, with
    processes for all modes, or for a few and RBF for the others.
    """
    designs = np.random.default_rng(0).uniform(-1, 1, (70, 2))
    t, x = np.linspace(0, 1, 4)[:, None], np.linspace(-2, 2, 30)
    place, width = 0.4 * designs[:, 0, None, None] + 0.3 * t, 0.9 + 0.2 * designs[:, 1, None, None]
    fields = (3 + np.exp(-(((x - place) / width) ** 2))).astype(np.float32)
    config = BaselineConfig(max_gp_modes=request.param)
    first = Baselines.fit(array_reader(fields), FITTED, designs[FITTED], config)
    return SimpleNamespace(
        designs=designs, fields=fields, first=first, reader=array_reader, config=config
    )


def scaled(designs: np.ndarray, fields: np.ndarray) -> None:
    fields[BAD] *= 1.05


def near_another(designs: np.ndarray, fields: np.ndarray) -> None:
    designs[BAD] = designs[5] + 1e-3


def same_as_another(designs: np.ndarray, fields: np.ndarray) -> None:
    designs[BAD] = designs[5]


def refit(
    data: SimpleNamespace, spoil: Callable[[np.ndarray, np.ndarray], None] | None = None
) -> Baselines:
    designs, fields = data.designs.copy(), data.fields.copy()
    if spoil:
        spoil(designs, fields)
    return data.first.refit(data.reader(fields), ADDED, designs[ADDED], data.config)


def error(baselines: Baselines, data: SimpleNamespace, model: str) -> float:
    true = data.fields[UNSEEN]
    wrong = baselines.predict(data.designs[UNSEEN], model).fields - true
    return float(np.mean(np.linalg.norm(wrong, axis=(1, 2)) / np.linalg.norm(true, axis=(1, 2))))


def test_good_designs_are_added_and_help(
    data: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    both = refit(data)
    assert both.report["not_refitted"] == both.report["suspect_rows"] == []
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    for model in both.names:
        assert both.report[model]["num_designs"] == 40
        assert error(both, data, model) < error(data.first, data, model)


@pytest.mark.parametrize("spoil", [scaled, near_another, same_as_another])
def test_a_model_that_one_bad_design_would_ruin_stays_as_it_was_fitted(
    data: SimpleNamespace,
    spoil: Callable[[np.ndarray, np.ndarray], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    both = refit(data, spoil)
    kept = both.report["not_refitted"]
    assert POD_GPR in kept
    assert f"{' and '.join(kept)}: fitted to the training designs only" in caplog.text
    assert both.report["suspect_rows"][0] == BAD
    assert f"rows {BAD}, " in caplog.text
    for model in both.names:
        assert error(both, data, model) < 1.05 * error(data.first, data, model)
    for model in kept:
        assert both.report[model]["num_designs"] == 30
        expected, predicted = (of.predict(data.designs[UNSEEN], model) for of in (data.first, both))
        np.testing.assert_allclose(predicted.fields, expected.fields, rtol=1e-6)
        np.testing.assert_allclose(predicted.std, expected.std, rtol=1e-5)


@pytest.mark.parametrize("harmed", [[POD_RBF], [POD_GPR], [POD_RBF, POD_GPR]])
def test_each_model_is_kept_or_refitted_on_its_own(
    data: SimpleNamespace, harmed: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Baselines, "_harmed", lambda *_: harmed)
    save_artifact(refit(data, same_as_another), tmp_path / "both")
    both = load_artifact(Baselines, tmp_path / "both")
    assert both.report["not_refitted"] == harmed
    for model in both.names:
        # One of ten is a run of a fitted design: a model that stays leaves it out for both.
        assert both.report[model]["num_designs"] == (30 if model in harmed else 39)
        expected, predicted = (
            of.predict(data.designs[[*FITTED, *ADDED]], model) for of in (data.first, both)
        )
        same = np.isclose(predicted.fields, expected.fields, rtol=1e-6).all()
        assert same == (model in harmed)
        if model in harmed:
            np.testing.assert_allclose(predicted.std, expected.std, rtol=1e-5)
    assert both.report["repeated_designs"] == []


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_design_scaled_a_little_is_noticed_by_both_models_and_good_ones_are_not(
    array_reader: Callable[..., Any], spoiled: bool
) -> None:
    t, x = np.linspace(0, 1, 4)[:, None], np.linspace(-2, 2, 30)
    for seed in (0, 3, 4):  # where errors of held-out designs grow by a few per cent only
        designs = np.random.default_rng(seed).uniform(-1, 1, (100, 2))
        place = 0.8 * designs[:, 0, None, None] + 0.3 * t
        width = 0.5 + 0.2 * designs[:, 1, None, None]
        fields = (3 + np.exp(-(((x - place) / width) ** 2))).astype(np.float32)
        config = BaselineConfig(max_gp_modes=8)
        first = Baselines.fit(array_reader(fields), FITTED, designs[FITTED], config)
        if spoiled:
            fields[BAD] *= 1.05
        both = first.refit(array_reader(fields), ADDED, designs[ADDED], config)
        assert both.report["not_refitted"] == (list(both.names) if spoiled else [])


def test_errors_of_round_off_may_grow_and_a_singular_system_is_harm() -> None:
    rng = np.random.default_rng(0)
    first = FittedDesigns(
        rng.uniform(size=(10, 2)), rng.standard_normal((10, 3)), np.ones(10, int), np.arange(10)
    )
    both = first.with_runs(rng.uniform(size=(4, 2)), rng.standard_normal((4, 3)), np.arange(10, 14))

    def harmed(size: float, growth: float | None) -> bool:
        """Errors of a share of the coefficients, and of another once more designs are given."""

        def errors(folds: Folds) -> np.ndarray | None:
            held_out = np.concatenate(folds.held_out)
            told = len(folds.points) == 14 and len(held_out) == 14
            if told and growth is None:
                return None
            wrong = np.zeros_like(folds.coefficients)
            wrong[held_out] = size * folds.coefficients[held_out]
            return wrong * (growth or 1) if told else wrong

        return is_harmed(errors, first, both, 10, 14, 5)

    assert not harmed(0.1, 0.99)
    assert harmed(0.1, 1.01)
    assert not harmed(1e-7, 100)
    assert harmed(0.1, None)


def test_each_design_is_held_out_once_from_the_others_of_both_parts() -> None:
    first = FittedDesigns(np.arange(7.0)[:, None], np.ones((7, 1)), np.ones(7, int), np.arange(7))
    both = first.with_runs(10.0 + np.arange(6)[:, None], np.ones((6, 1)), np.arange(7, 13))
    asked = []

    def errors(folds: Folds) -> np.ndarray:
        asked.append([folds.points[held_out, 0].tolist() for held_out in folds.held_out])
        return np.zeros_like(folds.coefficients)

    # Of the seven first designs five are looked at; the regression is given no more than eleven.
    assert not is_harmed(errors, first, both, 5, 11, 2)
    assert asked == [
        [[0, 2, 4], [1, 3]],
        [[10, 11, 12, 13]],
        [[0, 2, 4, 11, 13], [1, 3, 10, 12]],
    ]
