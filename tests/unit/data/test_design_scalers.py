"""The scaling that fits the kind of designs, and what is said of options that it has no use for."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.design_scalers import fit_scaler_of_designs
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.picture_scaler import PictureScaler
from simulgen_pipeline.data.scaling import DesignScaler

PARAMETERS = pd.DataFrame({"speed": [1.0, 2.0, 4.0]})


def test_designs_that_are_nearly_all_the_same_are_refused() -> None:
    same = pd.DataFrame({"speed": [1.0, 1.0, 2.0, 1.0], "width": 0.5})
    with pytest.raises(DataError, match="4 training designs have 2 different rows of speed, width"):
        fit_scaler_of_designs(same, DataConfig())


@pytest.fixture
def pictures(tmp_path: Path) -> pd.DataFrame:
    """Two pictures, of 12 x 16 and 10 x 9 pixels."""
    levels = np.random.default_rng(0).integers(0, 255, (16, 12), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(levels[:9, :10]).save(tmp_path / "b.png")
    return pd.DataFrame({"picture": [str(tmp_path / "a.png"), str(tmp_path / "b.png")]})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, []),
        ({"design_scaling": "log"}, []),
        ({"image_size": 64}, ["data.image_size=64 does nothing with designs that are a table"]),
    ],
)
def test_sizes_of_pictures_do_nothing_for_parameters(
    given: dict[str, Any], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    scaler = fit_scaler_of_designs(PARAMETERS, DataConfig.model_validate(given))
    assert isinstance(scaler, DesignScaler)
    assert_said(said, caplog)


@pytest.mark.parametrize(
    ("scaling", "said"), [("auto", ["k"]), ("log", ["k, speed"]), ("linear", [])]
)
def test_columns_taken_in_log10_are_told(
    scaling: str, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.DataFrame({"k": [1.0, 10.0, 100.0], "speed": [1.0, 2.0, 3.0], "y": [-1.0, 0.0, 1.0]})
    if scaling == "log":
        del table["y"]
    with caplog.at_level("INFO"):
        fit_scaler_of_designs(table, DataConfig.model_validate({"design_scaling": scaling}))
    prefix = "Taken in log10 (data.design_scaling): "
    assert caplog.messages == [prefix + columns for columns in said]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image_size": 16}, []),
        ({"image_size": 8}, []),
        (
            {"image_size": 32},
            ["No picture has a side of more than 16 pixels, and all are enlarged"],
        ),
        (
            {"image_size": 16, "design_scaling": "log"},
            ["data.design_scaling=log does nothing with designs that are pictures"],
        ),
    ],
)
def test_scaling_of_parameters_does_nothing_for_pictures_and_small_ones_are_told_of(
    given: dict[str, Any],
    said: list[str],
    pictures: pd.DataFrame,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scaler = fit_scaler_of_designs(pictures, DataConfig.model_validate(given))
    assert isinstance(scaler, PictureScaler)
    assert_said(said, caplog)


def assert_said(said: list[str], caplog: pytest.LogCaptureFixture) -> None:
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == len(said)
    for message, start in zip(warnings, said, strict=True):
        assert message.startswith(start)
