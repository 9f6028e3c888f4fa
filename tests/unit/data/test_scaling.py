"""Scaling of fields and of designs, against closed forms."""

import logging
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.scaling import (
    DesignScaler,
    DesignScaling,
    FieldScaler,
    FieldScaling,
)

SCALINGS: list[FieldScaling] = ["centred", "min_max"]


def test_centred_fields_have_no_mean_at_a_node_and_unit_mean_square(pulse: SimpleNamespace) -> None:
    scaler = FieldScaler("centred").fit([pulse.fields])
    values = pulse.fields.astype(np.float64)
    np.testing.assert_allclose(scaler.offset_, values.mean(axis=(0, 1)), atol=1e-12)
    spread = np.sqrt(values.var(axis=(0, 1)).mean())
    np.testing.assert_allclose(scaler.scale_, np.full(30, spread), rtol=1e-10)
    scaled = scaler.transform(pulse.fields)
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0, atol=1e-10)
    assert np.square(scaled).mean() == pytest.approx(1)


def test_centred_scaling_keeps_the_ratio_of_errors_of_all_nodes(pulse: SimpleNamespace) -> None:
    scaler = FieldScaler("centred").fit([pulse.fields])
    error = np.random.default_rng(0).normal(size=pulse.fields.shape)
    scaled = scaler.transform(pulse.fields + error) - scaler.transform(pulse.fields)
    ratio = np.square(error).sum() / np.square(scaled).sum()
    assert ratio == pytest.approx(scaler.scale_[0] ** 2)


def test_min_max_maps_each_nodes_extremes_to_the_range(pulse: SimpleNamespace) -> None:
    scaler = FieldScaler("min_max").fit([pulse.fields])
    scaled = scaler.transform(pulse.fields)
    np.testing.assert_allclose(scaled.min(axis=(0, 1)), -0.7, atol=1e-6)
    np.testing.assert_allclose(scaled.max(axis=(0, 1)), 0.7, atol=1e-6)
    low, high = pulse.fields.min(axis=(0, 1)), pulse.fields.max(axis=(0, 1))
    np.testing.assert_allclose(scaler.scale_, (high - low) / 1.4, rtol=1e-6)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("size", [1, 5, 23])
def test_fitting_block_by_block_is_fitting_at_once(
    pulse: SimpleNamespace, scaling: FieldScaling, size: int
) -> None:
    once = FieldScaler(scaling).fit([pulse.fields])
    blocks = FieldScaler(scaling).fit(pulse.fields[i : i + size] for i in range(0, 24, size))
    np.testing.assert_allclose(blocks.offset_, once.offset_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(blocks.scale_, once.scale_, rtol=1e-9)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_fields_come_back_from_scaling(pulse: SimpleNamespace, scaling: FieldScaling) -> None:
    scaler = FieldScaler(scaling).fit([pulse.fields[:10]])
    back = scaler.inverse_transform(scaler.transform(pulse.fields))
    np.testing.assert_allclose(back, pulse.fields, atol=1e-9)


def test_a_mean_far_from_zero_does_not_lose_the_spread() -> None:
    spread = np.random.default_rng(0).normal(size=(20, 4, 3))
    scaler = FieldScaler("centred").fit(list(1e6 + spread.reshape(10, 2, 4, 3)))
    assert scaler.scale_[0] == pytest.approx(np.sqrt(spread.var(axis=(0, 1)).mean()), rel=1e-6)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_node_that_is_constant_in_training_keeps_its_value(
    pulse: SimpleNamespace, scaling: FieldScaling
) -> None:
    pulse.fields[..., 7] = 3.5
    scaler = FieldScaler(scaling).fit([pulse.fields])
    if scaling == "min_max":
        assert scaler.scale_[7] == scaler.scale_.max()
    scaled = scaler.transform(pulse.fields)
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled[..., 7], scaled[0, 0, 7])
    np.testing.assert_allclose(scaler.inverse_transform(scaled)[..., 7], 3.5, rtol=1e-12)
    # A change at that node, in a simulation not seen in training, is neither lost nor blown up.
    pulse.fields[..., 7] = 3.6
    changed = scaler.transform(pulse.fields)[..., 7] - scaled[..., 7]
    np.testing.assert_allclose(changed, 0.1 / scaler.scale_[7], rtol=1e-5)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("value", [0.0, 0.1, -273.15, 1e8 / 7])
