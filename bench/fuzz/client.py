"""Client: sends a case over a socket of its own, and says what came back."""

import socket
import struct
import time
from dataclasses import dataclass, field

from bench.fuzz.case import Case

SILENCE = 0.15
"""Seconds after which nothing more is expected of a case that need not be answered."""
RECEIVED = 1 << 16


@dataclass
class Exchange:
    """What came back.

    Attributes:
        statuses: of the answers.
        seconds: from the last byte sent to the last received.
        received: bytes, in all.
        missing: why answers that were due did not come, empty where they did.
        answers: their bodies.
        closes: whether the service said that it closes the connection.
    """

    statuses: list[int] = field(default_factory=list)
    seconds: float = 0.0
    received: int = 0
    missing: str = ""
    answers: list[bytes] = field(default_factory=list)
    closes: bool = False


class _Incomplete(Exception):
    """The other side closed the connection within an answer."""


def send(port: int, case: Case, *, patience: float, most_bytes: int, host: str = "127.0.0.1") -> Exchange:
    """Send a case and read what comes back.

    Args:
        port: of the service.
        case: to send.
        patience: seconds to wait for answers that are due.
        most_bytes: of answers; reading ends beyond.
        host: of the service.
    """
    found = Exchange()
    with socket.create_connection((host, port), timeout=patience) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent_all = _send_parts(connection, case)
        started = time.perf_counter()
        if case.ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return found
        if case.ending == "half-close" and sent_all:
            connection.shutdown(socket.SHUT_WR)
        _read(connection, case, found, started + patience, most_bytes)
        found.seconds = time.perf_counter() - started - (SILENCE if found.missing == "silence" else 0)
    if case.answers is None or found.received > most_bytes or found.closes:
        found.missing = ""
    return found


def _send_parts(connection: socket.socket, case: Case) -> bool:
    """Whether all could be sent: a service may answer and close before it has read everything."""
    try:
        for part in case.sent:
            if isinstance(part, bytes):
                connection.sendall(part)
            else:
                time.sleep(part)
    except OSError:
        return False
    return True


def _read(connection: socket.socket, case: Case, found: Exchange, deadline: float, most_bytes: int) -> None:
    reader = _Reader(connection, found, deadline, most_bytes, None if case.answers else SILENCE)
    is_head = case.raw[:5] == b"HEAD "
    try:
        while len(found.statuses) < (case.answers or 100):
            reader.answer(is_head=is_head)
    except TimeoutError:
        found.missing = f"no answer {len(found.statuses) + 1}" if case.answers else "silence"
    except (_Incomplete, OSError) as exc:
        found.missing = f"the connection was closed before answer {len(found.statuses) + 1}"
        if case.answers and not isinstance(exc, _Incomplete):
            found.missing = "the connection was reset"


class _Reader:
    """Reads answers one after the other from a connection."""

    def __init__(
        self, connection: socket.socket, found: Exchange, deadline: float, most_bytes: int, silence: float | None
    ) -> None:
        self._connection, self._found, self._deadline = connection, found, deadline
        self._most_bytes, self._silence, self._buffer = most_bytes, silence, bytearray()

    def answer(self, *, is_head: bool) -> None:
        """Read one answer; what only announces another is passed over."""
        while True:
            head = self._until(b"\r\n\r\n").decode("latin-1")
            status = int(head.split(" ", 2)[1])
            if status >= 200 or status == 101:
                break
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if is_head or status in (101, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body = self._rest()
        self._found.closes |= headers.get("connection") == "close"
        self._found.statuses.append(status)
        self._found.answers.append(body)

    def _chunks(self) -> bytes:
        parts = list[bytes]()
        while length := int(self._until(b"\r\n").partition(b";")[0], 16):
            parts.append(self._exactly(length))
            self._exactly(2)
        self._until(b"\r\n")
        return b"".join(parts)

    def _until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._more()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return found

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    def _rest(self) -> bytes:
        try:
            while True:
                self._more()
        except _Incomplete:
            return bytes(self._buffer)

    def _more(self) -> None:
        left = self._deadline - time.perf_counter()
        if left <= 0:
            raise TimeoutError
        waiting = self._silence if self._silence and not self._buffer and self._found.statuses else None
        self._connection.settimeout(min(left, waiting or (self._silence or left) * 20))
        part = self._connection.recv(RECEIVED)
        self._found.received += len(part)
        if not part or self._found.received > self._most_bytes:
            raise _Incomplete
        self._buffer += part
