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
    state = [positive(count, 0.1, 2, seed) for seed in range(6)]
    results = [module.one_step(values, offsets, *state, 4.0, 0.5, 30.0) for module in pair("levels")]
    same(*results)


@settings(deadline=None)
@given(ragged(st.one_of(st.floats(0, 1e6), GAP)))
def test_relative_averages_are_those_of_the_twin(series: Ragged) -> None:
    values, offsets = series
    smoothing = positive(len(offsets) - 1, 0.001, 0.9)
    same(*(module.relative_average(values, offsets, smoothing, 4.0, 0.25, 20.0) for module in pair("levels")))


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
@given(st.lists(st.lists(st.one_of(st.floats(0, 1e6), GAP), min_size=3, max_size=3), max_size=20))
def test_combined_scores_are_those_of_the_twin(points: list[list[float]]) -> None:
    scores = np.ascontiguousarray(np.array(points, np.float64).reshape(-1, 3).T)
    for how in range(3):
        same(*(module.combined(scores, np.array([1.0, 2.0, 4.0]), how) for module in pair("windows")))


@given(st.lists(st.integers(-86_400, 10**10), max_size=20))
def test_profiles_are_those_of_the_twin(times: list[int]) -> None:
    profile = np.random.default_rng(0).normal(size=(4, 48))
    rows = np.arange(len(times)) % 4
    same(*(module.linear_between(profile, rows, np.array(times, np.int64), 1800) for module in pair("windows")))


@settings(deadline=None)
@given(ragged(st.one_of(VALUE, GAP)), st.integers(1, 5))
def test_rolling_medians_are_those_of_the_twin(series: Ragged, lookback: int) -> None:
    centers = positive(len(series[1]) - 1, -50, 50)
    same(*(module.rolling_medians(*series, centers, lookback, 2) for module in pair("quantiles")))


def test_medians_of_more_values_than_there_is_room_for_are_refused() -> None:
    for module in pair("quantiles"):
        with pytest.raises(ValueError, match="between 1 and 64"):
            module.rolling_medians(np.ones(2), np.array([0, 2]), np.ones(1), 60, 5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=50))
def test_rows_are_grouped_as_by_the_twin(numbers: list[int]) -> None:
    given_ = np.array(numbers, np.int64)
    (order, offsets), twin = (module.by_number(given_, 10) for module in pair("groups"))
    assert (order.tolist(), offsets.tolist()) == tuple(one.tolist() for one in twin)
    assert given_[order].tolist() == sorted(numbers)


@pytest.mark.parametrize("wrong", [-1, 10])
def test_a_number_there_is_no_group_for_is_refused(wrong: int) -> None:
    for module in pair("groups"):
        with pytest.raises(ValueError, match="not between 0 and 9"):
            module.by_number(np.array([0, wrong]), 10)


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
