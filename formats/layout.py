"""Layout: where a file's columns have what a row of telemetry needs, and rows read by it."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from myriad.formats.base import Rows
from myriad.formats.columns import cells
from myriad.formats.columns.cells import COLUMNS, LABEL, LABELS, SCHEMA
from myriad.formats.left_out import Example, LeftOut
from myriad.models.errors import InvalidKey, InvalidPoints
from myriad.models.key import telemetry_label

Wide = Literal["host", "metric"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file has what a row of telemetry needs.

    Attributes:
        columns: what the columns region, host, metric, timestamp and value are called in the file, where otherwise.
        constants: labels that are the same in every row and so are no columns.
        wide: "host" where the file has a column of values for each host, "metric" where it has one for each metric.
        timezone: an IANA name, for times without an offset; where None such times cannot be read.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    wide: Wide | None = None
    timezone: str | None = None

    @property
    def timestamp(self) -> str:
        """What the column of times is called."""
        return self.columns.get("timestamp", "timestamp")

    def demanded(self, given: Mapping[str, str | None]) -> list[str]:
        """The columns a file has to have, as they are called there.

        Args:
            given: columns that are not in the file itself, as those of a dataset's directories.
        """
        named = [name for name in LABELS if name not in self.constants and name != self.wide]
        names = [self.columns.get(name, name) for name in (*named, "timestamp", *(() if self.wide else ("value",)))]
        return [name for name in dict.fromkeys(names) if name not in given]

    def values_of(self, there: Sequence[str], given: Mapping[str, str | None]) -> list[str]:
        """The columns of a wide file that hold values: all that are nothing else."""
        return [name for name in there if name not in self.demanded(given)] if self.wide else []

    def read(
        self, file: str, rows: Rows, given: Mapping[str, str | None], left_out: LeftOut
    ) -> Iterator[pa.RecordBatch]:
        """The rows that can be read, of `SCHEMA`.

        Args:
            file: its name, for messages.
            rows: with the columns `demanded`, and `values_of` where the file is wide.
            given: columns that are not in the file itself.
            left_out: told of the others.

        Raises:
            InvalidPoints: a column is of a type it cannot be.
        """
        if not self.wide:
            yield self._read(file, rows, given, self.columns.get("value", "value"), {}, left_out)
            return
        names = self.values_of(rows.batch.schema.names, given)
        parts = [self._read(file, rows, given, name, {self.wide: name}, left_out) for name in names]
        yield from pa.Table.from_batches(parts, SCHEMA).unify_dictionaries().combine_chunks().to_batches()

    def _read(
        self,
        file: str,
        rows: Rows,
        given: Mapping[str, str | None],
        value: str,
        named: Mapping[str, str],
        left_out: LeftOut,
    ) -> pa.RecordBatch:
        constants = {**self.constants, **named}
        sources, read = [], []
        for name in COLUMNS:
            called = value if name == "value" else self.columns.get(name, name)
            if name in constants:
                source = _constant(constants[name], rows.batch.num_rows)
            elif called in given:
                source = _constant(given[called], rows.batch.num_rows)
            else:
                source = rows.batch.column(called)
            sources.append(source)
            read.append(_cast(source, name, called, self.timezone))
        batch = pa.RecordBatch.from_arrays(read, schema=SCHEMA)
        left_out.read += batch.num_rows
        if not any(column.null_count for column in batch.columns):
            return batch
        unreadable = [column.is_null() for column in batch.columns]
        bad = np.logical_or.reduce([one.to_numpy(zero_copy_only=False) for one in unreadable])
        self._tell(file, rows, np.flatnonzero(bad), sources, unreadable, left_out)
        return batch.filter(pa.array(~bad))

    def _tell(
        self,
        file: str,
        rows: Rows,
        bad: NDArray[np.int64],
        sources: Sequence[pa.Array],
        unreadable: Sequence[pa.Array],
        left_out: LeftOut,
    ) -> None:
        """Count each bad row by the first of its columns that cannot be read."""
        for name, source, null in zip(COLUMNS, sources, unreadable, strict=True):
            mine = bad[null.to_numpy(zero_copy_only=False)[bad]]
            bad = np.setdiff1d(bad, mine, assume_unique=True)
            if not len(mine):
                continue
            given = source.take(pa.array(mine))
            encoded = given if pa.types.is_dictionary(given.type) else given.dictionary_encode()
            codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
            used, at, counts = np.unique(codes, return_index=True, return_counts=True)
            for code, place, count in zip(used.tolist(), at.tolist(), counts.tolist(), strict=True):
                cell = _cell(encoded.dictionary, code) if code >= 0 else None
                why = _why(name, cell, self.timezone)
                left_out.add(Example(file, rows.number(int(mine[place])), name, _shown(cell), why), count)


def _cell(array: pa.Array, at: int) -> Any:
    try:
        return array[at].as_py()
    except UnicodeDecodeError:  # text that says it is UTF-8
        return array.slice(at, 1).cast(pa.string()).view(pa.binary())[0].as_py()


def _constant(text: str | None, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text], pa.string()))


def _cast(source: pa.Array, name: str, called: str, zone: str | None) -> pa.Array:
    try:
        if name == "timestamp":
            return cells.times(source, called, zone)
        if name == "value":
            return cells.values(source, called)
        return _possible(name, cells.labels(source, called))
    except pa.ArrowException as exc:
        raise InvalidPoints(f"column {called!r} cannot be read: {exc}") from exc


def _possible(name: str, encoded: pa.Array) -> pa.Array:
    """Labels with null for those that telemetry cannot have."""
    wrong = [at for at, text in enumerate(encoded.dictionary.to_pylist()) if _why_no_label(name, text)]
    if not wrong:
        return encoded
    is_wrong = pc.is_in(encoded.indices, pa.array(wrong, encoded.indices.type))
    indices = pc.if_else(is_wrong, pa.scalar(None, pa.int32()), encoded.indices)
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary).cast(LABEL)


@functools.lru_cache(maxsize=1 << 16)  # the same labels are in every batch
def _why_no_label(name: str, text: Any) -> str:
    try:
        telemetry_label(name, text)
    except InvalidKey as exc:
        return exc.why
    return ""


def _why(name: str, cell: Any, zone: str | None) -> str:
    why = cells.why_unreadable(name, cell, zone)
    if name in LABELS and why not in (cells.EMPTY, cells.NOT_UTF_8):
        return _why_no_label(name, cell.decode() if isinstance(cell, bytes) else str(cell))
    return why


def _shown(cell: Any) -> str:
    if isinstance(cell, bytes):
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            return repr(cell)[1:]
    return "" if cell is None else repr(cell) if isinstance(cell, str) else str(cell)
