"""Kernels: each gives what its twin in NumPy gives, on whatever series there are."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad import kernels

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "kernels"
Ragged = tuple[NDArray[np.float64], NDArray[np.int64]]
VALUE = st.one_of(st.floats(-100, 100), st.sampled_from([0.0, 1e-300, 1e150, -1e150, 7.0, 7.0]))
GAP = st.just(float("nan"))


def pair(name: str) -> tuple[Any, Any]:
    """What is compiled, and the twin of a part of it."""
    return importlib.import_module("myriad.kernels._compiled"), importlib.import_module(f"myriad.kernels._{name}_py")


def ragged(value: st.SearchStrategy[float]) -> st.SearchStrategy[Ragged]:
    """Up to five series of up to forty values."""

    def flat(series: list[list[float]]) -> Ragged:
        values = np.array([one for some in series for one in some], np.float64)
        return values, np.cumsum([0, *map(len, series)], dtype=np.int64)

    return st.lists(st.lists(value, max_size=40), max_size=5).map(flat)


def positive(count: int, low: float, high: float, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(low, high, count)


def same(compiled_result: Any, twin_result: Any) -> None:
    for one, other in zip(np.atleast_1d(compiled_result), np.atleast_1d(twin_result), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-290, equal_nan=True)


def test_the_kernels_are_compiled_here() -> None:
    """Where there is a compiler, as in CI, the twins must not serve in silence."""
    if os.environ.get(kernels.ENVIRONMENT) == "0":
        pytest.skip("the kernels are turned off")
    if shutil.which("cc") is None and not os.environ.get("CI"):
        pytest.skip("cc is not installed")
    assert kernels.in_use() == "compiled"


def test_every_compiled_function_has_a_twin_and_every_twin_is_compiled() -> None:
    def public(module: ModuleType) -> set[str]:
        return {one for one, thing in vars(module).items() if callable(thing) and one.islower() and one[0] != "_"}

    twins = [importlib.import_module(f"myriad.kernels.{path.stem}") for path in PACKAGE.glob("_*_py.py")]
    assert public(pair("levels")[0]) == set().union(*map(public, twins))


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)))
def test_one_step_predictions_are_those_of_the_twin(series: Ragged) -> None:
    values, offsets = series
    count = len(offsets) - 1
    begun, *rest = np.ones((count, 3)), *(positive(count, 0.1, 2, seed) for seed in range(4))
    states = [begun.copy(), begun.copy()]
    results = [
        module.one_step(values, offsets, state, *rest, 4.0, 0.5, 30.0)
        for module, state in zip(pair("levels"), states, strict=True)
    ]
    same(*results)
    same(*states)


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)))
def test_two_levels_are_those_of_the_twin(series: Ragged) -> None:
    values, offsets = series
    count = len(offsets) - 1
    spreads, alphas, widenings, first = (positive(count, 0.001, 0.9, seed) for seed in range(4))
    begun = np.tile([0.5, 1.0, 0.2, 1.0], (count, 1))
    states = [begun.copy(), begun.copy()]
    same(
        *(
            module.two_levels(values, offsets, state, spreads, alphas, widenings, spreads, first)
            for module, state in zip(pair("levels"), states, strict=True)
        )
    )
    same(*states)


@settings(deadline=None)
@given(ragged(VALUE))
def test_levels_are_fitted_as_by_the_twin(series: Ragged) -> None:
    values, offsets = series
    count = len(offsets) - 1
    limits, alphas, least = (positive(count, 0.001, 0.9, seed) for seed in range(3))
    begun = np.tile([0.5, 1.0, 0.2, 1.0], (count, 1))
    states = [begun.copy(), begun.copy()]
    results = [
        module.fitted_levels(values, offsets, state, limits, alphas, least, 1.5)
        for module, state in zip(pair("levels"), states, strict=True)
    ]
    for one, other in zip(*results, strict=True):
        same(one, other)
    same(*states)


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)), st.integers(0, 99))
def test_deviations_from_levels_are_those_of_the_twin(series: Ragged, seed: int) -> None:
    values, offsets = series
    count = len(offsets) - 1
    spreads, alphas, widenings, first = (positive(count, 0.001, 0.9, seed) for seed in range(4))
    times, widths = owned(values, offsets, seed), positive(count * 48, 0.5, 3, seed).reshape(count, 48)
    results = [
        module.level_deviations(
            times, values, offsets, np.tile([0.5, 1.0, 0.2, 1.0], (count, 1)), spreads, alphas, widenings, spreads,
            first, widths, 1800,
        )
        for module in pair("levels")
    ]  # fmt: skip
    for one, other in zip(*results, strict=True):
        same(one, other)


@settings(deadline=None)
@given(ragged(st.one_of(st.floats(0, 1e6), GAP)))
def test_held_scores_are_those_of_the_twin(series: Ragged) -> None:
    same(*(module.held(*series) for module in pair("windows")))


@settings(deadline=None)
@given(ragged(st.one_of(st.floats(0, 10), GAP)), st.integers(0, 1 << 32))
def test_what_tires_is_as_by_the_twin(series: Ragged, seed: int) -> None:
    times = times_of(series[0], seed)
    same(*(module.tired(times, *series) for module in pair("alerting")))


@settings(deadline=None)
@given(ragged(VALUE))
def test_clipped_errors_are_those_of_the_twin(series: Ragged) -> None:
    values, offsets = series
    count = len(offsets) - 1
    alphas = positive(count * 7, 0.001, 1).reshape(count, 7)
    first, limits = positive(count, -5, 5), positive(count, 0.01, 10)
    same(*(module.clipped_errors(values, offsets, first, limits, alphas) for module in pair("levels")))


def test_more_smoothing_constants_than_there_is_room_for_are_refused() -> None:
    for module in pair("levels"):
        with pytest.raises(ValueError, match="more than 16"):
            module.clipped_errors(np.ones(2), np.array([0, 2]), np.ones(1), np.ones(1), np.ones((1, 17)))


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)))
def test_quantiles_are_those_of_the_twin_and_of_numpy(series: Ragged) -> None:
    values, offsets = series
    levels = np.array([0.0, 0.25, 0.5, 0.95, 0.9999, 1.0])
    fast, twin = (module.quantiles(values, offsets, levels) for module in pair("quantiles"))
    same(fast, twin)
    for i, (first, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        if np.isfinite(known := values[first:end]).any():
            np.testing.assert_allclose(fast[i], np.nanquantile(known, levels), rtol=1e-12, atol=1e-290)


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)))
def test_medians_are_those_of_the_twin(series: Ragged) -> None:
    same(*(module.medians(*series) for module in pair("quantiles")))


@pytest.mark.parametrize("kind", ["normal", "equal", "rising", "gaps", "few large", "two"])
def test_quantiles_of_long_series_are_those_of_numpy(kind: str) -> None:
    """Long enough for what is surely not among them to be dropped, by a sample that some of these mislead."""
    draw = np.random.default_rng(0)
    for size in (799, 800, 5000, 5001):
        values = {
            "normal": draw.normal(size=size),
            "equal": np.full(size, 7.0),
            "rising": np.arange(size, dtype=np.float64),
            "gaps": np.where(draw.random(size) < 0.9, np.nan, draw.normal(size=size)),
            "few large": np.where(np.arange(size) < 12, 1e150, 0.0),
            "two": np.where(draw.random(size) < 0.5, 1.0, 2.0),
        }[kind]
        offsets, levels = np.array([0, size]), np.array([0.8, 0.95, 0.975, 0.9875, 0.9999])
        known = np.sort(values[~np.isnan(values)])
        for module in pair("quantiles"):
            assert module.quantiles(values, offsets, levels)[0].tolist() == np.quantile(known, levels).tolist()
            assert module.medians(values, offsets)[0] == np.median(known)
            assert module.ranked(values, offsets, np.array([3]))[0] == known[-4]
            assert (
                module.usual_largest(values, offsets, np.zeros(1), 1e-3, 30)[0]
                == np.sort(np.abs(known))[-1 - max(1, len(known) // 1000)]
            )


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)), st.sampled_from([1e-3, 0.1]))
def test_the_usual_largest_deviations_are_those_of_the_twin(series: Ragged, rare: float) -> None:
    centers = positive(len(series[1]) - 1, -50, 50)
    same(*(module.usual_largest(*series, centers, rare, 30) for module in pair("quantiles")))


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)), st.integers(0, 5))
def test_ranked_values_are_those_of_the_twin(series: Ragged, rank: int) -> None:
    ranks = np.full(len(series[1]) - 1, rank)
    same(*(module.ranked(*series, ranks) for module in pair("quantiles")))


@settings(deadline=None)
@given(ragged(st.floats(-1e6, 1e6)), st.integers(0, 10_000), st.lists(st.integers(1, 200), min_size=1, max_size=3))
def test_window_means_are_those_of_the_twin(series: Ragged, start: int, windows: list[int]) -> None:
    values, offsets = series
    gaps = np.random.default_rng(start).choice([1, 2, 7, 60, 500], len(values))
    times = start + np.cumsum(gaps)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    needed = np.random.default_rng(1).integers(0, 4, (len(windows), max(len(offsets) - 1, 1)))
    given_ = (times, values, offsets, np.array(windows), needed, owner)
    fast, twin = (module.window_means(*given_) for module in pair("windows"))
    np.testing.assert_allclose(fast, twin, rtol=1e-9, atol=1e-6, equal_nan=True)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.one_of(st.floats(0, 1e6), GAP), min_size=3, max_size=3), max_size=20), st.sampled_from([1, 4])
)
def test_combined_scores_are_those_of_the_twin(points: list[list[float]], power: int) -> None:
    scores = np.ascontiguousarray(np.array(points, np.float64).reshape(-1, 3).T)
    for how in range(3):
        same(*(module.combined(scores, np.array([1.0, 2.0, 4.0]), power, how) for module in pair("windows")))


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)), st.integers(1, 5))
def test_rolling_medians_are_those_of_the_twin(series: Ragged, lookback: int) -> None:
    centers = positive(len(series[1]) - 1, -50, 50)
    befores = [np.full((len(centers), lookback), np.nan) for _ in range(2)]
    for _ in range(2):  # the second time after the values of the first
        modules = zip(pair("quantiles"), befores, strict=True)
        same(*(module.rolling_medians(*series, centers, before, 2) for module, before in modules))
        same(*befores)


def test_medians_of_more_values_than_there_is_room_for_are_refused() -> None:
    for module in pair("quantiles"):
        with pytest.raises(ValueError, match="between 1 and 64"):
            module.rolling_medians(np.ones(2), np.array([0, 2]), np.ones(1), np.ones((1, 60)), 5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=50))
def test_rows_are_grouped_as_by_the_twin(numbers: list[int]) -> None:
    given_ = np.array(numbers, np.int64)
    (order, offsets), twin = (module.by_number(given_, 10) for module in pair("groups"))
    assert (order.tolist(), offsets.tolist()) == tuple(one.tolist() for one in twin)
    assert given_[order].tolist() == sorted(numbers)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=50), st.permutations(range(10)))
def test_points_are_placed_as_by_the_twin(numbers: list[int], order: list[int]) -> None:
    given_ = np.array(numbers, np.int64)
    counts = np.bincount(given_, minlength=10)[order]
    starts = np.empty(10, np.int64)
    starts[order] = np.cumsum(counts) - counts
    times, values = np.arange(len(given_)), np.arange(len(given_)) / 2
    for module in pair("groups"):
        placed_times, placed_values = module.placed(given_, starts, times, values)
        assert given_[placed_times].tolist() == [one for number in order for one in numbers if one == number]
        assert (placed_values * 2).tolist() == placed_times.tolist()
        assert all(np.diff(placed_times[given_[placed_times] == number]).min(initial=1) > 0 for number in range(10))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 1)), max_size=20))
def test_rows_are_numbered_by_their_labels_as_by_the_twin(rows: list[tuple[int, int, int]]) -> None:
    labels = np.array(rows, np.int32).reshape(-1, 3)
    regions, hosts, metrics = (np.ascontiguousarray(column) for column in labels.T)
    for module in pair("groups"):
        numbers = module.numbered(regions, hosts, metrics, 5, 2)
        assert numbers.tolist() == [(region * 5 + host) * 2 + metric for region, host, metric in rows]
        with pytest.raises(ValueError, match="lack a label"):
            module.numbered(regions, np.append(hosts, hosts[:1] * 0 if len(hosts) else np.int32(0)), metrics, 5, 2)


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=4), st.randoms())
def test_spans_are_joined_as_by_the_twin(parts: list[list[int]], random: Any) -> None:
    lengths = [np.array(some, np.int64) for some in parts]
    given_ = [(np.arange(some.sum()) + 100 * i, np.arange(some.sum()) / 2, some) for i, some in enumerate(lengths)]
    flat = np.array([one for some in parts for one in some], np.int64)
    order = np.array(random.sample(range(len(flat)), len(flat)), np.int64)
    places = np.empty(len(flat), np.int64)
    places[order] = np.cumsum(flat[order]) - flat[order]
    fast, twin = (module.joined(given_, places) for module in pair("spans"))
    assert [one.tolist() for one in fast] == [one.tolist() for one in twin]
    if len(flat) and flat[-1]:
        for wrong in (-1, int(flat.sum())):
            for module in pair("spans"):
                with pytest.raises(ValueError, match="has no place"):
                    module.joined(given_, np.append(places[:-1], wrong))


@pytest.mark.parametrize(("number", "start"), [(-1, 0), (2, 0), (0, 2), (0, -1)])
def test_a_point_there_is_no_place_for_is_refused(number: int, start: int) -> None:
    for module in pair("groups"):
        with pytest.raises(ValueError, match=r"not between|no place"):
            module.placed(np.array([0, number]), np.array([start, start]), np.arange(2), np.ones(2))


@pytest.mark.parametrize("wrong", [-1, 10])
def test_a_number_there_is_no_group_for_is_refused(wrong: int) -> None:
    for module in pair("groups"):
        with pytest.raises(ValueError, match="not between 0 and 9"):
            module.by_number(np.array([0, wrong]), 10)


def times_of(values: NDArray[np.float64], seed: int, least: int = 0) -> NDArray[np.int64]:
    """Rising times with short, long and, where `least` is 0, no distances."""
    gaps = np.random.default_rng(seed).choice([least, 1, 60, 60, 1800, 90_000], len(values))
    return (seed * 1000 + np.cumsum(gaps)).astype(np.int64)


def owned(values: NDArray[np.float64], offsets: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Times that rise within each series; some are before 1970."""
    spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    parts = [times_of(values[first:end], seed + i) - 100_000 * i for i, (first, end) in enumerate(spans)]
    return np.concatenate([np.empty(0, np.int64), *parts])


