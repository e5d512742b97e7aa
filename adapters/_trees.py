"""Decision trees as arrays, one forest a row; the value of a forest is the sum of its trees' leaf values.

A tree is a list of nodes, the root first and siblings next to each other. Features are float32. Every library's
comparison is converted to one form: a feature goes left if feature <= `number`, a float32. A threshold with more digits
is rounded down, and `< t` becomes `<=` the next smaller float32. Neither changes the path of any float32 feature, so
that a tree gives the same value as in its library, but for the rounding of leaf values to float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Param
from myriad.models.errors import NotReducible

TREES = 20
"""The most trees in a row."""
LEAVES = 16
"""The most leaves in a tree."""
NODES = 2 * LEAVES - 1
LEAF = -1
POINTS_AT_ONCE = 2048

PARAMS: Mapping[str, Param] = {
    "feature": Param("i1", (TREES, NODES)),  # -1 in a leaf
    "number": Param("<f4", (TREES, NODES)),  # the threshold, or the value of a leaf
    "left": Param("u1", (TREES, NODES)),  # the left child; the right one is next to it
}

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Tree:
    """A tree as libraries store it, node 0 being the root; all arrays are (nodes,).

    Attributes:
        feature: the column that a node compares.
        threshold: what it is compared with; a feature that is not above it goes left.
        left: the left child, negative in leaves.
        right: the right child.
        value: of a leaf.
        strict: whether a feature equal to the threshold goes right.
    """

    feature: ArrayLike
    threshold: ArrayLike
    left: ArrayLike
    right: ArrayLike
    value: ArrayLike
    strict: bool = False


def packed(trees: Sequence[Tree], kind: str) -> Arrays:
    """The arrays of one row, (1, ...); unused trees have the value 0.

    Args:
        trees: of one forest.
        kind: the name of the library's model, for the message.

    Raises:
        NotReducible: there are too many trees, or one has too many leaves.
    """
    if len(trees) > TREES:
        raise NotReducible(f"{kind} has {len(trees)} trees; fit at most {TREES}")
    row = {name: np.zeros((1, *param.shape), param.dtype) for name, param in PARAMS.items()}
    row["feature"][:] = LEAF
    for i, tree in enumerate(trees):
        order = _siblings_together(tree, kind)
        leaf = np.asarray(tree.left)[order] < 0
        nodes = slice(0, len(order))
        place = np.zeros(int(order.max()) + 1, np.int64)
        place[order] = np.arange(len(order))
        row["feature"][0, i, nodes] = np.where(leaf, LEAF, np.asarray(tree.feature)[order])
        row["number"][0, i, nodes] = np.where(leaf, np.asarray(tree.value)[order], _at_most(tree)[order])
        row["left"][0, i, nodes] = np.where(leaf, 0, place[np.where(leaf, 0, np.asarray(tree.left)[order])])
    return row


def none() -> Arrays:
    """A row without trees, (1, ...)."""
    return packed([], "")


def total(forest: Arrays, rows: NDArray[np.int64], x: Features) -> Vector:
    """The sum of the trees of row `rows[i]` at the features `x[i]`, float64 (n,).

    Args:
        forest: the arrays named in `PARAMS`.
        rows: int64 (n,), not negative. Equal ones should be next to each other: each run of them is copied once.
        x: float32 (n, features), finite.
    """
    sums = np.empty(len(x))
    for first in range(0, len(x), POINTS_AT_ONCE):
        part = slice(first, first + POINTS_AT_ONCE)
        sums[part] = _descended(forest, rows[part], x[part])
    return sums


def _descended(forest: Arrays, rows: NDArray[np.int64], x: Features) -> Vector:
    """Descend all trees for all points one level at a time, until every path is in a leaf."""
    new = np.diff(rows, prepend=-1) != 0
    run = np.cumsum(new) - 1
    feature, number, left = (forest[name][rows[new]].ravel() for name in PARAMS)
    root = ((run[:, None] * TREES + np.arange(TREES)) * NODES).ravel()
    point = np.repeat(np.arange(len(x)) * x.shape[1], TREES)
    values, at = np.ascontiguousarray(x).ravel(), root.copy()
    active = np.flatnonzero(feature[at] >= 0)
    for _ in range(NODES):  # no path is longer: corrupt arrays cannot cause an endless loop
        if not len(active):
            break
        node = at[active]
        right = values.take(point[active] + feature[node], mode="clip") > number[node]
        at[active] = node = np.minimum(root[active] + left[node] + right, len(feature) - 1)
        active = active[feature[node] >= 0]
    return number[at].reshape(len(x), TREES).sum(axis=1, dtype=np.float64)


def _siblings_together(tree: Tree, kind: str) -> NDArray[np.int64]:
    """The tree's nodes level by level, siblings next to each other."""
    left, right = np.asarray(tree.left), np.asarray(tree.right)
    order, level = [np.zeros(1, np.int64)], np.zeros(1, np.int64)
    while len(level := level[left[level] >= 0]):
        level = np.stack([left[level], right[level]], axis=1).ravel()
        order.append(level)
    nodes = np.concatenate(order)
    if len(nodes) > NODES:
        raise NotReducible(f"{kind} has a tree of {len(nodes) // 2 + 1} leaves; fit at most {LEAVES} a tree")
    return nodes


def _at_most(tree: Tree) -> Features:
    """The largest float32 that goes left at each node, (nodes,)."""
    exact = np.asarray(tree.threshold, np.float64)
    with np.errstate(over="ignore"):  # beyond every float32 it becomes infinity
        near = exact.astype(np.float32)
    above = near >= exact if tree.strict else near > exact
    near = np.where(above, np.nextafter(near, np.float32(-np.inf)), near)
    largest = np.finfo(np.float32).max
    return np.clip(near, -largest, largest)
