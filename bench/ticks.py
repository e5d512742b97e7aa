"""Ticks: a new point, or its values at three windows, of each of many series, as a body in each format."""

import gzip
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import zstandard
from numpy.typing import NDArray

from myriad.formats.columns.table import LABELS
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.serving.bulk import ARROW, JSON, NDJSON
from myriad.training.fleets.reference import FITTED_AT

WINDOWS = ("1m", "15m", "1h")
ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Format:
    """How a tick is written and its answer read.

    Attributes:
        media_type: of both.
        write: the body of a table.
        read: statuses and scores in an answer, a row each.
        coding: of the body, and asked for of the answer.
    """

    media_type: str
    write: Callable[[pa.Table], bytes]
    read: Callable[[bytes], tuple[Sequence[str], Sequence[float | None]]]
    coding: str = "identity"

    @property
    def headers(self) -> Mapping[str, str]:
        """Of a request."""
        if self.coding == "identity":
            return {"content-type": self.media_type}
        return {"content-type": self.media_type, "content-encoding": self.coding, "accept-encoding": self.coding}

    def body(self, table: pa.Table) -> bytes:
        """A tick as it is sent."""
        written = self.write(table)
        return zstandard.compress(written, 3) if self.coding == "zstd" else written

    def scores(self, answer: bytes) -> tuple[list[str], NDArray[np.float64]]:
        """Status and score of each row of an answer, NaN where there is none."""
        if answer.startswith(ZSTD):
            answer = zstandard.ZstdDecompressor().decompressobj().decompress(answer)
        elif answer.startswith(b"\x1f\x8b"):
            answer = gzip.decompress(answer)
        statuses, scores = self.read(answer)
        return list(statuses), np.array(scores, np.float64)


class Source:
    """Ticks of the same series, in one order or another."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._names = Names.of(series)

    def __len__(self) -> int:
        """How many series."""
        return len(self._names)

    def table(self, minute: int, order: int = 0, *, aggregated: bool = False) -> pa.Table:
        """The points of a minute, labels as dictionaries.

        Args:
            minute: after the models were fitted.
            order: the first series is another one with each; a server knows an order again, not a mere set.
            aggregated: whether there is a value a window in place of one point.
        """
        n, draw = len(self), np.random.default_rng([minute, order])
        columns: dict[str, Any] = {
            label: pa.DictionaryArray.from_arrays(np.roll(codes, -order).astype(np.int32), pa.array(parts))
            for label, parts, codes in zip(LABELS, self._names.parts, self._names.codes, strict=True)
        }
        columns["timestamp"] = np.full(n, FITTED_AT + 60 * minute)
        for name in WINDOWS if aggregated else ("value",):
            columns[name] = np.round(draw.lognormal(3, 1, n), 3)
        return pa.table(columns)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    columns = [column.to_pylist() for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _json_rows(table: pa.Table) -> bytes:
    return msgspec.json.encode({"datapoints": _rows(table)})


def _json_columns(table: pa.Table) -> bytes:
    return msgspec.json.encode({name: table[name].to_pylist() for name in table.column_names})


def _ndjson(table: pa.Table) -> bytes:
    return msgspec.json.Encoder().encode_lines(_rows(table))


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


class _OneScored(msgspec.Struct):
    status: str
    anomaly_scores: dict[str, list[float | None]]


class _Scored(msgspec.Struct):
    series: list[_OneScored]


class _Columns(msgspec.Struct):
    status: list[str]
    score: list[float | None]


class _Row(msgspec.Struct):
    status: str
    score: float | None


def _of_rows(answer: bytes) -> tuple[list[str], list[float | None]]:
    series = msgspec.json.decode(answer, type=_Scored).series
    return [one.status for one in series], [one.anomaly_scores["score"][0] for one in series]


def _of_columns(answer: bytes) -> tuple[list[str], list[float | None]]:
    told = msgspec.json.decode(answer, type=_Columns)
    return told.status, told.score


def _of_ndjson(answer: bytes) -> tuple[list[str], list[float | None]]:
    rows = msgspec.json.Decoder(_Row).decode_lines(answer)
    return [row.status for row in rows], [row.score for row in rows]


def _of_arrow(answer: bytes) -> tuple[list[str], list[float | None]]:
    table = pa.ipc.open_stream(answer).read_all()
    return table["status"].to_pylist(), table["score"].to_pylist()


FORMATS: Mapping[str, Format] = {
    "json_rows": Format(JSON, _json_rows, _of_rows),
    "json_columns": Format(JSON, _json_columns, _of_columns),
    "ndjson": Format(NDJSON, _ndjson, _of_ndjson),
    "arrow": Format(ARROW, _arrow, _of_arrow),
    "arrow_zstd": Format(ARROW, _arrow, _of_arrow, "zstd"),
}
IN_COLUMNS = ("json_columns", "ndjson", "arrow", "arrow_zstd")
"""Those that may bring windows in place of values."""
