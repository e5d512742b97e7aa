"""Load: requests over keep-alive connections from a process of its own, `python -m bench.peers.load`.

A job a line of JSON on stdin, its figures a line on stdout. Requests are whole HTTP messages, made beforehand, and
answers are read as far as their end needs: the generator is to cost less than any server. What a server closes is
opened anew, within the time of the request.
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


class Broken(OSError):
    """The connection ended before the answer did."""


class Connection:
    """One connection: a request at a time, and its answer as far as it has come."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self.status, self.closing = 0, False

    def send(self, message: bytes) -> socket.socket:
        """Send a request, connecting first where need be; the socket to wait for."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._body: list[bytes] = []
        self._head, self._received, self._left, self._chunked = b"", b"", -1, False
        self._socket.sendall(message)
        return self._socket

    def receive(self) -> bool:
        """Read what has come; whether the answer is whole."""
        if self._socket is None:
            raise Broken("there is no connection")
        part = self._socket.recv(CHUNK)
        if not part:
            whole = bool(self._head) and self._left < 0 and not self._chunked  # ends where the connection does
            self.close()
            if not whole:
                raise Broken("the connection ended before the answer")
            return True
        if self._head:
            return self._take(part)
        self._received += part
        head, found, rest = self._received.partition(b"\r\n\r\n")
        return bool(found) and self._begin(head, rest)

    def body(self) -> bytes:
        """The answer's body; the connection is closed where the answer asks for it."""
        raw = b"".join(self._body)
        if not self._chunked:
            return raw
        body, at = [], 0
        while size := int(raw[at : (end := raw.index(b"\r\n", at))].partition(b";")[0], 16):
            body.append(raw[end + 2 : end + 2 + size])
            at = end + 4 + size
        return b"".join(body)

    def done(self) -> None:
        """The answer has been dealt with."""
        if self.closing:
            self.close()

    def close(self) -> None:
        """Let the connection go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _begin(self, head: bytes, rest: bytes) -> bool:
        self._head, low = head, head.lower()
        self.status = int(head[9:12])
        self.closing = b"\r\nconnection: close" in low
        self._chunked = b"\r\ntransfer-encoding: chunked" in low
        if (at := low.find(b"\r\ncontent-length:")) >= 0:
            self._left = int(low[at + 17 :].partition(b"\r\n")[0])
        return self._take(rest)

    def _take(self, part: bytes) -> bool:
        self._body.append(part)
        if self._chunked:
            return b"".join(self._body[-8:]).endswith(b"0\r\n\r\n")
        if self._left >= 0:
            self._left -= len(part)
            return self._left <= 0
        return False


def ask(port: int, messages: list[bytes], connection: Connection | None = None) -> list[dict[str, Any]]:
    """Each request's status, body and seconds, one after the other."""
    connection, answers = connection or Connection(port), []
    for message in messages:
        begun = time.perf_counter()
        connection.send(message)
        while not connection.receive():
            pass
        seconds = time.perf_counter() - begun
        body = connection.body()
        answers.append({"status": connection.status, "body": body.decode("latin-1"), "seconds": seconds})
        connection.done()
    connection.close()
    return answers


def until(port: int, message: bytes, seconds: float) -> dict[str, Any]:
    """The first answer with status 200, and the wall clock (time.monotonic) when it came.

    Raises:
        TimeoutError: none has.
    """
    deadline, last = time.monotonic() + seconds, "no answer"
    while time.monotonic() < deadline:
        try:
            (answer,) = ask(port, [message])
        except OSError as exc:
            last = str(exc)
        else:
            if answer["status"] == 200:
                return {"at": time.monotonic()}
            last = f"{answer['status']}: {answer['body'][:500]}"
        time.sleep(0.02)
    raise TimeoutError(f"not ready after {seconds:g} s: {last}")


def drive(port: int, messages: Iterator[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """Requests over several connections at once, until there are no more or the time is up."""
    times: list[float] = []
    wrong: dict[str, int] = {}
    with selectors.DefaultSelector() as selector:
        begun, cpu = time.perf_counter(), time.process_time()
        busy = sum(_next(selector, Connection(port), messages) for _ in range(connections))
        while busy:
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
                        why = f"{connection.status}: {connection.body()[:300].decode('latin-1')}"
                        wrong[why] = wrong.get(why, 0) + 1
                    selector.unregister(key.fileobj)
                    connection.done()
                more = seconds <= 0 or time.perf_counter() - begun < seconds
                busy -= not (more and _next(selector, connection, messages))
        took = time.perf_counter() - begun
    return {
        "requests": len(times),
        "seconds": took,
        "times": times,
        "cpu_share": (time.process_time() - cpu) / took,
        "wrong": wrong,
    }


def _next(selector: selectors.DefaultSelector, connection: Connection, messages: Iterator[bytes]) -> bool:
    if (message := next(messages, None)) is None:
        connection.close()
        return False
    sent = time.perf_counter()
    selector.register(connection.send(message), selectors.EVENT_READ, (connection, sent))
    return True


def done(job: dict[str, Any]) -> Any:
    """What a job gave."""
    port = int(job["port"])
    if "ask" in job:
        return ask(port, [base64.b64decode(message) for message in job["ask"]])
    if "until" in job:
        return until(port, base64.b64decode(job["until"]), job["seconds"])
    messages: list[bytes] = pickle.loads(Path(job["drive"]).read_bytes())
    if job["seconds"] <= 0:
        return _told(drive(port, iter(messages), job["connections"], 0))
    draw = random.Random(job["seed"])
    drawn = (messages[draw.randrange(len(messages))] for _ in itertools.count())
    return _told(drive(port, drawn, job["connections"], job["seconds"]))


def _told(figures: dict[str, Any]) -> dict[str, Any]:
    times = sorted(figures.pop("times"))
    middle, high = (times[min(int(len(times) * share), len(times) - 1)] if times else 0.0 for share in (0.5, 0.99))
    return figures | {"p50_ms": middle * 1e3, "p99_ms": high * 1e3}


def main() -> None:
    """Do jobs until there are no more."""
    for line in sys.stdin:
        try:
            answer: Any = {"answer": done(json.loads(line))}
        except Exception as exc:  # noqa: BLE001  whoever gave the job is told
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
