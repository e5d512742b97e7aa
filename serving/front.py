"""The front door: `/predict` straight to its endpoint, everything else to FastAPI; all of it counted and answered."""

import logging
import time

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics
from serving.problems import problem_of

log = logging.getLogger("myriad")

ROUTES = frozenset(("predict", "models", "releases", "health", "metrics", "docs", "openapi.json"))
"""The first parts of paths that are counted by name."""


class Front:
    """Passes each request on, counts and times it."""

    def __init__(self, app: FastAPI, predict: ASGIApp, metrics: Metrics) -> None:
        self.app, self._predict, self._metrics = app, Problems(predict, metrics), metrics
        app.add_middleware(Problems, metrics=metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"]
        try:
            await (self._predict if path == "/predict" else self.app)(scope, receive, observed)
        finally:
            first = path.strip("/").partition("/")[0]
            route = first if first in ROUTES else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.latency.labels(route).observe(time.perf_counter() - started)


class Problems:
    """Makes a problem document of every exception."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def observed(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as exc:
            problem = problem_of(exc)
            if problem.status == 500:
                log.exception("a request failed", extra={"path": scope["path"]})
            if begun:
                raise
            self._metrics.errors.labels(problem.kind).inc()
            await problem.response()(scope, receive, send)
