"""csv: separated values with a line of column names, also compressed."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv

from myriad.formats.base import ROWS, Format, Rows, Skipped, Writer
from myriad.formats.columns.cells import NO_TEXT
from myriad.formats.columns.table import demand
from myriad.models.errors import InvalidPoints

BYTES_A_ROW = 64
"""What a row takes, about."""
DELIMITERS = ",;\t|"
MAX_HEADER = 1 << 20
"""Bytes of the line of column names."""
NO_TEXT_HANDLER, LONGEST_CHARACTER = "myriad-no-text", 4
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""By how a file begins."""


class Csv(Format):
    """Text without types; the delimiter is the one that the line of column names has most of."""

    suffixes: ClassVar = (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst")

    def column_names(self, source: pa.NativeFile) -> list[str]:
        """From the first line."""
        return _Header(source).names

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

        header = _Header(source)
        demand(columns, header.names)
        if header.is_all:
            return
        opened = pyarrow.csv.open_csv(
            pa.PythonFile(_Clean(_uncompressed(source))),
            # Only where no other threads read is the number of a row known that cannot be read.
            read_options=pyarrow.csv.ReadOptions(
                block_size=max(rows * BYTES_A_ROW, 2 * header.bytes), use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=header.delimiter, invalid_row_handler=skip, newlines_in_values=True
            ),
            convert_options=_bytes(columns),
        )
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


class _Header:
    """The line of column names.

    Attributes:
        names: of the columns.
        delimiter: of cells.
        bytes: of the line.
        is_all: whether nothing comes after it.

    Raises:
        InvalidPoints: there is none, or the file is no text that can be read.
    """

    def __init__(self, source: pa.NativeFile) -> None:
        head = _uncompressed(source).read(MAX_HEADER)
        if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise InvalidPoints("is UTF-16 text; write it as UTF-8")
        line, _, rest = head.removeprefix(codecs.BOM_UTF8).partition(b"\n")
        text = line.decode(errors="replace").rstrip("\r")
        if not text or "\0" in text:
            raise InvalidPoints("cannot be read: it has no line of column names")
        unquoted = re.sub(r'"[^"]*"', "", text)
        self.delimiter = max(DELIMITERS, key=unquoted.count)
        self.names = next(csv.reader([text], delimiter=self.delimiter))
        self.bytes, self.is_all = len(line), not rest


def _uncompressed(source: pa.NativeFile) -> pa.NativeFile:
    """A file from its beginning; it stays open when what is given is closed, as it is read twice."""
    source.seek(0)
    head = source.read(4)
    source.seek(0)
    kind = next((kind for begin, kind in COMPRESSIONS.items() if head.startswith(begin)), None)
    unclosed = pa.PythonFile(_Unclosed(source))
    return pa.CompressedInputStream(unclosed, kind) if kind else unclosed


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


class _Clean(_Unclosed):
    """With `NO_TEXT` in place of each byte that is no UTF-8: Arrow cannot tell of a row that has one."""

    def __init__(self, source: pa.NativeFile) -> None:
        super().__init__(source)
        self._decoder = codecs.getincrementaldecoder("utf-8")(NO_TEXT_HANDLER)

    def readinto(self, buffer: Any) -> int:
        text = ""
        while not text:  # all that was read may be the beginning of a character
            data = self._source.read(max(len(buffer) - LONGEST_CHARACTER, 1))
            text = self._decoder.decode(data, final=not data)
            if not data:
                break
        encoded = text.encode()
        buffer[: len(encoded)] = encoded
        return len(encoded)


codecs.register_error(NO_TEXT_HANDLER, lambda exc: (NO_TEXT * (exc.end - exc.start), exc.end))  # type: ignore[attr-defined]


def _bytes(columns: Sequence[str]) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.binary()),
        include_columns=columns,
        include_missing_columns=False,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
