"""parquet: Apache Parquet, read some pages at a time."""

import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet

from myriad.formats.base import ROWS, Format, Rows, Skipped, Writer
from myriad.formats.columns.table import demand
from myriad.formats.columns.timestamps import seconds_of
from myriad.models.errors import InvalidPoints

READ_BYTES = 1 << 20
"""Read ahead in each column."""


class Parquet(Format):
    """A file of row groups, whose footer states rows and, where the writer kept them, statistics."""

    suffixes: ClassVar = (".parquet", ".pq")

    def column_names(self, source: pa.NativeFile) -> list[str]:
        """From the footer."""
        return list(pyarrow.parquet.read_metadata(source).schema.to_arrow_schema().names)

    def batches(
        self,
        source: pa.NativeFile,
        columns: Sequence[str],
        *,
        rows: int = ROWS,
        skipped: Skipped | None = None,  # noqa: ARG002  every row can be read, or none
        time_column: str = "",
        wanted: Callable[[int], bool] | None = None,
    ) -> Iterator[Rows]:
        """Pages are read as they are needed, never a row group whole as a dataset's scanner would."""
        names, footer = list(columns), pyarrow.parquet.read_metadata(source)
        schema = footer.schema.to_arrow_schema()
        demand(names, schema.names)
        if nested := [name for name in names if pa.types.is_nested(schema.field(name).type)]:
            kind = schema.field(nested[0]).type
            raise InvalidPoints(f"column {nested[0]!r} is nested ({kind}); a row can have one value")
        file = pyarrow.parquet.ParquetFile(
            source, metadata=footer, buffer_size=READ_BYTES, pre_buffer=False, read_dictionary=names
        )
        first = 1
        for i in range(footer.num_row_groups):
            group = footer.row_group(i)
            if wanted is None or wanted(_latest(group, time_column)):
                before = 0
                for batch in file.iter_batches(rows, row_groups=[i], columns=names, use_threads=False):
                    yield Rows(batch.select(names), first + before)
                    before += batch.num_rows
            first += group.num_rows

    def writer(self, sink: str | io.IOBase, schema: pa.Schema) -> Writer:
        """Types stay as they are; only labels have dictionaries, as looking for equal numbers takes longest of all.

        Floats stay plain: split by the weight of their bytes they would take a tenth less, but Spark's usual reader
        does not know that encoding. Only times have their extremes stated: labels' would take as long as writing them.
        """
        coded = [f.name for f in schema if pa.types.is_dictionary(f.type) or pa.types.is_string(f.type)]
        times = [f.name for f in schema if pa.types.is_timestamp(f.type) or pa.types.is_integer(f.type)]
        writer: Writer = pyarrow.parquet.ParquetWriter(
            sink,
            schema,
            use_dictionary=coded,
            column_encoding=dict.fromkeys(times, "DELTA_BINARY_PACKED"),
            write_statistics=times,
            compression="lz4",
        )
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
    return next((_moment(one.max) for one in known if one.has_min_max), -1)


def _moment(value: object) -> int:
    """Epoch seconds of a value of a column of timestamps; -1 where it is none, or is text, which has no order."""
    if isinstance(value, datetime):
        return int(value.timestamp()) if value.tzinfo else -1
    return int(seconds_of([value])[0]) if isinstance(value, int | float) else -1
