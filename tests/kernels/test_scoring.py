"""Scoring: what is predicted and combined is the twin's, for every kind of row and ragged points."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad import adapters
from myriad.models.base import Model, Param
from myriad.models.key import Series
from myriad.models.names import Names

KINDS = ("rhythm", "ewma", "mad", "seasonal", "blend")
ROWS = 7
Ragged = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]


def arrays_of(kind: type[Model], seed: int) -> dict[str, NDArray[Any]]:
    """Rows as fitting may give them."""
    rng = np.random.default_rng(seed)
    return {name: _values(name, param, rng) for name, param in {**kind.params, **kind.common}.items()}


def _values(name: str, param: Param, rng: np.random.Generator) -> NDArray[Any]:
    shape = (ROWS, *param.shape)
    if name.endswith(("alpha", "widening")):
        return rng.uniform(0.001, 0.9, shape).astype(param.dtype)
    if param.positive:
        return rng.uniform(0.05, 3, shape).astype(param.dtype)
    return (rng.normal(size=shape) * 5).astype(param.dtype)


def points(lengths: list[int], seed: int, gaps: float = 0.0) -> Ragged:
    """Ragged points: some seconds apart, some a day."""
    rng = np.random.default_rng(seed)
    times = [rng.integers(0, 3000) + np.cumsum(rng.choice([1, 7, 60, 60, 60, 900, 86_400], n)) for n in lengths]
    values = rng.normal(size=sum(lengths)) * 10.0 ** rng.integers(-2, 3)
    values[rng.random(len(values)) < gaps] = np.nan
    flat = np.concatenate([np.empty(0, np.int64), *times]).astype(np.int64)
    return flat, values, np.cumsum([0, *lengths], dtype=np.int64)


def same(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True)


def modules() -> tuple[Any, Any, Any]:
    """What is compiled, and the twins of predictors and of scoring."""
    names = ("_compiled", "_predictors_py", "_scoring_py")
    compiled, predictors, scoring = (importlib.import_module(f"myriad.kernels.{name}") for name in names)
    return compiled, predictors, scoring


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 60), max_size=5), seed=st.integers(0, 10_000))
def test_rows_predict_as_their_twin(name: str, lengths: list[int], seed: int) -> None:
    compiled, predictors, _ = modules()
    arrays, (times, values, offsets) = arrays_of(adapters.get(name), seed), points(lengths, seed, gaps=0.1)
    rows = np.random.default_rng(seed).integers(0, ROWS, len(lengths))
    expected, half = getattr(compiled, name.title())(arrays).predict(rows, times, values, offsets)
    twin_expected, twin_half = getattr(predictors, name.title())(arrays).predict(rows, times, values, offsets)
    same(expected, twin_expected)
    same(half, twin_half)


@pytest.mark.parametrize("row", [-1, ROWS])
def test_a_row_that_there_is_not_is_refused(row: int) -> None:
    compiled, predictors, _ = modules()
    arrays, given_ = arrays_of(adapters.get("mad"), 0), points([3], 0)
    for module in (compiled, predictors):
        with pytest.raises(IndexError, match="no such row"):
            module.Mad(arrays).predict(np.array([row]), *given_)


class Constant:
    """What is not compiled: expects 1 with half a band of the row."""

    def predict(
        self,
        rows: NDArray[np.int64],
        times: NDArray[np.int64],
        values: NDArray[np.float64],
        offsets: NDArray[np.int64],
        clock: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        assert len(times) == len(values) == offsets[-1]
        hours = np.zeros(len(times)) if clock is None else (clock - times) / 3600
        return np.ones(len(values)) + hours, np.repeat(rows, np.diff(offsets)).astype(np.float64) + 1


def tables(module: Any, kinds: Mapping[str, Any], seed: int, *, limited: bool = False) -> list[Any]:
    """Two shards at three windows, with all kinds, and some series without a model at some window.

    With limits, the second has directions and ranges.
    """
    made = []
    for shard in range(2):
        rng = np.random.default_rng(seed + shard)
        codes = rng.choice([*range(len(KINDS) + 1), 255], (9, 3)).astype(np.uint8)
        predictors: dict[tuple[int, int], Any] = {(w, len(KINDS)): Constant() for w in range(3)}
        for w in range(3):
            for code, name in enumerate(KINDS):
                predictors[w, code] = kinds[name](arrays_of(adapters.get(name), seed + w))
        made.append(
            module.Table(
                codes,
                rng.integers(0, ROWS, (9, 3)).astype(np.uint32),
                rng.choice([1, 60], 9).astype(np.uint32),
                rng.uniform(0.5, 2, (9, 3, 8)).astype(np.float16),
                predictors,
                (),
                limits_of(rng) if limited and shard else None,
            )
        )
    return made


def told_by_a_clock(times: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Local times that go forward and back by hours and days."""
    rng = np.random.default_rng(seed)
    changes = np.sort(rng.integers(0, times.max(initial=0) + 2, 5))
    shifts = rng.choice([0, 3600, -3600, 86_400, -3 * 86_400], 6)
    return np.maximum(times + shifts[np.searchsorted(changes, times)], 0)


