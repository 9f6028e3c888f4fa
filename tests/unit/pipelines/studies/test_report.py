"""What studies say: figures of folds and sizes, and the answer in words."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.pipelines.evaluation.assessment import Assessment
from simulgen_pipeline.pipelines.studies.nodes import draw_learning_curve, draw_repeated_splits
from simulgen_pipeline.pipelines.studies.report import member_result, report_folds, report_sizes

IDS = ["d0", "d1", "d2", "d3", "d4"]
SPLITS = {
    "fold_1": Split(train=(), validation=(), test=(1, 2, 4)),
    "fold_2": Split(train=(), validation=(), test=(0, 3)),
}
ERRORS = {
    "reconstruction": [0.01, 0.02, 0.03, 0.04, 0.05],
    "vae": [0.05, 0.06, 0.07, 0.09, 0.08],
    "pod_gpr": [0.1, 0.2, 0.3, 0.4, 0.5],
}


def fold_result(ids: list[str], champion: str, coverage: float) -> dict[str, Any]:
    """A member's result as it is stored, made from an assessment."""
    rows = [IDS.index(name) for name in ids]
    table = pd.DataFrame(ERRORS, index=IDS).iloc[rows].assign(part="test", peak_error=np.nan)
    others = pd.DataFrame(ERRORS, index=[f"other_{name}" for name in IDS]).assign(part="train")
    metrics = {
        "num_designs": {"test": len(ids)},
        "num_designs_fitted": {"vae": 9, "pod_gpr": 9},
        "reconstruction": {"test": {}},
        "prediction": {"test": {}},
        "baselines": {"pod_gpr": {"test": {}}},
        "uncertainty": {"test": {"coverage_90": coverage}},
        "champion": champion,
        "peaks": {"test": {}},
    }
    none = pd.DataFrame()
    result = member_result(Assessment(metrics, pd.concat([others, table]), none, none))
    stored: dict[str, Any] = json.loads(json.dumps(result))
    return stored


@pytest.fixture
def folds() -> list[dict[str, Any]]:
    return [
        fold_result(["d1", "d2", "d4"], "vae", 0.8),
        fold_result(["d0", "d3"], "pod_gpr", 0.9),
    ]


class TestFolds:
    def test_the_table_has_each_design_once_in_order(self, folds: Any) -> None:
        _, table = report_folds(folds, SPLITS, IDS)
        expected = pd.DataFrame({"fold": [2, 1, 1, 2, 1], **ERRORS}, index=pd.Index(IDS, name="id"))
        pd.testing.assert_frame_equal(table, expected)

    def test_errors_are_pooled_over_designs_and_spread_over_folds(self, folds: Any) -> None:
        summary = report_folds(folds, SPLITS, IDS)[0]["summary"]
        errors, means = np.array(ERRORS["vae"]), np.array([0.07, 0.07])
        found = summary["relative_l2"]["vae"]
        assert found["mean"] == pytest.approx(errors.mean())
        assert found["max"] == 0.09
        assert found["quantiles"]["0.5"] == 0.07
        assert found["quantiles"]["0.95"] == pytest.approx(np.quantile(errors, 0.95))
        assert found["std_over_designs"] == pytest.approx(errors.std(ddof=1))
        assert found["mean_over_folds"] == pytest.approx(means.mean())
        assert found["std_over_folds"] == pytest.approx(0)

    def test_the_standard_error_is_that_of_designs_or_of_folds_if_it_is_larger(
        self, folds: Any
    ) -> None:
        of = report_folds(folds, SPLITS, IDS)[0]["summary"]["relative_l2"]
        by_design = np.std(ERRORS["vae"], ddof=1) / np.sqrt(5)
        assert of["vae"]["standard_error"] == pytest.approx(by_design)
        for fold, error in zip(folds, (0.1, 0.3), strict=True):
            for errors in fold["design_errors"].values():
                errors["vae"] = error
        of = report_folds(folds, SPLITS, IDS)[0]["summary"]["relative_l2"]
        by_fold = np.std([0.1, 0.3], ddof=1) / np.sqrt(2)
        assert of["vae"]["standard_error"] == pytest.approx(by_fold)

    def test_coverage_and_champions_are_counted(self, folds: Any) -> None:
        report, _ = report_folds(folds, SPLITS, IDS)
        assert report["summary"]["coverage_90"]["mean"] == pytest.approx(0.85)
        assert report["summary"]["champion"] == {"vae": 1, "pod_gpr": 1}
        assert report["summary"]["num_designs"] == 5
        for fold in report["folds"]:
            assert fold.keys() == {
                "num_designs",
                "num_designs_fitted",
                "reconstruction",
                "prediction",
                "baselines",
                "uncertainty",
                "champion",
            }

    def test_a_design_without_an_error_is_in_the_table_and_in_no_figure(self, folds: Any) -> None:
        del folds[0]["design_errors"]["d4"]  # its true field is zero
        report, table = report_folds(folds, SPLITS, IDS)
        assert table.loc["d4", "fold"] == 1
        assert np.isnan(table.loc["d4", "vae"])
        found = report["summary"]["relative_l2"]["pod_gpr"]
        assert found["mean"] == pytest.approx(0.25)
        json.dumps(report, allow_nan=False)

    def test_the_figure_is_drawn_from_the_stored_table(self, folds: Any, tmp_path: Any) -> None:
        report_folds(folds, SPLITS, IDS)[1].to_csv(tmp_path / "errors.csv")
        stored = pd.read_csv(tmp_path / "errors.csv", index_col="id", dtype={"id": str})
        assert "5 designs" in draw_repeated_splits(stored).get_suptitle()