def test_fields_that_are_constant_throughout_keep_their_units(
    scaling: FieldScaling, value: float
) -> None:
    fields = np.full((101, 51, 3), value)
    scaler = FieldScaler(scaling).fit(fields[start : start + 7] for start in range(0, 101, 7))
    np.testing.assert_array_equal(scaler.scale_, 1)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(fields)), fields)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_field_scaler_is_rebuilt_from_config_and_state(
    pulse: SimpleNamespace, scaling: FieldScaling
) -> None:
    scaler = FieldScaler(scaling).fit([pulse.fields])
    again = FieldScaler.from_state(scaler.config(), scaler.state())
    assert again.scaling == scaling
    np.testing.assert_array_equal(again.transform(pulse.fields), scaler.transform(pulse.fields))


def in_minus_one_to_one(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return 2 * (values - low) / (high - low) - 1


def test_linear_columns_are_mapped_to_minus_one_to_one(pulse: SimpleNamespace) -> None:
    scaled = DesignScaler("linear").fit(pulse.designs).transform(pulse.designs)
    for column, name in enumerate(pulse.designs):
        expected = in_minus_one_to_one(pulse.designs[name].to_numpy())
        np.testing.assert_allclose(scaled[:, column], expected, atol=1e-12)


def test_auto_takes_the_logarithm_of_a_column_that_spans_a_decade(pulse: SimpleNamespace) -> None:
    scaler = DesignScaler("auto").fit(pulse.designs)
    assert scaler.log_.tolist() == [False, True]
    scaled = scaler.transform(pulse.designs)
    logarithm = np.log10(pulse.designs["width"].to_numpy())
    np.testing.assert_allclose(scaled[:, 1], in_minus_one_to_one(logarithm), atol=1e-12)


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [
        (1.0, 10.0, True),
        (1.0, 9.99, False),
        (0.0, 100.0, False),
        (-1.0, 100.0, False),
        (-100.0, -1.0, False),
        (1e-12, 1e-11, True),
    ],
)
def test_a_decade_is_ten_times_a_positive_minimum(low: float, high: float, log: bool) -> None:
    scaler = DesignScaler("auto").fit(pd.DataFrame({"a": [low, high]}))
    assert scaler.log_.tolist() == [log]
    np.testing.assert_allclose(scaler.transform(np.array([[low], [high]]))[:, 0], [-1, 1])


def test_log_takes_the_logarithm_of_every_column(pulse: SimpleNamespace) -> None:
    scaler = DesignScaler("log").fit(pulse.designs)
    expected = in_minus_one_to_one(np.log10(pulse.designs["speed"].to_numpy()))
    np.testing.assert_allclose(scaler.transform(pulse.designs)[:, 0], expected, atol=1e-12)


def test_log_of_a_column_that_is_not_positive_names_it_and_its_minimum() -> None:
    designs = pd.DataFrame({"a": [1.0, 2.0], "b": [-0.5, 3.0], "c": [-7.0, 1.0]})
    with pytest.raises(DataError, match=r"'b' goes down to -0\.5. Use auto or linear"):
        DesignScaler("log").fit(designs)


@pytest.mark.parametrize("scaling", ["auto", "linear", "log"])
def test_a_constant_column_is_mapped_to_zero(scaling: DesignScaling) -> None:
    designs = pd.DataFrame({"a": [1.0, 2.0, 4.0], "constant": [3.0, 3.0, 3.0]})
    scaled = DesignScaler(scaling).fit(designs).transform(designs)
    np.testing.assert_array_equal(scaled[:, 1], 0)


def test_another_value_of_a_constant_column_is_scaled_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scaler = DesignScaler().fit(pd.DataFrame({"a": [3.0, 3.0]}))
    assert np.isfinite(scaler.transform(np.array([[3.5]]))).all()
    assert "trained on [3, 3], they have 3.5 to 3.5" in caplog.text


def test_columns_are_matched_by_name_and_others_ignored(pulse: SimpleNamespace) -> None:
    scaler = DesignScaler().fit(pulse.designs)
    shuffled = pulse.designs[["width", "speed"]].assign(id="x", note=1.0)
    np.testing.assert_array_equal(scaler.transform(shuffled), scaler.transform(pulse.designs))


def test_an_array_is_taken_in_the_order_of_training(pulse: SimpleNamespace) -> None:
    scaler = DesignScaler().fit(pulse.designs)
    array = pulse.designs.to_numpy()
    np.testing.assert_array_equal(scaler.transform(array), scaler.transform(pulse.designs))
    np.testing.assert_array_equal(scaler.transform(array[0]), scaler.transform(array[:1]))


def test_scaling_depends_on_training_designs_only(pulse: SimpleNamespace) -> None:
    train, other = pulse.designs.iloc[:12], pulse.designs.iloc[12:]
    scaler = DesignScaler().fit(train)
    together = scaler.transform(pulse.designs, warn=False)
    np.testing.assert_array_equal(together[12:], scaler.transform(other, warn=False))


