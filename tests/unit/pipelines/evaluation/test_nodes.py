"""What the parts of a surrogate are fitted, calibrated and measured on, from node to node."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.design_inputs import DesignInputs
from simulgen_pipeline.data.design_scalers import fit_scaler_of_designs
from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.data.ingest import ingest
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.evaluation import generation
from simulgen_pipeline.evaluation.metrics import HIGHEST_LEVEL
from simulgen_pipeline.models import lift
from simulgen_pipeline.models.baselines import BaselineConfig, Baselines
from simulgen_pipeline.models.latents import Latents
from simulgen_pipeline.models.trained import CrossFittedConditioners, LatentArrays
from simulgen_pipeline.pipelines.evaluation import nodes
from simulgen_pipeline.pipelines.evaluation.nodes import (
    assemble_surrogate,
    evaluate,
    fit_baselines,
)
from simulgen_pipeline.surrogate import Surrogate

ROWS = tuple(range(24))
SPLIT = Split(train=ROWS[:14], validation=ROWS[14:19], test=ROWS[19:])
MEMBERS = (0.9, 1.1)
# What the fields of the refitted conditioner are multiplied with, and of the second cross-fitted.
REFITTED, SECOND = 2.0, 1.2
# The same of the conditioner that was not refitted.
TRAINED = 1.4


def conditioner_of(field: np.ndarray, num_designs: int) -> Any:
    """One that predicts the same field (T, M) for every design, but for its members' opinions."""
    members = torch.from_numpy(np.stack([size * field for size in MEMBERS])).float()

    def latents(designs: DesignInputs, vae: Any) -> Latents:
        fields = members[:, None].expand(-1, len(designs), -1, -1)
        return Latents(fields, fields)

    architecture = SimpleNamespace(num_members=len(MEMBERS))
    return SimpleNamespace(
        latents=latents,
        decoder_with=lambda vae: Telling(),
        num_designs=num_designs,
        network=SimpleNamespace(architecture=architecture),
    )


class Telling:
    """A decoder of latents that are the fields, prepared or not."""

    last_linear = None

    def __call__(self, latents: Latents) -> torch.Tensor:
        return latents.main

    def field_of(self, features: torch.Tensor, latents: Latents) -> torch.Tensor:
        return features


def cross_fitted_on(field: np.ndarray, split: Split) -> CrossFittedConditioners:
    """Of two parts of the validation designs, the second one's a little off."""
    first, *others = split.validation
    parts = [(1.0, (first,)), (SECOND, tuple(others))]
    num_known = len(split.train) + len(split.validation)
    return CrossFittedConditioners(
        [(conditioner_of(size * field, num_known - len(rows)), rows) for size, rows in parts]
    )


@pytest.fixture
def assembled(
    pulse: SimpleNamespace,
    write_pulse: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[Baselines, Surrogate, Any]]:
    """Baselines, a surrogate and a call that evaluates it; the VAE's fields are all the same."""
    drawn = LatentArrays(np.zeros(2), np.zeros(2))
    monkeypatch.setattr(generation, "sample_latents", lambda *args: drawn)
    monkeypatch.setattr(lift, "PreparedDecoder", lambda decoder: decoder)

    def assemble(split: Split = SPLIT) -> tuple[Baselines, Surrogate, Any]:
        ingest(write_pulse(), DataConfig()).save(tmp_path / "fields.h5")
        fields, table = open_fields(tmp_path / "fields.h5"), pulse.designs
        mean = pulse.fields[:14].mean(axis=0)
        num_nodes = mean.shape[1]
        as_it_is: Any = SimpleNamespace(
            inverse_transform=lambda channels: channels,
            num_nodes=num_nodes,
            scaler=SimpleNamespace(scale_=np.ones(num_nodes), offset_=np.zeros(num_nodes)),
            basis=None,
        )
        vae: Any = SimpleNamespace(
            split=split,
            design_scaler=fit_scaler_of_designs(table.iloc[list(split.train)], DataConfig()),
            representation=as_it_is,
            network=SimpleNamespace(architecture=SimpleNamespace(num_time_steps=len(mean))),
            decode=lambda stored: np.stack([mean] * len(stored.main)),
        )
        num_known = len(split.train) + len(split.validation)
        refitted = conditioner_of(REFITTED * mean, num_known)
        cross_fitted = cross_fitted_on(mean, split)
        baselines = fit_baselines(fields, table, vae, BaselineConfig())
        surrogate = assemble_surrogate(
            vae,
            conditioner_of(TRAINED * mean, len(split.train)),
            refitted,
            cross_fitted,
            baselines,
            fields,
            table,
            BaselineConfig(),
        )
        latents: Any = SimpleNamespace(values=(np.zeros(24), np.zeros(24)))
        measured = evaluate(surrogate, cross_fitted, baselines, latents, fields, table)
        return baselines, surrogate, measured

    return assemble


