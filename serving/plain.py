"""Plain requests: `POST /predict` with a small JSON body, answered as soon as it is read.

uvicorn makes a scope, a cycle and a task of each request, which takes longer than the scoring. A plain request needs
none of them: nothing has to be loaded, so it waits for nothing. A client's requests also have the same head again and
again: one that is known, byte for byte, is not parsed once more.

What is not plain, or turns out not to be, takes uvicorn's usual way. This leans on how uvicorn's class works inside, so
with another version than `TESTED_WITH` every request takes that way.
"""

import asyncio
from typing import Any, ClassVar, NamedTuple

import uvicorn

from myriad.serving.protocol import BoundedHttpProtocol, settings

TESTED_WITH = "0.54.0"
PATIENCE_SECONDS = 0.05
"""For the rest of a body; then uvicorn's cycle reads it, whose deadlines have an answer."""
KNOWN_HEADS, LARGEST_KNOWN_HEAD = 1000, 2048
_LAST_HEADERS = b"content-type: application/json\r\ncontent-length: "
_NOT_PLAIN = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"))


class _Head(NamedTuple):
    """What the parser made of the head of a plain request."""

    headers: list[tuple[bytes, bytes]]
    body_bytes: int
    keeps_alive: bool


class PlainProtocol(BoundedHttpProtocol):
    """One connection."""

    takes_plain: ClassVar[bool] = uvicorn.__version__ == TESTED_WITH
    _heads: ClassVar[dict[bytes, _Head]] = {}
    """By their bytes; of all connections."""
    _default_headers: ClassVar[list[tuple[bytes, bytes]] | None] = None
    _first_lines: ClassVar[bytes] = b""
    _usual_head: ClassVar[bytes] = b""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._plain: _Head | None = None
        """Of the plain request that is being read."""
        self._body: list[bytes] = []
        self._patience: asyncio.TimerHandle | None = None
        self._raw_head = b""
        self._used = 0.0

    def data_received(self, data: bytes) -> None:
        """Answer a request whose head is known and which is here whole; pass on any other."""
        end = data.find(b"\r\n\r\n")
        head = self._heads.get(data[:end]) if end > 0 else None
        if head is not None and len(data) == end + 4 + head.body_bytes and self._is_between_requests():
            answer = self.app.answer_at_once(head.headers, data[end + 4 :], self._response_head(head))
            if answer is not None:
                self._cancel_deadline()
                self._send(answer, head)
                return
        self._raw_head = data[:end] if 0 < end <= LARGEST_KNOWN_HEAD and self._is_between_requests() else b""
        super().data_received(data)

    def begin(self) -> None:
        """Take a request on: its head is there."""
        self._plain = self._plain_head()
        if self._plain is None:
            super().begin()
        elif self._raw_head:
            if len(self._heads) >= KNOWN_HEADS:
                self._heads.clear()
            self._heads[self._raw_head] = self._plain

    def on_headers_complete(self) -> None:
        """The parser has a whole head; the bytes at hand are those of the first in a segment, and of no other."""
        super().on_headers_complete()
        self._raw_head = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._plain = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection, after the request that is being read."""
        self._take_usual_way()
        super().shutdown()

    def on_body(self, body: bytes) -> None:
        """The parser has a part of the body."""
        if self._plain is None:
            super().on_body(body)
        else:
            self._parsing_bytes = 0
            self._body.append(body)

    def on_message_complete(self) -> None:
        """The parser has a whole request."""
        if self._plain is not None:
            self._stop_waiting()
            plain, body = self._plain, b"".join(self._body)
            answer = self.app.answer_at_once(plain.headers, body, self._response_head(plain))
            if answer is not None:
                self._plain, self._body = None, []
                self.end_of_message()
                self._send(answer, plain)
                return
            self._take_usual_way()
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has not been used for so long; one timer serves many plain requests."""
        self.timeout_keep_alive_task = None
        left = self._used + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _feed(self, data: bytes) -> None:
        super()._feed(data)
        if self._plain is not None and self._patience is None:
            self._patience = self.loop.call_later(PATIENCE_SECONDS, self._take_usual_way)

    def _is_between_requests(self) -> bool:
        """Whether the next bytes are the head of a request that may be answered at once."""
        return (
            self.takes_plain
            and not self._is_within_message()
            and not self._head
            and self._refusing is None
            and self.is_first
            and not self.flow.write_paused
            and not self.transport.is_closing()
            and not self.app.is_full
        )

    def _plain_head(self) -> _Head | None:
        """The head that has been parsed, None where the request is not plain."""
        if not self.takes_plain or self.url != b"/predict" or self.flow.write_paused or not self.is_first:
            return None
        length = b""
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name in _NOT_PLAIN or (name == b"content-type" and value != b"application/json"):
                return None
        if not (0 < len(length) < 10 and length.isdigit() and int(length) <= settings().inline_bytes):
            return None
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        return _Head(self.headers, int(length), self.parser.should_keep_alive())

    def _take_usual_way(self) -> None:
        """Make uvicorn's cycle of the request that is being read, if one is."""
        self._stop_waiting()
        if self._plain is not None:
            parts, self._plain, self._body = self._body, None, []
            super().begin()
            for part in parts:
                super().on_body(part)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _response_head(self, head: _Head) -> bytes:
        """The head of a response, up to its length."""
        kind, default = PlainProtocol, self.server_state.default_headers
        if kind._default_headers is not default:  # uvicorn makes a new list each second
            kind._first_lines = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % header for header in default)
            kind._default_headers, kind._usual_head = default, kind._first_lines + _LAST_HEADERS
        return kind._usual_head if head.keeps_alive else kind._first_lines + b"connection: close\r\n" + _LAST_HEADERS

    def _send(self, response: bytes, head: _Head) -> None:
        self.transport.write(response)
        self.server_state.total_requests += 1
        if not head.keeps_alive:
            self.transport.close()
            return
        self._used = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
