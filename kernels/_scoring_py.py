"""Scoring: from points and the rows of open shards to scores; the twin of `_scoring.pxi`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from myriad.kernels._predictors_py import Predictor
from myriad.kernels._windows_py import MOST_SCORE, combined, held, window_means
from myriad.kernels.arrays import Integers, Matrix, Vector

NO_MODEL = 255
"""In place of the code of an adapter."""
OUTSIDE_SCORE = 2.0
"""The least score of a value outside of its metric's range."""


class Predicts(Protocol):
    """What predicts: a predictor of the kernels, or any model."""

    def predict(
        self, rows: Integers, times: Integers, values: Vector, offsets: Integers, clock: Integers | None = None
    ) -> tuple[Vector, Vector]:
        """The expected value and half the band at each point."""


class Table:
    """The series of one open shard, n of them at W windows: which predictor each has and in which row."""

    def __init__(
        self,
        adapter: NDArray[np.uint8],
        row: NDArray[np.uint32],
        step: NDArray[np.uint32],
        divisors: NDArray[np.float16],
        predictors: Mapping[tuple[int, int], Predicts],
        adapters: tuple[str, ...] = (),
        limits: Matrix | None = None,
    ) -> None:
        """A table.

        Args:
            adapter: a code or `NO_MODEL`, (n, W).
            row: the row of the predictor of that window and code, (n, W); there has to be one.
            step: seconds between points, (n,).
            divisors: what a combined score is divided by, of each way to combine and subset of windows, (n, 3, 2^W).
            predictors: by position of the window and code.
            adapters: their names, by code.
            limits: the direction of deviations that matter, 1 for up, -1 for down, 0 for both, and the least and the
                most that a value may be, (n, 3); where no series has any, None.
        """
        self.adapter, self.row, self.step, self.divisors = adapter, row, step, divisors
        self.predictors, self.adapters, self.limits = dict(predictors), adapters, limits


