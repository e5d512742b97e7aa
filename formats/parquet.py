"""parquet: Apache Parquet, read some pages at a time."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet

from myriad.formats.base import ROWS, Format, LeftOut, Writer
from myriad.formats.columns.canonical import moment
from myriad.formats.columns.table import demand

READ_BYTES = 1 << 20
"""Read ahead in each column."""


class Parquet(Format):
    """A file of row groups, whose footer states rows and, where the writer kept them, statistics."""

    suffixes: ClassVar = (".parquet", ".pq")

    def batches(
        self,
        source: pa.NativeFile,
        columns: Sequence[str] | None = None,
        *,
        rows: int = ROWS,
        left_out: LeftOut | None = None,  # noqa: ARG002  every row can be read, or none
        time_column: str = "",
        wanted: Callable[[int], bool] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Pages are read as they are needed, never a row group whole as a dataset's scanner would."""
        if columns is None:
            yield from pyarrow.parquet.ParquetFile(source).iter_batches(rows)
            return
        names, footer = list(columns), pyarrow.parquet.read_metadata(source)
        demand(names, footer.schema.to_arrow_schema().names)
        file = pyarrow.parquet.ParquetFile(
            source, metadata=footer, buffer_size=READ_BYTES, pre_buffer=False, read_dictionary=names
        )
        groups = [
            i
            for i in range(footer.num_row_groups)
            if wanted is None or wanted(_latest(footer.row_group(i), time_column))
        ]
        yield from file.iter_batches(rows, row_groups=groups, columns=names, use_threads=False)

    def writer(self, sink: str | io.IOBase, schema: pa.Schema) -> Writer:
        """Types stay as they are."""
        writer: Writer = pyarrow.parquet.ParquetWriter(sink, schema)
        return writer

    def stated_rows(self, source: pa.NativeFile) -> int:
        """From the footer."""
        return int(pyarrow.parquet.read_metadata(source).num_rows)

    def latest(self, source: pa.NativeFile, time_column: str) -> int:
        """From the statistics of the row groups."""
        footer = pyarrow.parquet.read_metadata(source)
        return max((_latest(footer.row_group(i), time_column) for i in range(footer.num_row_groups)), default=-1)


def _latest(group: pyarrow.parquet.RowGroupMetaData, time_column: str) -> int:
    columns = (group.column(i) for i in range(group.num_columns))
    known = (one.statistics for one in columns if one.path_in_schema == time_column and one.statistics)
    return next((moment(one.max) for one in known if one.has_min_max), -1)
