"""Mixed traffic: bodies of all formats and sizes, some of them wrong."""

import gzip
import io
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bench.shared.request_bodies import single_series_body
from myriad.models.key import Series
from myriad.training.fleets.reference import FITTED_AT

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
SINGLES, SMALL, LARGE = 200, 2000, 40_000
Body = tuple[bytes, dict[str, str]]


class Traffic:
    """Bodies made once, drawn by how often clients send such."""

    def __init__(self, series: Sequence[Series]) -> None:
        draw = np.random.default_rng(1)
        singles = [single_series_body(series[i]) for i in draw.integers(0, len(series), SINGLES)]
        small, large = self._columns(series, SMALL, draw), self._columns(series, LARGE, draw)
        rows = [dict(zip(large, row, strict=True)) for row in zip(*large.values(), strict=True)]
        few = rows[:SMALL]
        kinds: list[tuple[float, Callable[[np.random.Generator], Body]]] = [
            (0.70, lambda rng: (singles[rng.integers(SINGLES)], _named(JSON))),
            (0.08, _always(_json({"datapoints": few}), JSON)),
            (0.05, _always(_json(small), JSON)),
            (0.04, _always(_arrow(small), ARROW, accept=JSON)),
            (0.03, _always(_json(large), JSON)),
            (0.03, _always(_arrow(large), ARROW)),
            (0.02, _always(b"\n".join(map(_json, rows)), NDJSON)),
            (0.01, _always(gzip.compress(_json({"datapoints": rows})), JSON, content_encoding="gzip")),
            (0.02, _always(_json({"datapoints": [{**few[0], "timestamp": "9" * 5000}] * 100}), JSON)),
            (0.02, lambda rng: (rng.bytes(5000), _named(JSON))),
        ]
        self._shares, self._makers = np.array([share for share, _ in kinds]), [make for _, make in kinds]

    def next(self, rng: np.random.Generator) -> Body:
        """A body and its headers."""
        return self._makers[rng.choice(len(self._makers), p=self._shares / self._shares.sum())](rng)

    @staticmethod
    def _columns(series: Sequence[Series], count: int, draw: np.random.Generator) -> dict[str, list[Any]]:
        chosen = [series[i] for i in draw.choice(len(series), min(count, len(series)), replace=False)]
        labels = dict(zip(Series._fields, map(list, zip(*chosen, strict=True)), strict=True))
        return {**labels, "timestamp": [FITTED_AT] * len(chosen), "value": draw.normal(50, 5, len(chosen)).tolist()}


def _named(media_type: str, **more: str) -> dict[str, str]:
    return {"content-type": media_type, **{name.replace("_", "-"): value for name, value in more.items()}}


def _always(body: bytes, media_type: str, **headers: str) -> Callable[[np.random.Generator], Body]:
    return lambda _: (body, _named(media_type, **headers))


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _arrow(columns: dict[str, list[Any]]) -> bytes:
    table, sink = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()
