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
from myriad.formats.columns.cells import COLUMNS, LABELS
from myriad.formats.columns.table import readable_labels, readable_times
from myriad.formats.columns.timestamps import seconds_of
from myriad.kernels.json_text import written
from myriad.kernels.tables import coded, columns_of
from myriad.models.ensemble import COMBINES, MAX_WINDOWS, Combine
from myriad.models.errors import BadRequest, Malformed
from myriad.models.key import MAX_ECHO, MAX_PART_LENGTH
from myriad.models.windows import Window
from myriad.serving.decode import check_hosts, decode_json, echoed, parse_windows
from myriad.serving.encode import host_answers
from myriad.serving.schemas import Digits
from myriad.serving.scoring import Scores
from myriad.serving.tabular import TableQuery, answer_table, is_window

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
BULK = (NDJSON, ARROW)

MAX_ARROW_COLUMNS = 64
"""Of a stream; those that mean nothing are left out unread."""
MAX_ARROW_BATCHES = 10_000

REASONS = 20
"""Series whose reason for having no scores is answered."""
ROWS_PER_CHUNK = 20_000
"""Rows encoded or decoded at a time, so that no single call holds the interpreter lock for long."""


class BulkRequest(Struct):
    """A bulk request: a table with a row a datapoint, and the request's options."""

    table: pa.Table
    windows: tuple[Window, ...] | None
    combine: Combine
    bands: bool
    hosts: bool = False
    digits: int = 0


_ROW = msgspec.json.Decoder(dict[str, int | float | str | None])


class _Options(Struct):
    windows: list[str] | None = None
    combine: Combine = "weighted"
    bands: bool = False
    hosts: bool = False
    digits: Digits = 0


def read(body: bytes, media_type: str, query: Mapping[str, str], bounds: Bounds) -> BulkRequest:
    """The bulk request in a body.

    Args:
        body: decompressed.
        media_type: one of `JSON` (columns), `NDJSON` or `ARROW`.
        query: of the URL; it has the options windows, combine, bands and hosts of NDJSON and Arrow, JSON has them in
            its body.
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
    return _request(table, options)


def write(
    request: BulkRequest, query: TableQuery, scores: Scores, media_type: str, *, stale: bool = False
) -> Iterator[bytes]:
    """The answer to a bulk request in one of the formats, in chunks: a row for each row posted, in the same order.

    Of the first `REASONS` series that cannot be scored it says why: JSON beside the columns, Arrow in its metadata,
    NDJSON in the first row of each.
    """
    scored = [str(window) for window, counts in zip(scores.windows, scores.counts.T, strict=True) if counts.any()]
    columns = [*LABELS, "timestamp", "status", "score", *scored]
    if request.bands:
        columns += [f"{kind}_{window}" for kind in ("expected", "lower", "upper") for window in scored]
    labels, answer = _echoed(request.table.select([*LABELS, "timestamp"])), answer_table(query, scores)
    table = pa.table({name: labels[name] if name in labels.column_names else answer[name] for name in columns})
    facts = {"release": scores.release, "windows": scored, **({"stale": True} if stale else {})}
    if query.bad:
        facts["bad_series"] = _reasons(query)
    if request.hosts:
        facts["hosts"] = host_answers(scores.hosts)
    if media_type == JSON:
        return _to_json(table, facts, request.digits)
    return _to_ndjson(table, facts) if media_type == NDJSON else _to_arrow(table, facts)


def _reasons(query: TableQuery) -> list[dict[str, Any]]:
    """Why series cannot be scored, and the first row of each."""
    names, grouping = query.grouping.names, query.grouping
    return [
        {
            **dict(zip(LABELS, [part and echoed(part) for part in names[i]], strict=True)),
            "row": int(grouping.order[grouping.offsets[i]]),
            "detail": str(query.bad[i]),
        }
        for i in sorted(query.bad)[:REASONS]
    ]


def _echoed(table: pa.Table) -> pa.Table:
    """A table whose labels are no longer than what is repeated of labels that cannot be any."""
    for at, name in enumerate(table.column_names):
        if name in LABELS:
            column = table.column(name)
            cut = pa.chunked_array([_with_short_texts(chunk) for chunk in column.chunks], column.type)
            table = table.set_column(at, name, cut)
    return table


def _with_short_texts(labels: pa.Array) -> pa.Array:
    texts = labels.dictionary if pa.types.is_dictionary(labels.type) else labels
    if pa.types.is_null(texts.type) or (pc.max(pc.utf8_length(texts)).as_py() or 0) <= MAX_PART_LENGTH:
        return labels
    too_long = pc.greater(pc.utf8_length(texts), MAX_PART_LENGTH)
    cut = pc.if_else(too_long, pc.utf8_slice_codeunits(texts, 0, MAX_ECHO), texts)
    if texts is labels:
        return cut
    distinct = cut.dictionary_encode()  # several may begin alike
    indices = pc.take(distinct.indices, labels.indices).cast(labels.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, distinct.dictionary)


def accepted_media_type(accept: str, default: str) -> str:
    """The media type to answer in: the first in an `Accept` header that is supported, else `default`."""
    for part in accept.split(","):
        if (media_type := part.partition(";")[0].strip().lower()) in (JSON, *BULK):
            return media_type
    return default


def _from_json(body: bytes, bounds: Bounds) -> BulkRequest:
    if found := columns_of(body, bounds.points):
        given = {name: Raw(found.pop(name)) for name in _Options.__struct_fields__ if name in found}
        _check_column_count(len(found))
        for name in found:
            _check_column_name(name, f"$.{name}")
        return _request(pa.table({name: _arrow(column) for name, column in found.items()}), _parse_options(given))
    fields = decode_json(msgspec.json.Decoder(dict[str, Raw]), body)
    _check_column_count(len(fields) - len(fields.keys() & {*_Options.__struct_fields__}))
    options = _parse_options({name: fields.pop(name) for name in _Options.__struct_fields__ if name in fields})
    columns = {}
    for name, raw in fields.items():
        _check_column_name(name, f"$.{name}")
        kind = str | None if name in LABELS else int | float | str | None if name == "timestamp" else float | None
        columns[name] = decode_json(msgspec.json.Decoder(list[kind]), raw, f"$.{name}")  # type: ignore[valid-type]
    if len({len(column) for column in columns.values()}) > 1:
        raise BadRequest("the columns are not of the same length")
    return _request(_table(columns, bounds), options)


def _arrow(column: Any) -> pa.Array:
    """A column of a tidy table: texts and the position of each row's, or numbers."""
    if isinstance(column, tuple):
        texts, codes = column
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(texts, pa.string()))
    return pa.array(column, from_pandas=True)


