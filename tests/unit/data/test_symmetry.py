"""Symmetries: the same flip or turn of pictures and fields."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.symmetry import (
    MATRICES,
    Symmetry,
    SymmetryName,
    symmetry_group,
)

SIDE = 7
ALL: list[SymmetryName] = ["flip_x", "flip_y", "transpose"]


def grid(num_x: int = SIDE, num_y: int = SIDE) -> NDArray[np.float64]:
    """Nodes at pixel centres (num_x * num_y, 2), in no order, away from the origin [m]."""
    x, y = np.meshgrid(0.3 + 0.01 * np.arange(num_x), -2.0 + 0.01 * np.arange(num_y))
    nodes = np.stack([x.ravel(), y.ravel()], axis=1)
    return np.random.default_rng(0).permutation(nodes)


def draw(values: NDArray[np.uint8], nodes: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Pictures (n, S, S, 1) of values (n, M) at the nodes of a square grid, large y on top."""
    column = np.round((nodes[:, 0] - nodes[:, 0].min()) / 0.01).astype(int)
    row = np.round((nodes[:, 1].max() - nodes[:, 1]) / 0.01).astype(int)
    pictures = np.zeros((len(values), SIDE, SIDE, 1), np.uint8)
    pictures[:, row, column, 0] = values
    return pictures


def element(name: str) -> Symmetry:
    return {symmetry.name: symmetry for symmetry in symmetry_group(grid(), ALL)}[name]


@pytest.mark.parametrize("name", MATRICES)
def test_the_moved_picture_of_a_field_is_the_picture_of_the_moved_field(name: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (3, SIDE**2), dtype=np.uint8)
    moved = element(name).apply_to_fields(values[:, None])[:, 0]
    pictures = element(name).apply_to_pictures(draw(values, grid()))
    np.testing.assert_array_equal(pictures, draw(moved, grid()))
    assert pictures.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", (2, 1)),
        ("flip_x", (-2, 1)),
        ("flip_y", (2, -1)),
        ("half_turn", (-2, -1)),
        ("transpose", (1, 2)),
        ("quarter_turn", (-1, 2)),
        ("three_quarter_turn", (1, -2)),
        ("anti_transpose", (-1, -2)),
    ],
)
def test_a_hot_node_right_of_and_above_the_centre_goes_where_the_name_says(
    name: str, expected: tuple[int, int]
) -> None:
    nodes = grid()
    steps = np.round((nodes - nodes.mean(axis=0)) / 0.01).astype(int)
    hot = (steps == (2, 1)).all(axis=1).astype(np.float64)
    moved = element(name).apply_to_fields(hot[None, None])[0, 0]
    assert steps[moved == 1].tolist() == [list(expected)]


@pytest.mark.parametrize(
    ("symmetries", "names"),
    [
        ([], ["identity"]),
        (["flip_x"], ["identity", "flip_x"]),
        (["flip_x", "flip_x"], ["identity", "flip_x"]),
        (["transpose"], ["identity", "transpose"]),
        (["flip_x", "flip_y"], ["identity", "flip_x", "flip_y", "half_turn"]),
        (["flip_y", "transpose"], list(MATRICES)),
        (ALL, list(MATRICES)),
    ],
    ids=str,
)
def test_the_group_is_all_that_follows_each_once_and_the_identity_first(
    symmetries: list[SymmetryName], names: list[str]
) -> None:
    found = [symmetry.name for symmetry in symmetry_group(grid(), symmetries)]
    assert found[0] == "identity"
    assert len(found) == len(names)
    assert set(found) == set(names)


def test_two_symmetries_one_after_the_other_are_one_of_the_group() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (1, 5, 5, 2), dtype=np.uint8)
    group = symmetry_group(grid(), ALL)
    permutations = {tuple(symmetry.permutation): symmetry for symmetry in group}
    assert len(permutations) == 8
    for first, second in itertools.product(group, group):
        both = permutations[tuple(first.permutation[second.permutation])]
        one_by_one = second.apply_to_pictures(first.apply_to_pictures(pictures))
        np.testing.assert_array_equal(both.apply_to_pictures(pictures), one_by_one)


def test_all_times_and_designs_are_moved_alike() -> None:
    fields = np.random.default_rng(1).normal(size=(3, 4, SIDE**2))
    quarter = element("quarter_turn")
    moved = quarter.apply_to_fields(fields)
    assert moved.shape == fields.shape
    np.testing.assert_array_equal(
        moved[1, 2], quarter.apply_to_fields(fields[1:2, 2:3])[0, 0], strict=True
    )


def test_a_mesh_out_of_true_by_rounding_still_has_its_symmetry() -> None:
    nodes = grid() + 1e-6 * np.random.default_rng(2).normal(size=(SIDE**2, 2))
    exact, rounded = (symmetry_group(each, ALL) for each in (grid(), nodes))
    for one, other in zip(exact, rounded, strict=True):
        np.testing.assert_array_equal(one.permutation, other.permutation)


def test_a_rectangle_can_be_flipped_and_not_transposed() -> None:
    nodes = grid(num_x=9, num_y=4)
    assert len(symmetry_group(nodes, ["flip_x", "flip_y"])) == 4
    with pytest.raises(DataError, match=r"symmetry transpose .* lie 0\.0255 from .* 0\.01 apart"):
        symmetry_group(nodes, ["flip_x", "transpose"])


def test_a_mesh_without_the_symmetry_is_refused_with_the_worst_distance() -> None:
    nodes = grid()
    corner = nodes.sum(axis=1).argmin()
    nodes[corner] += (0.0, 0.003)
    with pytest.raises(DataError, match=r"symmetry flip_x .* lie 0\.003 from"):
        symmetry_group(nodes, ["flip_x"])


def test_nodes_in_the_same_place_are_refused() -> None:
    nodes = np.concatenate([grid(), grid()[:1]])
    with pytest.raises(DataError, match="1 nodes come to lie where another does"):
        symmetry_group(nodes, ["flip_x"])


def test_a_mesh_in_space_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(49, 3\)"):
        symmetry_group(np.zeros((49, 3)), ["flip_x"])


def test_fields_of_several_components_are_refused() -> None:
    with pytest.raises(DataError, match=r"49 nodes, got 98 values"):
        element("flip_x").apply_to_fields(np.zeros((1, 1, 98)))
