"""Tables of datapoints, a row each, as series with their points."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from myriad.formats.columns import cells
from myriad.formats.columns.cells import COLUMNS, LABELS
from myriad.kernels.groups import by_number
from myriad.models.errors import InvalidKey, InvalidPoints, MissingColumn
from myriad.models.names import Names
from myriad.models.points import MAX_MAGNITUDE, Points, ranges

SPARSE, MANY = 4, 1_000_000
"""Rows are counted by their codes where there can be so many times as many codes, and this many, at most."""
NO_VALUE = f"a value is no number, or beyond {MAX_MAGNITUDE:g}"


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which rows of a table are of which series, in order of the series' first rows.

    Attributes:
        names: the series.
        bad: those that cannot be one, and why.
        order: the rows, series after series, each in order of the table, int64 (rows,).
        offsets: series i owns `order[offsets[i]:offsets[i + 1]]`, int64 (series + 1,).
        is_in_order: whether the rows stand like this in the table.
    """

    names: Names
    bad: dict[int, InvalidKey]
    order: NDArray[np.int64]
    offsets: NDArray[np.int64]
    is_in_order: bool

    def in_order(self, column: NDArray[Any]) -> NDArray[Any]:
        """A column of the table, series after series."""
        return column if self.is_in_order else column[self.order]


@dataclass(frozen=True, slots=True)
class Grouped:
    """A table's datapoints by series.

    Attributes:
        grouping: of the rows.
        points: NaN where the table has null, NaN or infinity.
        bad: the series that cannot be scored, and why.
    """

    grouping: Grouping
    points: Points
    bad: dict[int, InvalidKey | InvalidPoints]


def grouped(table: pa.Table, grouping: Grouping | None = None) -> Grouped:
    """The series of a table with the columns region, host, metric, timestamp and value.

    Args:
        table: a row a datapoint.
        grouping: of the table's rows, where it is known.

    Raises:
        InvalidPoints: a column is missing or of a type it cannot be.
    """
    demand(COLUMNS, table.column_names)
    by_series = grouping or grouping_of(labels_of(table))
    values = by_series.in_order(numbers(table, "value"))
    points = Points(by_series.in_order(timestamps(table)), values, by_series.offsets)
    return Grouped(by_series, points, {**unscorable(points, values), **by_series.bad})


def unscorable(points: Points, *values: NDArray[np.float64]) -> dict[int, InvalidKey | InvalidPoints]:
    """The series with a timestamp that is none, or with one of the values too large or infinite, and why.

    Args:
        points: whose timestamps are -1 where there is none.
        values: each float64 (n,), along the points.
    """
    bad: dict[int, InvalidKey | InvalidPoints] = {}
    for column in values:
        wrong = points.owner[np.abs(column) > MAX_MAGNITUDE]
        bad |= {i: InvalidPoints(NO_VALUE) for i in np.unique(wrong).tolist()}
    timeless = np.unique(points.owner[points.timestamps < 0]).tolist()
    return bad | {i: InvalidPoints("a timestamp is not a time between 1970 and 2200") for i in timeless}


def demand(columns: Sequence[str], there: Sequence[str]) -> None:
    """Raise `MissingColumn` for one that is not among those of a table, `InvalidPoints` for one there several times."""
    for name in columns:
        if (count := list(there).count(name)) != 1:
            error, what = (MissingColumn, "is missing") if count == 0 else (InvalidPoints, "is there several times")
            raise error(f"column {name!r} {what}; the columns are {', '.join(there[:30])}")


def labels_of(table: pa.Table) -> Names:
    """The series of each row of a table.

    Raises:
        InvalidPoints: a label column is missing, or of a type that labels cannot be.
    """
    demand(LABELS, table.column_names)
    codes = np.empty((len(LABELS), table.num_rows), np.int64)
    regions, hosts, metrics = (_encoded(table, name, into) for name, into in zip(LABELS, codes, strict=True))
    return Names((regions, hosts, metrics), codes)


