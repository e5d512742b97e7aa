"""Ticks in each format. A tick is a request with a new point of each of many series.

An aggregated tick has the means at three windows in place of the point.
"""

import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import zstandard
from numpy.typing import NDArray

from myriad.formats.bodies import ARROW, JSON, NDJSON
from myriad.formats.columns.cells import LABELS
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.training.fleets.reference import FITTED_AT

WINDOWS = ("1m", "15m", "1h")
ZSTD_MAGIC, GZIP_MAGIC = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"


class Rows(NamedTuple):
    """The status and score of each row of an answer, None where there is no score."""

    statuses: list[str]
    scores: list[float | None]


class TickScores(NamedTuple):
    """The status and score of each row of an answer; scores are float64 (n,), NaN where there is none."""

    statuses: list[str]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Format:
    """How a tick is encoded and its answer decoded.

    Attributes:
        media_type: of request and answer.
        encode: a table to an uncompressed body.
        decode: an uncompressed answer to the statuses and scores of its rows.
        coding: content encoding of the body, and the one accepted for the answer.
    """

    media_type: str
    encode: Callable[[pa.Table], bytes]
    decode: Callable[[bytes], Rows]
    coding: str = "identity"

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of a request."""
        if self.coding == "identity":
            return {"content-type": self.media_type}
        return {"content-type": self.media_type, "content-encoding": self.coding, "accept-encoding": self.coding}

    def body(self, table: pa.Table) -> bytes:
        """The body of a tick as it is sent."""
        body = self.encode(table)
        return zstandard.compress(body, 3) if self.coding == "zstd" else body

    def scores(self, answer: bytes) -> TickScores:
        """The statuses and scores in an answer as it was received."""
        if answer.startswith(ZSTD_MAGIC):
            answer = zstandard.ZstdDecompressor().decompressobj().decompress(answer)
        elif answer.startswith(GZIP_MAGIC):
            answer = gzip.decompress(answer)
        rows = self.decode(answer)
        return TickScores(rows.statuses, np.array(rows.scores, np.float64))


class TickSource:
    """Ticks of the same series, in various orders."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._names = Names.of(series)

    def __len__(self) -> int:
        """Number of series."""
        return len(self._names)

    def table(self, minute: int, order: int = 0, *, aggregated: bool = False) -> pa.Table:
        """The table of a tick, with dictionary-encoded labels.

        Args:
            minute: of the points, counted from when the models were fitted.
            order: rotation of the series. A server caches the resolution of labels by their order, so that a tick in
                another order is a cache miss.
            aggregated: whether there is a value for each window in place of one point.
        """
        n, rng = len(self), np.random.default_rng([minute, order])
        columns: dict[str, Any] = {
            label: pa.DictionaryArray.from_arrays(np.roll(codes, -order).astype(np.int32), pa.array(parts))
            for label, parts, codes in zip(LABELS, self._names.parts, self._names.codes, strict=True)
        }
        columns["timestamp"] = np.full(n, FITTED_AT + 60 * minute)
        for name in WINDOWS if aggregated else ("value",):
            columns[name] = np.round(rng.lognormal(3, 1, n), 3)
        return pa.table(columns)


def _table_rows(table: pa.Table) -> list[dict[str, Any]]:
    columns = [column.to_pylist() for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _encode_json_rows(table: pa.Table) -> bytes:
    return msgspec.json.encode({"datapoints": _table_rows(table)})


def _encode_json_columns(table: pa.Table) -> bytes:
    return msgspec.json.encode({name: table[name].to_pylist() for name in table.column_names})


def _encode_ndjson(table: pa.Table) -> bytes:
    return msgspec.json.Encoder().encode_lines(_table_rows(table))


def _encode_arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


class _SeriesAnswer(msgspec.Struct):
    status: str
    anomaly_scores: dict[str, list[float | None]]


class _SeriesListAnswer(msgspec.Struct):
    series: list[_SeriesAnswer]


class _ColumnsAnswer(msgspec.Struct):
    status: list[str]
    score: list[float | None]


class _RowAnswer(msgspec.Struct):
    status: str
    score: float | None


def _decode_json_rows(answer: bytes) -> Rows:
    series = msgspec.json.decode(answer, type=_SeriesListAnswer).series
    return Rows([one.status for one in series], [one.anomaly_scores["score"][0] for one in series])


def _decode_json_columns(answer: bytes) -> Rows:
    columns = msgspec.json.decode(answer, type=_ColumnsAnswer)
    return Rows(columns.status, columns.score)


def _decode_ndjson(answer: bytes) -> Rows:
    rows = msgspec.json.Decoder(_RowAnswer).decode_lines(answer)
    return Rows([row.status for row in rows], [row.score for row in rows])


def _decode_arrow(answer: bytes) -> Rows:
    table = pa.ipc.open_stream(answer).read_all()
    return Rows(table["status"].to_pylist(), table["score"].to_pylist())


FORMATS: Mapping[str, Format] = {
    "json_rows": Format(JSON, _encode_json_rows, _decode_json_rows),
    "json_columns": Format(JSON, _encode_json_columns, _decode_json_columns),
    "ndjson": Format(NDJSON, _encode_ndjson, _decode_ndjson),
    "arrow": Format(ARROW, _encode_arrow, _decode_arrow),
    "arrow_zstd": Format(ARROW, _encode_arrow, _decode_arrow, "zstd"),
}
AGGREGATED_FORMATS = ("json_columns", "ndjson", "arrow", "arrow_zstd")
"""Formats in which a tick can be aggregated."""