def limits_of(rng: np.random.Generator) -> NDArray[np.float64]:
    """Directions and ranges of nine series."""
    ranges = rng.choice([-np.inf, -1, 0.5], 9), rng.choice([1, 3, np.inf], 9)
    return np.stack([rng.integers(-1, 2, 9), *ranges], axis=1).astype(np.float64)


@settings(max_examples=120, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), max_size=8),
    seed=st.integers(0, 10_000),
    how=st.integers(0, 2),
    power=st.sampled_from([1, 4]),
    bands=st.booleans(),
    given_means=st.booleans(),
    limited=st.booleans(),
    clocked=st.booleans(),
    columns=st.sampled_from([(0, 1, 2), (0, 2), (1,)]),
)
def test_scores_are_those_of_the_twin(
    lengths: list[int],
    seed: int,
    how: int,
    power: int,
    bands: bool,
    given_means: bool,
    limited: bool,
    clocked: bool,
    columns: tuple[int, ...],
) -> None:
    compiled, predictors, scoring = modules()
    times, values, offsets = points(lengths, seed)
    rng = np.random.default_rng(seed)
    table, position = rng.integers(-1, 2, len(lengths)), rng.integers(0, 9, len(lengths))
    chosen, windows, weights = np.array(columns), np.array([60, 900, 3600]), np.array([1.0, 2.0, 4.0])
    means = rng.normal(size=(len(columns), len(values))) if given_means else None
    if means is not None:
        means[rng.random(means.shape) < 0.2] = np.nan
    clock = told_by_a_clock(times, seed) if clocked else None
    asked = (chosen, windows[chosen], weights[chosen], power, 0.5, how, means, bands, clock)
    results = []
    for module, kinds in ((compiled, compiled), (scoring, predictors)):
        of_kind = {name: getattr(kinds, name.title()) for name in KINDS}
        made = tables(module, of_kind, seed, limited=limited)
        results.append(module.score(made, table, position, times, values, offsets, *asked))
    (block, counts, codes), (twin_block, twin_counts, twin_codes) = results
    same(block, twin_block)
    assert counts.tolist() == twin_counts.tolist()
    assert codes.tolist() == twin_codes.tolist()


def test_windows_keep_the_points_times_and_models_are_asked_at_the_clocks() -> None:
    """A clock that goes back between points does not bring them closer; it changes what is expected of them alone."""
    for module in (modules()[0], modules()[2]):
        kind = adapters.get("seasonal")
        arrays = {name: np.zeros((1, *param.shape), param.dtype) for name, param in kind.params.items()}
        arrays |= {"unit": np.ones(1), "spread": np.ones((1, 24), "<f2"), "threshold": np.ones(1, "<f4")}
        arrays |= {"hour": np.arange(24, dtype="<f2")[None], "floor": np.ones(1)}
        predictor = (module if hasattr(module, "Seasonal") else modules()[1]).Seasonal(arrays)
        ones = np.ones((1, 3, 2), np.float16)
        codes, row, step = np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint32), np.full(1, 60, np.uint32)
        table = module.Table(codes, row, step, ones, {(0, 0): predictor})
        zero, times, values = np.zeros(1, np.int64), np.array([5400, 9000]), np.array([10.0, 20.0])
        given_ = (
            [table],
            zero,
            zero,
            times,
            values,
            np.array([0, 2]),
            zero,
            np.array([60]),
            np.ones(1),
            4,
            0.5,
            0,
            None,
        )
        plain, _, _ = module.score(*given_, False)
        clocked, _, _ = module.score(*given_, False, times + np.array([3600, 0]))
        assert plain[2].tolist() == [1, 2]
        assert clocked[2].tolist() == [2, 2]
        assert clocked[1].tolist() == [8, 18]


