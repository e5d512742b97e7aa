"""A proxy in front of an S3 server that can be told to misbehave."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("slow", "slow_down", "refused", "reset", "wrong_bytes", "expired", "missing")
HANG, TRICKLE = "hang", "trickle"
SLOW_SECONDS = 2.0
_ERRORS = {"slow_down": (503, "SlowDown"), "expired": (403, "ExpiredToken"), "missing": (404, "NoSuchKey")}


class FaultProxy:
    """Passes requests on to `endpoint` unless `fault` says otherwise; `requests` counts GETs by path."""

    def __init__(self, endpoint: str) -> None:
        self.fault: str | None = None
        self._closed = threading.Event()
        self.only = ""
        self.requests: Counter[str] = Counter()
        self._upstream = urlsplit(endpoint).netloc
        self._server = _serving(self, 0)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def failing(self, fault: str, only: str = "") -> Iterator[None]:
        """Misbehave for requests whose path holds `only`."""
        self.fault, self.only = fault, only
        if fault == "refused":
            self.close()
        try:
            yield
        finally:
            if fault == "refused":
                self._server = _serving(self, int(self.url.rpartition(":")[2]))
            self.fault = None

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.command == "GET":
            self.requests[urlsplit(request.path).path] += 1
        fault = self.fault if self.only in request.path else None
        if fault == "refused":  # nobody listens any more, but connections made before are still open
            request.close_connection = True
            return
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            _send(request, status, {}, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
            return
        if fault == HANG:
            self._closed.wait(60)
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        status, headers, body = self._passed_on(request)
        if fault == "reset":
            _send(request, status, headers, body[: len(body) // 2], len(body))
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close_connection = True
            return
        if fault == TRICKLE and body:
            self._trickle(request, status, headers, body)
            return
        if fault == "wrong_bytes" and body:
            body = bytes(byte ^ 0xFF for byte in body)
            headers = {name: value for name, value in headers.items() if not name.lower().startswith("x-amz-checksum")}
        _send(request, status, headers, body)

    def _trickle(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send a byte from time to time: no read of it ever times out."""
        _send(request, status, headers, body[:1], len(body))
        with contextlib.suppress(OSError):
            for byte in body[1:]:
                if self._closed.wait(1):
                    return
                request.wfile.write(bytes([byte]))
                request.wfile.flush()

    def _passed_on(self, request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection(self._upstream)
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        upstream.request(request.command, request.path, body, dict(request.headers))
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        return answer.status, dict(answer.getheaders()), data


def _serving(proxy: FaultProxy, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_any(self) -> None:
            proxy.answer(self)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_any  # noqa: N815

    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, claimed: int | None = None
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
            request.send_header(name, value)
    request.send_header("Content-Length", str(len(body) if claimed is None else claimed))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
        request.wfile.flush()
