"""Which conditioner predicts after the refit."""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.models.trained import CrossFittedConditioners
from simulgen_pipeline.pipelines.conditioner_training.nodes import refit_conditioner
from simulgen_pipeline.training import fit
from simulgen_pipeline.training.config import ConditionerConfig, EngineConfig, RefitConfig

VALIDATION = (3, 5, 8, 9)
PARTS = (3, 8), (5, 9)
FIELDS = np.random.default_rng(0).standard_normal((10, 4, 3)).astype(np.float32)
CHANNELS: Any = SimpleNamespace(read=lambda rows: FIELDS[list(rows)])
VAE: Any = SimpleNamespace(
    split=SimpleNamespace(validation=VALIDATION),
    design_scaler=SimpleNamespace(
        inputs=lambda table, warn: SimpleNamespace(take=lambda rows: list(rows))
    ),
)


def conditioner_with(*errors: float) -> Any:
    """Two members that are off by some share of the field, by design as in `VALIDATION`."""
    factors = dict(zip(VALIDATION, errors, strict=True))

    def channels(rows: list[int], vae: Any) -> torch.Tensor:
        told = np.stack([FIELDS[row] * (1 + factors[row]) for row in rows])
        return torch.from_numpy(np.stack([told - 0.5, told + 0.5]))

    return SimpleNamespace(channels=channels)


def refit(
    monkeypatch: pytest.MonkeyPatch, before: Any, refitted: Any, cross_fitted: Any, **config: Any
) -> tuple[Any, CrossFittedConditioners, pd.DataFrame]:
    parts = CrossFittedConditioners(list(zip(cross_fitted, PARTS, strict=True)))
    history = pd.DataFrame({"epoch": [1]})
    monkeypatch.setattr(fit, "refit_conditioner", lambda *_: (refitted, parts, history))
    nothing: Any = None
    return refit_conditioner(
        before,
        VAE,
        SimpleNamespace(values=None),  # type: ignore[arg-type]
        CHANNELS,
        nothing,
        ConditionerConfig(),
        RefitConfig(**config),
        DataConfig(),
        EngineConfig(),
        nothing,
        nothing,
    )


def test_what_errs_less_on_designs_it_does_not_know_predicts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, refitted = conditioner_with(0.4, 0.2, 0.3, 0.5), conditioner_with(0, 0, 0, 0)
    # A part's conditioner knows the other designs, where it would be right.
    cross_fitted = conditioner_with(0.3, 0, 0.2, 0), conditioner_with(0, 0.1, 0, 0.4)
    caplog.set_level(logging.INFO)
    predicts, parts, history = refit(monkeypatch, before, refitted, cross_fitted)
    assert predicts is refitted
    assert parts.parts == list(zip(cross_fitted, PARTS, strict=True))
    assert len(history) == 1
    assert "35.00% before the refit, 25.00% after it" in caplog.text
    assert "larger" not in caplog.text


def test_what_was_there_predicts_where_a_refit_clearly_errs_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, refitted = conditioner_with(0.1, 0.1, 0.1, 0.2), conditioner_with(0, 0, 0, 0)
    cross_fitted = conditioner_with(0.3, 0, 0.3, 0), conditioner_with(0, 0.4, 0, 0.4)
    predicts, parts, history = refit(monkeypatch, before, refitted, cross_fitted)
    assert predicts is before
    assert parts.parts == [(before, VALIDATION)]
    assert len(history) == 1
    assert "The refit made errors larger" in caplog.text


def test_a_few_designs_that_err_more_leave_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    before, refitted = conditioner_with(0.2, 0.2, 0.2, 0.2), conditioner_with(0, 0, 0, 0)
    cross_fitted = conditioner_with(0.6, 0, 0.1, 0), conditioner_with(0, 0.1, 0, 0.1)
    predicts, _, _ = refit(monkeypatch, before, refitted, cross_fitted)
    assert predicts is refitted


def test_no_refit_is_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    before, other = conditioner_with(0.4, 0.2, 0.3, 0.5), conditioner_with(0, 0, 0, 0)
    predicts, parts, history = refit(monkeypatch, before, other, (other, other), enabled=False)
    assert predicts is before
    assert parts.parts == [(before, VALIDATION)]
    assert len(history) == 0
