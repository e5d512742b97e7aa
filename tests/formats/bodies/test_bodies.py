"""Bulk requests: the same scores in every format, in the order of the rows."""

import gzip
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import zstandard

from myriad.formats.bodies import ARROW, JSON, NDJSON, TABLES
from myriad.serving.predictor import Predictor
from tests.conftest import END, Published, Server

FORMATS = tuple(TABLES)
WINDOWS = ("1m", "15m", "1h")
FACTS = ("release", "windows", "bad_series")
"""What a JSON answer has beside columns."""


@pytest.fixture(scope="module")
def frame(published: Published) -> pd.DataFrame:
    """The last two hours of every series, and of one that nobody knows, in no order."""
    known = published.fleet.table(END - 7200, END).to_pandas()
    unknown = known[(known.host == "web-000") & (known.region == "us-east-1")].assign(metric="gpu")
    mixed = pd.concat([known.astype({"host": str, "region": str, "metric": str}), unknown])
    return mixed.sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.fixture(scope="module")
def expected(published: Published, frame: pd.DataFrame) -> pd.DataFrame:
    return Predictor.open(published.url).predict(frame)


def body_of(frame: pd.DataFrame, media_type: str) -> bytes:
    if media_type == JSON:
        return json.dumps({name: frame[name].tolist() for name in frame.columns}).encode()
    if media_type == NDJSON:
        return "\n".join(json.dumps(row) for row in frame.to_dict("records")).encode()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name in ("region", "host", "metric"):
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def frame_of(content: bytes, media_type: str) -> pd.DataFrame:
    if media_type == JSON:
        columns = {name: column for name, column in json.loads(content).items() if name not in FACTS}
        return pd.DataFrame(columns)
    if media_type == NDJSON:
        return pd.DataFrame([json.loads(line) for line in content.splitlines()])
    return pa.ipc.open_stream(content).read_pandas()


def post(server: Server, body: bytes, media_type: str, query: str = "", **headers: str) -> Any:
    answer = server.client.post(f"/predict{query}", content=body, headers={"content-type": media_type, **headers})
    assert answer.status_code == 200, answer.text
    return answer


def same(scored: pd.DataFrame, expected: pd.DataFrame, columns: tuple[str, ...] = ("score", *WINDOWS)) -> None:
    for name in columns:
        np.testing.assert_allclose(scored[name].to_numpy(float), expected[name].to_numpy(float), rtol=1e-12)
    assert scored["status"].astype(str).tolist() == expected["status"].astype(str).tolist()


@pytest.mark.parametrize("answered", FORMATS)
@pytest.mark.parametrize("posted", FORMATS)
def test_every_format_gives_the_same_scores_in_the_order_of_the_rows(
    posted: str, answered: str, service: Server, frame: pd.DataFrame, expected: pd.DataFrame
) -> None:
    answer = post(service, body_of(frame, posted), posted, accept=answered)
    assert answer.headers["content-type"] == answered
    scored = frame_of(answer.content, answered)
    same(scored, expected)
    for name in ("region", "host", "metric", "timestamp"):
        assert scored[name].astype(str).tolist() == frame[name].astype(str).tolist()


