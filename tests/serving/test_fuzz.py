"""Whatever the service is sent: the fuzz of `python -m bench.fuzz` for some seconds, and what judges it."""

import json
import random
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fuzz import arrow, generator, trees, valid, wire
from bench.fuzz.case import Case, Fleet, Request
from bench.fuzz.client import send
from bench.fuzz.judge import Limits, Workers, faults
from bench.fuzz.run import Run
from bench.fuzz.service import fleet_of
from tests.conftest import Published, Server, services

SEED, CASES = 20260104, 300
ROOT = Path(__file__).parent.parent.parent
BRIEFLY = settings(max_examples=150, deadline=None, derandomize=True)

NAMES = st.sampled_from([name for name in trees.NAMES if len(name) < 20]) | st.text(max_size=5)
LABELS = st.sampled_from(["us-east-1", "web-000", "cpu_util", "us-east-1/web-000/cpu_util", "1m"]) | st.text(max_size=5)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | LABELS
DATAPOINTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), max_size=4)
BODIES = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6))
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("region", "host", "metric", "model_id"), LABELS | BODIES),
        "datapoints": DATAPOINTS | BODIES,
        "series": st.lists(st.dictionaries(NAMES, VALUES | DATAPOINTS, max_size=5), max_size=3),
        "windows": st.lists(st.sampled_from(trees.WINDOWS)) | BODIES,
        "bands": st.booleans() | VALUES,
        "hosts": st.booleans() | VALUES,
    },
)
COLUMNS = st.dictionaries(
    st.sampled_from(["region", "host", "metric", "timestamp", "value", "1m", "15m", "7m", "bands"]),
    st.lists(VALUES, max_size=3),
    min_size=3,
)
HEADERS = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)


