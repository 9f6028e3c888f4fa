"""What is computed from measured speeds, what counts as an operation, and the tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import step_rate, throughput, throughput_cases, throughput_page, travelling_pulse
from benchmarks.heat_pulse import output_times, sample_designs
from benchmarks.matrix_rate import matrix_rates
from benchmarks.training_rate import Order, loop_rates
from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.models.layers import DepthwiseConvolution
from simulgen_pipeline.training.config import EngineConfig, VaeConfig

STAGE = {"num_epochs": 5, "samples_per_second": 90.0, "samples_per_second_whole": 80.0}
STEP = {
    "name": "vae",
    "precision": "bfloat16",
    "gflop_per_sample": 3.0,
    "samples_per_second": 100.0,
    "profile": {"aten::mm": 0.75, "all others": 0.25},
}


def trained(name: str, **values: Any) -> dict[str, Any]:
    return {
        "name": name,
        "order": {"engine": {"precision": "auto", "seed": 0}},
        "seconds": {"reading_and_scaling": 1.0, "pod": 4.0, "training": 95.0},
        "num_channels": 300,
        "num_threads": 1,
        "stages": [STAGE],
        "steps": [STEP],
        "errors": [[20.0, 0.5], [30.0, 0.09], [40.0, 0.12], [50.0, 0.07]],
        "peak_bytes": 2e9,
        "matrix_gflops": {
            "before": {"float32": 140.0, "bfloat16": 900.0},
            "after": {"float32": 156.0, "bfloat16": 900.0},
        },
    } | values


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def operations(module: nn.Module, x: torch.Tensor) -> int:
    with step_rate.counter() as counted:
        module(x).sum().backward()
    return counted.get_total_flops()


def test_operations_of_a_linear_layer_are_counted_forward_and_backward() -> None:
    x = torch.randn(3, 5, 8, requires_grad=True)
    assert operations(nn.Linear(8, 4), x) == 3 * (2 * 3 * 5 * 8 * 4)


def test_a_depthwise_convolution_counts_one_kernel_per_channel() -> None:
    x = torch.randn(3, 10, 8, requires_grad=True)
    assert operations(DepthwiseConvolution(8), x) == 3 * (2 * 3 * 10 * 8 * 5)
    assert operations(step_rate.DenseConvolution(8), x) == 8 * operations(
        DepthwiseConvolution(8), x
    )


def test_gradients_that_nobody_asks_for_are_not_counted() -> None:
    assert operations(nn.Conv1d(8, 8, 5), torch.randn(3, 8, 14)) == 2 * (2 * 3 * 10 * 8 * 8 * 5)


@pytest.mark.parametrize("name", list(step_rate.LEVERS))
def test_levers_are_turned_round_and_back(name: str) -> None:
    def length_and_kernel() -> tuple[int, bool]:
        architecture = step_rate.latents.VaeArchitecture(
            num_time_steps=32,
            num_channels=4,
            filters=(8, 8),
            num_blocks=1,
            latent_size=2,
            hierarchical_latent_size=2,
            spectral_normalisation=False,
        )
        block = step_rate.layers.ResidualBlock(8)
        is_depthwise = isinstance(block.convolution, DepthwiseConvolution)
        return architecture.lengths[-1], is_depthwise

    assert length_and_kernel() == (16, True)
    with step_rate.LEVERS[name]():
        assert length_and_kernel() == ((32, True) if name == "multi-scale" else (16, False))
    assert length_and_kernel() == (16, True)


def test_shares_of_a_profile_are_the_largest_and_the_rest() -> None:
    shares = step_rate.shares({f"op{i}": float(i) for i in range(20)})
    assert next(iter(shares)) == "op19"
    assert len(shares) == step_rate.NUM_TOP + 1
    assert sum(shares.values()) == pytest.approx(1.0)


def test_a_matrix_product_has_a_rate_in_each_precision() -> None:
    rates = matrix_rates(size=64)
    assert set(rates) == {"float32", "bfloat16"}
    assert min(rates.values()) > 0


def test_stages_are_told_apart_and_their_first_epochs_left_out() -> None:
    order = Order(
        simulations=Path("a.h5"), designs=Path("a.csv"), vae=VaeConfig(), engine=EngineConfig()
    )
    history = pd.DataFrame(
        {
            "samples_per_second": [1.0, 10.0, 30.0, 20.0, 2.0, 50.0],
            "latent_error": [np.nan] * 4 + [0.1, 0.1],
        }
    )
    decoder, encoder = loop_rates(history, [0.0, 1.0, 2.0, 4.0, 9.0, 11.0], order, 40)
    assert decoder == {
        "num_epochs": 4,
        "samples_per_second": 20.0,
        "samples_per_second_whole": pytest.approx(3 * 32 / 4.0),  # two full batches of 16
    }
    assert encoder["samples_per_second"] == 50.0
    assert encoder["samples_per_second_whole"] == pytest.approx(32 / 2.0)


def test_rates_are_converted_by_the_large_fp32_product() -> None:
    training = trained("field posterior")
    assert throughput_page.matrix_gflops(training, "float32") == 148.0
    assert throughput_page.on_original_machine(90.0, 148.0) == 45.0
    (row,) = rows_of(throughput_page.speed_table({"M4096": {"trainings": [training]}}))
    assert row[6:10] == ["40.0", "1.16", "34.5", "30"]  # of the rate with all else


def test_the_share_of_the_peak_is_in_the_precision_that_was_used() -> None:
    cases = {"M4096": {"trainings": [trained("field posterior")]}}
    (row,) = rows_of(throughput_page.limit_table(cases))
    assert row[-4:] == ["270", "900", "30%", "182%"]


def test_processes_are_compared_with_one_of_as_many_threads() -> None:
    found = [
        trained("1 of 2, M4096, auto", stages=[STAGE | {"samples_per_second": 100.0}]),
        trained("2 of 1, M4096, auto", stages=[STAGE | {"samples_per_second": 88.0}]),
        trained("2 of 1, demo, float32", stages=[STAGE | {"samples_per_second": 50.0}]),
    ]
    rows = rows_of(throughput_page.process_table({"processes": {"trainings": found}}))
    assert rows == [
        ["M4096, auto", "1 of 2", "100.0", "1.00"],
        ["M4096, auto", "2 of 1", "88.0", "0.88"],
        ["demo, float32", "2 of 1", "50.0", "-"],
    ]


def test_levers_are_factors_of_the_training_as_it_is() -> None:
    base = trained("as it is") | {"steps without depthwise": [STEP | {"samples_per_second": 25.0}]}
    slow = trained("float32", stages=[STAGE | {"samples_per_second": 30.0}])
    rows = rows_of(throughput_page.lever_table({"levers": {"trainings": [base, slow]}}))
    assert [row[2] for row in rows] == ["1", "0.33", "0.25"]
    assert rows[2][0] == "without depthwise"


def test_a_lever_that_failed_is_told_and_the_others_keep_their_base() -> None:
    base = trained("as it is") | {"error": "no memory"}
    slow = trained("float32") | {"failed": {"steps without depthwise": "killed"}}
    cases = {"levers": {"trainings": [base, slow]}}
    assert throughput_page.lever_table(cases) == ""
    assert throughput_page.problems(cases).splitlines() == [
        "- levers, as it is: training: no memory",
        "- levers, float32: steps without depthwise: killed",
    ]


def test_the_time_to_an_error_is_when_it_was_first_reached() -> None:
    errors = trained("float32")["errors"]
    assert throughput_page.time_to(errors, 0.10) == 30.0
    assert throughput_page.time_to(errors, 0.06) is None
    (row,) = rows_of(throughput_page.error_table({"demo": {"trainings": [trained("float32")]}}))
    assert row[3:] == ["4.0", "100", "20", "30", "30", "30", "-", "0.0700"]


def test_of_several_seeds_the_first_tells_the_time_to_an_error() -> None:
    names = ("nodes, float32", "POD, auto")
    found = [trained(name, errors=[[10.0 + seed, 0.4]]) for seed in range(2) for name in names]
    rows = rows_of(throughput_page.error_table({"accuracy": {"trainings": found}}))
    assert [(row[1], row[5]) for row in rows] == [(name, "10") for name in names]


def test_errors_of_seeds_have_their_mean() -> None:
    found = [
        trained("POD, auto", test_error=error, order={"engine": {"seed": seed}})
        for seed, error in enumerate((0.05, 0.07))
    ]
    rows = rows_of(throughput_page.accuracy_table({"accuracy": {"trainings": found}}))
    assert rows == [["POD, auto", "0.0500", "0.0700", "0.0600"]]


def test_the_page_has_what_was_measured_and_what_failed() -> None:
    failed = {"name": "compiled", "error": "no compiler"}
    cases = {
        "M4096": {"trainings": [trained("field posterior")]},
        "levers": {"trainings": [failed]},
    }
    text = throughput_page.page(cases)
    assert "aten::mm" in text
    assert "levers, compiled: training: no compiler" in text
    assert "two of one thread" not in text


def test_orders_of_all_cases_are_valid() -> None:
    options = throughput.parse(["--out", "results", "--epochs", "10"])
    assert "accuracy" not in options.cases  # it needs --data
    for case in throughput_cases.CASES.values():
        for training in case(options):
            vae = VaeConfig.model_validate(training.vae)
            EngineConfig.model_validate(training.engine or {})
            assert training.data == "demo" or vae.filters == (1024, 512, 256, 128)


def test_accuracy_says_what_it_lacks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        throughput.parse(["--out", "results", "--case", "accuracy", "--data", str(tmp_path)])
    assert "python -m benchmarks.make_data" in capsys.readouterr().err


def test_pulses_travel_at_their_speed(tmp_path: Path) -> None:
    design, time = sample_designs(seed=0)[0], output_times()
    nodes = np.random.default_rng(0).random((2000, 2))
    field = travelling_pulse.field(design, nodes, time)
    centre = (field @ nodes) / field.sum(axis=1, keepdims=True)  # (T, 2)
    inside = time < 0.2
    assert centre[inside, 0] == pytest.approx(design[0] + design[3] * time[inside], abs=0.02)
    assert centre[inside, 1] == pytest.approx(design[1], abs=0.02)


def test_pulses_are_written_as_simulations_are(tmp_path: Path) -> None:
    travelling_pulse.write_pulses(tmp_path, num_nodes=30, num_designs=3)
    fields = open_fields(tmp_path / "simulations.h5")
    assert fields.shape == (3, 50, 30)
    assert len(pd.read_csv(tmp_path / "designs.csv")) == 3
