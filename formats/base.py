"""Format: from bytes to rows and telemetry, and from an answer to bytes."""

import contextlib
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import pyarrow as pa

from myriad.formats.columns.cells import COLUMNS
from myriad.formats.columns.table import grouped
from myriad.models.errors import InvalidKey, InvalidPoints, TooLarge
from myriad.models.names import Names
from myriad.models.points import Points

ROWS = 1 << 16
"""In a batch, about."""

Skipped = Callable[[int, str, str], object]
"""Called with the number of a row that cannot be read at all, its text, and why."""


class Rows(NamedTuple):
    """Some rows of a file as they are written there.

    Attributes:
        batch: the rows.
        first: the number of the first of them, as people count; 0 where rows have none.
        gaps: the numbers of rows of the file that were skipped, from `first` on, ascending.
    """

    batch: pa.RecordBatch
    first: int
    gaps: Sequence[int] = ()

    def number(self, row: int) -> int:
        """The number in the file of a row of the batch, 0 where rows have none."""
        if not self.first:
            return 0
        number = self.first + row
        for gap in self.gaps:
            if gap > number:
                break
            number += 1
        return number


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much telemetry is taken at once."""

    points: int
    series: int

    def check(self, series: int, points: int) -> None:
        """Raise `TooLarge` beyond the bounds."""
        if series > self.series:
            raise TooLarge(f"the request has {series} series; at most {self.series} are allowed")
        if points > self.points:
            raise TooLarge(f"the request has {points} datapoints; at most {self.points} are allowed")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Series and their points, as they were sent.

    Attributes:
        names: the series, in order of their first points.
        points: of each series, in the order sent; a value is NaN where null, NaN, infinity or no number was sent.
        refused: why a series cannot be scored, by its position in `names`.
    """

    names: Names
    points: Points
    refused: dict[int, InvalidKey | InvalidPoints]


class Writer(Protocol):
    """What rows are written to; the file is whole once it is closed."""

    def write_table(self, table: pa.Table) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what is left."""


class Format(ABC):
    """One way telemetry is written down."""

    suffixes: ClassVar[tuple[str, ...]]
    """How the names of its files end, as `.csv`."""

    @abstractmethod
    def column_names(self, source: pa.NativeFile) -> list[str]:
        """The names of a file's columns, in its order.

        Raises:
            pa.ArrowException, OSError, UnicodeDecodeError: the file is not of this format.
        """

    @abstractmethod
    def batches(
        self,
        source: pa.NativeFile,
        columns: Sequence[str],
        *,
        rows: int = ROWS,
        skipped: Skipped | None = None,
        time_column: str = "",
        wanted: Callable[[int], bool] | None = None,
    ) -> Iterator[Rows]:
        """The rows of a file in its order, some at a time, so that a file of any size takes the same memory.

        Args:
            source: the file.
            columns: to read, in this order. What they hold in some rows must not decide what they may hold in others:
                a format without types gives text.
            rows: in a batch, about.
            skipped: told of rows that cannot be read at all; where None, such a row is an error.
            time_column: the one that `wanted` is about.
            wanted: says from the latest timestamp of a part of the file, -1 where it is not known, whether to read that
                part. A format that cannot tell reads all.

        Raises:
            InvalidPoints: a column is missing or there several times.
            pa.ArrowException, OSError, UnicodeDecodeError: the file is not of this format.
        """

    @abstractmethod
    def writer(self, sink: str | io.IOBase, schema: pa.Schema) -> Writer:
        """What writes rows of these columns to a path or an open binary file."""

    def stated_rows(self, source: pa.NativeFile) -> int:  # noqa: ARG002  for formats that state it
        """How many rows the file says it has, -1 where it does not say: known before anything is decoded."""
        return -1

    def latest(self, source: pa.NativeFile, time_column: str) -> int:  # noqa: ARG002  for formats that state it
        """The latest timestamp the file says it has, in epoch seconds, -1 where it does not say."""
        return -1

    def read(self, data: bytes, bounds: Bounds) -> Telemetry:
        """The telemetry of a whole file with the columns region, host, metric, timestamp and value.

        Raises:
            TooLarge: it has more points or series than the bounds allow; no more rows are decoded than that, and at
                most one batch beyond.
            InvalidPoints: it is not of this format, or a column is missing or of a type it cannot be.
        """
        batches, count = list[pa.RecordBatch](), 0
        with readable("the data"):
            bounds.check(0, self.stated_rows(pa.BufferReader(data)))
            for rows in self.batches(pa.BufferReader(data), COLUMNS):
                batches.append(rows.batch)
                bounds.check(0, count := count + rows.batch.num_rows)
            if not batches:
                return Telemetry(Names.of(()), Points.of(), {})
            found = grouped(pa.Table.from_batches(batches))
        bounds.check(len(found.points), 0)
        return Telemetry(found.grouping.names, found.points, found.bad)

    def write(self, answer: pa.Table) -> bytes:
        """A whole file of an answer's rows."""
        sink = io.BytesIO()
        writer = self.writer(sink, answer.schema)
        writer.write_table(answer)
        writer.close()
        return sink.getvalue()


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Say of what cannot be read what it is and why, as `InvalidPoints`."""
    try:
        yield
    except InvalidPoints as exc:
        raise InvalidPoints(f"{name}: {exc}") from exc
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise InvalidPoints(f"{name}: cannot be read: {exc}") from exc
