"""The `/predict` endpoint. It is no FastAPI route, so that the hot path pays only for what it uses."""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pyarrow as pa
from starlette.types import Receive, Scope, Send

from myriad.formats.base import Bounds
from myriad.models.errors import BadRequest
from myriad.serving import bulk, coding
from myriad.serving.bodies import BodyReader
from myriad.serving.decode import Batch, decode, make_batch, parse, parse_simple
from myriad.serving.micro_batching import MicroBatcher, answers_of
from myriad.serving.predictor import Predictor
from myriad.serving.problems import Problem
from myriad.serving.settings import Settings

_SHAPE_KEY = re.compile(rb'"(?:(datapoints|series)|region|host|metric|timestamp|value|[0-9]+[smhd])"\s*:\s*(\[)?')
"""The keys by which rows and columns are told apart.

In rows `datapoints` or `series` (the first group) comes before any other key that holds a list (the second group).
"""
SNIFF_BYTES = 2048
"""How much of a body is searched for these keys."""
MAX_INLINE_SERIES = 200
"""Requests with more series are scored in a thread, not in the event loop."""
MIN_COMPRESSED_BYTES = 64 << 10
"""Smaller answers are sent uncompressed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request, its body in chunks."""

    chunks: list[bytes]
    media_type: str = bulk.JSON
    encoding: str = "identity"

    async def __call__(self, send: Send) -> None:
        """Send it."""
        size = sum(map(len, self.chunks))
        headers = [(b"content-type", self.media_type.encode()), (b"content-length", b"%d" % size)]
        if self.encoding != "identity":
            headers.append((b"content-encoding", self.encoding.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in self.chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": self.chunks[-1]})


class PredictEndpoint:
    """Decodes a body, scores it and encodes the answer; a large body in a thread, not in the event loop."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor, self._settings = predictor, settings
        self._bounds = Bounds(settings.max_points, settings.max_series)
        self._body_reader = BodyReader(settings.max_body_bytes, settings.body_seconds)
        self._batcher, self._active_requests = MicroBatcher(predictor), 0

    async def __call__(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer to one request; None where the client went away.

        Raises:
            Problem, MyriadError: why it cannot be answered; `problem_of` makes a problem document of it.
        """
        if scope["method"] != "POST":
            raise Problem(405, "method-not-allowed", "POST datapoints here", allow="POST")
        if self._active_requests >= self._settings.max_requests:
            raise Problem(503, "too-many-requests", "too many requests are in hand; try again shortly", retry_after=1)
        self._active_requests += 1
        try:
            headers = dict(scope["headers"])
            media_type, encoding = self._body_format(headers)
            body = await self._body_reader.read(headers.get(b"content-length", b""), receive)
            return None if body is None else await self._answer(body, media_type, encoding, scope)
        finally:
            self._active_requests -= 1

    async def _answer(self, body: bytes, media_type: str, encoding: str, scope: Scope) -> Answer:
        if media_type == bulk.JSON and encoding == "identity" and len(body) <= self._settings.inline_bytes:
            request = parse_simple(body, self._bounds)
            if request or not _has_columns(body):
                _refuse_url_query(scope)
                request = request or parse(body, self._bounds)
                if len(request.labels) <= MAX_INLINE_SERIES:
                    return Answer([await self._batcher.answer(request)])
                return await asyncio.to_thread(self._score_batch, make_batch([request]))
        return await asyncio.to_thread(self._answer_in_thread, body, media_type, encoding, scope)

    def _answer_in_thread(self, body: bytes, media_type: str, encoding: str, scope: Scope) -> Answer:
        """The answer to a request that is large, compressed or in columns; blocks until it is scored."""
        headers = dict(scope["headers"])
        body = coding.decompress(body, encoding, self._settings.max_body_bytes)
        answer_type = bulk.JSON
        if media_type == bulk.JSON:
            _refuse_url_query(scope)
        if media_type == bulk.JSON and not _has_columns(body):
            chunks = self._score_batch(decode(body, self._bounds)).chunks
        else:
            answer_type = bulk.accepted_media_type(_header(headers, b"accept"), media_type)
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            try:
                chunks = self._score_table(bulk.read(body, media_type, query, self._bounds), answer_type)
            except (pa.ArrowException, OverflowError, UnicodeDecodeError) as exc:
                raise BadRequest(f"the body cannot be read: {exc}") from exc
        encoding = coding.accepted_encoding(_header(headers, b"accept-encoding"))
        if sum(map(len, chunks)) < MIN_COMPRESSED_BYTES:
            encoding = "identity"
        return Answer(coding.compress(chunks, encoding), answer_type, encoding)

    def _score_batch(self, batch: Batch) -> Answer:
        """The answer to the one request of a batch."""
        (answer,) = answers_of(self._predictor, batch, self._predictor.score(batch.query))
        if isinstance(answer, BadRequest):
            raise answer
        return Answer([answer])

    def _score_table(self, request: bulk.BulkRequest, answer_type: str) -> list[bytes]:
        """The answer to a bulk request, in chunks."""
        scores, table_query = self._predictor.score_table(
            request.table, request.windows, request.combine, bands=request.bands
        )
        self._predictor.metrics.count_series(scores.tally(len(table_query.bad)), len(table_query.rows))
        return list(bulk.write(request, table_query, scores, answer_type, stale=self._predictor.stale))

    def _body_format(self, headers: dict[bytes, bytes]) -> tuple[str, str]:
        """The body's media type and content coding.

        Raises:
            Problem: one of them is not supported, or there is no release to score with.
        """
        if self._predictor.current is None:
            raise Problem(503, "no-release", "no release has been loaded yet", retry_after=5)
        media_type = _header(headers, b"content-type", bulk.JSON).partition(";")[0].strip().lower()
        encoding = _header(headers, b"content-encoding", "identity").strip().lower()
        if media_type not in (bulk.JSON, *bulk.BULK):
            known = ", ".join((bulk.JSON, *bulk.BULK))
            raise Problem(415, "unsupported-media-type", f"the body is {media_type[:60]}; send one of {known}")
        if encoding not in coding.ENCODINGS:
            known = ", ".join(coding.ENCODINGS)
            raise Problem(415, "unsupported-media-type", f"the body is encoded as {encoding[:60]}; send one of {known}")
        return media_type, encoding


def _has_columns(body: bytes) -> bool:
    """Whether a JSON body has columns, which `_SHAPE_KEY` tells from rows."""
    for key in _SHAPE_KEY.finditer(body, 0, SNIFF_BYTES):
        rows, is_list = key.groups()
        if rows or is_list:
            return not rows
    return False


def _header(headers: dict[bytes, bytes], name: bytes, default: str = "") -> str:
    return headers[name].decode("latin-1") if name in headers else default


def _refuse_url_query(scope: Scope) -> None:
    if scope["query_string"]:
        raise BadRequest("options of a JSON request are fields of its object, not of the URL", "$")
