"""Protocols: the same requests in the form of each server, and the columns in its answers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.peers.model import WINDOWS
from myriad.models.key import Series

Columns = dict[str, NDArray[np.float64]]
JSON = "application/json"


class Points(NamedTuple):
    """The datapoints of one series."""

    series: Series
    timestamps: Sequence[int]
    values: Sequence[float]


def http_message(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A complete POST request."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in {"Content-Type": JSON, **headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class PlainJson:
    """JSON as Myriad accepts it: one series with its datapoints; for a tick, columns."""

    single_path, tick_path = "/predict", "/tick"

    def single(self, points: Points) -> bytes:
        """A request for the scores of one series at all windows."""
        datapoints = [{"timestamp": t, "value": v} for t, v in zip(points.timestamps, points.values, strict=True)]
        return self._message(self.single_path, {**points.series._asdict(), "datapoints": datapoints}, points.series)

    def tick(self, points: Sequence[Points]) -> bytes:
        """A request for the scores of a point of each series at the shortest window."""
        return self._message(self.tick_path, {"windows": ["1m"], **tick_columns(points)})

    def parse_single(self, answer: bytes) -> Columns:
        """The columns score, <window> and expected_<window> of the answer for one series."""
        document = json.loads(answer)
        columns = {name: _floats(document["anomaly_scores"][name]) for name in ("score", *WINDOWS)}
        return columns | {f"expected_{name}": _floats(document["expected"][name]) for name in WINDOWS}

    def parse_tick(self, answer: bytes) -> Columns:
        """The columns score and 1m of the answer to a tick, in the order of its series."""
        document = json.loads(answer)
        return {name: _floats(document[name]) for name in ("score", "1m")}

    def _message(self, path: str, body: Any, _: Series | None = None) -> bytes:
        return http_message(path, msgspec.json.encode(body), {})


class Myriad(PlainJson):
    """Myriad's own JSON, where single requests and ticks have the same path, and its other formats for ticks."""

    tick_path = "/predict"

    def tick_as_rows(self, points: Sequence[Points]) -> bytes:
        """A tick as JSON rows."""
        rows = [{**p.series._asdict(), "timestamp": p.timestamps[0], "value": p.values[0]} for p in points]
        return self._message("/predict", {"windows": ["1m"], "datapoints": rows})

    def tick_as_arrow(self, points: Sequence[Points]) -> bytes:
        """A tick as an Arrow stream with dictionary-encoded labels."""
        columns = tick_columns(points)
        labels = {name: pa.array(columns[name]).dictionary_encode() for name in Series._fields}
        table, sink = pa.table(columns | labels), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        media_type = {"Content-Type": "application/vnd.apache.arrow.stream"}
        return http_message("/predict?windows=1m", sink.getvalue().to_pybytes(), media_type)


class RayServe(PlainJson):
    """Plain JSON, with the model's id in the header that Ray Serve routes by."""

    single_path = tick_path = "/"

    def _message(self, path: str, body: Any, series: Series | None = None) -> bytes:
        headers = {"serve_multiplexed_model_id": "/".join(series)} if series else {}
        return http_message(path, msgspec.json.encode(body), headers)


class KServe(PlainJson):
    """Plain JSON at the path of a model in KServe's V1 protocol."""

    single_path = tick_path = "/v1/models/fleet:predict"


class OpenInference:
    """The Open Inference Protocol (V2) of MLServer: one tensor for each column."""

    path = "/v2/models/fleet/infer"

    def single(self, points: Points) -> bytes:
        """See `PlainJson.single`."""
        return self._message(list(WINDOWS), [points.series], points.timestamps, points.values)

    def tick(self, points: Sequence[Points]) -> bytes:
        """See `PlainJson.tick`."""
        columns = tick_columns(points)
        return self._message(["1m"], [p.series for p in points], columns["timestamp"], columns["value"])

    def parse_single(self, answer: bytes) -> Columns:
        """See `PlainJson.parse_single`."""
        return {tensor["name"]: _floats(tensor["data"]) for tensor in json.loads(answer)["outputs"]}

    def parse_tick(self, answer: bytes) -> Columns:
        """See `PlainJson.parse_tick`."""
        return self.parse_single(answer)

    def _message(
        self, windows: list[str], series: Sequence[Series], timestamps: Sequence[int], values: Sequence[float]
    ) -> bytes:
        texts = {"windows": windows, **dict(zip(Series._fields, zip(*series, strict=True), strict=True))}
        inputs: list[dict[str, Any]] = [
            {"name": name, "shape": [len(data), 1], "datatype": "BYTES", "data": data} for name, data in texts.items()
        ]
        numbers = {"timestamp": ("INT64", timestamps), "value": ("FP64", values)}
        inputs += [
            {"name": name, "shape": [len(data)], "datatype": kind, "data": data}
            for name, (kind, data) in numbers.items()
        ]
        return http_message(self.path, msgspec.json.encode({"inputs": inputs}), {})


class MlflowFrame:
    """MLflow's scoring protocol: a data frame in the `split` orientation."""

    def single(self, points: Points) -> bytes:
        """See `PlainJson.single`."""
        rows = [[*points.series, t, v] for t, v in zip(points.timestamps, points.values, strict=True)]
        return self._message(",".join(WINDOWS), rows)

    def tick(self, points: Sequence[Points]) -> bytes:
        """See `PlainJson.tick`."""
        return self._message("1m", [[*p.series, p.timestamps[0], p.values[0]] for p in points])

    def parse_single(self, answer: bytes) -> Columns:
        """See `PlainJson.parse_single`."""
        rows = json.loads(answer)["predictions"]
        return {name: _floats([row[name] for row in rows]) for name in rows[0]}

    def parse_tick(self, answer: bytes) -> Columns:
        """See `PlainJson.parse_tick`."""
        return self.parse_single(answer)

    def _message(self, windows: str, rows: list[list[Any]]) -> bytes:
        frame = {"columns": [*Series._fields, "timestamp", "value"], "data": rows}
        body = {"dataframe_split": frame, "params": {"windows": windows}}
        return http_message("/invocations", msgspec.json.encode(body), {})


Protocol = PlainJson | OpenInference | MlflowFrame


def tick_columns(points: Sequence[Points]) -> dict[str, list[Any]]:
    """The first point of each series, in columns."""
    labels = {name: [getattr(p.series, name) for p in points] for name in Series._fields}
    return {**labels, "timestamp": [p.timestamps[0] for p in points], "value": [p.values[0] for p in points]}


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
