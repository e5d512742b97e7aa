"""The `/predict` endpoint: a plain ASGI app, so that the hot path pays for what it uses only."""

import asyncio
import functools
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pyarrow as pa
from starlette.types import Receive, Scope, Send

from serving import bulk, coding
from serving.decode import BadRequest, Bounds, Joined, decode, join, parse
from serving.predictor import Predictor
from serving.problems import Problem
from serving.settings import Settings
from serving.together import Together, told

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


class PredictEndpoint:
    """Decodes a body, scores it and encodes the answer; large bodies in a thread of their own."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor, self._settings = predictor, settings
        self._bounds = Bounds(settings.max_points, settings.max_series)
        self._together, self._in_hand = Together(predictor), 0

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
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            media_type, encoding = self._checked(headers)
            body = await self._body(headers, receive)
            if body is None:
                return
            small = encoding == "identity" and len(body) <= self._settings.inline_bytes
            if media_type != bulk.JSON or not small or _in_columns(body):
                plain = functools.partial(coding.decoded, body, encoding, self._settings.max_body_bytes)
                answer = await asyncio.to_thread(lambda: self._whole(plain(), media_type, headers, scope))
            else:
                _no_query(scope)
                parsed = parse(body, self._bounds)
                if len(parsed.labels) > INLINE_SERIES:
                    answer = await asyncio.to_thread(self._posted, join([parsed]))
                else:
                    answer = Answer([await self._together.answer(parsed)])
            await self._send(answer, send)
        finally:
            self._in_hand -= 1

    def _whole(self, body: bytes, media_type: str, headers: dict[bytes, str], scope: Scope) -> Answer:
        """The answer to a request that is not small JSON, made without the event loop."""
        answered = bulk.JSON
        if media_type == bulk.JSON:
            _no_query(scope)
        if media_type == bulk.JSON and not _in_columns(body):
            chunks = self._posted(decode(body, self._bounds)).chunks
        else:
            answered = bulk.accepted(headers.get(b"accept", ""), media_type)
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            try:
                chunks = self._ticked(bulk.read(body, media_type, query, self._bounds), answered)
            except (pa.ArrowException, OverflowError, UnicodeDecodeError) as exc:
                raise BadRequest(f"the body cannot be read: {exc}") from exc
        encoding = coding.wanted(headers.get(b"accept-encoding", ""))
        if sum(map(len, chunks)) < LEAST_ENCODED:
            encoding = "identity"
        return Answer(coding.encoded(chunks, encoding), answered, encoding)

    def _posted(self, joined: Joined) -> Answer:
        (answer,) = told(self._predictor, joined, self._predictor.score(joined.query))
        if isinstance(answer, BadRequest):
            raise answer
        return Answer([answer])

    def _ticked(self, asked: bulk.Bulk, answered: str) -> list[bytes]:
        scores, rows = self._predictor.score_table(asked.table, asked.windows, asked.combine)
        self._predictor.metrics.scored(scores.tally(len(rows.bad)), len(rows.rows))
        return list(bulk.write(asked, rows, scores, answered, stale=self._predictor.stale))

    async def _send(self, answer: Answer, send: Send) -> None:
        size = sum(map(len, answer.chunks))
        headers = [(b"content-type", answer.media_type.encode()), (b"content-length", str(size).encode())]
        if answer.encoding != "identity":
            headers.append((b"content-encoding", answer.encoding.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for chunk in answer.chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": answer.chunks[-1]})

    def _checked(self, headers: dict[bytes, str]) -> tuple[str, str]:
        """The body's type and encoding, if they are known here."""
        if self._predictor.current is None:
            raise Problem(503, "no-release", "no release has been loaded yet", retry_after=5)
        media_type = headers.get(b"content-type", bulk.JSON).partition(";")[0].strip().lower()
        encoding = headers.get(b"content-encoding", "identity").strip().lower()
        if media_type not in (bulk.JSON, *bulk.BULK):
            known = ", ".join((bulk.JSON, *bulk.BULK))
            raise Problem(415, "unsupported-media-type", f"the body is {media_type[:60]}; send one of {known}")
        if encoding not in coding.ENCODINGS:
            known = ", ".join(coding.ENCODINGS)
            raise Problem(415, "unsupported-media-type", f"the body is encoded as {encoding[:60]}; send one of {known}")
        return media_type, encoding

    async def _body(self, headers: dict[bytes, str], receive: Receive) -> bytes | None:
        """The body as it was sent; None where the client went away."""
        limit = self._settings.max_body_bytes
        too_large = Problem(413, "too-large", f"the body has more than the {limit} bytes allowed")
        length = headers.get(b"content-length", "")
        if length.isdigit() and int(length) > limit:
            raise too_large
        chunks, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunks.append(message.get("body", b""))
                    more, size = message.get("more_body", False), size + len(chunks[-1])
                    if size > limit:
                        raise too_large
        except TimeoutError as exc:
            raise Problem(408, "timeout", f"the body took more than {self._settings.body_seconds:g} seconds") from exc
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _in_columns(body: bytes) -> bool:
    """Whether a JSON body has columns: one of their names before a list, and nothing of rows before that."""
    for key in _KEY.finditer(body, 0, SNIFFED):
        rows, is_list = key.groups()
        if rows or is_list:
            return not rows
    return False


def _no_query(scope: Scope) -> None:
    if scope["query_string"]:
        raise BadRequest("options of a JSON request are fields of its object, not of the URL", "$")
