"""Bodies of tables: a row a datapoint, read to a table and answered with a row for each."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from myriad.formats.base import Bounds
from myriad.formats.bodies.options import Options, check_hosts, parse_windows
from myriad.formats.columns.cells import COLUMNS, LABELS
from myriad.formats.columns.timestamps import seconds_of
from myriad.models.ensemble import MAX_WINDOWS, Combine
from myriad.models.errors import BadRequest
from myriad.models.key import MAX_ECHO
from myriad.models.windows import Window, is_window

ROWS_PER_CHUNK = 20_000
"""Rows encoded or decoded at a time, so that no single call holds the interpreter lock for long."""


@dataclass(frozen=True, slots=True)
class TableRequest:
    """A request about a table's rows, with its options; see `schemas.PredictRequest`."""

    table: pa.Table
    windows: tuple[Window, ...] | None
    combine: Combine
    bands: bool
    hosts: bool = False
    digits: int = 0
    alerts: bool = False

    @classmethod
    def of(cls, table: pa.Table, options: Options) -> Self:
        """The request with these options.

        Raises:
            BadRequest, InvalidKey: the options are none that there are, or do not go together.
        """
        windows = parse_windows(options.windows)
        check_hosts(hosts=options.hosts, windows=windows, combine=options.combine)
        return cls(table, windows, options.combine, options.bands, options.hosts, options.digits, options.alerts)


class TableBody(ABC):
    """One way to write a table in a body."""

    media_type: ClassVar[str]

    @abstractmethod
    def read(self, body: bytes, query: Mapping[str, str], bounds: Bounds) -> TableRequest:
        """The request in a body.

        Args:
            body: decompressed.
            query: of the URL; it has the options, unless the format has a place for them in its body.
            bounds: of the table's rows.

        Raises:
            Malformed: the body is not of that format.
            BadRequest: it is not a request.
            InvalidPoints: a column is missing or of the wrong type.
            TooLarge: it has more rows than the bounds allow.
        """

    @abstractmethod
    def write(self, table: pa.Table, facts: dict[str, Any], digits: int) -> Iterator[bytes]:
        """An answer, in chunks.

        Args:
            table: its rows.
            facts: what is said besides: the release, the windows that have scores, why series have none (`bad_series`).
            digits: significant digits of numbers; 0 for as many as they have.
        """

    @abstractmethod
    def most_bytes(self, table: pa.Table, numbers: int, *, hosts: bool) -> int:
        """The most bytes of an answer to a table, with so many numbers in a row and, where wanted, hosts' scores."""


def check_column_count(count: int) -> None:
    """Raise `BadRequest` where there are more columns than can mean something."""
    most = len(COLUMNS) + MAX_WINDOWS
    if count > most:
        raise BadRequest(f"there are {count} columns; at most {most} mean something")


def check_column_name(name: str, field: str) -> None:
    """Raise `BadRequest` where a column means nothing."""
    if name not in COLUMNS and not is_window(name):
        raise BadRequest(f"Object contains unknown field `{name[:60]}`", field)


def table_of(columns: dict[str, list[Any]], bounds: Bounds) -> pa.Table:
    """A table of columns of Python's values."""
    bounds.check(0, max(map(len, columns.values()), default=0))
    arrays = {}
    for name, column in columns.items():
        if name == "timestamp":
            seconds = seconds_of(column)
            arrays[name] = pa.array(seconds, mask=seconds < 0)
        else:
            try:
                kind = pa.string() if name in LABELS else pa.float64()
                arrays[name] = pa.array(column, kind, from_pandas=True)
            except (pa.ArrowException, TypeError, ValueError) as exc:
                why = f"column {name} holds values of different kinds: {str(exc)[:MAX_ECHO]}"
                raise BadRequest(why, f"$.{name}") from exc
    return pa.table(arrays)


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """A column as a list; NaN stays, as the encoder writes it as null."""
    if pa.types.is_floating(column.type):
        return np.asarray(column).tolist()
    if pa.types.is_dictionary(column.type):
        return [label for chunk in column.chunks for label in _dictionary_labels(chunk)]
    values: list[Any] = column.to_pylist()
    return values


def _dictionary_labels(chunk: pa.DictionaryArray) -> list[str | None]:
    """The labels of a chunk, looked up as an array, as `to_pylist` takes seventy times as long."""
    labels = np.array([*chunk.dictionary.to_pylist(), None], object)
    codes = pc.fill_null(chunk.indices.cast(pa.int64()), len(labels) - 1)
    decoded: list[str | None] = labels[np.asarray(codes)].tolist()
    return decoded
