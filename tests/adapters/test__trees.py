import numpy as np
import pytest

from myriad.adapters import _trees
from myriad.models.base import Arrays
from myriad.models.errors import NotReducible
from tests.adapters.lagged import stacked

STEP = np.float32(0.1)


def stump(threshold: float, *, strict: bool = False) -> _trees.Tree:
    """-1 to the left of the threshold, 1 to the right."""
    return _trees.Tree([0, -1, -1], [threshold, 0, 0], [1, -1, -1], [2, -1, -1], [0, -1, 1], strict)


def chain(leaves: int) -> _trees.Tree:
    """As deep as it has leaves: leaf i holds what is above i - 1 and at most i."""
    inner = np.arange(leaves - 1)
    last = 2 * (leaves - 1)
    nodes = {"feature": np.full(last + 1, -1), "threshold": np.zeros(last + 1), "value": np.zeros(last + 1)}
    left, right = np.full(last + 1, -1), np.full(last + 1, -1)
    nodes["feature"][2 * inner], nodes["threshold"][2 * inner] = 0, inner
    left[2 * inner], right[2 * inner] = 2 * inner + 1, 2 * inner + 2
    nodes["value"][2 * inner + 1], nodes["value"][last] = inner, leaves - 1
    return _trees.Tree(nodes["feature"], nodes["threshold"], left, right, nodes["value"])


def totals(forest: Arrays, *x: float) -> list[float]:
    return _trees.total(forest, np.zeros(len(x), np.int64), np.array(x, np.float32)[:, None]).tolist()


def test_what_equals_the_threshold_goes_left_and_if_strict_right() -> None:
    beside = float(np.nextafter(STEP, np.float32(1)))
    assert totals(_trees.packed([stump(float(STEP))], "it"), float(STEP), beside) == [-1, 1]
    assert totals(_trees.packed([stump(float(STEP), strict=True)], "it"), float(STEP), beside) == [1, 1]


def test_a_threshold_between_two_float32_parts_them() -> None:
    below, above = STEP, np.nextafter(STEP, np.float32(1))
    between = (float(below) + float(above)) / 2
    for threshold in (between, np.nextafter(float(above), 0), float(below)):
        assert totals(_trees.packed([stump(threshold)], "it"), float(below), float(above)) == [-1, 1]


def test_thresholds_beyond_all_float32_send_everything_one_way() -> None:
    assert totals(_trees.packed([stump(1e300)], "it"), -1e30, 1e30) == [-1, -1]
    assert totals(_trees.packed([stump(-1e300)], "it"), -1e30, 1e30) == [1, 1]


def test_the_deepest_tree_is_walked_to_its_end() -> None:
    forest = _trees.packed([chain(_trees.LEAVES)], "it")
    leaves = np.arange(_trees.LEAVES, dtype=float)
    assert totals(forest, *leaves) == leaves.tolist()


def test_trees_are_added_up_and_none_say_0() -> None:
    assert totals(_trees.packed([stump(0), stump(1), chain(4)], "it"), 0.5, 2) == [0 + 1, 2 + 2]
    assert totals(_trees.none(), 5) == [0]


def test_each_point_is_told_by_the_trees_of_its_row_in_however_many_chunks() -> None:
    forests = stacked([_trees.packed([chain(5)], "it"), _trees.none(), _trees.packed([stump(3)], "it")])
    draw = np.random.default_rng(0)
    rows, x = draw.integers(0, 3, 3 * _trees.POINTS_AT_ONCE + 1), draw.uniform(-1, 8, 3 * _trees.POINTS_AT_ONCE + 1)
    wanted = np.choose(rows, [np.clip(np.ceil(x), 0, 4), 0 * x, np.where(x > 3, 1, -1)])
    assert np.array_equal(_trees.total(forests, rows, x.astype(np.float32)[:, None]), wanted)


def test_damaged_arrays_hold_nobody_up() -> None:
    forest = dict(_trees.packed([chain(5)], "it"))
    forest["left"] = np.full_like(forest["left"], 255)
    forest["feature"] = np.full_like(forest["feature"], 100)
    assert np.isfinite(totals(forest, 1.0)).all()


def test_too_many_trees_or_leaves_are_refused_with_the_most_there_can_be() -> None:
    with pytest.raises(NotReducible, match="it has 21 trees; fit at most 20"):
        _trees.packed([stump(0)] * 21, "it")
    with pytest.raises(NotReducible, match="it has a tree of 17 leaves; fit at most 16 a tree"):
        _trees.packed([chain(17)], "it")
