"""Tables of datapoints, a row each, as series with their points."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.errors import InvalidKey, InvalidPoints
from models.key import Series
from models.points import MAX_MAGNITUDE, Points
from models.timestamps import epoch_seconds

LABELS = ("region", "host", "metric")
COLUMNS = (*LABELS, "timestamp", "value")


class Grouped(NamedTuple):
    """A table's rows by series.

    Attributes:
        series: in order of their first row; of those that cannot be scored the error says why.
        points: theirs, in order of the table; NaN where the table has null, NaN or infinity.
        order: the table's row of each point, int64 (n,).
    """

    series: list[Series | InvalidKey | InvalidPoints]
    points: Points
    order: NDArray[np.int64]


def grouped(table: pa.Table) -> Grouped:
    """The series of a table with the columns region, host, metric, timestamp and value.

    Raises:
        InvalidPoints: a column is missing or of a type it cannot be, or a timestamp is not one.
    """
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise InvalidPoints(f"column {missing[0]!r} is missing; a table needs {', '.join(COLUMNS)}")
    code, names = _codes(table)
    first, dense = np.unique(code, return_index=True, return_inverse=True)[1:]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    owner = rank[dense]
    order = np.argsort(owner, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(first)))]).astype(np.int64)
    values = _values(table)[order]
    points = Points(_timestamps(table)[order], values, offsets)
    firsts = np.sort(first)
    series = [_series(*(column[row] for column in names)) for row in firsts.tolist()]
    huge = np.unique(points.owner[np.abs(values) > MAX_MAGNITUDE]).tolist()
    for i in huge:
        series[i] = InvalidPoints(f"a value is beyond {MAX_MAGNITUDE:g}")
    return Grouped(series, points, order)


def _codes(table: pa.Table) -> tuple[NDArray[np.int64], list[Any]]:
    """A number per row that is the same for rows of one series, and what gives each label of a row."""
    code, columns = np.zeros(table.num_rows, np.int64), []
    for name in LABELS:
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
        encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
        if not pa.types.is_string(encoded.type.value_type) and not pa.types.is_large_string(encoded.type.value_type):
            raise InvalidPoints(f"column {name!r} is {encoded.type.value_type}, not text")
        indices = np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64)
        code = code * (len(encoded.dictionary) + 1) + indices + 1
        columns.append(_Labels(encoded.dictionary.to_pylist(), indices))
    return code, columns


class _Labels:
    def __init__(self, names: list[str | None], indices: NDArray[np.int64]) -> None:
        self._names, self._indices = names, indices

    def __getitem__(self, row: int) -> str | None:
        index = int(self._indices[row])
        return self._names[index] if index >= 0 else None


def _series(region: str, host: str, metric: str) -> Series | InvalidKey | InvalidPoints:
    try:
        return Series.of(region, host, metric)
    except InvalidKey as exc:
        return exc


def _values(table: pa.Table) -> NDArray[np.float64]:
    column = table.column("value")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InvalidPoints(f"column 'value' is {column.type}, not a number")
    values = np.asarray(column.cast(pa.float64(), safe=False), np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _timestamps(table: pa.Table) -> NDArray[np.int64]:
    column = table.column("timestamp")
    if column.null_count:
        raise InvalidPoints("a timestamp is null", int(np.flatnonzero(np.asarray(column.is_null()))[0]))
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise InvalidPoints("column 'timestamp' has no time zone; make it UTC")
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
        return epoch_seconds(np.asarray(column) // 1000)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return epoch_seconds(np.asarray(column))
    return epoch_seconds(column.to_pylist())