def test_a_clock_of_other_points_is_refused() -> None:
    compiled, _, _ = modules()
    none, zero = np.empty(0, np.int64), np.zeros(1, np.int64)
    asked = (zero, np.array([60]), np.ones(1), 4, 0.5, 0, None, False)
    with pytest.raises(ValueError, match="not as many local times"):
        compiled.score([], none, none, none, np.empty(0), zero, *asked, np.ones(2, np.int64))


def test_a_row_beyond_a_model_is_no_model_rather_than_memory_of_others() -> None:
    compiled, _, _ = modules()
    mad = compiled.Mad(arrays_of(adapters.get("mad"), 0))
    ones = np.ones((1, 3, 2), np.float16)
    table = compiled.Table(
        np.zeros((1, 1), np.uint8), np.full((1, 1), 10**6, np.uint32), np.ones(1, np.uint32), ones, {(0, 0): mad}
    )
    zero, one, seconds = np.zeros(1, np.int64), np.ones(1), np.array([60])
    block, counts, _ = compiled.score(
        [table], zero, zero, np.array([60]), one, np.array([0, 1]), zero, seconds, one, 4, 0.5, 0, None, False
    )
    assert np.isnan(block).all()
    assert counts.tolist() == [[0]]


@pytest.mark.parametrize(("table", "position"), [(2, 0), (0, 9), (0, -1)])
def test_places_that_there_are_not_are_refused(table: int, position: int) -> None:
    compiled, _, _ = modules()
    made = tables(compiled, {name: getattr(compiled, name.title()) for name in KINDS}, 0)
    times, values, offsets = points([3], 0)
    with pytest.raises(IndexError, match="there is no such"):
        compiled.score(
            made, np.array([table]), np.array([position]), times, values, offsets,
            np.array([0]), np.array([60]), np.ones(1), 4, 0.5, 0, None, False,
        )  # fmt: skip


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), st.integers(0, 3))
def test_series_are_found_by_hash_and_name(hashes: list[int], same_hash: int) -> None:
    compiled, _, scoring = modules()
    entries = sorted((h, f"r/h/{h}-{k}") for h in hashes for k in range(1 + same_hash))
    index = np.array([h for h, _ in entries], np.uint64)
    packed = np.frombuffer("".join(name for _, name in entries).encode(), np.uint8)
    ends = np.cumsum([0, *(len(name) for _, name in entries)]).astype(np.uint32)
    wanted = [*entries, (hashes[0], "r/h/none"), (hashes[0], "r/h" + entries[0][1][3:] + "x"), (hashes[0] ^ 1, "r/h/1")]
    names = Names.of([Series(*name.split("/")) for _, name in wanted])
    sought = np.array([h for h, _ in wanted], np.uint64), np.ascontiguousarray(names.codes), *names.packed
    for module in (compiled, scoring):
        found = module.Index(index, packed, ends).find(*sought).tolist()
        assert [entries[at] for at in found[:-3]] == entries
        assert found[-3:] == [-1, -1, -1 if (hashes[0] ^ 1, "r/h/1") not in entries else entries.index(wanted[-1])]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.integers(0, 9),
    seed=st.integers(0, 10_000),
    how=st.integers(0, 2),
    power=st.sampled_from([1, 4]),
    bands=st.booleans(),
    columns=st.sampled_from([(0, 1, 2), (0, 2), (1,)]),
)
def test_points_by_lines_score_as_first_points_do_to_the_last_bit(
    lengths: int, seed: int, how: int, power: int, bands: bool, columns: tuple[int, ...]
) -> None:
    compiled, predictors, scoring = modules()
    rng = np.random.default_rng(seed)
    start = 900 * int(rng.integers(0, 2_000_000))
    times, means = start + rng.integers(0, 900, lengths), rng.normal(size=(len(columns), lengths)) * 5
    means[rng.random(means.shape) < 0.2] = np.nan
    table, position, offsets = rng.integers(-1, 1, lengths), rng.integers(0, 9, lengths), np.arange(lengths + 1)
    chosen, weights = np.array(columns), np.array([1.0, 2.0, 4.0])[list(columns)]
    results = []
    for module, kinds in ((compiled, compiled), (scoring, predictors)):
        rows = {name: getattr(kinds, name.title())(arrays_of(adapters.get(name), seed)) for name in KINDS[:4]}
        codes = np.random.default_rng(seed).choice([0, 1, 2, 3, 255], (9, 3)).astype(np.uint8)
        row = np.random.default_rng(seed).integers(0, ROWS, (9, 3)).astype(np.uint32)
        divisors = np.random.default_rng(seed).uniform(0.5, 2, (9, 3, 8)).astype(np.float16)
        predicts = {(w, code): rows[name] for w in range(3) for code, name in enumerate(KINDS[:4])}
        made = [module.Table(codes, row, np.ones(9, np.uint32), divisors, predicts)]
        drawn = module.lines(made, table, position, chosen, how, start)
        assert drawn is not None
        block, counts = module.score_first(*drawn, chosen, weights, power, how, start, times, means, bands)
        asked = (chosen, np.full(len(columns), 60), weights, power, 0.5, how, means, bands)
        whole, whole_counts, _ = module.score(made, table, position, times, np.zeros(lengths), offsets, *asked)
        assert block.tobytes() == whole.tobytes() or module is scoring
        same(block, whole)
        assert counts.tolist() == whole_counts.tolist()
        results.append((drawn, block))
    same(results[0][0][0], results[1][0][0])
    same(results[0][1], results[1][1])


