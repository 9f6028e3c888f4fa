"""The demo's design study: sampling and the parallel simulation of all designs."""

import io

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from simulgen_pipeline.pipelines.demo_data import heat, study
from simulgen_pipeline.pipelines.demo_data.config import DemoDataConfig

SMALL = DemoDataConfig(num_designs=6, num_held_back=3, num_times=5, num_substeps=2, num_nodes=300)


def test_designs_lie_in_the_box_and_have_unique_ids() -> None:
    designs, held_back = study.sample_designs(SMALL)
    assert list(designs.columns) == ["id", *study.DESIGN_RANGES]
    assert list(held_back.columns) == list(designs.columns)
    assert (len(designs), len(held_back)) == (6, 3)
    both = pd.concat([designs, held_back])
    assert both["id"].is_unique
    for name, (low, high) in study.DESIGN_RANGES.items():
        assert both[name].between(low, high).all()


def test_each_parameter_is_spread_evenly() -> None:
    designs, _ = study.sample_designs(DemoDataConfig(num_designs=50))
    for name, (low, high) in study.DESIGN_RANGES.items():
        strata = np.floor(50 * (designs[name] - low) / (high - low) + 1e-3)  # rounded decimals
        assert strata.clip(0, 49).nunique() >= 49


def test_designs_follow_from_the_seed() -> None:
    (first, held_back), (again, _) = study.sample_designs(SMALL), study.sample_designs(SMALL)
    other, _ = study.sample_designs(SMALL.model_copy(update={"seed": 1}))
    pd.testing.assert_frame_equal(first, again)
    names = list(study.DESIGN_RANGES)
    assert not np.isclose(first[names], other[names]).any()
    assert not np.isclose(first[names][:3], held_back[names]).any()


def test_ranges_name_the_parameters_of_a_design() -> None:
    assert tuple(study.DESIGN_RANGES) == heat.ScanDesign._fields


def test_beam_is_narrow_and_stays_on_the_plate() -> None:
    width = 1e3 * heat.PLATE_WIDTH
    low = {name: ends[0] for name, ends in study.DESIGN_RANGES.items()}
    high = {name: ends[1] for name, ends in study.DESIGN_RANGES.items()}
    assert high["beam_radius_mm"] <= 0.05 * width
    clear = 2 * high["beam_radius_mm"]
    assert low["scan_start_mm"] - clear > 0
    end = high["scan_start_mm"] + high["scan_speed_mm_s"] * heat.SCAN_TIME
    assert end + clear < width
    reach = high["weave_amplitude_mm"] + clear
    assert low["scan_height_mm"] - reach > 0
    assert high["scan_height_mm"] + reach < width


def test_fields_do_not_depend_on_the_number_of_processes() -> None:
    designs, _ = study.sample_designs(SMALL)
    alone = study.simulate(designs, SMALL, num_workers=1)
    shared = study.simulate(designs, SMALL, num_workers=2)
    np.testing.assert_array_equal(alone, shared)


def test_fields_follow_the_designs_of_the_table_also_from_csv() -> None:
    designs, _ = study.sample_designs(SMALL)
    fields = study.simulate(designs, SMALL, num_workers=1)
    assert fields.shape == (6, 5, 300)
    assert fields.dtype == np.float32
    assert len(study.output_times(SMALL)) == 5
    back = pd.read_csv(io.StringIO(designs.to_csv(index=False))).iloc[::-1]
    np.testing.assert_array_equal(study.simulate(back, SMALL, num_workers=1), fields[::-1])


def test_config_refuses_unknown_names_and_changes() -> None:
    with pytest.raises(ValidationError, match="num_design"):
        DemoDataConfig.model_validate({"num_design": 3})
    with pytest.raises(ValidationError, match="frozen"):
        SMALL.num_designs = 3  # type: ignore[misc]
    assert all(field.description for field in DemoDataConfig.model_fields.values())
