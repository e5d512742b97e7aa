"""Tables: datapoints in columns to score, and the answer in columns beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from myriad.formats.columns.table import Grouping, demand, grouped, numbers, timestamps, unscorable
from myriad.models.ensemble import Combine
from myriad.models.errors import InvalidKey, InvalidPoints
from myriad.models.points import Points
from myriad.models.windows import Window
from myriad.serving.resolution import Resolution
from myriad.serving.scoring import STATUSES, Query, Scores, Status


@dataclass(frozen=True, slots=True)
class Tabular:
    """A table to score.

    Attributes:
        query: what to score of it.
        grouping: its rows by series.
        good: the series of the query among those of the grouping, int64 (series,).
        bad: why the others cannot be scored.
        rows: the table's row of each point posted of those, int64 (posted,).
        place: where each of these went among the query's points, int64 (posted,).
    """

    query: Query
    grouping: Grouping
    good: NDArray[np.int64]
    bad: Mapping[int, InvalidKey | InvalidPoints]
    rows: NDArray[np.int64]
    place: NDArray[np.int64]


def tabular(
    table: pa.Table,
    windows: tuple[Window, ...] | None,
    combine: Combine,
    grouping: Grouping,
    resolution: Resolution | None = None,
    *,
    bands: bool = False,
) -> Tabular:
    """A table with the columns region, host, metric, timestamp, and value or a column a window like `1m`.

    Args:
        table: a row a datapoint.
        windows: to score at.
        combine: how.
        grouping: of the table's rows.
        resolution: where the grouping's series are, those left out that are bad.
        bands: whether they are wanted.

    Raises:
        InvalidPoints: a column is missing or of a type it cannot be, or a timestamp is not one.
    """
    aggregated = _aggregated(table)
    if aggregated:
        points = Points(timestamps(table)[grouping.order], np.zeros(table.num_rows), grouping.offsets)
        means = [column[grouping.order] for column in aggregated.values()]
        bad = {**unscorable(points, *means), **grouping.bad}
        there = np.atleast_1d(np.isfinite(means).any(axis=0))
    else:
        by_series = grouped(table, grouping)
        points, bad = by_series.points, by_series.bad
        there = np.isfinite(points.values)
    good = np.delete(np.arange(len(grouping.names)), list(bad))
    names = grouping.names
    if bad:
        there &= np.isin(points.owner, good)
        points, names = points.where(there).take(good), names.take(good).compact()
    elif not there.all():
        points = points.where(there)
    rows = grouping.order[there]
    tidy = points.tidied()
    last = np.empty(len(tidy.points.values), np.int64)
    last[tidy.place] = rows
    values = {window: column[last] for window, column in aggregated.items()} or None
    usual = resolution if len(bad) == len(grouping.bad) else None
    query = Query(names, tidy.points, windows, combine, values, bands, usual)
    return Tabular(query, grouping, good, bad, rows, tidy.place)


def answer(asked: Tabular, scores: Scores) -> pa.Table:
    """The answer's columns, a row for each of the table's: score, one a window, what was expected, and status.

    Args:
        asked: the table.
        scores: of its points.
    """
    total = len(asked.grouping.order)

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(asked.rows) == total and (asked.rows[1:] > asked.rows[:-1]).all():
            return values[asked.place]
        column = np.full(total, np.nan)
        column[asked.rows] = values[asked.place]
        return column

    columns = {"score": spread(scores.score)}
    columns |= {str(w): spread(scores.by_window[k]) for k, w in enumerate(scores.windows)}
    columns |= {f"expected_{w}": spread(scores.expected[k]) for k, w in enumerate(scores.windows)}
    if scores.bands is not None:
        for edge, values in zip(("lower", "upper"), scores.bands, strict=True):
            columns |= {f"{edge}_{w}": spread(values[k]) for k, w in enumerate(scores.windows)}
    codes = np.full(len(asked.grouping.names), STATUSES.index(Status.BAD_SERIES), np.int8)
    codes[asked.good] = scores.statuses
    status = np.empty(total, np.int8)
    status[asked.grouping.order] = np.repeat(codes, np.diff(asked.grouping.offsets))
    statuses = pa.DictionaryArray.from_arrays(status, pa.array([str(s) for s in STATUSES]))
    return pa.table({**columns, "status": statuses})


def _aggregated(table: pa.Table) -> dict[Window, NDArray[np.float64]]:
    """The columns named as windows, where the table has them in place of `value`."""
    if "value" in table.column_names:
        return {}
    found = {Window.parse(name): numbers(table, name) for name in table.column_names if is_window(name)}
    if not found:
        demand(table, ["value"])
    return found


def is_window(name: object) -> bool:
    """Whether a column is named as a window is."""
    try:
        Window.parse(str(name))
    except InvalidKey:
        return False
    return True
