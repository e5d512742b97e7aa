"""Wire: the same questions in each server's own form, and what its answers say."""

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
    """Datapoints of one series."""

    series: Series
    timestamps: Sequence[int]
    values: Sequence[float]


def message(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A whole POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in {"Content-Type": JSON, **headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Plain:
    """JSON as Myriad takes it: one series with its datapoints; for a tick, columns."""

    single_path, tick_path = "/predict", "/tick"

    def single(self, points: Points) -> bytes:
        """A request for the scores of one series at all windows."""
        datapoints = [{"timestamp": t, "value": v} for t, v in zip(points.timestamps, points.values, strict=True)]
        return self._message(self.single_path, {**points.series._asdict(), "datapoints": datapoints}, points.series)

    def tick(self, points: Sequence[Points]) -> bytes:
        """A request for the scores of a point of each series at the shortest window."""
        return self._message(self.tick_path, {"windows": ["1m"], **in_columns(points)})

    def singles_of(self, answer: bytes) -> Columns:
        """The columns of an answer about one series: score, windows, expected_<window>."""
        told = json.loads(answer)
        columns = {name: _floats(told["anomaly_scores"][name]) for name in ("score", *WINDOWS)}
        return columns | {f"expected_{name}": _floats(told["expected"][name]) for name in WINDOWS}

    def ticks_of(self, answer: bytes) -> Columns:
        """The columns score and 1m of an answer to a tick, in the order of its series."""
        told = json.loads(answer)
        return {name: _floats(told[name]) for name in ("score", "1m")}

    def _message(self, path: str, body: Any, _: Series | None = None) -> bytes:
        return message(path, msgspec.json.encode(body), {})


class Myriad(Plain):
    """Myriad's own: everything at /predict."""

    tick_path = "/predict"

    def tick_in_rows(self, points: Sequence[Points]) -> bytes:
        """A tick as JSON rows."""
        rows = [{**p.series._asdict(), "timestamp": p.timestamps[0], "value": p.values[0]} for p in points]
        return self._message("/predict", {"windows": ["1m"], "datapoints": rows})

    def tick_in_arrow(self, points: Sequence[Points]) -> bytes:
        """A tick as an Arrow stream with dictionary-encoded labels."""
        columns = in_columns(points)
        labels = {name: pa.array(columns[name]).dictionary_encode() for name in Series._fields}
        table, sink = pa.table(columns | labels), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        media_type = {"Content-Type": "application/vnd.apache.arrow.stream"}
        return message("/predict?windows=1m", sink.getvalue().to_pybytes(), media_type)


class RayServe(Plain):
    """Plain JSON with the model's id in the header by which Ray Serve routes."""

    single_path = tick_path = "/"

    def _message(self, path: str, body: Any, series: Series | None = None) -> bytes:
        headers = {"serve_multiplexed_model_id": "/".join(series)} if series else {}
        return message(path, msgspec.json.encode(body), headers)


class OpenInference:
    """The Open Inference Protocol (V2) of MLServer: a tensor a column."""

    path = "/v2/models/fleet/infer"

    def single(self, points: Points) -> bytes:
        """As `Plain.single`."""
        return self._message(list(WINDOWS), [points.series], points.timestamps, points.values)

    def tick(self, points: Sequence[Points]) -> bytes:
        """As `Plain.tick`."""
        columns = in_columns(points)
        return self._message(["1m"], [p.series for p in points], columns["timestamp"], columns["value"])

    def singles_of(self, answer: bytes) -> Columns:
        """As `Plain.singles_of`."""
        return {tensor["name"]: _floats(tensor["data"]) for tensor in json.loads(answer)["outputs"]}

    def ticks_of(self, answer: bytes) -> Columns:
        """As `Plain.ticks_of`."""
        return self.singles_of(answer)

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
        return message(self.path, msgspec.json.encode({"inputs": inputs}), {})


class MlflowFrame:
    """MLflow's scoring protocol: a frame, split."""

    def single(self, points: Points) -> bytes:
        """As `Plain.single`."""
        rows = [[*points.series, t, v] for t, v in zip(points.timestamps, points.values, strict=True)]
        return self._message(",".join(WINDOWS), rows)

    def tick(self, points: Sequence[Points]) -> bytes:
        """As `Plain.tick`."""
        return self._message("1m", [[*p.series, p.timestamps[0], p.values[0]] for p in points])

    def singles_of(self, answer: bytes) -> Columns:
        """As `Plain.singles_of`."""
        rows = json.loads(answer)["predictions"]
        return {name: _floats([row[name] for row in rows]) for name in rows[0]}

    def ticks_of(self, answer: bytes) -> Columns:
        """As `Plain.ticks_of`."""
        return self.singles_of(answer)

    def _message(self, windows: str, rows: list[list[Any]]) -> bytes:
        frame = {"columns": [*Series._fields, "timestamp", "value"], "data": rows}
        body = {"dataframe_split": frame, "params": {"windows": windows}}
        return message("/invocations", msgspec.json.encode(body), {})


Wire = Plain | OpenInference | MlflowFrame


def in_columns(points: Sequence[Points]) -> dict[str, list[Any]]:
    """The first point of each series, in columns."""
    labels = {name: [getattr(p.series, name) for p in points] for name in Series._fields}
    return {**labels, "timestamp": [p.timestamps[0] for p in points], "value": [p.values[0] for p in points]}


def _floats(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