def _request(table: pa.Table, options: _Options) -> BulkRequest:
    windows = parse_windows(options.windows)
    request = BulkRequest(table, windows, options.combine, options.bands, options.hosts, options.digits)
    check_hosts(hosts=request.hosts, windows=request.windows, combine=request.combine)
    return request


def _from_ndjson(body: bytes, bounds: Bounds) -> pa.Table:
    bounds.check(0, body.count(b"\n"))
    lines = body.split(b"\n")  # as the parser divides them
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    for first in range(0, len(lines), ROWS_PER_CHUNK):
        part = _decode_lines(lines[first : first + ROWS_PER_CHUNK], first)
        new = {name for row in part for name in row} - names.keys()
        for name in sorted(new):
            _check_column_name(name, "$")
        names |= dict.fromkeys(new)
        _check_column_count(len(names))
        rows += part
    return _table({name: [row.get(name) for row in rows] for name in names}, bounds)


def _decode_lines(lines: list[bytes], first: int) -> list[dict[str, Any]]:
    """The object in each line, none for a blank one; `first` is how many lines come before these.

    Line by line: msgspec's `decode_lines` takes any blanks between objects for the end of a line, a carriage return
    too, and so would give more rows than there are lines.
    """
    decode = _ROW.decode
    try:
        return [decode(line) for line in lines if line]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        numbered = enumerate(lines, first + 1)
        return [decode_json(_ROW, line, f"line {number}: $") for number, line in numbered if line.strip()]


def _check_column_count(count: int) -> None:
    most = len(COLUMNS) + MAX_WINDOWS
    if count > most:
        raise BadRequest(f"there are {count} columns; at most {most} mean something")


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
                why = f"column {name} holds values of different kinds: {str(exc)[:MAX_ECHO]}"
                raise BadRequest(why, f"$.{name}") from exc
    return pa.table(arrays)