def test_a_missing_column_is_named_with_those_expected_and_found(pulse: SimpleNamespace) -> None:
    scaler = DesignScaler().fit(pulse.designs)
    with pytest.raises(DataError, match=r"no column 'width'.*speed, width. Found speed, height"):
        scaler.transform(pulse.designs.rename(columns={"width": "height"}))


def test_a_column_that_is_there_twice_is_refused(pulse: SimpleNamespace) -> None:
    scaler = DesignScaler().fit(pulse.designs)
    twice = pd.concat([pulse.designs, pulse.designs[["width"]]], axis=1)
    with pytest.raises(DataError, match=r"shape \[24, 3\] do not fit"):
        scaler.transform(twice)


@pytest.mark.parametrize("shape", [(3, 1), (3, 3), (2,), (3,), (2, 2, 2)], ids=str)
def test_an_array_of_another_width_is_refused(
    pulse: SimpleNamespace, shape: tuple[int, ...]
) -> None:
    scaler = DesignScaler().fit(pulse.designs)
    if shape == (2,):  # one design
        assert scaler.transform(np.ones(shape), warn=False).shape == (1, 2)
        return
    with pytest.raises(DataError, match=r"expected \[num_designs, 2\] with speed, width"):
        scaler.transform(np.ones(shape))


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("speed", np.nan, "finite"),
        ("speed", np.inf, "finite"),
        ("width", np.nan, "positive"),
        ("width", 0.0, "positive"),
        ("width", -0.1, "positive"),
    ],
)
def test_a_value_that_cannot_be_scaled_is_named(
    pulse: SimpleNamespace, column: str, value: float, wanted: str
) -> None:
    scaler = DesignScaler().fit(pulse.designs)
    designs = pulse.designs.copy()
    designs.iloc[4, designs.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=f"Design 4 has {column}={value:g}; expected a {wanted}"):
        scaler.transform(designs)


def test_a_column_of_text_is_a_data_error(pulse: SimpleNamespace) -> None:
    scaler = DesignScaler().fit(pulse.designs)
    with pytest.raises(DataError, match="numbers"):
        scaler.transform(pulse.designs.assign(speed="fast"))


@pytest.fixture
def warned(
    pulse: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> Callable[[float, float], list[str]]:
    """Scales a design of some speed and width, and returns the warnings."""
    scaler = DesignScaler().fit(pd.DataFrame({"speed": [1.0, 2.0], "width": [0.1, 1.0]}))

    def transform(speed: float, width: float) -> list[str]:
        with caplog.at_level(logging.WARNING):
            scaler.transform(np.array([[1.5, 0.5], [speed, width]]))
        return [record.getMessage() for record in caplog.records]

    return transform


@pytest.mark.parametrize(("speed", "width"), [(1, 0.1), (2, 1), (1.5, 0.3), (2 + 1e-8, 1)])
def test_designs_inside_the_training_range_give_no_warning(
    warned: Callable[[float, float], list[str]], speed: float, width: float
) -> None:
    assert warned(speed, width) == []


@pytest.mark.parametrize(
    ("speed", "width", "column", "trained", "given"),
    [
        (2.5, 0.5, "speed", "[1, 2]", "2.5 to 2.5"),
        (0.25, 0.5, "speed", "[1, 2]", "0.25 to 0.25"),
        (1.5, 4.0, "width", "[0.1, 1]", "4 to 4"),
    ],
)
def test_a_design_outside_the_training_range_is_warned_of_by_column(
    warned: Callable[[float, float], list[str]],
    speed: float,
    width: float,
    column: str,
    trained: str,
    given: str,
) -> None:
    (message,) = warned(speed, width)
    assert "1 of 2 designs are outside the training range" in message
    assert f"column '{column}': it was trained on {trained}, they have {given}" in message


def test_every_column_outside_is_warned_of(warned: Callable[[float, float], list[str]]) -> None:
    assert len(warned(9, 9)) == 2


def test_a_warning_can_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    scaler = DesignScaler().fit(pd.DataFrame({"speed": [1.0, 2.0]}))
    np.testing.assert_allclose(scaler.transform(np.array([[3.0]]), warn=False), [[3.0]])
    assert caplog.text == ""


@pytest.mark.parametrize("scaling", ["auto", "linear", "log"])
def test_a_design_scaler_is_rebuilt_from_config_and_state(
    pulse: SimpleNamespace, scaling: DesignScaling
) -> None:
    scaler = DesignScaler(scaling).fit(pulse.designs)
    again = DesignScaler.from_state(scaler.config(), scaler.state())
    assert again.scaling == scaling
    np.testing.assert_array_equal(again.transform(pulse.designs), scaler.transform(pulse.designs))
