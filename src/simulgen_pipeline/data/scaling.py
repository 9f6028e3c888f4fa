"""Scaling of fields and of designs, fitted on training designs only.

Shapes: n designs, T time steps, M nodes, P parameters.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from .artifact import Config, State
from .design_inputs import DesignInputs
from .errors import DataError

logger = logging.getLogger(__name__)

FieldScaling = Literal["centred", "min_max"]
DesignScaling = Literal["auto", "linear", "log"]

# Range of min-max scaled fields.
MIN_MAX_RANGE = (-0.7, 0.7)
# Spread, relative to the largest mean, that is rounding: all nodes are then taken as constant.
SMALLEST_SPREAD = 1e-12
# How far beyond the training range, relative to its width, a design is taken as inside it.
RANGE_TOLERANCE = 1e-6


class FieldScaler:
    """Affine scaling of fields, scaled = (field - offset_) / scale_, fitted in one streaming pass.

    `centred`: each node's mean over training designs and times, and one scale for all nodes, so
    that a squared error of scaled fields is a squared error of fields. `min_max`: each node's
    extremes are mapped to [-0.7, 0.7]; a node that is constant in training has the largest scale.

    Attributes:
        offset_, scale_: (M,) in the field's units.
    """

    def __init__(self, scaling: FieldScaling = "centred") -> None:
        self.scaling = scaling

    def fit(self, blocks: Iterable[NDArray[Any]]) -> Self:
        """Fit on blocks (n, T, M) of the training designs."""
        scaler: StandardScaler | MinMaxScaler
        scaler = StandardScaler() if self.scaling == "centred" else MinMaxScaler(MIN_MAX_RANGE)
        for block in blocks:
            scaler.partial_fit(block.reshape(-1, block.shape[-1]).astype(np.float64))
        if isinstance(scaler, StandardScaler):
            self.offset_ = scaler.mean_
            spread = float(np.sqrt(np.mean(scaler.var_)))
            constant = spread <= SMALLEST_SPREAD * np.abs(self.offset_).max()
            self.scale_ = np.full_like(self.offset_, 1.0 if constant else spread)
        else:
            ranges, width = scaler.data_range_, MIN_MAX_RANGE[1] - MIN_MAX_RANGE[0]
            self.scale_ = np.where(ranges > 0, ranges, ranges.max() or width) / width
            self.offset_ = scaler.data_min_ - MIN_MAX_RANGE[0] * self.scale_
        return self

    def transform(self, fields: NDArray[Any]) -> NDArray[np.float64]:
        """Physical (..., M) to scaled (..., M)."""
        return np.asarray((fields - self.offset_) / self.scale_)

    def inverse_transform(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """Scaled (..., M) to physical (..., M)."""
        return np.asarray(scaled * self.scale_ + self.offset_)

    def config(self) -> Config:
        return {"scaling": self.scaling}

    def state(self) -> State:
        return {"offset": self.offset_, "scale": self.scale_}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        scaler = cls(config["scaling"])
        scaler.offset_, scaler.scale_ = state["offset"], state["scale"]
        return scaler


class DesignScaler:
    """Parameters scaled to [-1, 1] over the training designs, some of them in log10 first.

    With `auto` a column is taken in log10 where it is positive and spans a decade in training. A
    column that is constant in training is mapped to 0 there.

    Attributes:
        columns_: names of the parameters (P).
        log_: (P,) which columns are in log10.
        minimum_, maximum_: (P,) training range, physical units.
    """

    def __init__(self, scaling: DesignScaling = "auto") -> None:
        self.scaling = scaling

    def fit(self, designs: pd.DataFrame) -> Self:
        """Fit on the training designs, one row each.

        Raises:
            DataError: `log` is asked for and a column is not positive.
        """
        values = designs.to_numpy(np.float64)
        self.columns_ = [str(column) for column in designs.columns]
        self.minimum_, self.maximum_ = values.min(axis=0), values.max(axis=0)
        positive = self.minimum_ > 0
        if self.scaling == "log" and not positive.all():
            column = int(np.argmin(positive))
            raise DataError(
                f"data.design_scaling=log needs positive parameters; column "
                f"'{self.columns_[column]}' goes down to {self.minimum_[column]:g}. Use auto or "
                f"linear."
            )
        decade = positive & (self.maximum_ >= 10 * np.where(positive, self.minimum_, 1.0))
        self.log_ = {"linear": np.zeros_like(positive), "log": positive, "auto": decade}[
            self.scaling
        ]
        return self

    def inputs(self, designs: pd.DataFrame | NDArray[Any], warn: bool = True) -> DesignInputs:
        """Designs as models take them; arguments and errors are those of `transform`."""
        return DesignInputs(self.transform(designs, warn))

    def transform(
        self, designs: pd.DataFrame | NDArray[Any], warn: bool = True
    ) -> NDArray[np.float64]:
        """Designs (n, P) to scaled (n, P).

        A table's columns are matched by name, further columns are ignored; an array's by order.
        A value outside the training range is scaled all the same, with a warning (if `warn`) that
        names the column and the range.

        Raises:
            DataError: columns are missing, their number is wrong, or a value is not finite or, in a
                log10 column, not positive.
        """
        values = self._values(designs)
        if warn:
            self._warn_outside(values)
        values = np.where(self.log_, np.log10(np.where(self.log_, values, 1.0)), values)
        low = np.where(self.log_, np.log10(np.where(self.log_, self.minimum_, 1.0)), self.minimum_)
        high = np.where(self.log_, np.log10(np.where(self.log_, self.maximum_, 1.0)), self.maximum_)
        width = np.where(high > low, high - low, 1.0)
        centre = np.where(high > low, (high + low) / 2, low)
        return np.asarray(2 * (values - centre) / width)

    def _values(self, designs: pd.DataFrame | NDArray[Any]) -> NDArray[np.float64]:
        if isinstance(designs, pd.DataFrame):
            missing = [column for column in self.columns_ if column not in designs.columns]
            if missing:
                raise DataError(
                    f"The designs have no column {', '.join(map(repr, missing))}; this model was "
                    f"trained on {', '.join(self.columns_)}. Found {', '.join(map(str, designs))}."
                )
            try:
                # By the column: a row is told several times as fast as by selecting a table.
                columns = [designs[column].to_numpy(np.float64) for column in self.columns_]
                designs = np.column_stack(columns)
            except (TypeError, ValueError) as error:
                raise DataError(f"Designs must be numbers: {error}.") from error
        values = np.atleast_2d(np.asarray(designs, dtype=np.float64))
        if values.ndim != 2 or values.shape[1] != len(self.columns_):
            raise DataError(
                f"Designs of shape {list(values.shape)} do not fit: expected "
                f"[num_designs, {len(self.columns_)}] with {', '.join(self.columns_)}."
            )
        allowed = np.isfinite(values) & ~(self.log_ & (values <= 0))
        if not allowed.all():
            row, column = np.argwhere(~allowed)[0]
            wanted = "positive" if self.log_[column] else "finite"
            raise DataError(
                f"Design {row} has {self.columns_[column]}={values[row, column]:g}; expected a "
                f"{wanted} number."
            )
        return values

    def _warn_outside(self, values: NDArray[np.float64]) -> None:
        slack = RANGE_TOLERANCE * (self.maximum_ - self.minimum_)
        outside = (values < self.minimum_ - slack) | (values > self.maximum_ + slack)
        for column in np.flatnonzero(outside.any(axis=0)):
            given = values[outside[:, column], column]
            logger.warning(
                "%d of %d designs are outside the training range in column '%s': it was trained on "
                "[%g, %g], they have %g to %g. Predictions there are extrapolations.",
                len(given),
                len(values),
                self.columns_[column],
                self.minimum_[column],
                self.maximum_[column],
                given.min(),
                given.max(),
            )

    def config(self) -> Config:
        return {"scaling": self.scaling, "columns": self.columns_, "log": self.log_.tolist()}

    def state(self) -> State:
        return {"minimum": self.minimum_, "maximum": self.maximum_}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        scaler = cls(config["scaling"])
        scaler.columns_, scaler.log_ = list(config["columns"]), np.array(config["log"], dtype=bool)
        scaler.minimum_, scaler.maximum_ = state["minimum"], state["maximum"]
        return scaler
