"""Tables of datapoints, a row each, as series with their points."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from myriad.formats.columns.timestamps import LATEST, epoch_seconds, seconds_of
from myriad.models.errors import InvalidKey, InvalidPoints
from myriad.models.names import Names
from myriad.models.points import MAX_MAGNITUDE, Points

LABELS = ("region", "host", "metric")
COLUMNS = (*LABELS, "timestamp", "value")


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which rows of a table are of which series, in order of the series' first rows.

    Attributes:
        names: the series.
        bad: those that cannot be one, and why.
        order: the rows, series after series, each in order of the table, int64 (rows,).
        offsets: series i owns `order[offsets[i]:offsets[i + 1]]`, int64 (series + 1,).
    """

    names: Names
    bad: dict[int, InvalidKey]
    order: NDArray[np.int64]
    offsets: NDArray[np.int64]


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
        InvalidPoints: a column is missing or of a type it cannot be, or a timestamp is not one.
    """
    demand(COLUMNS, table.column_names)
    by_series = grouping or grouping_of(labels_of(table))
    values = numbers(table, "value")[by_series.order]
    points = Points(timestamps(table)[by_series.order], values, by_series.offsets)
    return Grouped(by_series, points, {**unscorable(points, values), **by_series.bad})


def unscorable(points: Points, *values: NDArray[np.float64]) -> dict[int, InvalidKey | InvalidPoints]:
    """The series with a timestamp that is none, or with one of the values too large, and why.

    Args:
        points: whose timestamps are -1 where there is none.
        values: each float64 (n,), along the points.
    """
    bad: dict[int, InvalidKey | InvalidPoints] = {}
    for column in values:
        huge = points.owner[np.abs(column) > MAX_MAGNITUDE]
        bad |= {i: InvalidPoints(f"a value is beyond {MAX_MAGNITUDE:g}") for i in np.unique(huge).tolist()}
    timeless = np.unique(points.owner[points.timestamps < 0]).tolist()
    return bad | {i: InvalidPoints("a timestamp is not a time between 1970 and 2200") for i in timeless}


def demand(columns: Sequence[str], there: Sequence[str]) -> None:
    """Raise `InvalidPoints` for a column that is missing among those of a table, or there several times."""
    for name in columns:
        if (count := list(there).count(name)) != 1:
            what = "is missing" if count == 0 else "is there several times"
            raise InvalidPoints(f"column {name!r} {what}; the columns are {', '.join(there[:30])}")


def labels_of(table: pa.Table) -> Names:
    """The series of each row of a table.

    Raises:
        InvalidPoints: a label column is missing, or not text.
    """
    demand(LABELS, table.column_names)
    encoded = [_encoded(table, name) for name in LABELS]
    regions, hosts, metrics = (parts for parts, _ in encoded)
    return Names((regions, hosts, metrics), np.stack([codes for _, codes in encoded]))


def grouping_of(labels: Names) -> Grouping:
    """Rows by series, from the series of each."""
    code = np.zeros(len(labels), np.int64)
    for parts, codes in zip(labels.parts, labels.codes, strict=True):
        code = code * max(len(parts), 1) + codes
    _, first, dense = np.unique(code, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    owner = rank[dense]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(first)))]).astype(np.int64)
    names = labels.take(np.sort(first)).compact()
    return Grouping(names, names.invalid(), np.argsort(owner, kind="stable"), offsets)


def _encoded(table: pa.Table, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """A label column's distinct labels, and each row's position among them; a null is a label that is not text."""
    column = table.column(name)
    kind = _value_type(column)
    if pa.types.is_null(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if not _is_text(kind):
        raise InvalidPoints(f"column {name!r} is {kind}, not text")
    parts, codes = _parts_and_codes(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())
    if len(set(parts)) < len(parts) or None in parts:  # whoever wrote the dictionary was careless
        distinct = {part: at for at, part in enumerate(part for part in dict.fromkeys(parts) if part is not None)}
        codes = np.array([distinct.get(part, len(distinct)) for part in [*parts, None]])[codes]
        parts = [*distinct]
    return ([*parts, None] if (codes == len(parts)).any() else parts), codes


def _parts_and_codes(column: pa.ChunkedArray) -> tuple[list[Any], NDArray[np.int64]]:
    """The words of a dictionary, and each row's position among them, that after the last where it has none."""
    chunks = column.unify_dictionaries().chunks
    parts = chunks[0].dictionary.to_pylist() if chunks else []
    codes = [np.asarray(pc.fill_null(chunk.indices.cast(pa.int64()), len(parts))) for chunk in chunks]
    return parts, np.concatenate([np.empty(0, np.int64), *codes])


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column as float64 (rows,), NaN where it has null, NaN or infinity."""
    column = table.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)):
        raise InvalidPoints(f"column {name!r} is {column.type}, not a number")
    values = np.asarray(column.cast(pa.float64(), safe=False), np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def timestamps(table: pa.Table) -> NDArray[np.int64]:
    """The column timestamp as epoch seconds, int64 (rows,); -1 where it is null."""
    column = table.column("timestamp")
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise InvalidPoints("column 'timestamp' has no time zone; make it UTC")
        seconds = _whole_seconds(column)
        column = pa.chunked_array([pc.if_else(pc.greater(seconds, LATEST), -1, seconds).combine_chunks()])
    known = column.is_valid().to_numpy(zero_copy_only=False)
    if known.all():
        return _epoch(column)
    times = np.full(len(column), -1, np.int64)
    times[known] = _epoch(column.filter(column.is_valid()))
    return times


def _epoch(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return epoch_seconds(np.asarray(column))
    kind = _value_type(column)
    if not (_is_text(kind) or pa.types.is_null(kind)):
        raise InvalidPoints(f"column 'timestamp' is {column.type}, not a time")
    return _seconds_of_texts(column, epoch_seconds)


def readable_times(table: pa.Table) -> pa.Table:
    """The table with times that are text or have a zone as epoch seconds, null for those that cannot be read."""
    at = table.schema.get_field_index("timestamp")
    if at < 0:
        return table
    column = table.column(at)
    if _is_text(_value_type(column)):
        seconds = _seconds_of_texts(column, seconds_of)
    elif pa.types.is_timestamp(column.type) and column.type.tz is not None:
        seconds = seconds_of(np.asarray(pc.fill_null(_whole_seconds(column), -1)))
    else:
        return table
    return table.set_column(at, "timestamp", pa.array(seconds, mask=seconds < 0))


def _whole_seconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Epoch seconds, int64, of a column of timestamps with a zone."""
    return column.cast(pa.timestamp("s", column.type.tz), safe=False).cast(pa.int64())


def _seconds_of_texts(column: pa.ChunkedArray, read: Callable[[list[str]], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Epoch seconds of each row, -1 for a null; each distinct text is read once."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts, codes = _parts_and_codes(encoded)
    used = np.unique(codes)
    used = used[used < len(texts)]
    seconds = np.full(len(texts) + 1, -1, np.int64)
    seconds[used] = read([texts[at] for at in used.tolist()])
    return seconds[codes]


def _value_type(column: pa.ChunkedArray) -> pa.DataType:
    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type
