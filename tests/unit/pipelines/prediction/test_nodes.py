"""What is said of the model that predicts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simulgen_pipeline.pipelines.prediction.config import PredictionConfig
from simulgen_pipeline.pipelines.prediction.nodes import predict_fields

BETTER = "By the validation designs pod_gpr is the champion"


@pytest.mark.parametrize(
    ("model", "champion", "name", "is_told"),
    [
        ("vae", "vae", "vae", False),
        ("champion", "vae", "vae", False),
        ("vae", "pod_gpr", "vae", True),
        ("champion", "pod_gpr", "pod_gpr", False),
        ("pod_rbf", "pod_gpr", "pod_rbf", False),
    ],
)
def test_the_model_is_named_and_a_better_one_is_told_of(
    model: Any,
    champion: str,
    name: str,
    is_told: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    designs = tmp_path / "new.csv"
    designs.write_text("speed\n1.0\n2.0\n")
    surrogate: Any = SimpleNamespace(
        champion=champion, resolve=lambda model: champion if model == "champion" else model
    )
    with caplog.at_level("INFO"):
        predict_fields(surrogate, designs, PredictionConfig(model=model))
    assert caplog.messages[0] == f"Predicting 2 designs with {name}"
    assert [message.startswith(BETTER) for message in caplog.messages[1:]] == [True] * is_told
