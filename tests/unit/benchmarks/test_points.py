"""Designs as kernels see them."""

import numpy as np
import pytest

from benchmarks.errors import relative_l2
from benchmarks.points import picture_components, scaled_parameters
from simulgen_pipeline.evaluation.metrics import FieldErrors


def test_errors_are_those_of_the_formula_and_of_the_project() -> None:
    rng = np.random.default_rng(0)
    true, predicted = rng.standard_normal((2, 5, 12))
    direct = [
        sum((p - t) ** 2 for p, t in zip(*pair, strict=True)) ** 0.5
        / sum(t**2 for t in pair[1]) ** 0.5
        for pair in zip(predicted, true, strict=True)
    ]
    errors = relative_l2(true, predicted)
    assert errors == pytest.approx(direct, rel=1e-12)
    project = FieldErrors()
    project.update(true.reshape(5, 3, 4), predicted.reshape(5, 3, 4), list("abcde"))
    assert project.result()["relative_l2_mean"] == pytest.approx(errors.mean(), rel=1e-12)
    assert project.result()["relative_l2_max"] == pytest.approx(errors.max(), rel=1e-12)


def test_a_field_that_is_zero_everywhere_has_no_error() -> None:
    true = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert relative_l2(true, true + 1) == pytest.approx([np.sqrt(2) / 5])


def test_positive_parameters_over_a_decade_are_logarithmic_and_all_have_unit_range() -> None:
    designs = np.array([[1.0, -2.0, 5.0], [10.0, 0.0, 5.0], [100.0, 2.0, 5.0]])
    transform = scaled_parameters(designs)
    expected = np.array([[0, 0, 0], [0.5, 0.5, 0], [1, 1, 0]])
    assert transform(designs) == pytest.approx(expected)
    assert transform(np.array([[1000.0, 4.0, 5.0]])) == pytest.approx(np.array([[1.5, 1.5, 0]]))


def test_components_keep_distances_between_pictures_in_units_of_the_first_spread() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 50))
    points = picture_components(pictures, 3)(pictures)
    assert points.std(axis=0, ddof=1)[0] == pytest.approx(1)
    ratio = np.linalg.norm(pictures[0] - pictures[1:], axis=1) / np.linalg.norm(
        points[0] - points[1:], axis=1
    )
    assert ratio == pytest.approx(np.full(19, ratio[0]))