@pytest.mark.parametrize("encode", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_bodies_may_be_encoded_both_ways(encode: Any, service: Server, frame: Any, expected: Any) -> None:
    coding = "gzip" if encode is gzip.compress else "zstd"
    answer = post(
        service, encode(body_of(frame, JSON)), JSON, **{"content-encoding": coding, "accept-encoding": coding}
    )
    assert answer.headers["content-encoding"] == coding
    same(frame_of(answer.content, JSON), expected)


def test_a_single_series_may_be_encoded_too(service: Server, published: Published) -> None:
    series = published.fleet.series[0]
    body = json.dumps({**series._asdict(), "datapoints": [{"timestamp": END - 60, "value": 50}]}).encode()
    scored = post(service, gzip.compress(body), JSON, **{"content-encoding": "gzip"}).json()
    assert scored == post(service, body, JSON).json()


def test_windows_aggregated_already_are_scored_as_they_are(
    service: Server, published: Published, frame: pd.DataFrame, expected: pd.DataFrame
) -> None:
    last = frame[frame.timestamp == END - 60]
    means = last[["region", "host", "metric", "timestamp"]].copy()
    for window, seconds in (("15m", 900), ("1h", 3600)):
        whole = frame[frame.timestamp >= END - seconds].groupby(["region", "host", "metric"]).value.mean()
        means[window] = whole.loc[list(zip(last.region, last.host, last.metric, strict=True))].to_numpy()
    answer = post(service, body_of(means, JSON), JSON)
    scored = frame_of(answer.content, JSON)
    assert answer.json()["windows"] == ["15m", "1h"]
    for window in ("15m", "1h"):
        np.testing.assert_allclose(scored[window].to_numpy(float), expected.loc[last.index, window], rtol=1e-9)


def test_the_second_tick_of_the_same_series_gives_what_the_first_would(
    service: Server, published: Published, frame: pd.DataFrame
) -> None:
    first = frame[frame.timestamp == END - 120].sort_values(["region", "host", "metric"])
    second = frame[frame.timestamp == END - 60].sort_values(["region", "host", "metric"])
    post(service, body_of(first, ARROW), ARROW)
    scored = frame_of(post(service, body_of(second, ARROW), ARROW).content, ARROW)
    same(scored, Predictor.open(published.url).predict(second), ("score", "1m"))


def test_options_come_with_the_body_or_the_query(service: Server, frame: pd.DataFrame, published: Published) -> None:
    columns = {name: frame[name].tolist() for name in frame.columns}
    within = post(service, json.dumps({**columns, "windows": ["1m"], "combine": "max", "bands": True}).encode(), JSON)
    beside = post(service, body_of(frame, NDJSON), NDJSON, "?windows=1m&combine=max&bands=1", accept=JSON)
    assert within.json() == beside.json()
    assert {"1m", "expected_1m", "lower_1m", "upper_1m"} < within.json().keys()
    assert "15m" not in within.json()


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_times_may_be_text_and_one_that_is_none_fails_its_series_alone(
    media_type: str, service: Server, frame: pd.DataFrame
) -> None:
    some = frame[(frame.timestamp == END - 60) & (frame.metric != "gpu")].copy()
    right = frame_of(post(service, body_of(some, media_type), media_type).content, media_type)
    some["timestamp"] = ["noon", "2026-01-04T23:59:00Z", *some["timestamp"].tolist()[2:]]
    scored = frame_of(post(service, body_of(some, media_type), media_type).content, media_type)
    assert scored["status"].tolist() == ["bad_series", *right["status"].tolist()[1:]]
    assert scored["score"].tolist()[1:] == right["score"].tolist()[1:]


def test_a_label_that_is_null_fails_its_series_alone(service: Server, frame: pd.DataFrame) -> None:
    some = frame[(frame.timestamp == END - 60) & (frame.metric != "gpu")]
    columns = {name: some[name].tolist() for name in some.columns}
    columns["host"][0] = None
    scored = frame_of(post(service, json.dumps(columns).encode(), JSON).content, JSON)
    assert scored["status"].tolist()[0] == "bad_series"
    assert set(scored["status"].tolist()[1:]) == {"ok"}


def test_a_bad_series_fails_alone(service: Server, frame: pd.DataFrame) -> None:
    some = frame[frame.timestamp == END - 60].copy()
    some["host"] = ["a\nb", *some["host"].tolist()[1:]]
    some["value"] = [some["value"].iloc[0], 1e200, *some["value"].tolist()[2:]]
    answer = post(service, body_of(some, JSON), JSON).json()
    assert answer["status"][:2] == ["bad_series", "bad_series"]
    assert set(answer["status"][2:]) <= {"ok", "no_model"}


@pytest.mark.parametrize("media_type", FORMATS)
def test_a_bad_series_is_answered_with_its_reason(media_type: str, service: Server, frame: pd.DataFrame) -> None:
    some = frame[frame.timestamp == END - 60].copy()
    some["host"] = ["a\nb", *some["host"].tolist()[1:]]
    some["value"] = [some["value"].iloc[0], 1e200, *some["value"].tolist()[2:]]
    content = post(service, body_of(some, media_type), media_type).content
    if media_type == NDJSON:
        rows = [json.loads(line) for line in content.splitlines()]
        reasons = [(row["host"], row["detail"]) for row in rows if "detail" in row]
    else:
        metadata = pa.ipc.open_stream(content).schema.metadata if media_type == ARROW else {}
        given = json.loads(metadata[b"bad_series"] if media_type == ARROW else content)
        reasons = [(one["host"], one["detail"]) for one in (given if media_type == ARROW else given["bad_series"])]
    assert reasons == [
        ("a\nb", "host 'a\\nb' has the character '\\n', which a key cannot have"),
        (some["host"].iloc[1], "a value is no number, or beyond 1e+150"),
    ]


def test_no_more_is_repeated_of_a_label_that_is_too_long_than_its_beginning(service: Server) -> None:
    answer = post(service, json.dumps(ROW | {"host": ["h" * 100 + "x" * 500]}).encode(), JSON).json()
    assert answer["host"] == ["h" * 100]
    assert answer["bad_series"][0]["host"] == "h" * 100


def test_no_more_than_some_reasons_are_answered(service: Server) -> None:
    columns = {name: column * 50 for name, column in ROW.items()} | {"host": [f"{i}\n" for i in range(50)]}
    answer = post(service, json.dumps(columns).encode(), JSON).json()
    assert answer["status"] == ["bad_series"] * 50
    assert len(answer["bad_series"]) == 20


@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_nan_as_python_writes_it_is_no_value_in_that_row_alone(
    media_type: str, service: Server, frame: pd.DataFrame
) -> None:
    some = frame[frame.timestamp >= END - 600].replace("gpu", "NaN, Infinity").sort_values(["timestamp", "metric"])
    right = frame_of(post(service, body_of(some, media_type), media_type).content, media_type)
    some["value"] = [*some["value"].tolist()[:-1], float("nan")]
    assert b": NaN" in body_of(some, media_type) or b", NaN]" in body_of(some, media_type)
    scored = frame_of(post(service, body_of(some, media_type), media_type).content, media_type)
    assert scored["metric"].tolist() == right["metric"].tolist()
    assert scored["status"].tolist() == right["status"].tolist()
    assert np.isnan(scored["score"].to_numpy(float)[-1])
    assert scored["score"].fillna(0).tolist()[:-1] == right["score"].fillna(0).tolist()[:-1]


def test_columns_can_ask_for_hosts_too(service: Server, published: Published, frame: pd.DataFrame) -> None:
    ordered = frame[frame.metric != "gpu"].sort_values(["region", "host", "metric", "timestamp"])
    columns = {name: ordered[name].tolist() for name in ordered.columns}
    hosts = post(service, json.dumps({**columns, "hosts": True}).encode(), JSON).json()["hosts"]
    rows = {"datapoints": ordered.to_dict("records"), "hosts": True}
    assert hosts == post(service, json.dumps(rows).encode(), JSON).json()["hosts"]
    assert hosts == post(service, body_of(ordered, ARROW), ARROW, "?hosts=1", accept=JSON).json()["hosts"]
    assert {host["host"] for host in hosts} == set(ordered["host"])


def test_every_body_is_answered_the_scores_as_alerts_count_them(service: Server, frame: pd.DataFrame) -> None:
    ordered = frame[frame.metric != "gpu"].sort_values(["region", "host", "metric", "timestamp"])
    rows = {"datapoints": ordered.to_dict("records"), "alerts": True}
    answers = post(service, json.dumps(rows).encode(), JSON).json()["series"]
    expected = [score for answer in answers for score in answer["alert_scores"]]
    assert [len(answer["alert_scores"]) for answer in answers] == [
        len(answer["anomaly_scores"]["timestamp"]) for answer in answers
    ]
    columns = {name: ordered[name].tolist() for name in ordered.columns}
    for body, media_type, query in (
        (json.dumps({**columns, "alerts": True}).encode(), JSON, ""),
        (body_of(ordered, NDJSON), NDJSON, "?alerts=1"),
        (body_of(ordered, ARROW), ARROW, "?alerts=1&bands=1"),
    ):
        answer = frame_of(post(service, body, media_type, query).content, media_type)
        assert answer["alert_score"].astype(object).where(answer["alert_score"].notna(), None).tolist() == expected


@pytest.mark.parametrize(
    ("query", "accept", "why"),
    [
        ("?hosts=1", NDJSON, "hosts' scores are answered as application/json"),
        ("?hosts=1&windows=1m", JSON, "all windows and their weighted combination"),
    ],
)
def test_hosts_that_cannot_be_answered_are_refused(
    query: str, accept: str, why: str, service: Server, frame: pd.DataFrame
) -> None:
    body = body_of(frame.iloc[:5], NDJSON)
    answer = service.client.post(f"/predict{query}", content=body, headers={"content-type": NDJSON, "accept": accept})
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


def test_labels_in_arrow_may_be_numbers_and_bytes(service: Server) -> None:
    table = pa.table(ROW | {"host": [17], "metric": pa.array([b"m"], pa.binary())})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    row = post(service, sink.getvalue(), ARROW, accept=JSON).json()
    assert (row["host"], row["metric"], row["status"]) == (["17"], ["m"], ["no_model"])


ROW: dict[str, list[Any]] = {"region": ["r"], "host": ["h"], "metric": ["m"], "timestamp": [END], "value": [1.0]}


def without(name: str) -> dict[str, list[Any]]:
    return {other: column for other, column in ROW.items() if other != name}


def compressed_stream(*, dictionary: bool = False) -> bytes:
    sink = io.BytesIO()
    table = pa.table({name: column * 1000 for name, column in ROW.items()})
    if dictionary:
        long = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), ["h" * 10_000])
        table = pa.table({**ROW, "host": long})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("body", "media_type", "headers", "status", "kind"),
    [
        (json.dumps({**ROW, "host": ["h", "i"]}), JSON, {}, 422, "bad-request"),
        (json.dumps({**ROW, "value": ["high"]}), JSON, {}, 422, "bad-request"),
        (json.dumps({**ROW, "color": ["red"]}), JSON, {}, 422, "bad-request"),
        (json.dumps({**ROW, "windows": ["7m"]}), JSON, {}, 422, "invalid-key"),
        (json.dumps(without("timestamp")), JSON, {}, 422, "invalid-points"),
        (json.dumps(without("value")), JSON, {}, 422, "invalid-points"),
        ('{"region":["r"],', JSON, {}, 400, "malformed-json"),
        ('{"region":"r"}\n{"region', NDJSON, {}, 400, "malformed-json"),
        (b"ARROW1", ARROW, {}, 400, "malformed-json"),
        (compressed_stream(), ARROW, {}, 422, "bad-request"),
        (compressed_stream(dictionary=True), ARROW, {}, 422, "bad-request"),
        ('{"region":"r","color":1}', NDJSON, {}, 422, "bad-request"),
        (b'{"region":"\xff"}', NDJSON, {}, 400, "malformed-json"),
        (b"junk", JSON, {"content-encoding": "gzip"}, 400, "malformed-json"),
        (b"junk", JSON, {"content-encoding": "zstd"}, 400, "malformed-json"),
        (gzip.compress(b"x" * (33 << 20), mtime=0), JSON, {"content-encoding": "gzip"}, 413, "too-large"),
        (zstandard.compress(b"x" * (33 << 20)), JSON, {"content-encoding": "zstd"}, 413, "too-large"),
        (zstandard.compress(b"x" * 1000)[:-5], JSON, {"content-encoding": "zstd"}, 400, "malformed-json"),
        (b"x", JSON, {"content-encoding": "br"}, 415, "unsupported-media-type"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_problem(
    body: Any, media_type: str, headers: dict[str, str], status: int, kind: str, service: Server
) -> None:
    answer = service.client.post("/predict", content=body, headers={"content-type": media_type, **headers})
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:myriad:problem:{kind}")


def coded(indices: list[int], texts: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(texts))


def streamed(*batches: dict[str, Any], deltas: bool = False) -> bytes:
    """An Arrow stream of these batches."""
    tables, sink = [pa.table(batch) for batch in batches], io.BytesIO()
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)
    with pa.ipc.new_stream(sink, tables[0].schema, options=options) as stream:
        for table in tables:
            stream.write_table(table)
    return sink.getvalue()


def refused(service: Server, body: bytes) -> tuple[int, str]:
    """Status and detail of what an Arrow stream is answered with."""
    answer = service.client.post("/predict", content=body, headers={"content-type": ARROW})
    return answer.status_code, answer.json()["detail"]


def test_a_dictionary_that_grows_with_each_batch_is_refused(service: Server) -> None:
    batches = [{**ROW, "host": coded([0], [f"host-{i}" for i in range(count)])} for count in (1, 2)]
    post(service, streamed(*batches), ARROW)
    assert refused(service, streamed(*batches, deltas=True)) == (422, "it has a delta dictionary; send whole ones")


def test_a_batch_that_may_be_compressed_by_its_own_word_is_refused(service: Server) -> None:
    table, sink = pa.table(ROW), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        (batch,) = table.to_batches()
        stream.write_batch(batch, custom_metadata={"ARROW:experimental_compression": "zstd"})
    status, detail = refused(service, sink.getvalue())
    assert status == 422
    assert detail.startswith("a batch has metadata of its own")


def test_a_dictionary_of_many_batches_is_gone_through_once(service: Server) -> None:
    words = pa.array([f"host-{i:06d}" for i in range(300_000)])
    batch = {**ROW, "host": pa.DictionaryArray.from_arrays(pa.array([7], pa.int32()), words)}
    answer = pa.ipc.open_stream(post(service, streamed(*[batch] * 9_000), ARROW).content).read_all()
    assert answer["host"].unique().to_pylist() == ["host-000007"]
    assert answer.num_rows == 9_000


@pytest.mark.parametrize("name", ["host", "timestamp"])
@pytest.mark.parametrize("accept", [JSON, ARROW])
def test_a_long_text_named_by_every_row_costs_no_more_than_itself(service: Server, name: str, accept: str) -> None:
    rows, long = 50_000, "x" * 1_000_000
    columns: dict[str, Any] = {other: pa.repeat(column[0], rows) for other, column in ROW.items()}
    columns |= {name: coded([0, 1] * (rows // 2), [long, long])}  # and twice, as a careless writer has it
    scored = frame_of(post(service, streamed(columns), ARROW, accept=accept).content, accept)
    assert set(scored["status"]) == {"bad_series"}
    assert max(len(str(value)) for value in scored[name]) <= 100


def test_a_text_that_is_no_time_fails_its_series_alone_in_arrow_too(service: Server) -> None:
    two = {name: column * 2 for name, column in ROW.items()} | {"host": ["a", "b"]}
    body = streamed({**two, "timestamp": ["2026-01-05T00:00:00Z", "9" * 80_000]})
    scored = pa.ipc.open_stream(post(service, body, ARROW).content).read_all()
    assert scored["status"].to_pylist() == ["no_model", "bad_series"]
    assert scored["timestamp"].to_pylist() == [END, None]


def test_no_more_series_are_taken_than_allowed(service: Server) -> None:
    rows = 100_001
    columns: dict[str, Any] = {name: pa.repeat(column[0], rows) for name, column in ROW.items()}
    columns |= {"host": pa.array([f"h{i}" for i in range(rows)])}
    status, detail = refused(service, streamed(columns))
    assert (status, detail) == (413, "the request has 100001 series; at most 100000 are allowed")