def told(times: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The same by a clock that goes forward and back by hours and days; by none for every other seed."""
    rng = np.random.default_rng(seed)
    shifts = np.repeat(rng.choice([0, 3600, -3600, 86_400, -3 * 86_400], len(times) // 3 + 1), 3)[: len(times)]
    return times + shifts * (seed % 2)


@settings(deadline=None)
@given(ragged(VALUE), st.integers(0, 99), st.sampled_from([(1800, 48, 3660), (3600, 168, 2), (60, 7, 1)]))
def test_means_of_periods_are_those_of_the_twin(series: Ragged, seed: int, period: tuple[int, int, int]) -> None:
    values, offsets = series
    sizes, times = positive(len(offsets) - 1, 0.1, 9), told(owned(values, offsets, seed), seed)
    fast, twin = (module.period_means(times, values, offsets, sizes, *period) for module in pair("profiles"))
    assert fast.shape == twin.shape
    np.testing.assert_array_equal(fast, twin)


@settings(deadline=None)
@given(
    ragged(st.one_of(VALUE, GAP)), st.integers(0, 99), st.sampled_from([(1800, 48, 3660), (86400, 1, 9), (60, 7, 1)])
)
def test_maxima_of_periods_are_those_of_the_twin(series: Ragged, seed: int, period: tuple[int, int, int]) -> None:
    values, offsets = series
    fast, twin = (module.period_maxima(owned(values, offsets, seed), *series, *period) for module in pair("profiles"))
    np.testing.assert_array_equal(fast, twin)


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)), st.integers(0, 99), st.sampled_from([(1800, 48), (3600, 168), (7, 3)]))
def test_values_without_a_profile_are_those_of_the_twin(series: Ragged, seed: int, period: tuple[int, int]) -> None:
    values, offsets = series
    count, (apart, bins) = len(offsets) - 1, period
    sizes, times = positive(count, 0.1, 9), told(owned(values, offsets, seed), seed)
    profile = np.random.default_rng(seed).normal(size=(count, bins))
    ends = positive(profile.size, -3, 3, 7).reshape(profile.shape)
    for first in (0, apart // 2):
        given_ = (times, values, offsets, sizes, profile, ends, apart, first)
        same(*(module.less_profile(*given_) for module in pair("profiles")))


@settings(deadline=None)
@given(ragged(VALUE), st.data())
def test_spans_and_points_kept_are_those_of_the_twin(series: Ragged, data: st.DataObject) -> None:
    values, offsets = series
    times, count = owned(values, offsets, 3), len(offsets) - 1
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), np.uint8)
    order = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=6)) if count else [], np.int64)
    spans = offsets[:-1][order], np.diff(offsets)[order] // 2
    for given_ in (("copied", times, values, *spans), ("where", times, values, offsets, keep)):
        fast, twin = (getattr(module, str(given_[0]))(*given_[1:]) for module in pair("spans"))
        assert [one.tolist() for one in fast] == [one.tolist() for one in twin]


def test_a_span_beyond_the_points_is_refused() -> None:
    for start, length in ((-1, 1), (1, 2), (0, -1), (3, 0)):
        for module in pair("spans"):
            with pytest.raises(ValueError, match="not one of the points"):
                module.copied(np.arange(2), np.ones(2), np.array([start]), np.array([length]))


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([30, 60, 60, 60, 60, 60]), max_size=4), max_size=4))
def test_the_common_step_is_that_of_the_twin(gaps: list[list[int]]) -> None:
    series = [np.cumsum(some) for some in gaps]
    times = np.concatenate([np.empty(0), *series]).astype(np.int64)
    offsets = np.cumsum([0, *map(len, series)], dtype=np.int64)
    fast, twin = (module.common_step(times, offsets) for module in pair("spans"))
    assert fast == twin
    assert fast == 0 or {fast} == {int(step) for some in series for step in np.diff(some)}


@settings(deadline=None)
@given(ragged(VALUE))
def test_deviations_are_those_of_the_twin(series: Ragged) -> None:
    values, offsets = series
    n, count = len(values), len(offsets) - 1
    centers, limits, floors = (positive(count, 0.1, 9, seed) for seed in range(3))
    expected, half = values + positive(n, -1, 1), positive(n, 1e-3, 2, 1)
    distance, gappy = np.abs(values - expected), np.where(positive(n, 0, 1, 5) < 0.1, np.nan, half)
    plain: list[tuple[str, tuple[Any, ...]]] = [
        ("mean_deviations", (values, offsets, centers)),
        ("mean_steps", (values, offsets)),
        ("within", (values, offsets, centers, limits)),
        ("moves", (values, offsets, 0.05)),
    ]
    for name, given_ in plain:
        fast, twin = (getattr(module, name)(*given_) for module in pair("deviations"))
        np.testing.assert_array_equal(fast, twin)
    several: list[tuple[str, tuple[Any, ...]]] = [
        ("around_medians", (values, offsets)),
        ("strayed", (values, expected, offsets, centers, 100.0)),
        ("scored", (distance, gappy, offsets, limits, floors)),
    ]
    for name, given_ in several:
        for one, other in zip(*(getattr(module, name)(*given_) for module in pair("deviations")), strict=True):
            np.testing.assert_array_equal(one, other)


SCORES = st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, 1e-300, 1e150]), GAP)


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(SCORES, SCORES, SCORES), max_size=30), max_size=4), st.sampled_from([1, 4]))
def test_what_scores_of_windows_combine_to_is_as_by_the_twin(series: list[list[tuple[float, ...]]], power: int) -> None:
    scores = np.ascontiguousarray(np.array([one for some in series for one in some], np.float64).reshape(-1, 3).T)
    offsets = np.cumsum([0, *map(len, series)], dtype=np.int64)
    weights, levels = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.95, 0.9999])
    results = (module.joint_quantiles(scores, offsets, weights, power, levels) for module in pair("tails"))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-290)
    thresholds = positive(len(series) * 8, 0.5, 2).reshape(-1, 8)
    same(*(module.joint_scores(scores, offsets, weights, power, thresholds) for module in pair("tails")))


def test_more_windows_than_there_is_room_for_are_refused() -> None:
    for module in pair("tails"):
        with pytest.raises(ValueError, match="more than 8"):
            module.joint_quantiles(np.ones((9, 2)), np.array([0, 2]), np.ones(9), 4, np.array([0.5]))


def test_a_window_mean_depends_on_its_own_points_only() -> None:
    times, values = 60 * np.arange(1, 101), np.random.default_rng(0).normal(size=100)
    windows, needed, one = np.array([900]), np.array([[1]]), np.zeros(100, np.int64)
    wild = np.where(np.arange(100) == 50, 1e150, values)
    for module in pair("windows"):
        usual, after = (module.window_means(times, v, np.array([0, 100]), windows, needed, one) for v in (values, wild))
        changed = np.flatnonzero(usual[0] != after[0])
        assert (changed.min(), changed.max()) == (50, 64)


def test_the_environment_turns_them_off() -> None:
    code = (
        "from myriad import kernels; from myriad.kernels import levels\n"
        "print(kernels.in_use(), levels.one_step.__module__)"
    )
    told = subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "MYRIAD_KERNELS": "0"}, text=True)
    assert told == "NumPy, as MYRIAD_KERNELS says myriad.kernels._levels_py\n"


def test_what_stands_on_kernels_passes_on_their_twins_too() -> None:
    """A part of the suite; `make test-twins` runs the whole."""
    adapters = [f"tests/adapters/test_{name}.py" for name in ("rhythm", "seasonal", "ewma", "mad", "blend")]
    command = [sys.executable, "-m", "pytest", "-q", "--numprocesses", "0", "tests/models", *adapters]
    environment = {**os.environ, "MYRIAD_KERNELS": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
