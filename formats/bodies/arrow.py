"""Arrow: an IPC stream of record batches."""

import io
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from myriad.formats.base import Bounds
from myriad.formats.bodies import answer_size
from myriad.formats.bodies.base import TableBody, TableRequest, check_column_count
from myriad.formats.bodies.options import parse_options
from myriad.formats.columns.cells import COLUMNS
from myriad.formats.columns.table import readable_labels, readable_times
from myriad.models.errors import BadRequest, Malformed
from myriad.models.key import MAX_ECHO
from myriad.models.windows import is_window

MAX_COLUMNS = 64
"""Of a stream; those that mean nothing are left out unread."""
MAX_BATCHES = 10_000
COLUMN = 9
"""Bytes of a value in a column, with its bit of validity."""
BATCH = 8192
"""Bytes of a record batch besides: its metadata, and buffers that are padded."""


class Arrow(TableBody):
    """A stream of record batches."""

    media_type = "application/vnd.apache.arrow.stream"

    def read(self, body: bytes, query: Mapping[str, str], bounds: Bounds) -> TableRequest:
        """As `TableBody.read`."""
        options = parse_options(query)
        return TableRequest.of(_table(body, bounds), options)

    def write(self, table: pa.Table, facts: dict[str, Any], digits: int) -> Iterator[bytes]:  # noqa: ARG002  see `TableBody`
        """As `TableBody.write`; the facts are in the schema's metadata."""
        metadata = {"release": facts["release"], "windows": ",".join(facts["windows"])}
        if "stale" in facts:
            metadata["stale"] = "true"
        if "bad_series" in facts:
            metadata["bad_series"] = msgspec.json.encode(facts["bad_series"]).decode()
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema.with_metadata(metadata)) as stream:
            stream.write_table(table)
        yield sink.getvalue()

    def most_bytes(self, table: pa.Table, numbers: int, *, hosts: bool) -> int:  # noqa: ARG002  hosts are answered in JSON
        """As `TableBody.most_bytes`."""
        batches = 1 + sum(column.num_chunks for column in table.columns)
        labels = sum(column.nbytes for column in answer_size.labels_in(table))
        rows = table.num_rows * COLUMN * (numbers + 2)
        return labels + rows + batches * BATCH + answer_size.REASONS * answer_size.REASON


def _table(body: bytes, bounds: Bounds) -> pa.Table:
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
            _refuse_what_grows(message.type, message.metadata.to_pybytes())
        stream = pa.ipc.open_stream(pa.py_buffer(body))
        if len(stream.schema) > MAX_COLUMNS:
            raise BadRequest(f"there are {len(stream.schema)} columns; at most {MAX_COLUMNS} are looked at")
        names = [name for name in stream.schema.names if name in COLUMNS or is_window(name)]
        check_column_count(len(names))
        batches, rows = list[pa.RecordBatch](), 0
        for batch in stream:
            rows += batch.num_rows
            bounds.check(0, rows)
            if len(batches) == MAX_BATCHES:
                raise BadRequest(f"there are more than {MAX_BATCHES} record batches; send fewer, larger ones")
            batch.validate()
            batches.append(batch.select(names))
        schema = pa.schema([stream.schema.field(name) for name in names])
        table = _with_few_chunks(pa.Table.from_batches(batches, schema))
        table.validate(full=True)
        return readable_times(readable_labels(table))
    except (pa.ArrowException, OSError, EOFError, KeyError) as exc:
        raise Malformed(f"the body is not an Arrow stream: {str(exc)[:MAX_ECHO]}") from exc


def _with_few_chunks(table: pa.Table) -> pa.Table:
    """The table with a chunk a column, or one for all batches in a row that share a dictionary.

    What is done once a chunk would be done once a batch to the same dictionary, however large.
    """
    for at, field in enumerate(table.schema):
        chunks = table.column(at).chunks
        if pa.types.is_dictionary(field.type):
            merged = [_merged(list(run)) for _, run in itertools.groupby(chunks, _place_of_dictionary)]
        else:
            table.column(at).validate(full=True)
            merged = [pa.concat_arrays(chunks)] if chunks else []
        table = table.set_column(at, field, pa.chunked_array(merged, field.type))
    return table


def _place_of_dictionary(chunk: pa.DictionaryArray) -> tuple[int, ...]:
    return (len(chunk.dictionary), *(buffer.address for buffer in chunk.dictionary.buffers() if buffer))


def _merged(chunks: list[pa.DictionaryArray]) -> pa.DictionaryArray:
    indices = pa.concat_arrays([chunk.indices for chunk in chunks])
    return pa.DictionaryArray.from_arrays(indices, chunks[0].dictionary, safe=False)


def _refuse_what_grows(kind: str, metadata: bytes) -> None:
    """Raise `BadRequest` for an IPC message whose size in memory its size in the body does not bound.

    Its buffers are compressed: its flatbuffer has the field `compression`, or, before V5 of the format, metadata of its
    own that says so. Or it is a delta: each makes a dictionary of all before it. Message.fbs of the Arrow format:
    Message.header is field 2 and .custom_metadata field 4, DictionaryBatch.data field 1 and .isDelta field 2,
    RecordBatch.compression field 3.
    """

    def number(at: int, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(metadata[at : at + size], "little", signed=signed)

    def field(table: int, slot: int) -> int:
        vtable = table - number(table, 4, signed=True)
        offset = number(vtable + 4 + 2 * slot, 2) if 4 + 2 * slot < number(vtable, 2) else 0
        return table + offset if offset else 0

    def follow(at: int) -> int:
        return at + number(at, 4) if at else 0

    message = number(0, 4)
    if kind in ("record batch", "dictionary") and field(message, 4):
        raise BadRequest("a batch has metadata of its own, which might say that it is compressed; leave it out")
    batch = follow(field(message, 2))
    if kind == "dictionary" and batch:
        if (delta := field(batch, 2)) and number(delta, 1):
            raise BadRequest("it has a delta dictionary; send whole ones")
        batch = follow(field(batch, 1))
    if kind in ("record batch", "dictionary") and batch and field(batch, 3):
        raise BadRequest("its buffers are compressed, so that their size cannot be bounded; compress the body")