def _from_arrow(body: bytes, bounds: Bounds) -> pa.Table:
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
            _refuse_what_grows(message.type, message.metadata.to_pybytes())
        stream = pa.ipc.open_stream(pa.py_buffer(body))
        if len(stream.schema) > MAX_ARROW_COLUMNS:
            raise BadRequest(f"there are {len(stream.schema)} columns; at most {MAX_ARROW_COLUMNS} are looked at")
        names = [name for name in stream.schema.names if name in COLUMNS or is_window(name)]
        _check_column_count(len(names))
        batches, rows = list[pa.RecordBatch](), 0
        for batch in stream:
            rows += batch.num_rows
            bounds.check(0, rows)
            if len(batches) == MAX_ARROW_BATCHES:
                raise BadRequest(f"there are more than {MAX_ARROW_BATCHES} record batches; send fewer, larger ones")
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


def _parse_options(given: Mapping[str, str | Raw]) -> _Options:
    """Options from a URL's query, as text, or from a JSON object."""
    options = _Options()
    for name, value in given.items():
        if isinstance(value, Raw):
            kinds = {"windows": list[str] | None, "combine": Combine, "bands": bool, "hosts": bool, "digits": Digits}
            kind = kinds[name]
            setattr(options, name, decode_json(msgspec.json.Decoder(kind), value, f"$.{name}"))
        elif name == "windows":
            options.windows = value.split(",")
        elif name == "combine":
            if value not in COMBINES:
                raise BadRequest(f"combine is one of {', '.join(COMBINES)}", "$.combine")
            options.combine = value
        elif name == "digits":
            options.digits = decode_json(msgspec.json.Decoder(Digits), value.encode(), "$.digits")
        elif name in ("bands", "hosts"):
            setattr(options, name, value in ("1", "true"))
        else:
            raise BadRequest(f"there is no option {name[:MAX_ECHO]!r}", f"$.{name[:MAX_ECHO]}")
    return options


def _to_json(table: pa.Table, facts: dict[str, Any], digits: int) -> Iterator[bytes]:
    yield msgspec.json.encode(facts)[:-1]
    for name in table.column_names:
        yield b"," + msgspec.json.encode(name) + b":["
        write = _writer(table[name], digits)
        for first in range(0, table.num_rows, ROWS_PER_CHUNK):
            yield (b"," if first else b"") + write(slice(first, first + ROWS_PER_CHUNK))[1:-1]
        yield b"]"
    yield b"}"


def _writer(column: pa.ChunkedArray, digits: int) -> Callable[[slice], bytes]:
    """Writes a part of a column as a list in JSON."""
    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_int64(kind) and not column.null_count):
        numbers = np.ascontiguousarray(column, np.float64 if pa.types.is_floating(kind) else np.int64)
        return lambda rows: written([numbers[rows]], digits)
    if pa.types.is_dictionary(kind) and column.num_chunks == 1:
        (chunk,) = column.chunks
        texts = [*map(msgspec.json.encode, chunk.dictionary.to_pylist()), b"null"]
        codes = np.asarray(pc.fill_null(chunk.indices.cast(pa.int64()), len(texts) - 1))
        return lambda rows: coded(codes[rows], texts)
    values = _to_list(column)
    return lambda rows: msgspec.json.encode(values[rows])


def _to_ndjson(table: pa.Table, facts: dict[str, Any]) -> Iterator[bytes]:
    names, encoder = table.column_names, msgspec.json.Encoder()
    why = {one["row"]: {"detail": one["detail"]} for one in facts.get("bad_series", ())}
    rows = enumerate(zip(*(_to_list(table[name]) for name in names), strict=True))
    while part := list(itertools.islice(rows, ROWS_PER_CHUNK)):
        yield encoder.encode_lines(dict(zip(names, row, strict=True)) | why.get(at, {}) for at, row in part)


def _to_arrow(table: pa.Table, facts: dict[str, Any]) -> Iterator[bytes]:
    metadata = {"release": facts["release"], "windows": ",".join(facts["windows"])}
    if "stale" in facts:
        metadata["stale"] = "true"
    if "bad_series" in facts:
        metadata["bad_series"] = msgspec.json.encode(facts["bad_series"]).decode()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema.with_metadata(metadata)) as stream:
        stream.write_table(table)
    yield sink.getvalue()


def _to_list(column: pa.ChunkedArray) -> list[Any]:
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
