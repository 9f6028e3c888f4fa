"""The champion: the smallest mean error, where the designs resolve the difference."""

import pytest

from simulgen_pipeline.evaluation.champion import choose_champion

BASELINES = ("pod_rbf", "pod_gpr")


def by_design(*errors: float) -> dict[str, float]:
    return {f"design_{number}": error for number, error in enumerate(errors)}


def test_a_clear_winner_is_the_champion() -> None:
    errors = {
        "vae": by_design(0.1, 0.2, 0.15),
        "pod_rbf": by_design(0.9, 0.8, 0.9),
        "pod_gpr": by_design(0.3, 0.45, 0.35),
    }
    assert choose_champion(errors, BASELINES) == "vae"


def test_of_the_baselines_the_best_wins_by_any_difference() -> None:
    errors = {
        "vae": by_design(0.5, 0.5),
        "pod_rbf": by_design(0.2, 0.4),
        "pod_gpr": by_design(0.2001, 0.4),
    }
    assert choose_champion(errors, BASELINES) == "pod_rbf"


@pytest.mark.parametrize(("lead", "champion"), [(0.04, "pod_gpr"), (0.08, "vae")])
def test_a_difference_within_a_standard_error_goes_to_a_baseline(
    lead: float, champion: str
) -> None:
    """Gains of lead +- 0.1 have a standard error of 0.058."""
    gains = (lead + 0.1, lead - 0.1, lead + 0.1, lead - 0.1)
    errors = {
        "vae": by_design(0.3, 0.3, 0.3, 0.3),
        "pod_rbf": by_design(0.9, 0.9, 0.9, 0.9),
        "pod_gpr": by_design(*(0.3 + gain for gain in gains)),
    }
    assert choose_champion(errors, BASELINES) == champion


def test_two_designs_resolve_nothing() -> None:
    errors = {"vae": by_design(0.1, 0.1), "pod_rbf": by_design(0.2, 0.3)}
    assert choose_champion(errors, BASELINES) == "pod_rbf"
    assert choose_champion({"vae": {}, "pod_rbf": {}}, BASELINES) == "pod_rbf"


def test_without_baselines_the_smallest_error_wins() -> None:
    assert choose_champion({"vae": by_design(0.1, 0.2)}, BASELINES) == "vae"
