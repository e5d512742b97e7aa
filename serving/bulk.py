"""Bulk requests: datapoints of many series as JSON columns, NDJSON or an Arrow stream, answered in any of these."""

import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw, Struct

from myriad.formats.base import Bounds
from myriad.formats.columns.table import COLUMNS, LABELS
from myriad.formats.columns.timestamps import seconds_of
from myriad.models.ensemble import COMBINES, Combine
from myriad.models.errors import BadRequest, Malformed
from myriad.models.windows import Window
from myriad.serving.decode import decode_json
from myriad.serving.scoring import Scores
from myriad.serving.tabular import TableQuery, answer_table, is_window

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
BULK = (NDJSON, ARROW)

ROWS_PER_CHUNK = 10_000
"""Rows encoded or decoded at a time, so that no single call holds the interpreter lock for long."""


class BulkRequest(Struct):
    """A bulk request: a table with a row a datapoint, and the request's options."""

    table: pa.Table
    windows: tuple[Window, ...] | None
    combine: Combine
    bands: bool


_ROW = msgspec.json.Decoder(dict[str, int | float | str | None])


class _Options(Struct):
    windows: list[str] | None = None
    combine: Combine = "weighted"
    bands: bool = False


def read(body: bytes, media_type: str, query: Mapping[str, str], bounds: Bounds) -> BulkRequest:
    """The bulk request in a body.

    Args:
        body: decompressed.
        media_type: one of `JSON` (columns), `NDJSON` or `ARROW`.
        query: of the URL; it has the options windows, combine and bands of NDJSON and Arrow, JSON has them in its body.
        bounds: of the table's rows.

    Raises:
        Malformed: the body is not of that format.
        BadRequest: it is not a request.
        InvalidPoints: a column is missing or of the wrong type.
        TooLarge: it has more rows than the bounds allow.
    """
    options = _parse_options(query)
    if media_type == JSON:
        return _from_json(body, bounds)
    table = (_from_arrow if media_type == ARROW else _from_ndjson)(body, bounds)
    return BulkRequest(table, _parse_windows(options), options.combine, options.bands)


def write(
    request: BulkRequest, query: TableQuery, scores: Scores, media_type: str, *, stale: bool = False
) -> Iterator[bytes]:
    """The answer to a bulk request in one of the formats, in chunks: a row for each row posted, in the same order."""
    scored = [str(window) for window, counts in zip(scores.windows, scores.score_counts, strict=True) if counts.any()]
    columns = [*LABELS, "timestamp", "status", "score", *scored]
    if request.bands:
        columns += [f"{kind}_{window}" for kind in ("expected", "lower", "upper") for window in scored]
    labels = request.table.select([*LABELS, "timestamp"])
    answer = answer_table(query, scores)
    table = pa.table({name: labels[name] if name in labels.column_names else answer[name] for name in columns})
    facts = {"release": scores.manifest.id, "windows": scored, **({"stale": True} if stale else {})}
    writers: dict[str, Callable[[pa.Table, dict[str, Any]], Iterator[bytes]]]
    writers = {JSON: _to_json, NDJSON: _to_ndjson, ARROW: _to_arrow}
    return writers[media_type](table, facts)


def accepted_media_type(accept: str, default: str) -> str:
    """The media type to answer in: the first in an `Accept` header that is supported, else `default`."""
    for part in accept.split(","):
        if (media_type := part.partition(";")[0].strip().lower()) in (JSON, *BULK):
            return media_type
    return default


def _from_json(body: bytes, bounds: Bounds) -> BulkRequest:
    fields = decode_json(msgspec.json.Decoder(dict[str, Raw]), body)
    options = _parse_options({name: fields.pop(name) for name in _Options.__struct_fields__ if name in fields})
    columns = {}
    for name, raw in fields.items():
        _check_column_name(name, f"$.{name}")
        kind = str | None if name in LABELS else int | float | str | None if name == "timestamp" else float | None
        columns[name] = decode_json(msgspec.json.Decoder(list[kind]), raw, f"$.{name}")  # type: ignore[valid-type]
    if len({len(column) for column in columns.values()}) > 1:
        raise BadRequest("the columns are not of the same length")
    return BulkRequest(_table(columns, bounds), _parse_windows(options), options.combine, options.bands)


def _from_ndjson(body: bytes, bounds: Bounds) -> pa.Table:
    rows: list[dict[str, Any]] = []
    bounds.check(0, body.count(b"\n"))
    lines = body.splitlines()
    for first in range(0, len(lines), ROWS_PER_CHUNK):
        rows += _decode_lines(lines[first : first + ROWS_PER_CHUNK], first)
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        _check_column_name(name, "$")
    return _table({name: [row.get(name) for row in rows] for name in names}, bounds)


