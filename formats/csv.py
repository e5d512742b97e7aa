"""csv: comma-separated values with a line of column names."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.csv

from myriad.formats.base import ROWS, Format, LeftOut, Writer
from myriad.formats.columns.table import LABELS, demand

BYTES_A_ROW = 64
"""What a row takes, about."""


class Csv(Format):
    """Text without types."""

    suffixes: ClassVar = (".csv",)

    def batches(
        self,
        source: pa.NativeFile,
        columns: Sequence[str] | None = None,
        *,
        rows: int = ROWS,
        left_out: LeftOut | None = None,
        time_column: str = "",  # noqa: ARG002  nothing is stated of parts of a file
        wanted: Callable[[int], bool] | None = None,  # noqa: ARG002
    ) -> Iterator[pa.RecordBatch]:
        """Named columns are text; of all columns the labels are, and others are what the first block looks like."""
        broken = 0

        def skip(_: object) -> str:
            nonlocal broken
            broken += 1
            return "skip"

        opened = pyarrow.csv.open_csv(
            source,
            read_options=pyarrow.csv.ReadOptions(block_size=rows * BYTES_A_ROW),
            parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=skip if left_out else None),
            convert_options=_all() if columns is None else _texts(columns),
        )
        demand(columns or (), opened.schema.names)
        for batch in opened:
            yield batch if columns is None else batch.select(columns)
        if broken and left_out:
            left_out(broken, "rows without as many cells as there are columns")

    def writer(self, sink: str | io.IOBase, schema: pa.Schema) -> Writer:
        """Dictionaries of text are written as text."""
        return _Writer(sink, schema)


class _Writer:
    def __init__(self, sink: str | io.IOBase, schema: pa.Schema) -> None:
        is_dictionary = pa.types.is_dictionary
        self._schema = pa.schema(
            [one.with_type(one.type.value_type) if is_dictionary(one.type) else one for one in schema]
        )
        self._writer = pyarrow.csv.CSVWriter(sink, self._schema)

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(table.cast(self._schema))

    def close(self) -> None:
        self._writer.close()


def _texts(columns: Sequence[str]) -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )


def _all() -> pyarrow.csv.ConvertOptions:
    return pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(LABELS, pa.string()))
