"""The scaling that fits the kind of designs: parameters or pictures."""

from __future__ import annotations

import logging
from itertools import compress

import pandas as pd

from .artifact import Config, State
from .config import DataConfig
from .errors import DataError
from .picture_scaler import PictureScaler
from .pictures import PICTURE_COLUMN, has_pictures, largest_side
from .scaling import DesignScaler

logger = logging.getLogger(__name__)

AnyDesignScaler = DesignScaler | PictureScaler

# Training designs that differ: with fewer there is nothing to learn from.
FEWEST_DISTINCT = 3


def fit_scaler_of_designs(designs: pd.DataFrame, config: DataConfig) -> AnyDesignScaler:
    """Fit the scaling of the training designs.

    Raises:
        DataError: parameters cannot be scaled as asked for, nearly all designs are the same, or a
            picture is missing or broken.
    """
    if not has_pictures(designs):
        _warn_if_set(config, "image_size", "a table of parameters")
        num_distinct = len(designs.drop_duplicates())
        if num_distinct < FEWEST_DISTINCT:
            raise DataError(
                f"The {len(designs)} training designs have {num_distinct} different rows of "
                f"{', '.join(map(str, designs))}. Expected at least {FEWEST_DISTINCT}: parameters "
                f"that tell the designs apart, and enough designs."
            )
        parameters = DesignScaler(config.design_scaling).fit(designs)
        if parameters.log_.any():
            logged = ", ".join(compress(parameters.columns_, parameters.log_))
            logger.info("Taken in log10 (data.design_scaling): %s", logged)
        return parameters
    _warn_if_set(config, "design_scaling", "pictures")
    scaler = PictureScaler(config.image_size).fit(designs)
    largest = largest_side(designs[PICTURE_COLUMN])
    if largest < config.image_size:
        logger.warning(
            "No picture has a side of more than %d pixels, and all are enlarged to %d x %d: "
            "data.image_size=%d reads them at their own size.",
            *(largest, config.image_size, config.image_size, largest),
        )
    return scaler


def _warn_if_set(config: DataConfig, name: str, designs: str) -> None:
    given = getattr(config, name)
    if given != DataConfig.model_fields[name].default:
        logger.warning("data.%s=%s does nothing with designs that are %s.", name, given, designs)


def design_scaler_from_state(config: Config, state: State) -> AnyDesignScaler:
    """Rebuild a scaling of either kind."""
    kind = PictureScaler if "image_size" in config else DesignScaler
    return kind.from_state(config, state)
