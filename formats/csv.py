"""csv: separated values with a line of column names, also compressed."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv

from myriad.formats.base import ROWS, Format, Rows, Skipped, Writer
from myriad.formats.columns.table import demand
from myriad.models.errors import InvalidPoints

BYTES_A_ROW = 64
"""What a row takes, about."""
DELIMITERS = ",;\t|"
HEADER_BYTES = 1 << 16
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""By how a file begins."""


class Csv(Format):
    """Text without types; the delimiter is the one that the line of column names has most of."""

    suffixes: ClassVar = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst")

    def column_names(self, source: pa.NativeFile) -> list[str]:
        """From the first line."""
        return list(_opened(source, pyarrow.csv.ConvertOptions(), lambda _: "skip").schema.names)

    def batches(
        self,
        source: pa.NativeFile,
        columns: Sequence[str],
        *,
        rows: int = ROWS,
        skipped: Skipped | None = None,
        time_column: str = "",  # noqa: ARG002  nothing is stated of parts of a file
        wanted: Callable[[int], bool] | None = None,  # noqa: ARG002
    ) -> Iterator[Rows]:
        """All columns are bytes, so that one row's cannot make others unreadable."""
        gaps: list[int] = []

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            if skipped is None:
                return "error"
            gaps.append(row.number)
            skipped(row.number, row.text, f"has {row.actual_columns} cells, not {row.expected_columns}")
            return "skip"

        demand(columns, self.column_names(source))
        opened = _opened(source, _bytes(columns), skip, rows)
        first = 2
        for batch in opened:
            found = Rows(batch.select(columns), first, tuple(gaps))
            yield found
            first = found.number(batch.num_rows)
            gaps[:] = [row for row in gaps if row >= first]

    def writer(self, sink: str | io.IOBase, schema: pa.Schema) -> Writer:
        """Dictionaries of text are written as text; a path that ends in .gz or .zst is compressed."""
        return _Writer(pa.output_stream(sink, compression="detect") if isinstance(sink, str) else sink, schema)


class _Writer:
    def __init__(self, sink: io.IOBase, schema: pa.Schema) -> None:
        is_dictionary = pa.types.is_dictionary
        self._schema = pa.schema(
            [one.with_type(one.type.value_type) if is_dictionary(one.type) else one for one in schema]
        )
        self._sink, self._writer = sink, pyarrow.csv.CSVWriter(sink, self._schema)

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()
        if isinstance(self._sink, pa.NativeFile):
            self._sink.close()


def _opened(
    source: pa.NativeFile,
    convert: pyarrow.csv.ConvertOptions,
    skip: Callable[[pyarrow.csv.InvalidRow], str],
    rows: int = 1,
) -> pyarrow.csv.CSVStreamingReader:
    head = _uncompressed(source).read(HEADER_BYTES)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidPoints("is UTF-16 text; write it as UTF-8")
    names = re.sub(r'"[^"]*"', "", head.partition(b"\n")[0].decode("latin-1"))
    return pyarrow.csv.open_csv(
        _uncompressed(source),
        # Only where no other threads read is the number of a row known that cannot be read.
        read_options=pyarrow.csv.ReadOptions(block_size=max(rows * BYTES_A_ROW, HEADER_BYTES), use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=max(DELIMITERS, key=names.count), invalid_row_handler=skip),
        convert_options=convert,
    )


def _uncompressed(source: pa.NativeFile) -> pa.NativeFile:
    source.seek(0)
    head = source.read(4)
    source.seek(0)
    kind = next((kind for begin, kind in COMPRESSIONS.items() if head.startswith(begin)), None)
    return pa.CompressedInputStream(pa.PythonFile(_Unclosed(source)), kind) if kind else source


class _Unclosed(io.RawIOBase):
    """A file that stays open when the stream that reads it is closed, as that is read twice."""

    def __init__(self, source: pa.NativeFile) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _bytes(columns: Sequence[str]) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.binary()),
        include_columns=columns,
        include_missing_columns=False,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
