"""What results say, and the tables that they become."""

from typing import Any

import pytest

from benchmarks import outcome, report
from benchmarks.data_sets import DATA_SETS, Target


def errors(mean: float, worst: float) -> dict[str, float]:
    return {"relative_l2_mean": mean, "relative_l2_max": worst}


def run(mode: str, seed: int = 0, mean: float = 0.04, champion: str = "vae") -> dict[str, Any]:
    def parts(value: float) -> dict[str, Any]:
        return {"validation": errors(2 * value, 3 * value), "test": errors(value, 2 * value)}

    return {
        "mode": mode,
        "seed": seed,
        "seconds": 100.0,
        "training_seconds": 90.0,
        "seconds_of_one": 0.02,
        "seconds_per_design": 0.01,
        "peak_bytes": 2e9,
        "node_seconds": {"train_conditioner": 20.0, "refit_conditioner": 10.0},
        "metrics": {
            "reconstruction": parts(0.02),
            "prediction": parts(mean),
            "baselines": {"pod_rbf": parts(0.3), "pod_gpr": parts(0.05)},
            "champion": champion,
            "generation": {
                "distance_to_training": {
                    "samples": 0.3 + 0.1 * seed,
                    "train": 0.2,
                    "validation": 0.4,
                    "test": 0.5,
                }
            },
        },
    }


def competitor(mean: float, by_train: float) -> dict[str, Any]:
    return {
        "errors": {"test": errors(mean, 2 * mean), "test_by_train": errors(by_train, by_train)},
        "fit_seconds": 12.0,
        "seconds": 15.0,
        "seconds_of_one": 0.003,
        "seconds_per_design": 0.001,
        "peak_bytes": 1e9,
    }


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "project": [
            run("full_vae", 0, 0.07, "pod_gpr"),
            run("full_vae", 1, 0.09),
            run("end_to_end", 0, 0.03),
            run("end_to_end", 1, 0.05),
            {"mode": "inverse", "seed": 0, "skipped": "the project has no such pipeline"},
        ],
        "competition": {
            "ezyrb_rbf_default": competitor(0.3, 0.31),
            "ezyrb_gp_default": competitor(0.9, 0.8),
            "ezyrb_rbf_tuned": competitor(0.2, 0.22),
            "ezyrb_gp_tuned": competitor(0.032, 0.05),
            "nearest_design": {"error": "out of memory"},
        },
    }


def test_seeds_give_the_mean_of_means_and_the_worst_of_all(result: dict[str, Any]) -> None:
    assert outcome.vae_errors(result, "end_to_end", "prediction", "test") == pytest.approx(
        (0.04, 0.10)
    )
    assert outcome.vae_errors(result, "conditioner_only", "prediction", "test") is None


def test_the_best_of_defaults_and_of_tuned_are_named(result: dict[str, Any]) -> None:
    best = outcome.best_competitor(result, "_default")
    assert best is not None
    assert str(best) == "0.3 / 0.6 (ezyrb_rbf_default)"
    assert outcome.best_competitor(result) == ("ezyrb_gp_tuned", (0.032, 0.064))
    assert outcome.best_competitor(result, "nearest_design") is None


def test_mode_and_champion_are_chosen_on_validation_designs(result: dict[str, Any]) -> None:
    for entry in result["project"][:2]:  # good on test designs, bad on validation designs
        entry["metrics"]["prediction"]["test"] = errors(0.001, 0.002)
        entry["metrics"]["baselines"]["pod_gpr"]["validation"] = errors(0.5, 0.6)
    best = outcome.best_mode(result, outcome.modes_of(result))
    assert best is not None
    assert best.name == "end_to_end"
    champion = outcome.champion(result)
    assert champion is not None
    assert champion.name == "vae"
    assert champion.errors == pytest.approx((0.04, 0.10))


def test_training_end_to_end_counts_the_vae_but_not_its_conditioner(
    result: dict[str, Any],
) -> None:
    assert outcome.training_minutes(result, "full_vae") == pytest.approx(1.5)
    assert outcome.training_minutes(result, "end_to_end") == pytest.approx((90 + 90 - 30) / 60)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("vae", mean=0.05, worst=0.2), "vae 0.05 / 0.2: met (end_to_end)"),
        (Target("vae", mean=0.05, worst=0.09), "vae 0.05 / 0.09: **missed** (end_to_end)"),
        (Target("vae", mean=0.05, minutes=3), "vae 0.05 in 3 min: met (end_to_end, 2.5 min)"),
        (Target("vae", mean=0.08, minutes=2), "vae 0.08 in 2 min: met (full_vae, 1.5 min)"),
        (
            Target("vae", mean=0.05, minutes=2),
            "vae 0.05 in 2 min: **missed** (full_vae, 1.5 min)",
        ),
        (
            Target("vae", mean=0.05, minutes=1),
            "vae 0.05 in 1 min: **missed** (end_to_end, 2.5 min)",
        ),
        (Target("vae", share_of_best=0.5), "vae 0.016: **missed** (end_to_end)"),
        (Target("full_vae", mean=0.1), "full_vae 0.1: met (full_vae)"),
        (Target("champion", mean=1e-6), "champion 1e-06: **missed** (vae)"),
        (Target("reconstruction", mean=0.02), "reconstruction 0.02: met (full_vae)"),
        (
            Target("reconstruction", share_of_best=0.3),
            "reconstruction 0.0096: **missed** (full_vae)",
        ),
    ],
)
def test_targets_are_met_or_missed(result: dict[str, Any], target: Target, verdict: str) -> None:
    data_set = DATA_SETS["heat_pulse"]._replace(targets=(target,))
    lines = outcome.verdicts(result, data_set)
    assert lines[0] == verdict
    assert lines[1] == (
        "champion at most 1.1 times the best competitor: **missed** (1.25; 0.8 of the best that "
        "is fitted to training designs alone)"
    )
    assert lines[2] == (
        "champion at most 1.1 times the better of the project's own baselines: met (0.8)"
    )
    assert lines[3] == (
        "samples of the prior as far from the training designs as test designs, within a factor of "
        "1.25: **missed** (0.7 times as far)"
    )


