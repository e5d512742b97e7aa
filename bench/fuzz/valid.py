"""Valid requests in every format, small, about series that have models."""

import io
import random
from typing import Any

import msgspec
import pyarrow as pa

from bench.fuzz.case import Fleet, Request

JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
FORMS = ("one", "key", "rows", "list", "columns", "means", "ndjson", "arrow")
LABELS = ("region", "host", "metric")
MEDIA = {"ndjson": NDJSON, "arrow": ARROW}


def request(rng: random.Random, fleet: Fleet, form: str) -> Request:
    """A valid request of a form."""
    if form == "arrow":
        return Request(stream(table(rng, fleet)), {"content-type": ARROW})
    content = tree(rng, fleet, form)
    body = b"\n".join(map(msgspec.json.encode, content)) if form == "ndjson" else msgspec.json.encode(content)
    return Request(body, {"content-type": MEDIA.get(form, JSON)})


def tree(rng: random.Random, fleet: Fleet, form: str) -> Any:
    """What the body of a JSON form says; of NDJSON a list of its lines."""
    several = rng.sample(list(fleet.series), rng.randint(1, 4))
    count = rng.choice([1, 2, 5, 60])
    if form in ("one", "key"):
        labels = {"model_id": str(several[0])} if form == "key" else several[0]._asdict()
        options = {"windows": ["1m"], "combine": "max", "bands": True} if rng.random() < 0.3 else {}
        return {**labels, "datapoints": _points(rng, fleet, count), **options}
    if form == "list":
        listed = [{**one._asdict(), "datapoints": _points(rng, fleet, count)} for one in several]
        return {"series": listed, "hosts": rng.random() < 0.3}
    rows = [{**one._asdict(), **point} for one in several for point in _points(rng, fleet, count)]
    if form == "rows":
        return {"datapoints": rows}
    if form == "ndjson":
        return rows
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if form == "means":
        columns |= dict.fromkeys(("1m", "15m"), columns["value"])
        del columns["value"]
    return columns


def table(rng: random.Random, fleet: Fleet) -> pa.Table:
    """A tick as Arrow has it, its labels as dictionaries or as text."""
    found = pa.table(tree(rng, fleet, rng.choice(["columns", "means"])))
    if rng.random() < 0.5:
        for at, name in enumerate(found.column_names):
            if name in LABELS:
                found = found.set_column(at, name, found[name].dictionary_encode())
    return found


def stream(content: pa.Table, **options: Any) -> bytes:
    """A table as an Arrow stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, content.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(content)
    return sink.getvalue()


def _points(rng: random.Random, fleet: Fleet, count: int) -> list[dict[str, Any]]:
    return [{"timestamp": fleet.start + 60 * i, "value": round(rng.gauss(50, 10), 2)} for i in range(count)]