@pytest.fixture(scope="module")
def service(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service for these tests alone, as they fill its log."""
    with services(tmp_path_factory.mktemp("fuzzed")) as start:
        yield start(published.url)


@pytest.fixture(scope="module")
def fleet(published: Published) -> Fleet:
    """What valid requests are about."""
    return fleet_of(published.fleet)


@pytest.fixture(scope="module")
def run(service: Server, fleet: Fleet) -> Run:
    """Judges what the service answers."""
    workers = Workers(lambda: [service.process.pid], service.log)
    return Run(service.client.base_url.port or 80, generator.canonical(fleet), Limits(), workers)


def test_mutated_requests_are_answered_as_they_should_be(run: Run, fleet: Fleet) -> None:
    found = list[str]()
    for number in range(CASES):
        case = generator.case(SEED, number, fleet)
        wrong = run.one(number, case)
        if number % 50 == 49:
            wrong += run.check(number, case)
        found += [f"{fault}: {case.recipe}: python -m bench.fuzz --seed {SEED} --case {number}" for fault in wrong]
    assert found == []


@given(REQUESTS | COLUMNS | BODIES)
@BRIEFLY
def test_any_json_is_answered_as_it_should_be(run: Run, content: Any) -> None:
    assert run.one(0, Request(json.dumps(content).encode(), {"content-type": valid.JSON}).case("json")) == []


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=6) | COLUMNS, max_size=4))
@BRIEFLY
def test_any_lines_are_answered_as_they_should_be(run: Run, lines: list[Any]) -> None:
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    assert run.one(0, Request(body, {"content-type": valid.NDJSON}).case("lines")) == []


@given(
    st.binary(max_size=200),
    st.sampled_from([valid.JSON, valid.NDJSON, valid.ARROW]),
    st.sampled_from(["", "gzip", "zstd"]),
)
@BRIEFLY
def test_any_bytes_are_answered_as_they_should_be(run: Run, body: bytes, media_type: str, coding: str) -> None:
    assert run.one(0, Request(body, {"content-type": media_type, "content-encoding": coding}).case("bytes")) == []


@given(st.dictionaries(st.sampled_from(["accept", "accept-encoding", "content-type", "content-encoding"]), HEADERS))
@BRIEFLY
def test_any_headers_are_answered_as_they_should_be(run: Run, headers: dict[str, str]) -> None:
    assert run.one(0, Request(b"{}", headers).case("headers")) == []


LABELLED = {"region": ["us-east-1"] * 2, "host": ["web-000"] * 2, "metric": ["cpu_util"] * 2, "timestamp": [1, 61]}
VALUED = {**LABELLED, "value": [1.0, 2.0]}


def in_arrow(table: pa.Table, accept: str = valid.ARROW) -> Request:
    return Request(valid.stream(table), {"content-type": valid.ARROW, "accept": accept})


def coded(words: list[str | None], codes: list[int | None]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(words))


def in_lines(body: bytes) -> Request:
    return Request(body, {"content-type": valid.NDJSON})


WINDOWED = pa.table({**LABELLED, "1m": [1.0, 2.0]})
OWN_KEYS = b"\n".join(b'{"region":"a","host":"b","metric":"c","timestamp":1,"%dm":1}' % i for i in range(1, 10_001))
ONE_LONG_LABEL = pa.table(
    {
        **{name: coded(["a"], [0] * 100_000) for name in ("region", "metric")},
        "host": coded(["x" * 2000], [0] * 100_000),
        "timestamp": pa.array([1] * 100_000),
        "value": pa.array([1.0] * 100_000),
    }
)
FOUND = {
    "means without a timestamp": Request(b'{"region":["a"],"host":["b"],"metric":["c"],"1m":[1]}'),
    "an empty table, in lines": Request(msgspec.json.encode(dict.fromkeys(VALUED, ())), {"accept": valid.NDJSON}),
    "an empty stream, in lines": in_arrow(pa.table(VALUED).slice(0, 0), valid.NDJSON),
    "two columns of a window": in_arrow(pa.table([*WINDOWED.columns, [1.0] * 2], [*WINDOWED.column_names, "1m"])),
    "two timestamps": in_arrow(pa.table([*WINDOWED.columns, [1, 2]], [*WINDOWED.column_names, "timestamp"])),
    "a label twice and a null": in_arrow(pa.table({**VALUED, "host": coded(["a", "a", None], [0, 2])})),
    "an empty stream of dictionaries": in_arrow(pa.table({**VALUED, "host": coded(["a"], [0, 0])}).slice(0, 0)),
    "days as timestamps": in_arrow(pa.table({**VALUED, "timestamp": pa.array([2**31 - 1] * 2, pa.date32())})),
    "a label in runs": in_arrow(pa.table({**VALUED, "host": pa.RunEndEncodedArray.from_arrays([2], ["a"])})),
    "one long label": in_arrow(ONE_LONG_LABEL, valid.JSON),
    "lines with a column each": in_lines(OWN_KEYS),
    "returns": in_lines(b"\r" * (32 << 20)),
    "short lines": in_lines(b"{}\r" * (11 << 20)),
}
"""What the fuzz has found, as short as it gets: each was once a 500, a closed connection, or too much of something."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_answered_as_it_should_be(run: Run, name: str) -> None:
    case = FOUND[name].case(name)
    followed = replace(case, sent=(*case.sent, generator.FOLLOWING), answers=2)
    assert run.one(0, followed) == []


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "h2c, websocket"])
def test_a_request_that_would_rather_speak_another_protocol_is_answered(run: Run, fleet: Fleet, protocol: str) -> None:
    good = valid.request(random.Random(0), fleet, "one")
    head = good.head(connection="Upgrade, HTTP2-Settings", upgrade=protocol, http2_settings="AAMAAABk")
    assert run.one(0, Case(protocol, (head + good.body,), valid=True)) == []


def test_a_case_is_the_same_each_time(fleet: Fleet) -> None:
    for number in range(30):
        first, again = (generator.case(1, number, fleet) for _ in range(2))
        assert (first.recipe, first.sent) == (again.recipe, again.sent)


@pytest.mark.parametrize("name", trees.MUTATIONS)
def test_every_mutation_of_a_tree_changes_it(fleet: Fleet, name: str) -> None:
    changed = 0
    for seed in range(5):
        rng = random.Random(seed)
        content = trees.wrapped(valid.tree(rng, fleet, "columns" if seed % 2 else "list"))
        before, holder = trees.encoded(content), [content]
        trees.MUTATIONS[name](rng, holder, (content[-2], 1))
        changed += trees.encoded(holder[0]) != before
    assert changed >= 2


