"""Symmetries of a study: changes of the picture that have a matching change of the field.

Shapes: n designs, T time steps, M nodes, S side of a picture [pixels], C picture channels.

Whether the physics is symmetric, only the user knows: material, loads and boundary conditions must
all be in the picture, or have the symmetry themselves. The mesh is checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .errors import DataError

SymmetryName = Literal["flip_x", "flip_y", "transpose"]
Matrix = tuple[tuple[int, int], tuple[int, int]]

IDENTITY: Matrix = ((1, 0), (0, 1))
# What each element of the largest group does to a point (x, y), seen from the domain's centre.
MATRICES: dict[str, Matrix] = {
    "identity": IDENTITY,
    "flip_x": ((-1, 0), (0, 1)),
    "flip_y": ((1, 0), (0, -1)),
    "half_turn": ((-1, 0), (0, -1)),
    "transpose": ((0, 1), (1, 0)),
    "quarter_turn": ((0, -1), (1, 0)),
    "three_quarter_turn": ((0, 1), (-1, 0)),
    "anti_transpose": ((0, -1), (-1, 0)),
}
NAMES = {matrix: name for name, matrix in MATRICES.items()}
# How far from a node an image may be, as a share of the typical distance between neighbours.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Symmetry:
    """A flip or turn of the domain about its centre, for pictures and fields alike.

    Attributes:
        name: one of `MATRICES`; turns are anticlockwise.
        permutation: (M,) the node whose value each node takes.
    """

    name: str
    permutation: NDArray[np.int64]

    def apply_to_fields(self, fields: NDArray[Any]) -> NDArray[Any]:
        """Scalar fields (n, T, M), moved over the mesh.

        Raises:
            DataError: the fields do not have one value per node.
        """
        if fields.shape[-1] != len(self.permutation):
            raise DataError(
                f"Symmetries move scalar fields: expected one value for each of the "
                f"{len(self.permutation)} nodes, got {fields.shape[-1]} values. Fields of several "
                f"components cannot be augmented by symmetry: leave the symmetries out."
            )
        return fields[..., self.permutation]

    def apply_to_pictures(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures (n, S, S, C), whose first row shows the largest y, moved likewise."""
        (a, b), (c, d) = MATRICES[self.name]
        upwards = pictures[:, ::-1]  # (n, y, x, C)
        if a == 0:
            upwards = upwards.swapaxes(1, 2)
        moved = upwards[:, :: c + d, :: a + b]
        return np.ascontiguousarray(moved[:, ::-1])


def symmetry_group(
    coordinates: NDArray[np.floating], symmetries: Sequence[SymmetryName]
) -> list[Symmetry]:
    """All that follows from some symmetries, by doing one after another; the identity first.

    Args:
        coordinates: node positions (M, 2) [m]. The centre is that of their bounding box, which the
            pictures are taken to show.
        symmetries: `flip_x` turns x around, `flip_y` turns y around, `transpose` swaps them.

    Returns:
        At most 8 elements, each once.

    Raises:
        DataError: the nodes are not in a plane, or a symmetry does not map the mesh onto itself.
    """
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise DataError(
            f"Symmetries need a mesh in the plane: expected node coordinates (num_nodes, 2), got "
            f"{coordinates.shape}. Leave the symmetries out."
        )
    centred = coordinates - (coordinates.min(axis=0) + coordinates.max(axis=0)) / 2
    tree = KDTree(centred)
    # A user reads of a symmetry that was asked for, not of one that follows from it.
    given = {name: _permutation(tree, name) for name in symmetries}
    found = {IDENTITY: np.arange(len(centred))}
    waiting = [IDENTITY]
    for element in waiting:  # grows while it is read
        for name, permutation in given.items():
            product = _product(MATRICES[name], element)
            if product not in found:
                found[product] = found[element][permutation]
                waiting.append(product)
    return [Symmetry(NAMES[matrix], permutation) for matrix, permutation in found.items()]


def _product(first: Matrix, second: Matrix) -> Matrix:
    (a, b), (c, d) = (np.array(first) @ np.array(second)).tolist()
    return (a, b), (c, d)


def _permutation(tree: KDTree, name: str) -> NDArray[np.int64]:
    """For each node the one (M,) that the symmetry brings to its place."""
    nodes = np.asarray(tree.data)
    before = nodes @ np.array(MATRICES[name])  # the inverse of the map, which is its transpose
    distance, nearest = tree.query(before)
    spacing = np.median(tree.query(nodes, k=2)[0][:, 1])  # of a node and its neighbour
    num_shared = len(nodes) - len(np.unique(nearest))
    if distance.max() > TOLERANCE * spacing or num_shared:
        raise DataError(
            f"The symmetry {name} does not map the mesh onto itself: a node comes to lie "
            f"{distance.max():.3g} from the nearest one, where neighbours are {spacing:.3g} apart, "
            f"and {num_shared} nodes come to lie where another does. Expected at most "
            f"{TOLERANCE:.0%} of the spacing, and no two nodes in one place: use a mesh that has "
            f"the symmetry, or leave the symmetry out."
        )
    return np.asarray(nearest, dtype=np.int64)
