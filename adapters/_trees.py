"""Decision trees as arrays, a row a forest; a forest's answer is the sum of what its trees say.

A tree is a list of nodes, the root first and brothers next to each other. Every library's comparison is brought to
one: a float32 feature goes left where it is at most the float32 `number`. A threshold of more digits is rounded down,
and `<` is `<=` the next smaller number: neither changes where any float32 goes. So the features of all libraries are
float32, and trees answer as in their library but for the rounding of what the leaves say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myriad.models.base import Arrays, Param
from myriad.models.errors import NotReducible

TREES = 20
"""At most so many in a row."""
LEAVES = 16
"""At most so many in a tree."""
NODES = 2 * LEAVES - 1
LEAF = -1
POINTS_AT_ONCE = 2048

PARAMS: Mapping[str, Param] = {
    "feature": Param("i1", (TREES, NODES)),  # -1 in a leaf
    "number": Param("<f4", (TREES, NODES)),  # what is compared with, or what a leaf says
    "left": Param("u1", (TREES, NODES)),  # the right child is the next one
}

Features = NDArray[np.float32]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """A tree as libraries have it, node 0 being the root; all arrays are (nodes,).

    Attributes:
        feature: what a node compares.
        threshold: what it compares with; features that are not above it go left.
        left: the left child, negative in leaves.
        right: the right child.
        value: what a leaf says.
        strict: whether features equal to the threshold go right.
    """

    feature: ArrayLike
    threshold: ArrayLike
    left: ArrayLike
    right: ArrayLike
    value: ArrayLike
    strict: bool = False


def packed(trees: Sequence[Tree], kind: str) -> Arrays:
    """The arrays of one row, (1, ...); trees that are not there say 0.

    Args:
        trees: of one forest.
        kind: of model they are from, for the message.

    Raises:
        NotReducible: they are too many or have too many leaves.
    """
    if len(trees) > TREES:
        raise NotReducible(f"{kind} has {len(trees)} trees; fit at most {TREES}")
    row = {name: np.zeros((1, *param.shape), param.dtype) for name, param in PARAMS.items()}
    row["feature"][:] = LEAF
    for i, tree in enumerate(trees):
        order = _brothers_together(tree, kind)
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


def total(forest: Arrays, rows: NDArray[np.int64], x: Features) -> Scores:
    """What the trees of row `rows[i]` say together of features `x[i]`, float64 (n,).

    Args:
        forest: the arrays named in `PARAMS`.
        rows: int64 (n,), not negative; best with equal ones next to each other, as each run of them is copied.
        x: float32 (n, features), finite.
    """
    said = np.empty(len(x))
    for first in range(0, len(x), POINTS_AT_ONCE):
        part = slice(first, first + POINTS_AT_ONCE)
        said[part] = _descended(forest, rows[part], x[part])
    return said


def _descended(forest: Arrays, rows: NDArray[np.int64], x: Features) -> Scores:
    """All points and trees go down a step at a time; those in a leaf stay."""
    new = np.diff(rows, prepend=-1) != 0
    which = np.cumsum(new) - 1
    feature, number, left = (forest[name][rows[new]].ravel() for name in PARAMS)
    tree = ((which[:, None] * TREES + np.arange(TREES)) * NODES).ravel()
    point = np.repeat(np.arange(len(x)) * x.shape[1], TREES)
    values, at = np.ascontiguousarray(x).ravel(), tree.copy()
    going = np.flatnonzero(feature[at] >= 0)
    for _ in range(NODES):  # no path is longer, so that damaged arrays cannot hold anybody up
        if not len(going):
            break
        node = at[going]
        right = values.take(point[going] + feature[node], mode="clip") > number[node]
        at[going] = node = np.minimum(tree[going] + left[node] + right, len(feature) - 1)
        going = going[feature[node] >= 0]
    return number[at].reshape(len(x), TREES).sum(axis=1, dtype=np.float64)


def _brothers_together(tree: Tree, kind: str) -> NDArray[np.int64]:
    """The tree's nodes in our order, level by level."""
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
    """The largest float32 that goes left, at each node."""
    exact = np.asarray(tree.threshold, np.float64)
    with np.errstate(over="ignore"):  # a threshold beyond every float32 sends all one way, as infinity would
        near = exact.astype(np.float32)
    above = near >= exact if tree.strict else near > exact
    near = np.where(above, np.nextafter(near, np.float32(-np.inf)), near)
    largest = np.finfo(np.float32).max
    return np.clip(near, -largest, largest)
