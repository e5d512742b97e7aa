"""The `/predict` endpoint: a plain ASGI app, so that the hot path pays for what it uses only."""

import asyncio

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.decode import Bounds, Posted, decode
from serving.encode import encode
from serving.predictor import Predictor
from serving.problems import Problem
from serving.scoring import STATUSES, Scores
from serving.settings import Settings


class PredictEndpoint:
    """Decodes a body, scores it and encodes the answer; large bodies in a thread of their own."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor, self._settings = predictor, settings
        self._bounds = Bounds(settings.max_points, settings.max_series)
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            Problem, MyriadError: why it cannot be; `problem_of` makes an answer of it.
        """
        if scope["method"] != "POST":
            raise Problem(405, "method-not-allowed", "POST datapoints here", allow="POST")
        if self._in_hand >= self._settings.max_requests:
            raise Problem(503, "too-many-requests", "too many requests are in hand; try again shortly", retry_after=1)
        self._in_hand += 1
        try:
            try:
                body = await self._body(Request(scope, receive))
            except ClientDisconnect:
                return
            if len(body) > self._settings.inline_bytes:
                answer = await asyncio.to_thread(self._answer, body)
            else:
                posted = self._decoded(body)
                answer = self._encoded(posted, await self._predictor.score_async(posted.query))
        finally:
            self._in_hand -= 1
        await Response(answer, media_type="application/json")(scope, receive, send)

    def _answer(self, body: bytes) -> bytes:
        posted = self._decoded(body)
        return self._encoded(posted, self._predictor.score(posted.query))

    def _decoded(self, body: bytes) -> Posted:
        if self._predictor.current is None:
            raise Problem(503, "no-release", "no release has been loaded yet", retry_after=5)
        return decode(body, self._bounds)

    def _encoded(self, posted: Posted, scores: Scores) -> bytes:
        metrics = self._predictor.metrics
        metrics.points.inc(len(posted.tidied.place))
        for code, count in enumerate(np.bincount(scores.statuses()).tolist()):
            if count:
                metrics.series.labels(str(STATUSES[code])).inc(count)
        if posted.bad:
            metrics.series.labels("bad_series").inc(len(posted.bad))
        return encode(posted, scores)

    async def _body(self, request: Request) -> bytes:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(415, "unsupported-media-type", f"the body is {kind[:60]}; send application/json")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Problem(415, "unsupported-media-type", "the body is encoded; send it as it is")
        limit = self._settings.max_body_bytes
        length = request.headers.get("content-length", "0")
        too_large = Problem(413, "too-large", f"the body has more than the {limit} bytes allowed")
        if length.isdigit() and int(length) > limit:
            raise too_large
        chunks, size = [], 0
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit:
                        raise too_large
                    chunks.append(chunk)
        except TimeoutError as exc:
            raise Problem(408, "timeout", f"the body took more than {self._settings.body_seconds:g} seconds") from exc
        return b"".join(chunks)
