"""The front door: `/predict` straight to its endpoint, everything else to FastAPI; all of it counted and answered."""

import logging
import time

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from myriad.serving.metrics import Metrics
from myriad.serving.predict import PredictEndpoint
from myriad.serving.problems import Problem, problem_of

log = logging.getLogger("myriad")

ROUTES = frozenset(("predict", "models", "releases", "health", "metrics", "docs", "openapi.json"))
"""The first parts of paths that are counted by name."""


class Front:
    """Passes each request on, counts and times it."""

    def __init__(self, app: FastAPI, predict: PredictEndpoint, metrics: Metrics) -> None:
        self.app, self._predict, self._metrics = app, predict, metrics
        app.add_middleware(Problems, metrics=metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/predict":
            await self._predicted(scope, receive, send)
        else:
            await self._passed_on(scope, receive, send)

    async def _predicted(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 0
        try:
            answer = await self._predict(scope, receive)
            if answer is not None:
                status = 200
                await answer(send)
        except Exception as exc:
            if status:
                raise
            problem = _counted(exc, scope, self._metrics)
            status = problem.status
            await problem.response()(scope, receive, send)
        finally:
            self._metrics.answered("predict", status, time.perf_counter() - started)

    async def _passed_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            first = scope["path"].strip("/").partition("/")[0]
            route = first if first in ROUTES else "other"
            self._metrics.answered(route, status, time.perf_counter() - started)


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
            if begun:
                raise
            await _counted(exc, scope, self._metrics).response()(scope, receive, send)


def _counted(error: Exception, scope: Scope, metrics: Metrics) -> Problem:
    """The problem an exception is, logged where it was not foreseen."""
    problem = problem_of(error)
    if problem.status == 500:
        log.error("a request failed", extra={"path": scope["path"]}, exc_info=error)
    metrics.errors.labels(problem.kind).inc()
    return problem
