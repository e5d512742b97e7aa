"""The `/predict` endpoint, outside of FastAPI's routes, so that the hot path pays for what it uses only."""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pyarrow as pa
from starlette.types import Receive, Scope, Send

from myriad.formats.base import Bounds
from myriad.models.errors import BadRequest
from myriad.serving import bulk, coding
from myriad.serving.bodies import Bodies
from myriad.serving.decode import Joined, decode, join, parse, plain
from myriad.serving.predictor import Predictor
from myriad.serving.problems import Problem
from myriad.serving.settings import Settings
from myriad.serving.together import Together, told

_KEY = re.compile(rb'"(?:(datapoints|series)|region|host|metric|timestamp|value|[0-9]+[smhd])"\s*:\s*(\[)?')
"""The keys that tell: in a body of rows or series the first group comes before any other key that holds a list."""
SNIFFED = 2048
INLINE_SERIES = 200
"""Requests with more series are scored in a thread of their own."""
LEAST_ENCODED = 64 << 10
"""Answers smaller than this are sent as they are."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, piece by piece."""

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
    """Decodes a body, scores it and encodes the answer; large bodies in a thread of their own."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor, self._settings = predictor, settings
        self._bounds = Bounds(settings.max_points, settings.max_series)
        self._bodies = Bodies(settings.max_body_bytes, settings.body_seconds)
        self._together, self._in_hand = Together(predictor), 0

    async def __call__(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer to one request; None where the client went away.

        Raises:
            Problem, MyriadError: why it cannot be; `problem_of` makes an answer of it.
        """
        if scope["method"] != "POST":
            raise Problem(405, "method-not-allowed", "POST datapoints here", allow="POST")
        if self._in_hand >= self._settings.max_requests:
            raise Problem(503, "too-many-requests", "too many requests are in hand; try again shortly", retry_after=1)
        self._in_hand += 1
        try:
            headers = dict(scope["headers"])
            media_type, encoding = self._checked(headers)
            body = await self._bodies.read(headers.get(b"content-length", b""), receive)
            return None if body is None else await self._answer(body, media_type, encoding, scope)
        finally:
            self._in_hand -= 1

    async def _answer(self, body: bytes, media_type: str, encoding: str, scope: Scope) -> Answer:
        if media_type == bulk.JSON and encoding == "identity" and len(body) <= self._settings.inline_bytes:
            parsed = plain(body, self._bounds)
            if parsed or not _in_columns(body):
                _no_query(scope)
                parsed = parsed or parse(body, self._bounds)
                if len(parsed.labels) <= INLINE_SERIES:
                    return Answer([await self._together.answer(parsed)])
                return await asyncio.to_thread(self._posted, join([parsed]))
        return await asyncio.to_thread(self._whole, body, media_type, encoding, scope)

    def _whole(self, body: bytes, media_type: str, encoding: str, scope: Scope) -> Answer:
        """The answer to a request that is not small JSON, made without the event loop."""
        headers = dict(scope["headers"])
        body = coding.decoded(body, encoding, self._settings.max_body_bytes)
        answered = bulk.JSON
        if media_type == bulk.JSON:
            _no_query(scope)
        if media_type == bulk.JSON and not _in_columns(body):
            chunks = self._posted(decode(body, self._bounds)).chunks
        else:
            answered = bulk.accepted(_text(headers, b"accept"), media_type)
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            try:
                chunks = self._ticked(bulk.read(body, media_type, query, self._bounds), answered)
            except (pa.ArrowException, OverflowError, UnicodeDecodeError) as exc:
                raise BadRequest(f"the body cannot be read: {exc}") from exc
        encoding = coding.wanted(_text(headers, b"accept-encoding"))
        if sum(map(len, chunks)) < LEAST_ENCODED:
            encoding = "identity"
        return Answer(coding.encoded(chunks, encoding), answered, encoding)

    def _posted(self, joined: Joined) -> Answer:
        (answer,) = told(self._predictor, joined, self._predictor.score(joined.query))
        if isinstance(answer, BadRequest):
            raise answer
        return Answer([answer])

    def _ticked(self, asked: bulk.Bulk, answered: str) -> list[bytes]:
        scores, rows = self._predictor.score_table(asked.table, asked.windows, asked.combine, bands=asked.bands)
        self._predictor.metrics.scored(scores.tally(len(rows.bad)), len(rows.rows))
        return list(bulk.write(asked, rows, scores, answered, stale=self._predictor.stale))

    def _checked(self, headers: dict[bytes, bytes]) -> tuple[str, str]:
        """The body's type and encoding, if they are known here."""
        if self._predictor.current is None:
            raise Problem(503, "no-release", "no release has been loaded yet", retry_after=5)
        media_type = _text(headers, b"content-type", bulk.JSON).partition(";")[0].strip().lower()
        encoding = _text(headers, b"content-encoding", "identity").strip().lower()
        if media_type not in (bulk.JSON, *bulk.BULK):
            known = ", ".join((bulk.JSON, *bulk.BULK))
            raise Problem(415, "unsupported-media-type", f"the body is {media_type[:60]}; send one of {known}")
        if encoding not in coding.ENCODINGS:
            known = ", ".join(coding.ENCODINGS)
            raise Problem(415, "unsupported-media-type", f"the body is encoded as {encoding[:60]}; send one of {known}")
        return media_type, encoding


def _in_columns(body: bytes) -> bool:
    """Whether a JSON body has columns: one of their names before a list, and nothing of rows before that."""
    for key in _KEY.finditer(body, 0, SNIFFED):
        rows, is_list = key.groups()
        if rows or is_list:
            return not rows
    return False


def _text(headers: dict[bytes, bytes], name: bytes, default: str = "") -> str:
    return headers[name].decode("latin-1") if name in headers else default


def _no_query(scope: Scope) -> None:
    if scope["query_string"]:
        raise BadRequest("options of a JSON request are fields of its object, not of the URL", "$")