def score(
    tables: Sequence[Table],
    table: Integers,
    position: Integers,
    times: Integers,
    values: Vector,
    offsets: Integers,
    columns: Integers,
    windows: Integers,
    weights: Vector,
    power: int,
    coverage: float,
    how: int,
    means: Matrix | None,
    bands: bool,
    clock: Integers | None = None,
) -> tuple[Matrix, NDArray[np.int64], NDArray[np.uint8]]:
    """The scores of the points of some series.

        window's score = |mean of the window - expected| / half the band
        score          = combination of the windows' scores / the divisor of the windows that have one

    It is at most `MOST_SCORE`. A window's score is 0 in the direction that does not matter, and its band has no edge
    there. The score of a value outside of its range is at least `OUTSIDE_SCORE`; of means that are known already it is
    that of the first window. The weighted combination is held, see `_windows_py.held`.

    Args:
        tables: where the series' models are.
        table: of each series, (series,); negative for one without models.
        position: of each series in its table, (series,).
        times: rising within each series, epoch seconds, (n,).
        values: finite, (n,).
        offsets: series i owns `offsets[i]:offsets[i + 1]`, (series + 1,).
        columns: the positions of the windows asked for among the tables' windows, (windows,).
        windows: their seconds, (windows,).
        weights: theirs, (windows,).
        power: of the weighted mean, see `_windows_py.combined`.
        coverage: the share of the expected points that a window needs.
        how: 0 for the weighted power mean of the windows' scores, 1 for the smallest, 2 for the largest.
        means: of the windows at each point, where they are known already, (windows, n).
        bands: whether the bands are wanted.
        clock: the local times, which tell the time of day and the day of the week, seconds, not negative, (n,); the
            times where None.

    Returns:
        Rows of n: the score, each window's score, each window's expected value, and with bands each window's lower and
        then upper edge; NaN where there is none, (1 + 2 or 4 x windows, n). How many points of each series have a score
        at each window, int64 (series, windows). And the code of each series and window, u1 (series, windows).
    """
    count, n, series = len(columns), len(times), len(offsets) - 1
    block = np.full((1 + count * (4 if bands else 2), n), np.nan)
    by_window, expected, edges = block[1 : 1 + count], block[1 + count : 1 + 2 * count], block[1 + 2 * count :]
    divisors, owner = np.ones(block.shape[1]), np.repeat(np.arange(series), np.diff(offsets))
    subset = np.zeros(n, np.int64)
    if means is None:
        judged, means = values, _means(tables, table, position, times, values, offsets, windows, coverage)
    else:
        judged = means[0]
    for t, here in enumerate(tables):
        members = np.flatnonzero(table == t)
        for k, column in enumerate(columns.tolist()):
            codes = here.adapter[position[members], column]
            for code in np.unique(codes[codes != NO_MODEL]).tolist():
                mine = members[codes == code]
                rows = here.row[position[mine], column].astype(np.int64)
                _predict_group(
                    here.predictors[column, code], rows, mine, times, clock, means[k], offsets, k, block, count,
                    None if here.limits is None else here.limits[position[mine], 0],
                )  # fmt: skip
    present = ~np.isnan(by_window)
    expected[~present] = np.nan
    edges[~np.tile(present, (len(edges) // count, 1))] = np.nan
    for bit, here_present in zip(columns.tolist(), present, strict=True):
        subset += here_present.astype(np.int64) << bit
    for t, here in enumerate(tables):
        mine = (table == t)[owner]
        divisors[mine] = here.divisors[position[owner[mine]], how, subset[mine]]
    block[0] = np.minimum(combined(by_window, weights, power, how) / divisors, MOST_SCORE)
    _raise_outside(block[0], judged, tables, table, position, owner)
    if how == 0:
        block[0] = held(block[0], offsets)
    counts = [np.bincount(owner[here_present], minlength=series) for here_present in present]
    codes = np.full((series, count), NO_MODEL, np.uint8)
    for t, here in enumerate(tables):
        codes[table == t] = here.adapter[position[table == t]][:, columns]
    return block, np.ascontiguousarray(np.array(counts).T), codes


def lines(
    tables: Sequence[Table], table: Integers, position: Integers, columns: Integers, how: int, start: int
) -> tuple[Matrix, NDArray[np.float16]] | None:
    """What is expected of the first point of each series in a quarter of an hour, as straight lines.

        expected = base + (added at the start + slope * (time - start))

    A tick has one point of each series; so many of them follow in the same order within a quarter of an hour that
    drawing the lines once pays.

    Args:
        tables: as in `score`, as are the others.
        table: see there.
        position: see there.
        columns: see there.
        how: see there.
        start: of the quarter, epoch seconds.

    Returns:
        These three and half the band of each series and window, (series, windows, 4), NaN without a model, and the
        divisors of each series, float16 (series, 2^W). None where a row does not draw a line, as what it expects or its
        band depends on the value, and where a table has limits.
    """
    series = len(table)
    if any(here.limits is not None for here in tables):
        return None
    found = np.full((series, len(columns), 4), np.nan)
    subsets = max((1 << here.adapter.shape[1] for here in tables), default=1)
    divisors = np.ones((series, subsets), np.float16)
    for t, here in enumerate(tables):
        members = np.flatnonzero(table == t)
        divisors[members] = here.divisors[position[members], how]
        for k, column in enumerate(columns.tolist()):
            codes = here.adapter[position[members], column]
            for code in np.unique(codes[codes != NO_MODEL]).tolist():
                predictor = here.predictors[column, code]
                if not isinstance(predictor, Predictor) or not predictor.has_lines:
                    return None
                mine = members[codes == code]
                found[mine, k] = predictor.lines(here.row[position[mine], column].astype(np.int64), start)
    return found, divisors


def score_first(
    line: Matrix,
    divisors: NDArray[np.float16],
    columns: Integers,
    weights: Vector,
    power: int,
    how: int,
    start: int,
    times: Integers,
    means: Matrix,
    bands: bool,
) -> tuple[Matrix, NDArray[np.int64]]:
    """As `score`, of one point of each series, by the lines they have.

    Args:
        line: as `lines` gives it.
        divisors: see there.
        columns: as in `score`, as are the others.
        weights: see there.
        power: see there.
        how: see there.
        start: of the quarter.
        times: within it, (series,).
        means: (windows, series).
        bands: see there.

    Raises:
        ValueError: the lines are of other series or windows.
    """
    count, n = len(columns), len(times)
    if line.shape[:2] != (n, count) or means.shape != (count, n):
        raise ValueError("the lines are not those of these points")
    block = np.full((1 + count * (4 if bands else 2), n), np.nan)
    base, at_start, slope, half = np.moveaxis(line, 2, 0)
    expected = (base + (at_start + slope * (times - start)[:, None])).T
    block[1 : 1 + count] = np.abs(means - expected) / half.T
    present = ~np.isnan(block[1 : 1 + count])
    block[1 + count : 1 + 2 * count] = np.where(present, expected, np.nan)
    if bands:
        edges = np.concatenate([expected - half.T, expected + half.T])
        block[1 + 2 * count :] = np.where(np.tile(present, (2, 1)), edges, np.nan)
    subset = (present << columns[:, None]).sum(axis=0)
    block[0] = np.minimum(
        combined(block[1 : 1 + count], weights, power, how) / divisors[np.arange(n), subset], MOST_SCORE
    )
    return block, np.ascontiguousarray(present.T, np.int64)


def _predict_group(
    predictor: Predicts,
    rows: Integers,
    members: Integers,
    times: Integers,
    clock: Integers | None,
    means: Vector,
    offsets: Integers,
    k: int,
    block: Matrix,
    count: int,
    directions: Vector | None = None,
) -> None:
    """Write into a block what a predictor says of some series at window k.

    Args:
        predictor: of all of them.
        rows: of each member, (members,).
        members: positions of the series, rising, (members,).
        times: of all series, (n,).
        clock: their local times, see `score`.
        means: of the window at each point, (n,).
        offsets: of all series.
        k: position of the window among those asked for.
        block: as `score` gives it.
        count: how many windows are asked for.
        directions: of the deviations that matter, of each member, see `Table`; (members,).
    """
    starts, lengths = offsets[members], offsets[members + 1] - offsets[members]
    of_members = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    place = np.arange(of_members[-1]) + np.repeat(starts - of_members[:-1], lengths)
    local = None if clock is None else clock[place]
    expected, half = predictor.predict(rows, times[place], means[place], of_members, local)
    signs = np.zeros(len(place)) if directions is None else np.repeat(directions, lengths)
    score = np.abs(means[place] - expected) / half
    score[signs * (means[place] - expected) < 0] = 0
    block[1 + k, place] = score
    block[1 + count + k, place] = expected
    if len(block) > 1 + 2 * count:
        block[1 + 2 * count + k, place] = np.where(signs <= 0, expected - half, np.nan)
        block[1 + 3 * count + k, place] = np.where(signs >= 0, expected + half, np.nan)


def _raise_outside(
    scores: Vector, values: Vector, tables: Sequence[Table], table: Integers, position: Integers, owner: Integers
) -> None:
    """Have values outside of their range score `OUTSIDE_SCORE` at least."""
    for t, here in enumerate(tables):
        if here.limits is not None:
            mine = (table == t)[owner]
            _, least, most = here.limits[position[owner[mine]]].T
            outside = (values[mine] < least) | (values[mine] > most)
            scores[mine] = np.where(outside, np.maximum(scores[mine], OUTSIDE_SCORE), scores[mine])


def _means(
    tables: Sequence[Table],
    table: Integers,
    position: Integers,
    times: Integers,
    values: Vector,
    offsets: Integers,
    windows: Integers,
    coverage: float,
) -> Matrix:
    series = len(offsets) - 1
    steps = np.ones(series, np.int64)
    for t, here in enumerate(tables):
        members = np.flatnonzero(table == t)
        steps[members] = here.step[position[members]]
    needed = np.ceil(coverage * windows[:, None] / steps).astype(np.int64)
    return window_means(times, values, offsets, windows, needed, np.repeat(np.arange(series), np.diff(offsets)))


class Index:
    """The names of the series of one open shard."""

    def __init__(self, hashes: NDArray[np.uint64], names: NDArray[np.uint8], ends: NDArray[np.uint32]) -> None:
        """An index.

        Args:
            hashes: of n series, rising, (n,).
            names: their texts, `region/host/metric`, one after the other.
            ends: text i is `names[ends[i]:ends[i + 1]]`, (n + 1,).
        """
        self._hashes, self._names, self._ends = hashes, names, ends

    def find(
        self,
        wanted: NDArray[np.uint64],
        codes: Integers,
        texts: Sequence[NDArray[np.uint8]],
        text_ends: Sequence[Integers],
    ) -> Integers:
        """The positions of many series, -1 for those that are not in the index.

        Args:
            wanted: the hash of each series, (series,).
            codes: of each series the position of its region, host and metric in the texts, (3, series).
            texts: the texts of all regions, hosts and metrics, one after the other.
            text_ends: where each of them begins, and the last ends.
        """
        found = np.full(len(wanted), -1)
        for i, at in enumerate(np.searchsorted(self._hashes, wanted).tolist()):
            parts = zip(texts, text_ends, codes[:, i].tolist(), strict=True)
            text = b"/".join(some[some_ends[code] : some_ends[code + 1]].tobytes() for some, some_ends, code in parts)
            while at < len(self._hashes) and self._hashes[at] == wanted[i]:
                if self._names[self._ends[at] : self._ends[at + 1]].tobytes() == text:
                    found[i] = at
                    break
                at += 1
        return found
