"""The usual request, answered as soon as it is read: the same answer whichever way it takes, however it is sent."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from myriad.models.key import Series
from myriad.serving.auth import new_token
from myriad.serving.plain import KNOWN_HEADS, TESTED_WITH, PlainProtocol
from tests.conftest import Published, Server
from tests.serving.bodies import frame, single

Pair = tuple[bytes, bytes]
Serve = Callable[..., Server]
CPU = Series("us-east-1", "web-000", "cpu_util")
MEMORY = CPU._replace(metric="mem_util")


@pytest.fixture(scope="module")
def bodies(published: Published) -> Pair:
    """Requests for two series."""
    one, other = (json.dumps(single(frame(published.fleet, series))).encode() for series in (CPU, MEMORY))
    return one, other


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    url = httpx.URL(str(server.client.base_url))
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        yield connection


def request(body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST /predict HTTP/{version}", "Host: x", "Content-Type: application/json", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answers(connection: socket.socket, count: int) -> list[tuple[int, dict[str, str], bytes]]:
    """So many answers on a connection: status, headers and body of each."""
    data, found = b"", list[tuple[int, dict[str, str], bytes]]()
    while len(found) < count:
        head, blank, rest = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:]) if blank else {}
        if blank and lines[0].startswith("HTTP/1.1 100"):
            data = rest
        elif blank and len(rest) >= int(headers["content-length"]):
            size = int(headers["content-length"])
            found.append((int(lines[0].split()[1]), headers, rest[:size]))
            data = rest[size:]
        elif not (more := connection.recv(1 << 16)):
            break
        else:
            data += more
    return found


def asked(server: Server, *parts: bytes, count: int = 1, pause: float = 0.0) -> list[tuple[int, dict[str, str], bytes]]:
    """The answers to what is sent in these parts."""
    with connected(server) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return answers(connection, count)


@pytest.fixture(scope="module")
def usual(service: Server, bodies: Pair) -> Pair:
    """What uvicorn's own way answers: a chunked body is not plain."""
    found = []
    for body in bodies:
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        ((status, _, answer),) = asked(service, request(chunk, "Transfer-Encoding: chunked"))
        assert (status, json.loads(answer)["status"]) == (200, "ok")
        found.append(answer)
    one, other = found
    return one, other


def test_the_answer_is_that_of_the_usual_way_to_the_byte(service: Server, bodies: Pair, usual: Pair) -> None:
    for body, expected in zip(bodies, usual, strict=True):
        for _ in range(3):  # from the second time on its head is known
            ((status, headers, answer),) = asked(service, request(body))
            assert (status, answer) == (200, expected)
            assert headers["content-type"] == "application/json"
            assert "date" in headers


@pytest.mark.parametrize("size", [1, 7, 40, 200, 1000])
def test_a_request_may_come_in_pieces(service: Server, bodies: Pair, usual: Pair, size: int) -> None:
    whole = request(bodies[0])
    parts = [whole[at : at + size] for at in range(0, min(len(whole), 60 * size), size)]
    rest = whole[sum(map(len, parts)) :]
    assert asked(service, *parts, rest)[0][::2] == (200, usual[0])


def test_requests_may_follow_one_another_without_waiting(service: Server, bodies: Pair, usual: Pair) -> None:
    one, other = (request(body) for body in bodies)
    for _ in range(2):
        found = asked(service, one + other + one, count=3)
        assert [answer for _, _, answer in found] == [usual[0], usual[1], usual[0]]
        other_path = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        mixed = asked(service, one + other_path + other + request(b"{") + one, count=5)
        assert [status for status, _, _ in mixed] == [200, 200, 200, 400, 200]
        assert mixed[2][2] == usual[1]


def test_a_body_that_comes_late_takes_the_usual_way(service: Server, bodies: Pair, usual: Pair) -> None:
    whole = request(bodies[0])
    assert asked(service, whole[:300], whole[300:], pause=0.3)[0][::2] == (200, usual[0])


@pytest.mark.parametrize(
    ("headers", "version", "closes"),
    [
        ((), "1.1", False),
        (("Connection: close",), "1.1", True),
        ((), "1.0", True),
        (("Expect: 100-continue",), "1.1", False),
        (("Content-Type: text/plain",), "1.1", False),
        (("Accept-Encoding: gzip",), "1.1", False),
    ],
)
def test_what_a_head_asks_for_is_heeded(
    service: Server,
    bodies: Pair,
    usual: Pair,
    headers: tuple[str, ...],
    version: str,
    closes: bool,
) -> None:
    with connected(service) as connection:
        for turn in range(2):
            connection.sendall(request(bodies[0], *headers, version=version))
            found = answers(connection, 1)
            if closes and turn:
                assert found == []
                break
            ((status, _, answer),) = found
            assert (status, answer) == (200, usual[0]) if "text/plain" not in str(headers) else status in (200, 415)
            if closes:
                assert connection.recv(1) == b""
                break


def test_what_is_wrong_is_said_as_ever(service: Server, bodies: Pair) -> None:
    body = json.loads(bodies[0])
    wrong: list[tuple[Any, int]] = [
        ({**body, "windows": ["2m"]}, 422), ({**body, "windows": []}, 422), ({**body, "combine": "sum"}, 422),
        ({**body, "digits": 18}, 422), ({**body, "region": ""}, 422), ({**body, "datapoints": []}, 422),
    ]  # fmt: skip
    for sent, expected in wrong:
        for _ in range(2):
            ((status, headers, answer),) = asked(service, request(json.dumps(sent).encode()))
            assert (status, headers["content-type"]) == (expected, "application/problem+json"), answer
    ((status, _, answer),) = asked(service, request(bodies[0]).replace(b"/predict ", b"/predict?windows=1m "))
    assert status == 422, answer


def test_a_token_is_needed_each_time(published: Published, serve: Serve, bodies: Pair, tmp_path: Any) -> None:
    token, line = new_token("pipeline", ["predict"])
    reader, reading = new_token("reader", ["read"])
    (tmp_path / "tokens").write_text(f"{line}\n{reading}\n")
    server = serve(published.url, MYRIAD_TOKENS_FILE=str(tmp_path / "tokens"))
    for _ in range(3):
        assert asked(server, request(bodies[0], f"Authorization: Bearer {token}"))[0][0] == 200
        assert asked(server, request(bodies[0], f"Authorization: Bearer {reader}"))[0][0] == 403
        assert asked(server, request(bodies[0]))[0][0] == 401


def test_many_different_heads_are_not_all_kept(service: Server, bodies: Pair) -> None:
    with connected(service) as connection:
        for i in range(KNOWN_HEADS + 10):
            connection.sendall(request(bodies[0], f"X-Request: {i}"))
            assert answers(connection, 1)[0][0] == 200


def test_it_is_counted_and_measured(published: Published, serve: Serve, bodies: Pair) -> None:
    server = serve(published.url)
    with connected(server) as connection:
        for _ in range(5):
            connection.sendall(request(bodies[0]))
            assert answers(connection, 1)[0][0] == 200
    text = server.client.get("/metrics").text
    assert 'myriad_requests_total{route="predict",status="200"} 5.0' in text
    assert 'myriad_series_total{status="ok"} 5.0' in text
    assert 'myriad_request_seconds_count{route="predict"} 5.0' in text


def test_it_is_on_with_the_version_of_uvicorn_that_is_installed_here() -> None:
    assert uvicorn.__version__ == TESTED_WITH
    assert PlainProtocol.takes_plain