def _decode_lines(lines: list[bytes], first: int) -> list[dict[str, Any]]:
    """The objects in some lines, none for an empty line; `first` is how many lines come before these."""
    try:
        return _ROW.decode_lines(b"\n".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError):
        for number, line in enumerate(lines, first + 1):
            if line.strip():
                decode_json(_ROW, line, f"line {number}: $")
        raise


def _check_column_name(name: str, field: str) -> None:
    if name not in COLUMNS and not is_window(name):
        raise BadRequest(f"Object contains unknown field `{name[:60]}`", field)


def _table(columns: dict[str, list[Any]], bounds: Bounds) -> pa.Table:
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
                raise BadRequest(f"column {name} holds values of different kinds: {exc}", f"$.{name}") from exc
    return pa.table(arrays)


def _from_arrow(body: bytes, bounds: Bounds) -> pa.Table:
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
            if _has_compressed_buffers(message.type, message.metadata.to_pybytes()):
                raise BadRequest("its buffers are compressed, so that their size cannot be bounded; compress the body")
        table = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
        bounds.check(0, table.num_rows)
        table.validate(full=True)
        return table
    except (pa.ArrowException, OSError, EOFError) as exc:
        raise Malformed(f"the body is not an Arrow stream: {exc}") from exc


def _has_compressed_buffers(kind: str, metadata: bytes) -> bool:
    """Whether the buffers of an IPC message are compressed: its flatbuffer has the field `compression`.

    Message.fbs of the Arrow format: Message.header is field 2, DictionaryBatch.data field 1, RecordBatch.compression
    field 3.
    """

    def number(at: int, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(metadata[at : at + size], "little", signed=signed)

    def field(table: int, slot: int) -> int:
        vtable = table - number(table, 4, signed=True)
        offset = number(vtable + 4 + 2 * slot, 2) if 4 + 2 * slot < number(vtable, 2) else 0
        return table + offset if offset else 0

    def follow(at: int) -> int:
        return at + number(at, 4) if at else 0

    batch = follow(field(number(0, 4), 2))
    if kind == "dictionary" and batch:
        batch = follow(field(batch, 1))
    return kind in ("record batch", "dictionary") and bool(batch and field(batch, 3))


def _parse_options(given: Mapping[str, str | Raw]) -> _Options:
    """Options from a URL's query, as text, or from a JSON object."""
    options = _Options()
    for name, value in given.items():
        if isinstance(value, Raw):
            kind = {"windows": list[str] | None, "combine": Combine, "bands": bool}[name]
            setattr(options, name, decode_json(msgspec.json.Decoder(kind), value, f"$.{name}"))
        elif name == "windows":
            options.windows = value.split(",")
        elif name == "combine":
            if value not in COMBINES:
                raise BadRequest(f"combine is one of {', '.join(COMBINES)}", "$.combine")
            options.combine = value
        elif name == "bands":
            options.bands = value in ("1", "true")
        else:
            raise BadRequest(f"there is no option {name!r}", f"$.{name[:60]}")
    return options


def _parse_windows(options: _Options) -> tuple[Window, ...] | None:
    return None if options.windows is None else tuple(map(Window.parse, options.windows))


def _to_json(table: pa.Table, facts: dict[str, Any]) -> Iterator[bytes]:
    yield msgspec.json.encode(facts)[:-1]
    for name in table.column_names:
        yield b"," + msgspec.json.encode(name) + b":["
        values = _to_list(table[name])
        for first in range(0, table.num_rows, ROWS_PER_CHUNK):
            yield (b"," if first else b"") + msgspec.json.encode(values[first : first + ROWS_PER_CHUNK])[1:-1]
        yield b"]"
    yield b"}"


def _to_ndjson(table: pa.Table, _: dict[str, Any]) -> Iterator[bytes]:
    names, encoder = table.column_names, msgspec.json.Encoder()
    rows = zip(*(_to_list(table[name]) for name in names), strict=True)
    while part := list(itertools.islice(rows, ROWS_PER_CHUNK)):
        yield encoder.encode_lines(dict(zip(names, row, strict=True)) for row in part)


def _to_arrow(table: pa.Table, facts: dict[str, Any]) -> Iterator[bytes]:
    metadata = {"release": facts["release"], "windows": ",".join(facts["windows"])}
    if "stale" in facts:
        metadata["stale"] = "true"
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema.with_metadata(metadata)) as stream:
        stream.write_table(table)
    yield sink.getvalue()


def _to_list(column: pa.ChunkedArray) -> list[Any]:
    """A column as a list; NaN stays, as the encoder writes it as null."""
    if pa.types.is_floating(column.type):
        return np.asarray(column).tolist()
    if pa.types.is_timestamp(column.type):
        return [value.isoformat() for value in column.to_pylist()]
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
