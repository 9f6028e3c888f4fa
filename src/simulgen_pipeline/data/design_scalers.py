"""The scaling that fits the kind of designs: parameters or pictures."""

from __future__ import annotations

import pandas as pd

from .artifact import Config, State
from .config import DataConfig
from .pictures import PictureScaler, has_pictures
from .scaling import DesignScaler

AnyDesignScaler = DesignScaler | PictureScaler


def fit_scaler_of_designs(designs: pd.DataFrame, config: DataConfig) -> AnyDesignScaler:
    """Fit the scaling of the training designs.

    Raises:
        DataError: parameters cannot be scaled as asked for, or a picture is missing or broken.
    """
    if has_pictures(designs):
        return PictureScaler(config.image_size).fit(designs)
    return DesignScaler(config.design_scaling).fit(designs)


def design_scaler_from_state(config: Config, state: State) -> AnyDesignScaler:
    """Rebuild a scaling of either kind."""
    kind = PictureScaler if "image_size" in config else DesignScaler
    return kind.from_state(config, state)