@pytest.mark.parametrize("name", arrow.MUTATIONS)
def test_every_mutation_of_a_stream_makes_one(fleet: Fleet, name: str) -> None:
    rng = random.Random(name)
    assert isinstance(arrow.MUTATIONS[name](rng, valid.table(rng, fleet)), bytes)


@pytest.mark.parametrize("name", wire.MUTATIONS)
def test_every_mutation_of_a_connection_sends_something(fleet: Fleet, name: str) -> None:
    rng = random.Random(name)
    assert wire.MUTATIONS[name](rng, valid.request(rng, fleet, "one")).raw


GOOD = Request(b"{}").case("good", valid=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    ("answer", "case", "fault"),
    [
        (OK, GOOD, ""),
        (OK.replace(b"200 OK", b"500 No"), Request(b"{").case(""), "status 500"),
        (OK.replace(b"200 OK", b"503 No"), Request(b"{").case(""), ""),
        (OK.replace(b"200 OK", b"422 No"), Request(b"{").case(""), ""),
        (OK.replace(b"200 OK", b"422 No"), GOOD, "a valid request answered with 422"),
        (b"", GOOD, "the connection was closed before answer 1"),
        (OK[:-1], GOOD, "the connection was closed before answer 1"),
        (OK, Case("", (GOOD.raw * 2,), 2), "the connection was closed before answer 2"),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), Case("", (GOOD.raw * 2,), 2), ""),
        (OK * 2, Case("", (GOOD.raw * 2,), 2), ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, GOOD, ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", GOOD, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b" " * 5_000_000, GOOD, "an answer of more than 1 MB"),
        (b"", Case("", (b"junk",), None), ""),
    ],
)
def test_what_is_wrong_is_seen(answer: bytes, case: Case, fault: str) -> None:
    def answered(request: socketserver.BaseRequestHandler) -> None:
        request.request.recv(65536)
        request.request.sendall(answer)

    limits = Limits(seconds=1, answer_bytes=1 << 20)
    assert [*faults(case, exchanged(answered, case, limits), limits)] == ([fault] if fault else [])


@pytest.mark.parametrize(("pause", "seen"), [(0.3, {"an answer after more than 0.2 seconds"}), (3, {"no answer 1"})])
def test_a_slow_answer_is_seen(pause: float, seen: set[str]) -> None:
    def answered(request: socketserver.BaseRequestHandler) -> None:
        request.request.recv(65536)
        time.sleep(pause)
        request.request.sendall(OK)

    limits = Limits(seconds=0.2)
    assert seen <= {*faults(GOOD, exchanged(answered, GOOD, limits), limits)}


def test_a_worker_that_dies_or_takes_too_much_or_logs_a_traceback_is_seen(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Exception in ASGI application, long ago\n")
    command = "input(); x = b'x' * 300_000_000; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        workers, limits = Workers(lambda: [process.pid], log), Limits(memory_bytes=200_000_000)
        assert [*workers.faults(limits)] == []
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert [*workers.faults(limits)] == ["a worker of more than 0.2 GB"]
        assert [*workers.faults(limits)] == []
        with log.open("a") as more:
            more.write("Exception in ASGI application\n")
        assert [*workers.faults(limits)] == ["an exception that nobody caught, in the log"]
        process.kill()
        process.wait()
        assert [*workers.faults(limits)] == ["a worker died"]


def test_the_command_writes_what_it_found(service: Server, tmp_path: Path) -> None:
    options = ["--seconds", "1", "--seed", "3", "--output", str(tmp_path / "found.json"), "--failures", str(tmp_path)]
    command = [sys.executable, "-m", "bench.fuzz", "--url", str(service.client.base_url), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    figures = json.loads((tmp_path / "found.json").read_text())
    assert figures["seed"] == 3
    assert figures["requests"] > 10
    assert figures["statuses"]["200"] > 0
    assert done.returncode == (figures["failures"] > 0)
    assert (tmp_path / "found.json").exists()
    assert "requests" in done.stdout


def exchanged(answered: Callable[[socketserver.BaseRequestHandler], None], case: Case, limits: Limits) -> Any:
    """What comes back of a case from a server that answers so."""
    handler = type("Handler", (socketserver.BaseRequestHandler,), {"handle": answered})
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            port = server.server_address[1]
            return send(port, case, patience=limits.patience, most_bytes=limits.answer_bytes)
        finally:
            server.shutdown()
