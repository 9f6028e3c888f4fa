"""Parameters of data preparation: defaults, and impossible values refused with what was given."""

from typing import Any

import pytest
from pydantic import ValidationError

from simulgen_pipeline.data.config import DataConfig, SplitConfig


def test_defaults_are_the_documented_ones() -> None:
    config = DataConfig()
    assert (config.field, config.memory, config.design_scaling) == ("fields", "auto", "auto")
    assert config.time_range is None
    assert config.node_range is None
    assert config.split == SplitConfig(seed=0, validation=0.1, test=0.2, file=None)


def test_a_range_may_be_given_as_a_list() -> None:
    assert DataConfig.model_validate({"time_range": [2, 5]}).time_range == (2, 5)


def test_test_may_be_zero() -> None:
    assert SplitConfig(test=0).test == 0


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"time_range": [3, 3]}, r"time_range.*0 <= start < end, got \[3, 3\]"),
        ({"time_range": [5, 2]}, r"time_range.*got \[5, 2\]"),
        ({"node_range": [-1, 2]}, r"node_range.*got \[-1, 2\]"),
        ({"node_range": [0]}, "node_range"),
        ({"node_range": [0, 1.5]}, "node_range"),
        ({"memory": "disk"}, "memory.*preload.*lazy"),
        ({"field": ""}, "field"),
        ({"design_scaling": "ln"}, "design_scaling.*linear.*log"),
        ({"time_rang": [0, 1]}, "time_rang"),
        ({"split": {"validation": 0}}, "split.validation"),
        ({"split": {"validation": 1}}, "split.validation"),
        ({"split": {"test": -0.1}}, "split.test"),
        ({"split": {"validation": 0.5, "test": 0.5}}, r"got 0\.5 \+ 0\.5"),
        ({"split": {"seed": -1}}, "split.seed"),
        ({"split": {"train": 0.7}}, "split.train"),
    ],
    ids=str,
)
def test_impossible_or_unknown_values_are_refused_by_name(
    values: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=f"(?s){named}"):
        DataConfig.model_validate(values)


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DataConfig().field = "u"  # type: ignore[misc]


@pytest.mark.parametrize("model", [DataConfig, SplitConfig])
def test_every_value_is_described(model: type[DataConfig] | type[SplitConfig]) -> None:
    fields = {name: field for name, field in model.model_fields.items() if name != "split"}
    assert all(field.description for field in fields.values())
