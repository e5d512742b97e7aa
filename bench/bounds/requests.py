"""Requests at each bound of a service: the largest it takes on, and some just beyond."""

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from myriad.models.key import Series
from myriad.serving.settings import Settings
from myriad.training.fleets.reference import FITTED_AT

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
BOUNDS = Settings()


class AtBound(NamedTuple):
    """A request.

    Attributes:
        name: of the bound it is at.
        status: what it has to be answered with.
    """

    name: str
    body: bytes
    headers: Mapping[str, str]
    status: int = 200


def requests(known: Sequence[Series]) -> Iterator[AtBound]:
    """Each made when it is needed."""
    few, many = columns(known, 1000), columns(known, BOUNDS.max_series)
    points = columns(known, 1000, BOUNDS.max_points)
    yield AtBound("series, Arrow", arrow(many), _type(ARROW))
    yield AtBound("series, JSON columns", msgspec.json.encode(many), _type(JSON))
    yield AtBound("series, NDJSON", ndjson(many), _type(NDJSON))
    yield AtBound("series, JSON rows", msgspec.json.encode({"datapoints": rows(many)}), _type(JSON))
    yield AtBound("points, Arrow", arrow(points), _type(ARROW))
    half = {name: column[::2] for name, column in points.items()}
    yield AtBound("half the points, Arrow in and JSON out", arrow(half), _type(ARROW, accept=JSON))
    yield AtBound("one series beyond", arrow(columns(known, BOUNDS.max_series + 1)), _type(ARROW), 413)
    yield AtBound("one point beyond", arrow(columns(known, 1000, BOUNDS.max_points + 1)), _type(ARROW), 413)
    yield AtBound("long labels, Arrow in and JSON out", arrow(_long(BOUNDS.max_points)), _type(ARROW, accept=JSON), 413)
    blank = b" " * (BOUNDS.max_body_bytes - 200_000)
    yield AtBound("body bytes, blanks", msgspec.json.encode(few) + blank, _type(JSON))
    yield AtBound("body bytes, no JSON", b"[" * BOUNDS.max_body_bytes, _type(JSON), 422)
    bomb = gzip.compress(msgspec.json.encode(few) + 2 * blank, 9)
    yield AtBound("decompressed bytes beyond", bomb, _type(JSON, content_encoding="gzip"), 413)
    texts = few | {"timestamp": ["9" * 30_000] * 1000}
    yield AtBound("text timestamps of 30 kB", msgspec.json.encode(texts), _type(JSON))
    wide = few | {f"c{number}": few["value"] for number in range(59)}
    yield AtBound("columns, Arrow", arrow(wide), _type(ARROW))
    wider = few | {f"c{number}": few["value"] for number in range(2000)}
    yield AtBound("columns beyond, Arrow", arrow(wider), _type(ARROW), 422)


def columns(known: Sequence[Series], series: int, points: int = 0) -> dict[str, Any]:
    """Rows of so many series, those beyond the known without a model; a row each, or so many in all."""
    names = [*known[:series], *(Series("nowhere", f"h{i}", "cpu") for i in range(series - len(known)))]
    total = max(series, points)
    labels = {
        field: [value for value, times in zip(part, _times(series, total), strict=True) for _ in range(times)]
        for field, part in zip(Series._fields, zip(*names, strict=True), strict=True)
    }
    stamps = [FITTED_AT + 60 * i for times in _times(series, total) for i in range(times)]
    return {**labels, "timestamp": stamps, "value": [50.0 + i % 7 for i in range(total)]}


def rows(table: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """A table's rows."""
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def ndjson(table: Mapping[str, Sequence[Any]]) -> bytes:
    """A table as lines of JSON."""
    return b"\n".join(map(msgspec.json.encode, rows(table)))


def arrow(table: Mapping[str, Any]) -> bytes:
    """A table as an Arrow stream, labels as dictionaries."""
    made = pa.table({name: values for name, values in table.items() if values is not None})
    for at, field in enumerate(made.schema):
        if pa.types.is_string(field.type):
            made = made.set_column(at, field.name, made.column(at).dictionary_encode())
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    return sink.getvalue()


def _long(points: int) -> dict[str, Any]:
    return {name: pa.repeat("x" * 200, points) for name in Series._fields} | {
        "timestamp": pa.array(range(FITTED_AT, FITTED_AT + points)),
        "value": pa.repeat(1.0, points),
    }


def _times(series: int, total: int) -> list[int]:
    return [total // series + (i < total % series) for i in range(series)]


def _type(media_type: str, **more: str) -> dict[str, str]:
    return {"content-type": media_type, **{name.replace("_", "-"): value for name, value in more.items()}}
