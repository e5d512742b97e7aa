"""Load generator: requests over keep-alive connections, as a process `python -m bench.peers.load_generator`.

It reads jobs from stdin, one JSON document a line, and writes the result of each as a line to stdout. So that it takes
less time than any server, requests are complete HTTP messages made in advance, and answers are only parsed to find
their end. A connection that the server closed is reopened within the time of the next request.
"""

import base64
import itertools
import json
import pickle
import random
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMEOUT = 300.0
CHUNK = 1 << 18


class ConnectionLost(OSError):
    """The connection ended before the answer was complete."""


class Connection:
    """A connection with one request at a time, and the part of its answer received so far."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self.status, self.closing = 0, False

    def send(self, message: bytes) -> socket.socket:
        """Send a request, after connecting if necessary; returns the socket to wait for."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._body: list[bytes] = []
        self._head, self._received, self._bytes_left, self._chunked = b"", b"", -1, False
        self._socket.sendall(message)
        return self._socket

    def receive(self) -> bool:
        """Read available data; returns whether the answer is complete."""
        if self._socket is None:
            raise ConnectionLost("there is no connection")
        part = self._socket.recv(CHUNK)
        if not part:
            complete = bool(self._head) and self._bytes_left < 0 and not self._chunked  # it ends with the connection
            self.close()
            if not complete:
                raise ConnectionLost("the connection ended before the answer")
            return True
        if self._head:
            return self._take(part)
        self._received += part
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        return bool(separator) and self._begin(head, rest)

    def body(self) -> bytes:
        """The body of the answer, without chunk headers."""
        raw = b"".join(self._body)
        if not self._chunked:
            return raw
        body, at = [], 0
        while size := int(raw[at : (end := raw.index(b"\r\n", at))].partition(b";")[0], 16):
            body.append(raw[end + 2 : end + 2 + size])
            at = end + 4 + size
        return b"".join(body)

    def finish(self) -> None:
        """Close the connection if the answer asked for it; call after each answer."""
        if self.closing:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _begin(self, head: bytes, rest: bytes) -> bool:
        self._head, lower = head, head.lower()
        self.status = int(head[9:12])
        self.closing = b"\r\nconnection: close" in lower
        self._chunked = b"\r\ntransfer-encoding: chunked" in lower
        if (start := lower.find(b"\r\ncontent-length:")) >= 0:
            self._bytes_left = int(lower[start + 17 :].partition(b"\r\n")[0])
        return self._take(rest)

    def _take(self, part: bytes) -> bool:
        self._body.append(part)
        if self._chunked:
            return b"".join(self._body[-8:]).endswith(b"0\r\n\r\n")
        if self._bytes_left >= 0:
            self._bytes_left -= len(part)
            return self._bytes_left <= 0
        return False


def ask(port: int, messages: list[bytes], connection: Connection | None = None) -> list[dict[str, Any]]:
    """Send requests one after the other; the status, body and seconds of each."""
    connection, answers = connection or Connection(port), []
    for message in messages:
        started = time.perf_counter()
        connection.send(message)
        while not connection.receive():
            pass
        seconds = time.perf_counter() - started
        body = connection.body()
        answers.append({"status": connection.status, "body": body.decode("latin-1"), "seconds": seconds})
        connection.finish()
    connection.close()
    return answers


def until(port: int, message: bytes, seconds: float) -> dict[str, Any]:
    """Repeat a request until it is answered with status 200; the time.monotonic() of that answer.

    Raises:
        TimeoutError: there was no such answer within so many seconds.
    """
    deadline, failure = time.monotonic() + seconds, "no answer"
    while time.monotonic() < deadline:
        try:
            (answer,) = ask(port, [message])
        except OSError as exc:
            failure = str(exc)
        else:
            if answer["status"] == 200:
                return {"at": time.monotonic()}
            failure = f"{answer['status']}: {answer['body'][:500]}"
        time.sleep(0.02)
    raise TimeoutError(f"not ready after {seconds:g} s: {failure}")


def drive(port: int, messages: Iterator[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """Send requests over several connections at once, until there are no more or the time is up."""
    times: list[float] = []
    wrong: dict[str, int] = {}
    with selectors.DefaultSelector() as selector:
        started, cpu = time.perf_counter(), time.process_time()
        active = sum(_send_next(selector, Connection(port), messages) for _ in range(connections))
        while active:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise TimeoutError(f"no answer within {TIMEOUT:g} s")
            for key, _ in ready:
                connection, sent = key.data
                try:
                    if not connection.receive():
                        continue
                except OSError as exc:
                    wrong[str(exc)] = wrong.get(str(exc), 0) + 1
                    selector.unregister(key.fileobj)
                    connection.close()
                else:
                    times.append(time.perf_counter() - sent)
                    if connection.status != 200:
                        error = f"{connection.status}: {connection.body()[:300].decode('latin-1')}"
                        wrong[error] = wrong.get(error, 0) + 1
                    selector.unregister(key.fileobj)
                    connection.finish()
                more = seconds <= 0 or time.perf_counter() - started < seconds
                active -= not (more and _send_next(selector, connection, messages))
        elapsed = time.perf_counter() - started
    return {
        "requests": len(times),
        "seconds": elapsed,
        "times": times,
        "cpu_share": (time.process_time() - cpu) / elapsed,
        "wrong": wrong,
    }


def _send_next(selector: selectors.DefaultSelector, connection: Connection, messages: Iterator[bytes]) -> bool:
    if (message := next(messages, None)) is None:
        connection.close()
        return False
    sent = time.perf_counter()
    selector.register(connection.send(message), selectors.EVENT_READ, (connection, sent))
    return True


def run_job(job: dict[str, Any]) -> Any:
    """The result of a job."""
    port = int(job["port"])
    if "ask" in job:
        return ask(port, [base64.b64decode(message) for message in job["ask"]])
    if "until" in job:
        return until(port, base64.b64decode(job["until"]), job["seconds"])
    messages: list[bytes] = pickle.loads(Path(job["drive"]).read_bytes())
    if job["seconds"] <= 0:
        return _summary(drive(port, iter(messages), job["connections"], 0))
    rng = random.Random(job["seed"])
    drawn = (messages[rng.randrange(len(messages))] for _ in itertools.count())
    return _summary(drive(port, drawn, job["connections"], job["seconds"]))


def _summary(figures: dict[str, Any]) -> dict[str, Any]:
    times = sorted(figures.pop("times"))
    p50, p99 = (times[min(int(len(times) * share), len(times) - 1)] if times else 0.0 for share in (0.5, 0.99))
    return figures | {"p50_ms": p50 * 1e3, "p99_ms": p99 * 1e3}


def main() -> None:
    """Run jobs until stdin ends."""
    for line in sys.stdin:
        try:
            answer: Any = {"answer": run_job(json.loads(line))}
        except Exception as exc:  # noqa: BLE001  reported to the process that sent the job
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
