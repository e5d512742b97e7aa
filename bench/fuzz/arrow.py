"""Mutations of Arrow streams: of their columns' types, their dictionaries, their batches and their messages."""

import contextlib
import datetime
import decimal
import io
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from bench.fuzz.case import Fleet, size
from bench.fuzz.valid import LABELS, stream, table

MOST_ANSWER_BYTES = 400_000_000
"""How much a repeated text may come to where it is written out: more than an answer may have."""


def body(rng: random.Random, fleet: Fleet) -> tuple[bytes, str]:
    """A stream with a mutation, and the name of that."""
    name = rng.choice(list(MUTATIONS))
    found = table(rng, fleet)
    try:
        return MUTATIONS[name](rng, found), name
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # this type cannot be had of these values
        return stream(found), "valid"


def _typed(rng: random.Random, content: pa.Table) -> bytes:
    """A column or two of a type that they should not have."""
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(content.num_columns)
        content = content.set_column(at, content.column_names[at], rng.choice(TYPES)(rng, content.column(at)))
    return stream(content)


def _repeated_text(rng: random.Random, content: pa.Table) -> bytes:
    """One long label of very many rows: small as a dictionary or a run, large where it is written out."""
    length, rows = size(rng, 2_000_000), size(rng, 1_000_000)
    rows = max(1, min(rows, MOST_ANSWER_BYTES // length))
    label, kind = rng.choice(["x", "\u00e9", '"', "\x00"]) * length, rng.choice(["dictionary", "run", "both"])
    columns: dict[str, Any] = {
        name: pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [content[name][0].as_py()])
        for name in LABELS
    }
    long = pa.array([label])
    if kind != "run":
        long = pa.DictionaryArray.from_arrays(pa.array([0] * (rows if kind == "dictionary" else 1), pa.int8()), long)
    if kind != "dictionary":
        long = pa.RunEndEncodedArray.from_arrays(pa.array([rows], pa.int32()), long)
    start = content["timestamp"][0].as_py()
    columns |= {"timestamp": pa.array([start] * rows, pa.int64()), "value": pa.array([1.0] * rows)}
    columns[rng.choice([*LABELS, "timestamp"])] = long
    return stream(pa.table(columns))


def _repeated_labels(rng: random.Random, content: pa.Table) -> bytes:
    """Dictionaries in which labels are there twice, unused or null."""
    for name in LABELS:
        texts = content[name].cast(pa.string()).to_pylist()
        words = [*texts, *texts, None, "", "unused", "a/b"]
        rng.shuffle(words)
        known = [at for at, word in enumerate(words) if word is not None]
        codes = [rng.choice([*known[:3], None, *range(len(words))]) for _ in texts]
        wide = [pa.int16(), pa.uint32(), pa.int64(), pa.uint64()]
        kind = rng.choice([pa.int8(), pa.uint8(), *wide] if len(words) < 128 else wide)
        label = pa.DictionaryArray.from_arrays(pa.array(codes, kind), pa.array(words))
        content = content.set_column(content.column_names.index(name), name, label)
    return stream(content)


def _many_columns(rng: random.Random, content: pa.Table) -> bytes:
    value = content.column(content.num_columns - 1)
    count, unit = size(rng, 20_000), rng.choice(["m", "s", "h", "x"])
    if rng.random() < 0.5 and "value" in content.column_names:
        content = content.drop_columns(["value"])
    count = min(count, 2_000_000 // max(1, len(value)))
    names = [*content.column_names, *(f"{i}{unit}" for i in range(1, count))]
    return stream(pa.table([*content.columns, *[value] * (count - 1)], names=names))


def _renamed(rng: random.Random, content: pa.Table) -> bytes:
    names = content.column_names
    names[rng.randrange(len(names))] = rng.choice([*names, "", "\x00", "x" * 100_000, "1m", "7m", "value", "score"])
    return stream(content.rename_columns(names))


def _fewer_columns(rng: random.Random, content: pa.Table) -> bytes:
    return stream(content.select(rng.sample(content.column_names, rng.randrange(content.num_columns))))


def _lengthened(rng: random.Random, content: pa.Table) -> bytes:
    times = size(rng, 1_200_000 // max(1, content.num_rows))
    return stream(pa.concat_tables([content] * times).combine_chunks())


def _batches(rng: random.Random, content: pa.Table) -> bytes:
    """Very many batches, mostly of nothing."""
    sink, batch = io.BytesIO(), content.to_batches()[0]
    with pa.ipc.new_stream(sink, content.schema) as writer:
        for _ in range(size(rng, 20_000)):
            writer.write_batch(batch.slice(0, rng.choice([0, 0, 1])))
        if rng.random() < 0.8:
            writer.write_batch(batch)
    return sink.getvalue()


def _no_rows(_: random.Random, content: pa.Table) -> bytes:
    return stream(content.slice(0, 0))


def _only_a_schema(_: random.Random, content: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa.ipc.new_stream(sink, content.schema).close()
    return sink.getvalue()


def _no_columns(_: random.Random, __: pa.Table) -> bytes:
    return stream(pa.table({}))


def _nulls(rng: random.Random, content: pa.Table) -> bytes:
    at = rng.randrange(content.num_columns)
    column = content.column(at)
    values = [None if rng.random() < 0.5 else value for value in column.to_pylist()]
    return stream(content.set_column(at, content.column_names[at], pa.array(values, column.type)))


def _shared_dictionary(rng: random.Random, content: pa.Table) -> bytes:
    """A large dictionary that very many batches share."""
    words = pa.array([f"host-{number}" for number in range(size(rng, 500_000))])
    row = content.slice(0, 1).set_column(
        content.column_names.index("host"), "host", pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), words)
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        for _ in range(size(rng, 9_000)):
            writer.write_table(row)
    return sink.getvalue()


def _compressed_by_metadata(rng: random.Random, content: pa.Table) -> bytes:
    """Batches of an old version, which say in metadata of their own that they are compressed."""
    options, sink = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4), io.BytesIO()
    said = {"ARROW:experimental_compression": rng.choice(["zstd", "lz4", "x"])}
    with pa.ipc.new_stream(sink, content.schema, options=options) as writer:
        for batch in content.to_batches():
            writer.write_batch(batch, custom_metadata=said)
    return sink.getvalue()


def _changing_dictionary(rng: random.Random, content: pa.Table) -> bytes:
    """A dictionary that is replaced, or grows, from batch to batch."""
    sink, names = io.BytesIO(), content.column_names
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=rng.random() < 0.5)
    batches = []
    for turn in range(size(rng, 300)):
        label = pa.array([f"host{turn}", "web-000"] * 2).slice(turn % 2, 2).dictionary_encode()
        columns = [content[name].slice(0, 2).combine_chunks() if len(content) > 1 else None for name in names]
        if None in columns:
            return stream(content)
        columns[names.index("host")] = label
        batches.append(pa.record_batch([c.chunk(0) if isinstance(c, pa.ChunkedArray) else c for c in columns], names))
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return sink.getvalue()


def _compressed(rng: random.Random, content: pa.Table) -> bytes:
    times = size(rng, 1_000_000 // max(1, content.num_rows))
    return stream(pa.concat_tables([content] * times).combine_chunks(), compression=rng.choice(["zstd", "lz4"]))


def _large_metadata(rng: random.Random, content: pa.Table) -> bytes:
    metadata = {f"k{i}": "v" * size(rng, 100_000) for i in range(size(rng, 100))}
    return stream(content.replace_schema_metadata({**metadata, "pandas": rng.choice(["{}", "[", '{"columns": 1}'])}))


def _twice(_: random.Random, content: pa.Table) -> bytes:
    return stream(content) * 2


def _as_a_file(_: random.Random, content: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
    return sink.getvalue()


def _flipped(rng: random.Random, content: pa.Table) -> bytes:
    """Bits of the messages' metadata, of their lengths, or of anything."""
    found = bytearray(stream(content))
    most = len(found) if rng.random() < 0.5 else min(len(found), 1500)
    for _ in range(size(rng, 8)):
        found[rng.randrange(most)] ^= 1 << rng.randrange(8)
    return bytes(found)


def _wrong_lengths(rng: random.Random, content: pa.Table) -> bytes:
    """An integer of four bytes that is another one."""
    found = bytearray(stream(content))
    at = rng.randrange(len(found) // 4) * 4
    found[at : at + 4] = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 1 << 24, 0x7FFFFFF8]).to_bytes(4, "little")
    return bytes(found)


def _truncated(rng: random.Random, content: pa.Table) -> bytes:
    found = stream(content)
    return found[: rng.randrange(len(found))]


def _dictionary_out_of_range(rng: random.Random, content: pa.Table) -> bytes:
    codes = pa.array([rng.choice([-1, 0, 1, 127, 99]) for _ in range(content.num_rows)], pa.int8())
    label = pa.DictionaryArray.from_arrays(codes, pa.array(["web-000"]), safe=False)
    return stream(content.set_column(content.column_names.index("host"), "host", label))


MUTATIONS: dict[str, Callable[[random.Random, pa.Table], bytes]] = {
    "type": _typed,
    "another type": _typed,
    "a third type": _typed,
    "repeated text": _repeated_text,
    "repeated labels": _repeated_labels,
    "many columns": _many_columns,
    "renamed": _renamed,
    "fewer columns": _fewer_columns,
    "lengthened": _lengthened,
    "batches": _batches,
    "no rows": _no_rows,
    "only a schema": _only_a_schema,
    "no columns": _no_columns,
    "nulls": _nulls,
    "shared dictionary": _shared_dictionary,
    "changing dictionary": _changing_dictionary,
    "compressed by metadata": _compressed_by_metadata,
    "compressed": _compressed,
    "large metadata": _large_metadata,
    "twice": _twice,
    "as a file": _as_a_file,
    "flipped": _flipped,
    "flipped again": _flipped,
    "wrong lengths": _wrong_lengths,
    "truncated": _truncated,
    "dictionary out of range": _dictionary_out_of_range,
}


class _Extension(pa.ExtensionType):  # type: ignore[misc]
    """A type that only this client knows."""

    def __init__(self, storage: pa.DataType) -> None:
        super().__init__(storage, "fuzz.unknown")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"\xff{"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, _: bytes) -> "_Extension":
        return cls(storage_type)


def _cast(kind: pa.DataType) -> Callable[[random.Random, pa.ChunkedArray], Any]:
    def cast(_: random.Random, column: pa.ChunkedArray) -> Any:
        with contextlib.suppress(pa.ArrowException):
            return column.cast(kind, safe=False)
        values = column.to_pylist()
        with contextlib.suppress(pa.ArrowException, TypeError, ValueError):
            return pa.array(values, kind)
        return pa.array([_any_of(kind)] * len(values), kind)

    return cast


def _any_of(kind: pa.DataType) -> Any:
    """A value of a type, None where none of these is."""
    day = datetime.date(2026, 1, 4)
    values: list[Any] = [1, 1.0, "1", b"1", True, decimal.Decimal(1), day, datetime.time(1), [1], {}]
    for value in values:
        with contextlib.suppress(pa.ArrowException, TypeError, ValueError):
            pa.array([value], kind)
            return value
    return None


def _structs(_: random.Random, column: pa.ChunkedArray) -> Any:
    plain = column.combine_chunks()
    return pa.StructArray.from_arrays([plain, plain], ["a", "a"])


def _runs(rng: random.Random, column: pa.ChunkedArray) -> Any:
    values = column.to_pylist()[:1]
    kind = rng.choice([pa.int16(), pa.int32(), pa.int64()])
    return pa.RunEndEncodedArray.from_arrays(pa.array([len(column)], kind), pa.array(values))


def _lists(rng: random.Random, column: pa.ChunkedArray) -> Any:
    values = [[value] * rng.randrange(3) for value in column.to_pylist()]
    return pa.array(values, rng.choice([pa.list_, pa.large_list, pa.list_view])(pa.array(values[0]).type))


def _maps(_: random.Random, column: pa.ChunkedArray) -> Any:
    return pa.array([[("k", str(value))] for value in column.to_pylist()], pa.map_(pa.string(), pa.string()))


def _unions(_: random.Random, column: pa.ChunkedArray) -> Any:
    plain = column.combine_chunks()
    return pa.UnionArray.from_sparse(pa.array([0] * len(plain), pa.int8()), [plain])


def _extensions(_: random.Random, column: pa.ChunkedArray) -> Any:
    plain = column.combine_chunks()
    return pa.ExtensionArray.from_storage(_Extension(plain.type), plain)


def _nested_dictionaries(_: random.Random, column: pa.ChunkedArray) -> Any:
    inner = pa.array([[str(value)] for value in column.to_pylist()], pa.list_(pa.string()))
    return pa.DictionaryArray.from_arrays(pa.array(range(len(inner)), pa.int32()), inner)


def _number_dictionaries(_: random.Random, column: pa.ChunkedArray) -> Any:
    return pa.array([float(at) for at in range(len(column))]).dictionary_encode()


def _deep(rng: random.Random, column: pa.ChunkedArray) -> Any:
    kind, value = pa.int8(), 1
    nested: Any = value
    for _ in range(size(rng, 60)):
        kind, nested = pa.list_(kind), [nested]
    return pa.array([nested] * len(column), kind)


def _extreme(rng: random.Random, column: pa.ChunkedArray) -> Any:
    choices: list[list[Any]] = [
        [2**63 - 1, -(2**63), 0], [2**64 - 1, 2**63],
        [float("nan"), float("inf"), -float("inf"), -0.0, 1e308, 5e-324],
        ["9" * 80_000, "2026-01-04T00:00:00Z"], [datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)],
        ["\x00", "", "\u202e"], [1e15, -1e15, 1e11, 99_999_999_999.5],
    ]  # fmt: skip
    values = rng.choice(choices)
    return pa.array([rng.choice(values) for _ in range(len(column))])


TYPES: list[Callable[[random.Random, pa.ChunkedArray], Any]] = [
    *map(
        _cast,
        [
            pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.string(), pa.large_string(),
            pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(8), pa.date32(), pa.date64(),
            pa.time32("s"), pa.time64("ns"), pa.duration("us"), pa.month_day_nano_interval(), pa.decimal128(38, 10),
            pa.decimal256(76, 0), pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.timestamp("us", "Mars/Phobos"),
            pa.timestamp("ms", "+99:99"), pa.timestamp("s", "Europe/Berlin"), pa.timestamp("s", ""),
            pa.dictionary(pa.int8(), pa.large_string()), pa.dictionary(pa.uint16(), pa.binary()),
            pa.dictionary(pa.int32(), pa.int64()), pa.list_(pa.int64(), 2),
        ],
    ),
    _structs, _runs, _runs, _lists, _maps, _unions, _extensions, _nested_dictionaries, _number_dictionaries, _deep,
    _extreme,
    _extreme,
]  # fmt: skip
