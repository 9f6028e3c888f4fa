"""What the summary says about a run's metrics."""

from kedro.io import DataCatalog, MemoryDataset

from simulgen_pipeline.summary import summarise

ERRORS = {"relative_l2_mean": 0.1, "relative_l2_max": 0.2}
METRICS = {
    "num_designs": {"train": 8, "validation": 2, "test": 0},
    "num_designs_fitted": {"vae": 8, "pod_rbf": 8},
    "reconstruction": {"validation": ERRORS},
    "prediction": {"validation": ERRORS},
    "baselines": {"pod_rbf": {"validation": ERRORS}},
    "baselines_not_refitted": [],
    "suspect_designs": [],
    "champion": "vae",
    "champion_errors": {"vae": 0.1, "pod_rbf": 0.2},
}


def summary(**changes: object) -> str:
    return summarise(DataCatalog({"metrics": MemoryDataset({**METRICS, **changes})}), None)


def test_designs_that_baselines_were_not_given_are_named() -> None:
    assert "Look first" not in summary()
    text = summary(
        baselines_not_refitted=["pod_rbf", "pod_gpr"], suspect_designs=["beam_07", "beam_12"]
    )
    assert "pod_rbf and pod_gpr: fitted to the training designs only" in text
    assert "Look first at beam_07, beam_12." in text


def test_what_predicts_test_designs_is_said_to_know_more() -> None:
    known = {"vae": 10, "pod_rbf": 8}
    assert "know the validation" not in summary(num_designs_fitted=known)
    counts = {"train": 8, "validation": 2, "test": 3}
    assert "know the validation" not in summary(num_designs=counts)
    assert "know the validation" in summary(num_designs=counts, num_designs_fitted=known)


def test_the_reason_for_another_champion_is_the_errors_that_chose_it() -> None:
    worse = summary(champion="pod_rbf", champion_errors={"vae": 0.3, "pod_rbf": 0.2})
    assert "the VAE's error is 1.5 times as large" in worse
    close = summary(champion="pod_rbf", champion_errors={"vae": 0.19, "pod_rbf": 0.2})
    assert "better by less than the validation designs can tell" in close
    for said in (worse, close):
        assert "prediction.model=champion predicts with it" in said
    assert "prediction.model" not in summary(champion="vae")


def test_a_study_without_a_surrogate_is_shown() -> None:
    text = summarise(DataCatalog({"learning_curve": MemoryDataset({"answer": "-"})}), None)
    assert "There is no surrogate yet" in text
    assert "lineage" in text