def errors_of(
    baselines: Baselines, surrogate: Surrogate, pulse: SimpleNamespace, rows: tuple[int, ...]
) -> dict[str, float]:
    inputs = surrogate.inputs(pulse.designs.iloc[list(rows)], warn=False)
    true = pulse.fields[list(rows)].astype(np.float64)
    errors = {}
    for model in baselines.names:
        wrong = np.linalg.norm(baselines.predict(inputs.features, model).fields - true, axis=(1, 2))
        errors[model] = float(np.mean(wrong / np.linalg.norm(true, axis=(1, 2))))
    return errors


def test_validation_is_measured_by_the_training_fit_and_test_by_what_predicts(
    assembled: Callable[..., Any], pulse: SimpleNamespace
) -> None:
    baselines, surrogate, (metrics, *_) = assembled()
    assert baselines.report["num_designs"] == 14
    assert surrogate.baselines.report["num_designs"] == 19
    assert metrics["baselines_not_refitted"] == surrogate.baselines.report["not_refitted"] == []
    assert metrics["suspect_designs"] == []
    validation = errors_of(baselines, surrogate, pulse, SPLIT.validation)
    test = errors_of(surrogate.baselines, surrogate, pulse, SPLIT.test)
    in_sample = errors_of(surrogate.baselines, surrogate, pulse, SPLIT.validation)
    for model, errors in metrics["baselines"].items():
        assert errors.keys() == {"validation", "test"}
        assert errors["validation"]["relative_l2_mean"] == pytest.approx(
            validation[model], rel=1e-4
        )
        assert errors["test"]["relative_l2_mean"] == pytest.approx(test[model], rel=1e-4)
        assert in_sample[model] < 0.5 * validation[model]


def test_the_champion_is_chosen_among_models_that_know_the_training_designs_alone(
    assembled: Callable[..., Any], pulse: SimpleNamespace
) -> None:
    baselines, surrogate, (metrics, *_) = assembled()
    true, mean = pulse.fields[list(SPLIT.validation)], pulse.fields[:14].mean(axis=0)
    wrong = np.linalg.norm(TRAINED * mean - true, axis=(1, 2)) / np.linalg.norm(true, axis=(1, 2))
    scores = {"vae": wrong.mean(), **errors_of(baselines, surrogate, pulse, SPLIT.validation)}
    assert metrics["champion_errors"] == pytest.approx(scores, rel=1e-4)
    assert surrogate.champion == metrics["champion"] == min(scores, key=lambda name: scores[name])


def test_factors_are_those_of_the_training_fit_on_the_validation_designs(
    assembled: Callable[..., Any], pulse: SimpleNamespace
) -> None:
    baselines, surrogate, _ = assembled()
    rows = list(SPLIT.validation)
    calibrated = surrogate.with_models(surrogate.conditioner, baselines)
    for model in baselines.names:
        predicted = calibrated.predict(pulse.designs.iloc[rows], model)
        inside = np.abs(predicted.fields - pulse.fields[rows]) <= 1.645 * predicted.std
        assert inside.mean() == pytest.approx(HIGHEST_LEVEL, abs=0.01)  # of five designs


def test_the_vae_predicts_with_the_refitted_conditioner_and_is_validated_without_it(
    assembled: Callable[..., Any], pulse: SimpleNamespace
) -> None:
    _, surrogate, (metrics, errors, *_) = assembled()
    mean = pulse.fields[:14].mean(axis=0)
    for part, sizes in (("validation", [1.0] + 4 * [SECOND]), ("test", 5 * [REFITTED])):
        true = pulse.fields[list(getattr(SPLIT, part))]
        told = np.array(sizes)[:, None, None] * mean
        wrong = np.linalg.norm(told - true, axis=(1, 2)) / np.linalg.norm(true, axis=(1, 2))
        np.testing.assert_allclose(errors.loc[errors["part"] == part, "vae"], wrong, rtol=1e-4)
        assert metrics["prediction"][part]["relative_l2_mean"] == pytest.approx(wrong.mean(), 1e-4)
    predicted = surrogate.predict(pulse.designs.iloc[[0]]).fields[0]
    np.testing.assert_allclose(predicted, REFITTED * mean, rtol=1e-3, atol=1e-3 * mean.max())


