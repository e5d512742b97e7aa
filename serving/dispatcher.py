"""Dispatcher: the ASGI app. `/predict` goes straight to its endpoint, every other path to FastAPI.

Both are counted and timed, and every exception becomes a problem document.
"""

import logging
import time
from contextlib import nullcontext

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from myriad.serving.admission import REFUSAL
from myriad.serving.auth import PREDICT, READ, Authorizer
from myriad.serving.metrics import Metrics
from myriad.serving.predict import MIN_COUNTED_BYTES, PredictEndpoint
from myriad.serving.problems import Problem, problem_of

log = logging.getLogger("myriad")

MAY_READ = "myriad.may_read"
"""In a request's scope: whether its bearer may read what not everybody may."""
ROUTES = frozenset(("predict", "models", "releases", "health", "metrics", "docs", "openapi.json"))
"""First parts of paths that are counted by name; all others are counted as `other`, to bound the metrics' labels."""


class Dispatcher:
    """Passes each request on, counts and times it."""

    def __init__(
        self,
        app: FastAPI,
        predict: PredictEndpoint,
        metrics: Metrics,
        authorizer: Authorizer | None = None,
        open_paths: frozenset[str] = frozenset({"health"}),
    ) -> None:
        """The whole service.

        Args:
            app: for all paths but `/predict`.
            predict: for that.
            metrics: to count in.
            authorizer: says what a request may do; everything where None.
            open_paths: first parts of paths that need no token.
        """
        self.app, self._predict, self._metrics = app, predict, metrics
        self._authorizer, self._open_paths = authorizer, open_paths
        self._refused = metrics.requests.labels("predict", "503")
        app.add_middleware(ProblemMiddleware, metrics=metrics)

    @property
    def is_full(self) -> bool:
        """Whether no more requests at `/predict` are taken on."""
        return self._predict.admission.is_full

    def refuse_if_full(self) -> bytes | None:
        """The response to a request at `/predict` that begins now, where no more are taken on; counted."""
        if not self._predict.admission.is_full:
            return None
        self._refused.inc()
        return REFUSAL

    def answer_at_once(self, headers: list[tuple[bytes, bytes]], body: bytes, head: bytes) -> bytes | None:
        """The response to a JSON body at `/predict`, counted; None for a request that takes the usual way.

        Args:
            headers: of the request.
            body: of the request.
            head: of the response, up to its length.
        """
        started = time.perf_counter()
        if self._authorizer is not None and not self._authorizer.knows(headers, PREDICT):
            return None
        try:
            answer = self._predict.answer_at_once(body, head)
        except Exception:  # noqa: BLE001  it comes again on the usual way, where it is answered and logged
            return None
        if answer is not None:
            self._metrics.answered.append(time.perf_counter() - started)
        return answer

    def arrived(self) -> None:
        """Count a request at `/predict` that has just been read."""
        self._predict.admission.arrived()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == "/predict":
            await self._to_predict(scope, receive, send)
        else:
            # Routes are told apart before names are decoded, as a slash may be part of one.
            await self._to_fastapi({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send)

    async def _to_predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 0
        try:
            if self._authorizer is not None:
                await self._authorizer.check(scope["headers"], PREDICT)
            answer = await self._predict(scope, receive)
            if answer is not None:
                counted = answer.size > MIN_COUNTED_BYTES
                with self._predict.admission.memory(answer.size) if counted else nullcontext():
                    status = 200
                    await answer(send)
        except Exception as exc:
            if status:
                raise
            problem = _counted_problem(exc, scope, self._metrics)
            status = problem.status
            await problem.response()(scope, receive, send)
        finally:
            self._metrics.count_request("predict", status, time.perf_counter() - started)

    async def _to_fastapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 0

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        first_part = scope["path"].strip("/").partition("/")[0]
        try:
            if self._authorizer is not None:
                await self._authorize(scope, first_part)
            await self.app(scope, receive, send_and_note_status)
        except Problem as exc:  # of authorisation: the app answers its own
            await _counted_problem(exc, scope, self._metrics).response()(scope, receive, send_and_note_status)
        finally:
            route = first_part if first_part in ROUTES else "other"
            self._metrics.count_request(route, status, time.perf_counter() - started)

    async def _authorize(self, scope: Scope, first_part: str) -> None:
        """Raise the problem a request is that may not read; at open paths, only note whether it may."""
        try:
            if self._authorizer is not None:
                await self._authorizer.check(scope["headers"], READ)
            scope[MAY_READ] = True
        except Problem:
            if first_part not in self._open_paths:
                raise
            scope[MAY_READ] = False


class ProblemMiddleware:
    """Answers an exception with a problem document, unless the response has begun already."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def send_and_note_start(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note_start)
        except Exception as exc:
            if begun:
                raise
            await _counted_problem(exc, scope, self._metrics).response()(scope, receive, send)


def _counted_problem(error: Exception, scope: Scope, metrics: Metrics) -> Problem:
    """The problem that an exception becomes, counted by kind; an unforeseen one is logged with its traceback."""
    problem = problem_of(error)
    if problem.status == 500:
        log.error("a request failed", extra={"path": scope["path"]}, exc_info=error)
    metrics.errors.labels(problem.kind).inc()
    return problem
