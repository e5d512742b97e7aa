"""Tables: from a table of datapoints to a query, and from its scores to a table of answers, row by row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from myriad.formats.bodies import answer_size
from myriad.formats.bodies.base import TableBody, TableRequest
from myriad.formats.bodies.json_series_answer import host_answers
from myriad.formats.bodies.reading import echoed
from myriad.formats.columns.cells import LABELS
from myriad.formats.columns.table import Grouping, demand, grouped, numbers, timestamps, unscorable
from myriad.models.ensemble import Combine
from myriad.models.errors import InvalidKey, InvalidPoints
from myriad.models.key import MAX_ECHO, MAX_PART_LENGTH
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.scores import Scores
from myriad.models.status import STATUSES, Status
from myriad.models.windows import Window, is_window


@dataclass(frozen=True, slots=True)
class TableQuery:
    """A table's query, and which row of the table each point of the query is from.

    Row `rows[k]` of the table has the score of point `points[k]` of the query. Rows with the same series and timestamp
    have the same point; rows that have none, as they cannot be scored, are not in `rows`.

    Attributes:
        query: the scorable series of the table and their points.
        grouping: the table's rows by series.
        good: positions of the query's series among those of the grouping, int64 (series,).
        bad: why the other series of the grouping cannot be scored, by position.
        rows: int64 (scorable rows,).
        points: int64 (scorable rows,).
        is_whole: whether point i of the query is that of row i of the table, for all of its rows.
    """

    query: Query
    grouping: Grouping
    good: NDArray[np.int64]
    bad: Mapping[int, InvalidKey | InvalidPoints]
    rows: NDArray[np.int64]
    points: NDArray[np.int64]
    is_whole: bool


def table_query(
    table: pa.Table,
    windows: tuple[Window, ...] | None,
    combine: Combine,
    grouping: Grouping,
    *,
    bands: bool = False,
    hosts: bool = False,
    alerts: bool = False,
) -> TableQuery:
    """The query of a table.

    Args:
        table: a row a datapoint, with the columns region, host, metric, timestamp, and either value or, of means that
            have been aggregated already, a column a window like `1m`.
        windows: to score at; all of the release's where None.
        combine: how the windows' scores become one.
        grouping: of the table's rows by series.
        bands: whether the bands are wanted.
        hosts: whether the scores of hosts are.
        alerts: whether the scores as alerts count them are.

    Raises:
        InvalidPoints: a column is missing or of the wrong type, or a timestamp is not one.
    """
    aggregated = _window_columns(table)
    if aggregated:
        demand(["timestamp"], table.column_names)
        points = Points(grouping.in_order(timestamps(table)), np.zeros(table.num_rows), grouping.offsets)
        means = [grouping.in_order(column) for column in aggregated.values()]
        bad = {**unscorable(points, *means), **grouping.bad}
        present = np.atleast_1d(np.isfinite(means).any(axis=0))
    else:
        by_series = grouped(table, grouping)
        points, bad = by_series.points, by_series.bad
        present = np.isfinite(points.values)
    good = np.delete(np.arange(len(grouping.names)), list(bad))
    names, rows = grouping.names, grouping.order
    if bad:
        present &= np.isin(points.owner, good)
        points, names = points.where(present).take(good), names.take(good).compact()
    elif not present.all():
        points = points.where(present)
    if len(points.values) < len(rows):
        rows = rows[present]
    tidy = points.tidied()
    is_whole = not bad and grouping.is_in_order and len(rows) == table.num_rows and tidy.points is points
    if aggregated and not is_whole:
        row_of_point = np.empty(len(tidy.points.values), np.int64)
        row_of_point[tidy.place] = rows  # of rows with the same timestamp the last one
        aggregated = {window: column[row_of_point] for window, column in aggregated.items()}
    values = aggregated or None
    query = Query(names, tidy.points, windows, combine, values, bands=bands, hosts=hosts, alerts=alerts)
    return TableQuery(query, grouping, good, bad, rows, tidy.place, is_whole)


def answer_table(query: TableQuery, scores: Scores) -> pa.Table:
    """The answer to a table, with a row for each of the table's rows.

    Args:
        query: of the table.
        scores: of the query.

    Returns:
        The columns `score`, `1m`... a window, `expected_1m`..., `lower_1m`... and `upper_1m`... where there are bands,
        `alert_score` where it was asked for, and `status`; NaN where there is no score.
    """
    total = len(query.grouping.order)

    def by_row(values: NDArray[np.float64]) -> NDArray[np.float64]:
        if query.is_whole:
            return values
        if len(query.rows) == total and (query.rows[1:] > query.rows[:-1]).all():
            return values[query.points]
        column = np.full(total, np.nan)
        column[query.rows] = values[query.points]
        return column

    columns = {"score": by_row(scores.score)}
    columns |= {str(w): by_row(scores.by_window[k]) for k, w in enumerate(scores.windows)}
    columns |= {f"expected_{w}": by_row(scores.expected[k]) for k, w in enumerate(scores.windows)}
    if scores.bands is not None:
        for edge, values in zip(("lower", "upper"), scores.bands, strict=True):
            columns |= {f"{edge}_{w}": by_row(values[k]) for k, w in enumerate(scores.windows)}
    if scores.alerts is not None:
        columns["alert_score"] = by_row(scores.alerts)
    codes = np.full(len(query.grouping.names), STATUSES.index(Status.BAD_SERIES), np.int8)
    codes[query.good] = scores.status
    status = np.repeat(codes, np.diff(query.grouping.offsets))
    if not query.grouping.is_in_order:
        by_series, status = status, np.empty(total, np.int8)
        status[query.grouping.order] = by_series
    statuses = pa.DictionaryArray.from_arrays(status, pa.array([str(s) for s in STATUSES]))
    return pa.table({**columns, "status": statuses})


def answer(
    request: TableRequest, query: TableQuery, scores: Scores, body: TableBody, *, stale: bool = False
) -> Iterator[bytes]:
    """The answer to a table as a body, in chunks: a row for each row posted, in the same order.

    Of the first series that cannot be scored it says why: JSON beside the columns, Arrow in its metadata,
    NDJSON in the first row of each.
    """
    scored = [str(window) for window, counts in zip(scores.windows, scores.counts.T, strict=True) if counts.any()]
    columns = [*LABELS, "timestamp", "status", "score", *scored]
    if request.bands:
        columns += [f"{kind}_{window}" for kind in ("expected", "lower", "upper") for window in scored]
    if request.alerts:
        columns.append("alert_score")
    labels, scored_rows = _echoed(request.table.select([*LABELS, "timestamp"])), answer_table(query, scores)
    table = pa.table({name: labels[name] if name in labels.column_names else scored_rows[name] for name in columns})
    facts = {"release": scores.release, "windows": scored, **({"stale": True} if stale else {})}
    if query.bad:
        facts["bad_series"] = _reasons(query)
    if request.hosts:
        facts["hosts"] = host_answers(scores.hosts)
    return body.write(table, facts, request.digits)


def most_bytes(request: TableRequest, windows: int, body: TableBody) -> int:
    """The most bytes of that answer, where so many windows are scored."""
    numbers = 1 + windows * (4 if request.bands else 1) + request.alerts
    return body.most_bytes(request.table, numbers, hosts=request.hosts)


def _reasons(query: TableQuery) -> list[dict[str, Any]]:
    """Why series cannot be scored, and the first row of each."""
    names, grouping = query.grouping.names, query.grouping
    return [
        {
            **dict(zip(LABELS, [part and echoed(part) for part in names[i]], strict=True)),
            "row": int(grouping.order[grouping.offsets[i]]),
            "detail": str(query.bad[i]),
        }
        for i in sorted(query.bad)[: answer_size.REASONS]
    ]


def _echoed(table: pa.Table) -> pa.Table:
    """A table whose labels are no longer than what is repeated of labels that cannot be any."""
    for at, name in enumerate(table.column_names):
        if name in LABELS:
            column = table.column(name)
            cut = pa.chunked_array([_with_short_texts(chunk) for chunk in column.chunks], column.type)
            table = table.set_column(at, name, cut)
    return table


def _with_short_texts(labels: pa.Array) -> pa.Array:
    texts = labels.dictionary if pa.types.is_dictionary(labels.type) else labels
    if pa.types.is_null(texts.type) or (pc.max(pc.utf8_length(texts)).as_py() or 0) <= MAX_PART_LENGTH:
        return labels
    too_long = pc.greater(pc.utf8_length(texts), MAX_PART_LENGTH)
    cut = pc.if_else(too_long, pc.utf8_slice_codeunits(texts, 0, MAX_ECHO), texts)
    if texts is labels:
        return cut
    distinct = cut.dictionary_encode()  # several may begin alike
    indices = pc.take(distinct.indices, labels.indices).cast(labels.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, distinct.dictionary)


def _window_columns(table: pa.Table) -> dict[Window, NDArray[np.float64]]:
    """The columns of means aggregated already, which a table may have in place of `value`; empty if it has `value`."""
    if "value" in table.column_names:
        return {}
    columns = {Window.parse(name): numbers(table, name) for name in table.column_names if is_window(name)}
    if not columns:
        demand(["value"], table.column_names)
    return columns