def test_the_vaes_spread_is_narrowed_for_the_designs_that_calibrating_conditioners_lack(
    assembled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, surrogate, _ = assembled()
    monkeypatch.setattr(nodes, "narrowing", lambda num_designs, num_known: 1.0)
    _, as_calibrated, _ = assembled()
    # One design is predicted by a conditioner that knows 18, four by one that knows 15.
    expected = {"vae": np.sqrt((18 + 4 * 15) / 5 / 19), "pod_rbf": 1.0, "pod_gpr": 1.0}
    ratios = {name: of / as_calibrated.factors[name] for name, of in surrogate.factors.items()}
    assert ratios == pytest.approx(expected)


def test_the_vaes_spread_is_calibrated_by_conditioners_that_do_not_know_the_designs(
    assembled: Callable[..., Any], pulse: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "narrowing", lambda num_designs, num_known: 1.0)
    baselines, surrogate, _ = assembled()
    mean = pulse.fields[:14].mean(axis=0)
    inside = []
    for conditioner, rows in cross_fitted_on(mean, SPLIT).parts:
        one = surrogate.with_models(conditioner, baselines)
        told, std = one.predict(pulse.designs.iloc[list(rows)])
        inside.append(np.abs(told - pulse.fields[list(rows)]) <= 1.645 * std)
    assert np.concatenate(inside).mean() == pytest.approx(HIGHEST_LEVEL, abs=0.01)


def test_nothing_depends_on_the_test_designs(
    assembled: Callable[..., Any], pulse: SimpleNamespace
) -> None:
    baselines, surrogate, _ = assembled()
    pulse.fields[list(SPLIT.test)] = 1e6
    other_baselines, other, _ = assembled()
    assert (other.champion, other.factors, other.shape) == (
        surrogate.champion,
        surrogate.factors,
        surrogate.shape,
    )
    for ours, theirs in ((baselines, other_baselines), (surrogate.baselines, other.baselines)):
        assert ours.report == theirs.report
        for name, values in ours.state().items():
            np.testing.assert_array_equal(values, theirs.state()[name], err_msg=name)


def test_without_test_designs_the_baselines_are_refitted_all_the_same(
    assembled: Callable[..., Any],
) -> None:
    split = Split(train=ROWS[:14] + ROWS[19:], validation=ROWS[14:19])
    baselines, surrogate, (metrics, *_) = assembled(split)
    assert baselines.report["num_designs"] == 19
    assert surrogate.baselines.report["num_designs"] == 24
    assert metrics["baselines"]["pod_rbf"].keys() == {"validation"}


@pytest.mark.parametrize("test", [ROWS[19:], ROWS[19:20], ()])
def test_pictures_show_predictions_of_designs_that_are_not_known(
    assembled: Callable[..., Any],
    pulse: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    test: tuple[int, ...],
) -> None:
    split = Split(train=ROWS[:14], validation=ROWS[14:19], test=test)
    _, surrogate, (_, errors, *_) = assembled(split)
    mean = pulse.fields[:14].mean(axis=0)
    monkeypatch.setattr(nodes.plots, "plot_over_time", lambda *drawn: drawn)
    monkeypatch.setattr(nodes.plots, "plot_over_mesh", lambda *drawn: drawn)
    fields, cross_fitted = open_fields(tmp_path / "fields.h5"), cross_fitted_on(mean, split)
    latents: Any = SimpleNamespace(values=(np.zeros(24), np.zeros(24)))
    over_time: Any = nodes.draw_over_time(
        surrogate, cross_fitted, latents, fields, pulse.designs, errors
    )
    predicted, shown, ids = over_time[3], over_time[5], over_time[7]
    sizes = dict.fromkeys(split.test, REFITTED) | dict.fromkeys(split.validation[1:], SECOND)
    for field, design_id in zip(predicted, ids, strict=True):
        row = pulse.designs.index.get_loc(design_id)
        told = sizes.get(row, 1.0) * mean[:, shown]
        np.testing.assert_allclose(field, told, rtol=1e-3, atol=1e-3 * mean.max())
    over_mesh: Any = nodes.draw_over_mesh(surrogate, cross_fitted, fields, pulse.designs, errors)
    assert over_mesh[3].shape == (len(over_mesh[1]), mean.shape[1])