def test_by_how_much_and_why_the_vae_is_not_the_champion(result: dict[str, Any]) -> None:
    for i in (2, 3):
        result["project"][i]["metrics"]["champion"] = "pod_gpr"
    line = outcome.verdicts(result, DATA_SETS["burgers"])[-1]
    assert line.startswith("champion pod_gpr: the VAE's error is 0.8 times its; likely because it")
    assert "smooth in two parameters" in line


def test_what_was_not_measured_has_no_verdict(result: dict[str, Any]) -> None:
    assert outcome.verdicts(result | {"project": []}, DATA_SETS["heat_pulse"]) == []
    images = outcome.verdicts(result | {"competition": {}}, DATA_SETS["heat_pulse_images"])
    assert [line.partition(":")[0] for line in images] == [
        "vae 0.05",  # beside shares of the best competitor, which is not known
        "reconstruction 0.075",
        "champion at most 1.1 times the better of the project's own baselines",
        "samples of the prior as far from the training designs as test designs, within a factor of "
        "1.25",
    ]


def test_tables_have_a_row_per_data_set_and_a_cell_for_each_figure(result: dict[str, Any]) -> None:
    table = report.error_table({"heat_pulse": result, "burgers": result | {"project": []}})
    head, rule, pulse, burgers = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
    )
    assert len(head) == len(rule) == len(pulse) == len(burgers) == 11
    cells = dict(zip(head, pulse, strict=True))
    assert cells["data set"] == "heat_pulse"
    assert cells["EZyRB, tuned"] == "0.032 / 0.064 (ezyrb_gp_tuned)"
    assert cells["nearest design"] == "-"
    assert cells["our POD + GP"] == "0.05 / 0.1"
    assert cells["VAE reconstruction"] == "0.02 / 0.04"
    assert cells["VAE prediction, `conditioner_only`"] == "-"
    assert cells["VAE prediction, `end_to_end`"] == "0.04 / 0.1"
    assert cells["champion"] == "0.04 / 0.1 (vae)"
    assert dict(zip(head, burgers, strict=True))["champion"] == "-"


def test_costs_and_problems_are_listed(result: dict[str, Any]) -> None:
    page = report.page({"heat_pulse": result})
    assert "| heat_pulse | ezyrb_gp_tuned | 12 | 15 | 3 | 1 | 1 |" in page
    assert "| heat_pulse | `full_vae` | 90 | 100 | 20 | 10 | 2 |\n" in page
    assert "fields alone |" not in page
    assert "\n- heat_pulse: full_vae 0.1 in 5 min: met (full_vae, 1.5 min)\n" in page
    assert "- heat_pulse, nearest_design: error: out of memory" in page
    assert "- heat_pulse, inverse: skipped: the project has no such pipeline" in page


def test_fields_alone_have_a_row_where_they_were_measured(result: dict[str, Any]) -> None:
    for row, seconds in enumerate((0.004, 0.002)):
        alone = {"seconds_of_one": seconds, "seconds_per_design": seconds / 4}
        result["project"][row]["fields_alone"] = alone
    page = report.page({"heat_pulse": result})
    assert page.count("fields alone |") == 1
    assert (
        "| 20 | 10 | 2 |\n| heat_pulse | `full_vae`, fields alone | - | - | 4 | 1 | - |\n" in page
    )


def test_samples_of_the_prior_stand_beside_real_designs(result: dict[str, Any]) -> None:
    lines = report.sample_table({"heat_pulse": result, "burgers": result | {"project": []}})
    assert lines.splitlines() == [
        "| data set | samples | train | validation | test |",
        "| --- | --- | --- | --- | --- |",
        "| heat_pulse | 0.35 | 0.2 | 0.4 | 0.5 |",
    ]


@pytest.mark.parametrize(
    ("threads", "said"),
    [(None, "abcdef0 (2026-11-29)"), ("1", "abcdef0 (2026-11-29, OMP_NUM_THREADS=1)")],
)
def test_the_page_says_what_was_measured_when_and_on_how_many_threads(
    result: dict[str, Any], threads: str | None, said: str
) -> None:
    result |= {"code_revision": "abcdef0123", "date": "2026-11-29T08:00:00+00:00"}
    result["machine"] = {"omp_num_threads": threads}
    assert f"revision: heat_pulse {said}\n" in report.page({"heat_pulse": result})