def size_result(num_designs: int, prediction: float, part: str = "test") -> dict[str, Any]:
    parts = {"validation", part}
    return {
        "num_designs": {"train": num_designs, "validation": 4, "test": 8 if part == "test" else 0},
        "num_designs_fitted": {"vae": num_designs + 4, "pod_gpr": num_designs + 4},
        "reconstruction": {name: {"relative_l2_mean": 0.01, "rmse": 2.0} for name in parts},
        "prediction": {name: {"relative_l2_mean": prediction, "rmse": 3.0} for name in parts},
        "baselines": {
            "pod_gpr": {
                "validation": {"relative_l2_mean": 2 / num_designs**0.25},
                "test": {"relative_l2_mean": 2 / (num_designs + 4) ** 0.25},
            }
        },
        "champion": "vae",
        "design_errors": {},
    }


def sizes_report(errors: dict[int, float], part: str = "test") -> dict[str, Any]:
    report = report_sizes([size_result(n, error, part) for n, error in errors.items()])
    stored: dict[str, Any] = json.loads(json.dumps(report, allow_nan=False))
    return stored


FALLING = {25: 0.19, 50: 0.134, 75: 0.115, 100: 0.0975}  # about 1 / sqrt(n + 4)


class TestSizes:
    def test_errors_are_those_of_the_test_designs_at_each_size(self) -> None:
        report = sizes_report(FALLING)
        assert (report["part"], report["num_designs"]) == ("test", 8)
        assert [size["num_designs"] for size in report["sizes"]] == list(FALLING)
        assert report["sizes"][1]["prediction"] == {"relative_l2_mean": 0.134, "rmse": 3.0}
        assert report["sizes"][1]["baselines"].keys() == {"pod_gpr"}

    def test_without_test_designs_they_are_those_of_the_validation_designs(self) -> None:
        report = sizes_report(FALLING, part="validation")
        assert (report["part"], report["num_designs"]) == ("validation", 4)

    def test_a_falling_error_is_extrapolated_and_said_to_gain(self) -> None:
        report = sizes_report(FALLING)
        law = report["power_laws"]["vae"]
        assert law["exponent"] == pytest.approx(0.5, abs=0.03)
        assert law["num_sizes"] == 4
        for name, multiple in (("doubling", 2), ("quadrupling", 4)):
            ahead = law[name]
            assert ahead["num_designs"] == multiple * 104
            assert ahead["expected_error"] == pytest.approx(0.1 / np.sqrt(multiple), rel=0.05)
            low, high = ahead["interval_90"]
            assert low < ahead["expected_error"] < high < 0.0975
        assert report["answer"].startswith(
            "Twice the designs to train with (208) would give an error of"
        )
        assert report["answer"].endswith("More simulations would help.")

    @pytest.mark.parametrize(
        ("part", "added_by_model"),
        [("test", {"vae": 4, "pod_gpr": 4}), ("validation", {"vae": 2, "pod_gpr": 0})],
    )
    def test_laws_are_over_the_designs_that_models_are_fitted_to(
        self, part: str, added_by_model: dict[str, int]
    ) -> None:
        """A validation design is predicted by a refit that lacks it, and others beside it."""
        report = sizes_report(FALLING, part)
        for model, added in added_by_model.items():
            sizes = [size["num_designs_fitted"][model] for size in report["sizes"]]
            assert sizes == [num_designs + added for num_designs in FALLING]
            assert report["power_laws"][model]["doubling"]["num_designs"] == 2 * (100 + added)
        assert report["power_laws"]["pod_gpr"]["exponent"] == pytest.approx(0.25)
        assert report["power_laws"]["reconstruction"]["doubling"]["num_designs"] == 200

    def test_refits_that_predict_validation_designs_lack_one_of_up_to_five_parts(self) -> None:
        results = [size_result(n, error, "validation") for n, error in FALLING.items()]
        for result in results:
            result["num_designs"]["validation"] = 20
            result["num_designs_fitted"]["vae"] = result["num_designs"]["train"] + 20
        sizes = report_sizes(results)["sizes"]
        known = [size["num_designs_fitted"]["vae"] for size in sizes]
        assert known == [25 + 16, 50 + 15, 75 + 13, 100 + 10]

    @pytest.mark.parametrize("fitted", [(29, 54, 60, 60), (29, 54, 79, 75)])
    def test_there_is_no_law_over_designs_that_do_not_become_more(
        self, fitted: tuple[int, ...]
    ) -> None:
        """A limit was reached, or the last baseline was not refitted."""
        results = [size_result(n, error) for n, error in FALLING.items()]
        for result, num_designs in zip(results, fitted, strict=True):
            result["num_designs_fitted"]["pod_gpr"] = num_designs
        report = json.loads(json.dumps(report_sizes(results), allow_nan=False))
        assert report["power_laws"].keys() == {"reconstruction", "vae"}
        assert "would give an error of" in report["answer"]
        assert "test designs" in draw_learning_curve(report).get_suptitle()

    def test_where_a_refit_was_not_kept_nothing_is_promised(self) -> None:
        results = [size_result(n, error) for n, error in FALLING.items()]
        results[-1]["num_designs_fitted"]["vae"] = 78
        report = report_sizes(results)
        assert "vae" not in report["power_laws"]
        assert "cannot be told" in report["answer"]

    def test_a_noisy_curve_is_said_to_be_uncertain(self) -> None:
        answer = sizes_report({25: 0.13, 50: 0.1, 75: 0.12, 100: 0.1})["answer"]
        assert answer.endswith("That more simulations would help is not certain.")

    def test_an_error_that_does_not_fall_promises_no_gain(self) -> None:
        report = sizes_report({25: 0.1, 50: 0.1, 75: 0.1, 100: 0.11})
        law = report["power_laws"]["vae"]
        assert law["exponent"] < 0
        assert law.keys() == {"factor", "exponent", "exponent_interval_90", "num_sizes"}
        assert report["answer"].startswith("No gain to expect from more simulations")
        assert "11.00% with 104" in report["answer"]

    def test_two_sizes_are_too_few_to_say_anything(self) -> None:
        report = sizes_report({50: 0.2, 100: 0.1})
        assert report["power_laws"] == {}
        assert "at least 3" in report["answer"]

    @pytest.mark.parametrize("errors", [FALLING, {50: 0.2, 100: 0.1}])
    def test_the_figure_is_drawn_from_the_stored_report(self, errors: dict[int, float]) -> None:
        assert "test designs" in draw_learning_curve(sizes_report(errors)).get_suptitle()
