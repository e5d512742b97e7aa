"""What a request may cost is bounded: attacks through the public door, and what they must not do to others."""

import contextlib
import io
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import zstandard

from myriad.models.key import Series
from myriad.storage.url import open_store
from tests.conftest import END, Published, Server, free_port, services
from tests.faults import HANG, FaultProxy
from tests.serving.bodies import answered, frame, single

CPU = Series("us-east-1", "web-000", "cpu_util")
NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"
SOON = 5.0
"""Seconds within which everything is answered, also on a busy machine; the attacks took up to 26."""


@pytest.fixture
def body(published: Published) -> dict[str, Any]:
    """A good request."""
    return single(frame(published.fleet, CPU))


def post(server: Server, content: bytes | str, media_type: str = "application/json", **headers: str) -> httpx.Response:
    """The answer to a body, which has to come soon."""
    started = time.monotonic()
    named = {"content-type": media_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = server.client.post("/predict", content=content, headers=named)
    assert time.monotonic() - started < SOON
    return answer


def rss(server: Server) -> int:
    """Bytes of a service's memory at its highest."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def arrow(table: pa.Table) -> bytes:
    """A table as a stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def test_a_long_text_among_timestamps_makes_its_own_series_bad_and_costs_nothing(service: Server) -> None:
    points = [{"timestamp": END - 60 * i, "value": 1.0} for i in range(3000)]
    long = {"timestamp": "9" * 80_000, "value": 1.0}
    series = [
        {**CPU._asdict(), "datapoints": points},
        {**CPU._replace(metric="mem_util")._asdict(), "datapoints": [long]},
    ]
    before = rss(service)
    answer = post(service, json.dumps({"series": series})).json()
    assert [one["status"] for one in answer["series"]] == ["ok", "bad_series"]
    assert "80000 characters" in answer["series"][1]["detail"]
    assert len(json.dumps(answer["series"][1])) < 1000
    alone = post(service, json.dumps({**CPU._asdict(), "datapoints": [*points, long]}))
    assert (alone.status_code, alone.json()["field"]) == (422, "$.datapoints[3000]")
    columns = {**{part: [name] * 3001 for part, name in CPU._asdict().items()}, "value": [1.0] * 3001}
    table = post(service, json.dumps({**columns, "timestamp": [*(p["timestamp"] for p in points), long["timestamp"]]}))
    assert set(table.json()["status"]) == {"bad_series"}
    assert rss(service) - before < 200 << 20


def test_a_label_beyond_its_bound_is_repeated_in_part(service: Server) -> None:
    row = {**CPU._asdict(), "host": "h" * 50_000, "timestamp": END, "value": 1.0}
    columns = {name: [value] * 100 for name, value in row.items()}
    for content in (json.dumps({"datapoints": [row]}), json.dumps(columns)):
        answer = post(service, content)
        assert answer.status_code == 200
        assert len(answer.content) < 40_000
        assert "bad_series" in answer.text


@pytest.mark.parametrize("accept", ["application/json", NDJSON])
def test_an_answer_is_bounded_before_it_is_made(service: Server, accept: str) -> None:
    """A dictionary's one label stands for that of every row, and a frame of zstd for a megabyte of zeros."""
    rows = 900_000
    zeros = pa.array(np.zeros(rows, np.int8))
    label = pa.DictionaryArray.from_arrays(zeros, pa.array(["h" * 200]))
    columns = dict.fromkeys(("region", "host", "metric"), label)
    stream = arrow(pa.table({**columns, "timestamp": pa.array(np.zeros(rows, np.int64)), "value": np.zeros(rows)}))
    sent = zstandard.ZstdCompressor(19).compress(stream)
    assert len(sent) < 5000
    before = rss(service)
    answer = post(service, sent, ARROW, content_encoding="zstd", accept=accept)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:myriad:problem:too-large")
    assert "at most 134217728 are allowed" in answer.json()["detail"]
    assert rss(service) - before < 400 << 20


def test_an_answer_to_rows_is_bounded_too(published: Published, serve: Callable[..., Server]) -> None:
    server = serve(published.url, MYRIAD_MAX_ANSWER_BYTES="20000")
    few, many = ([{"timestamp": END - 60 * i, "value": 1.0} for i in range(n)] for n in (50, 500))
    assert post(server, json.dumps({**CPU._asdict(), "datapoints": few})).status_code == 200
    assert post(server, json.dumps({**CPU._asdict(), "datapoints": many})).status_code == 413


def test_a_line_of_ndjson_is_what_the_parser_takes_for_one(service: Server) -> None:
    line = json.dumps({**CPU._asdict(), "timestamp": END, "value": 1.0}).encode()
    assert post(service, b"\r".join([line] * 3), NDJSON).status_code == 400
    assert post(service, b"\r\n".join([line] * 3), NDJSON).status_code == 200
    bomb = zstandard.ZstdCompressor(19).compress(b"{}\r" * 10_000_000)
    assert post(service, bomb, NDJSON, content_encoding="zstd").status_code in (400, 413)
    empty = zstandard.ZstdCompressor(19).compress(b"\n" * 30_000_000)
    assert post(service, empty, NDJSON, content_encoding="zstd").status_code == 413


def test_columns_that_mean_nothing_are_refused_after_a_bound(service: Server) -> None:
    base = {**{part: [name] for part, name in CPU._asdict().items()}, "timestamp": [END]}
    windows = {f"{i}m": [1.0] for i in range(1, 10_000)}
    requests: list[tuple[bytes | str, str]] = [
        (json.dumps({**base, **windows}), "application/json"),
        (json.dumps({**base, "value": [1.0], **{f"x{i}": [1] for i in range(20_000)}}), "application/json"),
        ("\n".join(json.dumps({**{k: v[0] for k, v in base.items()}, f"{i}m": 1.0}) for i in range(1, 3000)), NDJSON),
        (arrow(pa.table({**base, **windows})), ARROW),
        (arrow(pa.table({**base, "value": [1.0], **{f"x{i}": [1] for i in range(5_000)}})), ARROW),
    ]
    for content, media_type in requests:
        answer = post(service, content, media_type)
        assert answer.status_code == 422
        assert "column" in answer.json()["detail"] or "unknown field" in answer.json()["detail"]


def test_windows_named_over_and_over_are_refused(service: Server, body: dict[str, Any]) -> None:
    for windows in (["1m"] * 50_000, [f"{i}m" for i in range(1, 50_000)]):
        answer = post(service, json.dumps({**body, "windows": windows}))
        assert (answer.status_code, answer.json()["field"]) == (422, "$.windows")
    stream = arrow(pa.table({**{p: [n] for p, n in CPU._asdict().items()}, "timestamp": [END], "value": [1.0]}))
    path = f"/predict?windows={','.join(['1m'] * 5000)}"
    assert service.client.post(path, content=stream, headers={"content-type": ARROW}).status_code == 422


def test_means_without_times_are_refused_by_name(service: Server) -> None:
    columns = {**{part: [name] for part, name in CPU._asdict().items()}, "1m": [1.0]}
    answer = post(service, json.dumps(columns))
    assert (answer.status_code, answer.json()["detail"].split(";")[0]) == (422, "column 'timestamp' is missing")


def test_a_table_without_rows_is_answered_in_every_format(service: Server) -> None:
    types = {**dict.fromkeys(CPU._fields, pa.string()), "timestamp": pa.int64(), "value": pa.float64()}
    stream = arrow(pa.table({name: pa.array([], kind) for name, kind in types.items()}))
    for accept in ("application/json", NDJSON, ARROW):
        assert post(service, stream, ARROW, accept=accept).status_code == 200


def raw(server: Server, *parts: bytes, wait: float = 30.0, pause: float = 0.0) -> bytes:
    """All that a connection gives until it is closed, after sending these bytes."""
    address = server.client.base_url
    with socket.create_connection((address.host, address.port or 0), timeout=wait) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except ConnectionError:
                break
            time.sleep(pause)
        got = b""
        while True:
            try:
                piece = connection.recv(65536)
            except ConnectionError:
                return got
            if not piece:
                return got
            got += piece


def head_of(content: bytes, **headers: str) -> bytes:
    """A request's head."""
    named = {"host": "here", "content-type": "application/json", "content-length": str(len(content)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items() if value]
    return ("POST /predict HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_body_after_an_upgrade_that_is_not_taken_is_read(service: Server, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    options = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABk"}
    headers = {name.replace("_", "-"): value for name, value in options.items()}
    assert service.client.post("/predict", content=content, headers=headers).json() == answered(service.client, body)
    in_parts, last = head_of(content, **options), b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    whole = raw(service, in_parts[:60], in_parts[60:] + content[:10], content[10:], last, pause=0.05)
    assert whole.count(b"HTTP/1.1 200") == 2


@pytest.fixture(scope="module")
def strict(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with little patience."""
    with services(tmp_path_factory.mktemp("strict")) as start:
        yield start(
            published.url, MYRIAD_HEADER_SECONDS="1", MYRIAD_MAX_REQUESTS="4", MYRIAD_BODY_SECONDS="3",
            MYRIAD_MAX_BODY_BYTES="1000000", MYRIAD_MAX_BODIES_BYTES="3000000", MYRIAD_MAX_CONNECTIONS="40",
            MYRIAD_KEEP_ALIVE_SECONDS="1", MYRIAD_SEND_SECONDS="1",
        )  # fmt: skip


def test_heads_have_a_largest_size(strict: Server) -> None:
    for head in (
        b"GET /health/live HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 100_000,
        b"GET /" + b"y" * 100_000,
        b"GET /health/live HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
        b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /health/live HTTP/1.1\r\nx: " + b"y" * 40_000 + b"\r\n\r\n",
    ):
        assert b"HTTP/1.1 431 " in raw(strict, *[head[i : i + 20_000] for i in range(0, len(head), 20_000)])


def test_heads_and_silence_have_a_deadline(strict: Server) -> None:
    started = time.monotonic()
    assert raw(strict, b"GET /health/li").startswith(b"HTTP/1.1 408 ")
    assert raw(strict) == b""
    assert raw(strict, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert raw(strict, *[b"x"] * 30, pause=0.1)[:13] in (b"HTTP/1.1 408 ", b"HTTP/1.1 400 ")
    assert time.monotonic() - started < 20


def test_a_chunked_body_is_not_read_on_past_its_limit(strict: Server) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    got = raw(strict, head, *[chunk] * 400)
    assert got.startswith(b"HTTP/1.1 413 ") or got == b""


def test_half_sent_requests_keep_nobody_out(strict: Server, body: dict[str, Any]) -> None:
    slow = [
        socket.create_connection((strict.client.base_url.host, strict.client.base_url.port or 0)) for _ in range(20)
    ]
    try:
        for connection in slow:
            connection.sendall(head_of(b"x" * 1000) + b"{")
        for _ in range(20):
            assert answered(strict.client, body)["status"] == "ok"
        connection = slow[0]
        connection.settimeout(20)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    finally:
        for connection in slow:
            connection.close()


def test_bodies_under_way_are_bounded_together(strict: Server, body: dict[str, Any]) -> None:
    host, port = strict.client.base_url.host, strict.client.base_url.port or 0
    refused = threading.Event()

    def send() -> None:
        with socket.create_connection((host, port), timeout=20) as connection:
            try:
                connection.sendall(head_of(b"x" * 900_001) + b"x" * 900_000)
                if b"too-many-bytes" in connection.recv(1000):
                    refused.set()
            except ConnectionError:
                pass

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda _: send(), range(10)))
    assert refused.is_set()
    assert answered(strict.client, body)["status"] == "ok"


def test_connections_are_bounded(strict: Server, body: dict[str, Any]) -> None:
    host, port = strict.client.base_url.host, strict.client.base_url.port or 0
    many = [socket.create_connection((host, port), timeout=10) for _ in range(60)]
    try:
        answers = [connection.recv(20) for connection in many[45:]]
        assert any(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    finally:
        for connection in many:
            connection.close()
    time.sleep(0.2)
    assert answered(strict.client, body)["status"] == "ok"


def test_a_client_that_reads_nothing_is_cut_off(strict: Server) -> None:
    points = [{"timestamp": END - 60 * i, "value": 1.0} for i in range(3000)]
    content = json.dumps({**CPU._asdict(), "datapoints": points}).encode()
    host, port = strict.client.base_url.host, strict.client.base_url.port or 0
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, port))
        for _ in range(30):
            try:
                connection.sendall(head_of(content) + content)
            except ConnectionError:
                break
            time.sleep(0.1)
        else:
            pytest.fail("it was never cut off")


def test_health_is_told_on_a_port_of_its_own_however_busy_the_service_is(
    published: Published, serve: Callable[..., Server], body: dict[str, Any]
) -> None:
    port = free_port()
    server = serve(published.url, MYRIAD_HEALTH_PORT=str(port))
    stop, content = threading.Event(), json.dumps(body).encode()
    host, main = server.client.base_url.host, server.client.base_url.port

    def load() -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not stop.is_set():
                client.post(f"http://{host}:{main}/predict", content=content)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            answer = httpx.get(f"http://{host}:{port}/health/ready", trust_env=False, timeout=SOON)
            assert answer.json() == {"status": "ready", "stale": False, "problem": ""}
        assert httpx.get(f"http://{host}:{port}/metrics", trust_env=False).status_code == 404
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def runs(pid: str) -> bool:
    """Whether a process is there, and not only its name."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_when_their_supervisor_is_killed(published: Published, serve: Callable[..., Server]) -> None:
    server = serve(published.url, "--workers", "2")
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    assert len(children) >= 2
    os.kill(server.process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(
        Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
        for pid in children
    ):
        assert time.monotonic() < deadline, "workers live on"
        time.sleep(0.1)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.client.base_url.host, server.client.base_url.port or 0), timeout=5)


def test_a_store_that_hangs_keeps_no_warm_request_waiting_and_is_told_of(
    published: Published, serve: Callable[..., Server], s3: str, bucket: str, body: dict[str, Any]
) -> None:
    copy_to, copy_from = open_store(f"s3://{bucket}/fleet"), open_store(published.url)
    for stored in copy_from.list(""):
        copy_to.create(stored.name, copy_from.get(stored.name, 1 << 30).data)
    proxy = FaultProxy(s3)
    try:
        server = serve(copy_to.url, AWS_ENDPOINT_URL=proxy.url, MYRIAD_POLL_SECONDS="1", MYRIAD_MAX_REQUESTS="4")
        assert answered(server.client, body)["status"] == "ok"
        proxy.fault = HANG
        cold = json.dumps({**body, "region": "eu-west-1"}).encode()
        headers = {"content-type": "application/json"}
        with ThreadPoolExecutor(12) as threads:
            url = f"{server.client.base_url}/predict"
            waiting = [
                threads.submit(httpx.post, url, content=cold, headers=headers, trust_env=False, timeout=60)
                for _ in range(8)
            ]
            time.sleep(0.5)
            for _ in range(20):
                started = time.monotonic()
                assert answered(server.client, body)["status"] == "ok"
                assert time.monotonic() - started < SOON
            time.sleep(2.5)
            assert server.client.get("/health/ready").json()["stale"] is True
            statuses = {one.result().status_code for one in waiting}
        assert statuses <= {200, 503}
    finally:
        proxy.close()


CHUNKED = b" HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("trailers", [b"a:\r\n" * 30_000, b"a: " + b"x" * 100_000, b"x" * 100_000])
def test_trailers_are_bounded(strict: Server, trailers: bytes) -> None:
    parts = [trailers[i : i + 20_000] for i in range(0, len(trailers), 20_000)]
    started = time.monotonic()
    raw(strict, b"GET /health/live" + CHUNKED + b"0\r\n", *parts, *parts, pause=0.05)
    assert time.monotonic() - started < 20


def test_trailers_are_no_headers(service: Server, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(content), content)
    got = raw(service, b"POST /predict" + CHUNKED + chunk + b"content-type: text/html\r\n\r\n", wait=60)
    assert got.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "first",
    [
        b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /",
        b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nx",
        b"GET /health/live" + CHUNKED + b"0\r\n",
    ],
)
def test_what_is_never_finished_is_cut_off_whatever_was_answered(strict: Server, first: bytes) -> None:
    address = strict.client.base_url
    with socket.create_connection((address.host, address.port or 0), timeout=30) as connection:
        connection.sendall(first)
        time.sleep(0.2)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"x")
            while connection.recv(65536):
                pass


def test_only_so_much_is_sent_ahead_of_an_answer(strict: Server, body: dict[str, Any]) -> None:
    got = raw(strict, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 5_000)
    assert got.count(b"HTTP/1.1 404 ") <= 65
    assert answered(strict.client, body)["status"] == "ok"


def test_headers_have_a_largest_number(strict: Server) -> None:
    got = raw(strict, b"GET /health/live HTTP/1.1\r\n" + b"a:\r\n" * 200 + b"\r\n")
    assert got.startswith(b"HTTP/1.1 431 ")
    assert got.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "content",
    [
        b'{"datapoints":[0' + b",0" * 13_000_000 + b"]}",
        b'{"value":[0' + b",0" * 13_000_000 + b"]}",
        b'{"series":[{}' + b",{}" * 900_000 + b"]}",
        b'{"datapoints":[0' + b",0" * 1_000_000 + b"]}",
    ],
    ids=["rows", "a column", "series", "points"],
)
def test_short_values_are_counted_before_they_are_decoded(service: Server, content: bytes) -> None:
    answer = service.client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:myriad:problem:too-large")
