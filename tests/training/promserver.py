"""A server that answers `query_range` as Prometheus' HTTP API documents it, for tests of who asks."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

Value = Callable[[int], str | None]
"""What a series has at a moment, None where nothing."""


@dataclass
class PromServer:
    """The series each query finds, and what was asked.

    Attributes:
        series: by query, labels and what the value is.
        asked: the form of each request.
        headers: of the last request.
        failures: status and body to answer the next requests with.
        histograms: by query, the labels of series that have native histograms.
        also: what else stands in every answer.
    """

    url: str
    series: dict[str, list[tuple[dict[str, str], Value]]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[int, bytes]] = field(default_factory=list)
    histograms: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    also: dict[str, Any] = field(default_factory=dict)

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        """The status and body for a form that was posted."""
        self.asked.append(form)
        if self.failures:
            return self.failures.pop(0)
        if path != "/api/v1/query_range":
            return 404, b"404 page not found\n"
        start, end, step = (int(form[name]) for name in ("start", "end", "step"))
        if form["query"] not in self.series:
            return 400, _error("bad_data", 'invalid parameter "query": 1:5: parse error: unexpected <eof>')
        if (end - start) // step + 1 > 11_000:
            why = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution"
            return 400, _error("bad_data", why)
        moments = range(start, end + 1, step)
        found = [(labels, [(t, value(t)) for t in moments]) for labels, value in self.series[form["query"]]]
        result = [
            {"metric": labels, "values": [[t, value] for t, value in values if value is not None]}
            for labels, values in found
            if any(value is not None for _, value in values)
        ]
        histogram = {"count": "2", "sum": "3", "buckets": [[1, "0.5", "1.5", "2"]]}
        result += [
            {"metric": labels, "histograms": [[t, histogram] for t in moments]}
            for labels in self.histograms.get(form["query"], ())
        ]
        data = {"resultType": "matrix", "result": result}
        return 200, json.dumps({"status": "success", "data": data, "warnings": []} | self.also).encode()


@contextmanager
def promserver() -> Iterator[PromServer]:
    """A server on a port of its own, until the end of the block."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
            server.headers = dict(self.headers)
            status, body = server.answer(self.path, form)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server = PromServer(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _error(kind: str, why: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": why}).encode()