def grouping_of(labels: Names) -> Grouping:
    """Rows by series, from the series of each."""
    code = labels.codes[0].copy()
    for parts, codes in zip(labels.parts[1:], labels.codes[1:], strict=True):
        code *= max(len(parts), 1)
        code += codes
    order, ends = grouped_by(code, math.prod(max(len(parts), 1) for parts in labels.parts))
    used = np.flatnonzero(np.diff(ends))
    first = order[ends[used]]
    if (first[1:] < first[:-1]).any():
        by_first, _ = by_number(first, len(order))
        used, first = used[by_first], first[by_first]
        order = order[ranges(ends[used], ends[used + 1] - ends[used])]
    names = labels.take(first).compact()
    offsets = np.concatenate([[0], np.cumsum(ends[used + 1] - ends[used])]).astype(np.int64)
    last = order[offsets[1:] - 1]
    is_in_order = np.array_equal(first, offsets[:-1]) and np.array_equal(last, offsets[1:] - 1)
    return Grouping(names, names.invalid(), order, offsets, is_in_order)


def grouped_by(codes: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `kernels.groups.by_number`; where there may be far more codes than rows, of those that there are."""
    if size > SPARSE * len(codes) + MANY:
        found, codes = np.unique(codes, return_inverse=True)
        size = len(found)
    return by_number(codes, size)


def _encoded(table: pa.Table, name: str, codes: NDArray[np.int64]) -> list[Any]:
    """A label column's distinct labels; a null is a label that is not text. Each row's position is put into `codes`."""
    column, at = _cast(table, name, cells.labels).unify_dictionaries(), 0
    parts = column.chunk(0).dictionary.to_pylist()
    for chunk in column.chunks:
        codes[at : at + len(chunk)] = pc.fill_null(chunk.indices, len(parts)) if chunk.null_count else chunk.indices
        at += len(chunk)
    if len(set(parts)) < len(parts):  # whoever wrote the dictionary was careless
        distinct = {part: at for at, part in enumerate(dict.fromkeys(parts))}
        codes[:] = np.array([distinct.get(part, len(distinct)) for part in [*parts, None]])[codes]
        parts = [*distinct]
    return [*parts, None] if column.null_count else parts


def numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column as float64 (rows,): NaN where it has none, infinite where it has what is no number."""
    column = _cast(table, name, cells.values)
    found = np.asarray(column, np.float64)
    if column.null_count:
        found = np.where(column.is_null().to_numpy(zero_copy_only=False), np.inf, found)
    return found


def timestamps(table: pa.Table) -> NDArray[np.int64]:
    """The column timestamp as epoch seconds, int64 (rows,); -1 where it has what is no time.

    Raises:
        InvalidPoints: it is of a type that times cannot be, or of one that has no time zone.
    """
    kind = table.column("timestamp").type
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        raise InvalidPoints("column 'timestamp' has no time zone; make it UTC")
    return np.asarray(pc.fill_null(_cast(table, "timestamp", cells.times), -1), np.int64)


def readable_labels(table: pa.Table) -> pa.Table:
    """The table with labels that are numbers, bytes or views of text as text; null for those that cannot be read."""
    for at, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if field.name in LABELS and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            table = table.set_column(at, field.name, _cast(table, field.name, cells.labels))
    return table


def readable_times(table: pa.Table) -> pa.Table:
    """The table with times that are text or have a zone as epoch seconds, null for those that cannot be read."""
    at = table.schema.get_field_index("timestamp")
    kind = table.schema.field(at).type if at >= 0 else pa.null()
    if pa.types.is_primitive(kind) and not (pa.types.is_timestamp(kind) and kind.tz):
        return table
    return table.set_column(at, "timestamp", _cast(table, "timestamp", cells.times))


def _cast(table: pa.Table, name: str, read: Callable[[pa.Array, str], pa.Array]) -> pa.ChunkedArray:
    column = table.column(name)
    try:
        chunks = [read(chunk, name) for chunk in column.chunks] or [read(pa.array([], column.type), name)]
    except pa.ArrowException as exc:
        raise InvalidPoints(f"column {name!r} cannot be read: {exc}") from exc
    return pa.chunked_array(chunks)
