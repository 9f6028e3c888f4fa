"""Parameters of the studies."""

import pytest
from pydantic import ValidationError

from simulgen_pipeline.pipelines.studies.config import StudiesConfig


def test_fractions_come_as_a_list_and_are_kept_in_order() -> None:
    assert StudiesConfig.model_validate({"fractions": [0.5, 1]}).fractions == (0.5, 1.0)


@pytest.mark.parametrize("fractions", [[1.0], [0.5, 0.25], [0.5, 0.5], [0.0, 1.0], [0.5, 1.5]])
def test_fractions_that_give_no_curve_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValidationError, match="fractions"):
        StudiesConfig.model_validate({"fractions": fractions})


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValidationError, match="num_folds"):
        StudiesConfig(num_folds=1)