@pytest.mark.parametrize("direction", [1, -1])
def test_a_deviation_in_the_direction_that_does_not_matter_scores_0_and_has_no_edge(direction: int) -> None:
    block, *_ = limited_by([direction, -np.inf, np.inf], [50.0, -50.0])
    assert [score > 0 for score in block[1]] == [direction > 0, direction < 0]
    assert np.isnan(block[3]).tolist() == [direction > 0] * 2
    assert np.isnan(block[4]).tolist() == [direction < 0] * 2


def test_a_value_outside_of_its_range_is_above_1_however_usual_it_is() -> None:
    inside, outside = (limited_by([0, -1e9, most], [1.0, 1.0])[0][0] for most in (1e9, 0.5))
    assert inside.max() < 1
    assert outside.tolist() == [2.0, 2.0]


def limited_by(limits: list[float], values: list[float]) -> Any:
    """The scores and bands of a series with a model and limits, by what is compiled and by its twin alike."""
    compiled, predictors, scoring = modules()
    zero, ones = np.zeros(1, np.int64), np.ones((1, 3, 2), np.float16)
    results = []
    for module, kinds in ((compiled, compiled), (scoring, predictors)):
        mad = kinds.Mad({name: array[:1] * 0 + 1 for name, array in arrays_of(adapters.get("mad"), 0).items()})
        table = module.Table(
            np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint32), np.ones(1, np.uint32), ones, {(0, 0): mad}, (),
            np.array([limits]),
        )  # fmt: skip
        assert module.lines([table], zero, zero, zero, 0, 0) is None
        times, offsets = np.arange(len(values)), np.array([0, len(values)])
        asked = (zero, np.ones(1, np.int64), np.ones(1), 4, 0.5, 0, None, True)
        results.append(module.score([table], zero, zero, times, np.array(values), offsets, *asked))
    same(results[0][0], results[1][0])
    return results[0]


def test_there_are_no_lines_where_a_library_predicts() -> None:
    compiled, _, scoring = modules()
    codes, one = np.full((1, 1), len(KINDS), np.uint8), np.ones((1, 1), np.uint32)
    for module in (compiled, scoring):
        predicts = {(0, len(KINDS)): Constant()}
        table = module.Table(codes, one, one[0], np.ones((1, 3, 2), np.float16), predicts)
        zero = np.zeros(1, np.int64)
        assert module.lines([table], zero, zero, zero, 0, 900) is None


@given(
    st.lists(st.tuples(*[st.sampled_from(["a", "b", "a b", "é", "/", "ab"])] * 3), min_size=1, max_size=12), st.data()
)
def test_many_series_are_found_as_by_the_twin(series: list[tuple[str, str, str]], data: st.DataObject) -> None:
    compiled, _, scoring = modules()
    there = sorted({Series(*one) for one in series[: data.draw(st.integers(1, len(series)))]}, key=lambda one: one.hash)
    texts = [str(one).encode() for one in there]
    index = (
        np.array([one.hash for one in there], np.uint64),
        np.frombuffer(b"".join(texts), np.uint8),
        np.cumsum([0, *map(len, texts)]).astype(np.uint32),
    )
    names = Names.of([Series(*one) for one in series])
    asked = (names.hashes, np.ascontiguousarray(names.codes), *names.packed)
    expected = [there.index(Series(*one)) if Series(*one) in there else -1 for one in series]
    for module in (compiled, scoring):
        assert module.Index(*index).find(*asked).tolist() == expected
