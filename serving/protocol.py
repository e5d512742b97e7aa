"""Protocol: HTTP/1.1 as uvicorn speaks it, with bounds on what a connection may cost before it is a request.

A head (request line and headers) is collected until it is complete and then parsed. It has a largest size and a
deadline, and so has a body, a connection that sends nothing, or one that does not read its answer. A request that
cannot be taken on is refused before anything is made of it. Trailers are dropped.
"""

import asyncio
import functools
import json
import random
import re
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from myriad.serving.settings import Settings

REFUSAL_SECONDS = 0.3
"""How long a refused client waits for that, about: one that asks again at once would cost more than it is worth."""
MAX_PIPELINED = 64
"""Requests that a connection may send ahead of the answer it waits for."""
MAX_HEADERS = 128
"""Of a request: each takes far more memory than the few bytes it may have."""
_END_OF_HEAD = b"\r\n\r\n"
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)


class _State(Enum):
    HEAD = auto()
    """The next head is being collected here."""
    PARSING_HEAD = auto()
    """A head arrived in the same segment as the end of the request before it, and the parser has a part of it."""
    BODY = auto()


class _Refused:
    """Stands for the cycle of a request that was refused at its head: uvicorn drops its body."""

    response_complete, disconnected, keep_alive = True, False, True

    class message_event:  # noqa: N801  as it is named in uvicorn's
        """Nobody waits for the body."""

        @staticmethod
        def set() -> None:
            """Do nothing."""


@functools.cache
def settings() -> Settings:
    """Those of the process: uvicorn makes the protocols and hands them none."""
    return Settings()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._state, self._head, self._parsing_bytes = _State.HEAD, b"", 0
        """The last: of a head that is being parsed, or since the last bytes of a body: framing and trailers."""
        self._deadline: asyncio.TimerHandle | None = None
        """Of the head or the body."""
        self._send_deadline: asyncio.TimerHandle | None = None
        self._refusing: asyncio.TimerHandle | None = None
        self._refusal = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > settings().max_connections:
            self._refuse(503, "too-many-connections", "too many connections are open; try again shortly")
        else:
            self._set_deadline(settings().header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_deadline()
        self._cancel_send_deadline()
        if self._refusing is not None:
            self._refusing.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what has arrived, heads whole."""
        if self.transport.is_closing():
            return
        if self._state is _State.HEAD:
            self._collect_head(self._head + data)
        else:
            self._parsing_bytes += len(data)
            self._feed(data)
            if self._is_within_message() and self._parsing_bytes > settings().max_header_bytes:
                self._refuse_head()

    def _feed(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_within_message() and self._deadline is None and not self.transport.is_closing():
            seconds = settings().header_seconds
            self._set_deadline(seconds if self._state is _State.PARSING_HEAD else seconds + settings().body_seconds)

    def _is_within_message(self) -> bool:
        return self._state is not _State.HEAD

    def on_message_begin(self) -> None:
        """The parser has the first byte of a head."""
        self._state, self._parsing_bytes = _State.PARSING_HEAD, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The parser has a whole head: take the request on, or refuse it while that costs little."""
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.abort()
            raise RuntimeError("too many requests are pipelined")  # the parser stops
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > settings().max_header_bytes:
            self._refuse_head()  # of a head that came in one segment with the end of the request before it
            raise RuntimeError("too large a head")  # the parser stops
        self._state, self._parsing_bytes = _State.BODY, 0
        self._cancel_deadline()
        self._send_refusal()
        if self.url == b"/predict" and self.is_first and (refusal := self.app.refuse_if_full()):
            self.cycle = _Refused()  # type: ignore[assignment]
            self._refusal, seconds = refusal, REFUSAL_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311  to spread tries
            self._refusing = self.loop.call_later(seconds, self._send_refusal)
            self.flow.pause_reading()
        else:
            self.begin()

    @property
    def is_first(self) -> bool:
        """Whether no earlier request of the connection is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def begin(self) -> None:
        """Take a request on: its head is there."""
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has a header; those after the body are none that anybody has looked at."""
        if self._state is _State.PARSING_HEAD:
            if len(self.headers) >= MAX_HEADERS:
                self._refuse(431, "headers-too-large", f"the request has more than {MAX_HEADERS} headers")
                raise RuntimeError("too many headers")  # the parser stops
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """The parser has a part of the body."""
        self._parsing_bytes = 0
        super().on_body(body)

    def end_of_message(self) -> None:
        """The next bytes are those of another request."""
        self._state, self._head = _State.HEAD, b""
        if self._refusing is None and isinstance(self.cycle, _Refused):
            self._set_deadline(settings().keep_alive_seconds)
        else:
            self._cancel_deadline()

    def on_message_complete(self) -> None:
        """The parser has a whole request."""
        self.end_of_message()
        if self.url == b"/predict" and not isinstance(self.cycle, _Refused):
            self.app.arrived()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser cannot go on, or was stopped by a refusal."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _send_refusal(self) -> None:
        """Send the refusal that is due, if one is, and read on."""
        if self._refusing is not None:
            self._refusing.cancel()
            self._refusing = None
            self.transport.write(self._refusal)
            self.flow.resume_reading()
            self._set_deadline(settings().keep_alive_seconds)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._send_deadline = self.loop.call_later(settings().send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read most of what was waiting."""
        self._cancel_send_deadline()
        super().resume_writing()

    def _collect_head(self, head: bytes) -> None:
        end, limit = head.find(_END_OF_HEAD), settings().max_header_bytes
        if end > limit or (end < 0 and len(head) > limit):
            self._refuse_head()
        elif end < 0 and b"\n\n" not in head:  # the parser refuses those that end so
            self._head = head
            self._unset_keepalive_if_required()
            if self._deadline is None:
                self._set_deadline(settings().header_seconds)
        else:
            self._head = b""
            self._cancel_deadline()
            if end > 0 and _UPGRADE.search(head, 0, end):  # the parser would take the body for another protocol's
                head = _UPGRADE.sub(b"x-ignored-upgrade", head[:end]) + head[end:]
            self._feed(head)

    def _set_deadline(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cancel_send_deadline(self) -> None:
        if self._send_deadline is not None:
            self._send_deadline.cancel()
            self._send_deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._head and not self.transport.get_write_buffer_size():
            self._refuse(408, "timeout", f"the headers took more than {settings().header_seconds:g} seconds")
        else:  # nothing was sent
            self.transport.abort()

    def _refuse_head(self) -> None:
        limit = settings().max_header_bytes
        self._refuse(431, "headers-too-large", f"the request line and headers have more than {limit} bytes")

    def _refuse(self, status: int, kind: str, detail: str) -> None:
        """Answer with a problem document and close the connection."""
        self._head = b""
        self.transport.write(refusal(status, kind, detail, b"connection: close\r\n"))
        self.transport.close()


def refusal(status: int, kind: str, detail: str, headers: bytes = b"") -> bytes:
    """A whole response with a problem document."""
    problem = {"type": f"urn:myriad:problem:{kind}", "title": kind.replace("-", " "), "status": status}
    body = json.dumps({**problem, "detail": detail}).encode()
    head = b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
    return head % (status, kind.encode(), len(body)) + headers + b"\r\n" + body
