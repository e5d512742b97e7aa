"""The `/predict` endpoint. It is no FastAPI route, so that the hot path pays only for what it uses."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pyarrow as pa
from starlette.types import Receive, Scope, Send

from myriad.formats.base import Bounds
from myriad.formats.bodies import ARROW, JSON, TABLES, accepted_media_type, answer_size, tables
from myriad.formats.bodies.base import TableRequest
from myriad.formats.bodies.json_series import SeriesRequest, parse
from myriad.formats.bodies.json_series_answer import encode
from myriad.formats.bodies.tables import TableQuery
from myriad.kernels.answers import Answers
from myriad.models.errors import BadRequest, TooLarge
from myriad.models.key import MAX_ECHO
from myriad.models.scores import Scores
from myriad.models.windows import Window
from myriad.serving import coding
from myriad.serving.admission import Admission
from myriad.serving.bodies import BodyReader
from myriad.serving.predictor import CurrentRelease, Predictor
from myriad.serving.problems import Problem
from myriad.serving.settings import Settings

_SHAPE_KEY = re.compile(rb'"(?:(datapoints|series)|region|host|metric|timestamp|value|[0-9]+[smhd])"\s*:\s*(\[)?')
"""The keys by which rows and columns are told apart.

In rows `datapoints` or `series` (the first group) comes before any other key that holds a list (the second group).
"""
SNIFF_BYTES = 2048
"""How much of a body is searched for these keys."""
MAX_OPTIONS = 20
"""Of a URL's query."""
MAX_INLINE_SERIES = 200
"""Requests with more series are scored in a thread, not in the event loop."""
MIN_COMPRESSED_BYTES = 64 << 10
"""Smaller answers are sent uncompressed."""
MIN_COUNTED_BYTES = 64 << 10
"""Smaller answers take none of the memory for large requests: there is room for one a connection."""
PART_BYTES = 256 << 10
"""What is handed to the connection at a time."""
BYTES_PER_BODY_BYTE = 8
"""What decoding a body takes, for each of its bytes."""
VALUES_PER_POINT = 12
"""Values that JSON may have for each datapoint allowed: as many as a table can have columns, and some."""
BYTES_PER_VALUE = 64
"""What decoding a value of JSON takes, however short it is."""
ANSWER_BYTES_PER_POINT, LARGEST_REST = 1000, 64 << 10
"""An answer about one series is smaller than that, with all windows and bands; only near the bound is it worked out."""
BYTES_PER_POINT, BYTES_PER_ALERT_SCORE = 100, 250
"""What scoring a datapoint takes, and what its score as alerts count it takes besides."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request, its body in chunks."""

    chunks: list[bytes]
    media_type: str = JSON
    encoding: str = "identity"

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.chunks))

    async def __call__(self, send: Send) -> None:
        """Send it, in parts: when all are sent most of it has been received."""
        headers = [(b"content-type", self.media_type.encode()), (b"content-length", b"%d" % self.size)]
        if self.encoding != "identity":
            headers.append((b"content-encoding", self.encoding.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.size <= PART_BYTES:
            await send({"type": "http.response.body", "body": b"".join(self.chunks)})
            return
        for chunk in self.chunks:
            for first in range(0, len(chunk), PART_BYTES):
                part = memoryview(chunk)[first : first + PART_BYTES]
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class PredictEndpoint:
    """Decodes a body, scores it and encodes the answer; a large body in a thread, not in the event loop."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor, self._settings = predictor, settings
        self._bounds = Bounds(settings.max_points, settings.max_series)
        self._body_reader = BodyReader(
            settings.max_body_bytes, settings.max_bodies_bytes, settings.body_seconds, settings.min_body_rate
        )
        self._most = min(settings.max_points, (settings.max_answer_bytes - LARGEST_REST) // ANSWER_BYTES_PER_POINT)
        """Datapoints of a request that is answered at once."""
        self._current: CurrentRelease | None = None
        self._answers: Answers | None = None
        """Of the current release."""
        self.admission = Admission(settings.max_requests, settings.worker_bytes, settings.cache_bytes)

    async def __call__(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer to one request; None where the client went away.

        Raises:
            Problem, MyriadError: why it cannot be answered; `problem_of` makes a problem document of it.
        """
        if scope["method"] != "POST":
            raise Problem(405, "method-not-allowed", "POST datapoints here", allow="POST")
        headers = dict(scope["headers"])
        media_type, encoding = self._body_format(headers)
        body = await self._body_reader.read(headers.get(b"content-length", b""), receive)
        if body is None:
            return None
        with self.admission.request():
            return await self._answer(body, media_type, encoding, headers, scope)

    def answer_at_once(self, body: bytes, head: bytes | None = None) -> bytes | None:
        """The answer to the usual request, JSON about one series whose shard is open; None for any other.

        Args:
            body: of the request.
            head: what to put before the answer, see `kernels.answers.Answers`.
        """
        current = self._predictor.current
        if current is not self._current and current is not None:
            self._current, self._answers = current, self._predictor.answers()
        return self._answers.answer(body, self._most, self._predictor.stale, head) if self._answers else None

    async def _answer(
        self, body: bytes, media_type: str, encoding: str, headers: dict[bytes, bytes], scope: Scope
    ) -> Answer:
        small = media_type == JSON and encoding == "identity" and len(body) <= self._settings.inline_bytes
        if small and not scope["query_string"] and (answer := self.answer_at_once(body)):
            return Answer([answer])
        if small and not _has_columns(body):
            _refuse_url_query(scope)
            request = parse(body, self._bounds)
            if len(request.labels) <= MAX_INLINE_SERIES:
                self._check_answer(request)
                scores = await self._predictor.score_async(request.query, self.admission.loading)
                return Answer([self._encode(request, scores)])
        # Twice what was sent, until it is known what that becomes: most bodies are not compressed a thousandfold.
        with self.admission.memory(BYTES_PER_BODY_BYTE * min(2 * len(body), self._settings.max_body_bytes)):
            body, needed = await asyncio.to_thread(self._decompress, body, encoding, media_type)
        with self.admission.memory(needed) as more:
            if media_type == JSON:
                _refuse_url_query(scope)
            if media_type == JSON and not _has_columns(body):
                answer_type, chunks = JSON, await self._score_series(body, more)
            else:
                answer_type = accepted_media_type(_header(headers, b"accept"), media_type)
                chunks = await self._score_table(body, media_type, answer_type, scope["query_string"], more)
            encoding = coding.accepted_encoding(_header(headers, b"accept-encoding"))
            if sum(map(len, chunks)) < MIN_COMPRESSED_BYTES:
                encoding = "identity"
            return Answer(await asyncio.to_thread(coding.compress, chunks, encoding), answer_type, encoding)

    def _decompress(self, body: bytes, encoding: str, media_type: str) -> tuple[bytes, int]:
        """The body as it was before it was compressed, and the bytes that decoding it takes."""
        body = coding.decompress(body, encoding, self._settings.max_body_bytes)
        values = 0 if media_type == ARROW else body.count(b",")
        if values > (most := VALUES_PER_POINT * self._settings.max_points):
            raise TooLarge(f"the request has {values} values; at most {most} are allowed")
        return body, max(BYTES_PER_BODY_BYTE * len(body), BYTES_PER_VALUE * values)

    async def _score_series(self, body: bytes, more: Callable[[int], None]) -> list[bytes]:
        """The answer to a request of rows or a list of series, decoded, scored and encoded in threads."""
        request, needed = await asyncio.to_thread(self._decode, body)
        more(needed)
        scores = await self._predictor.score_async(request.query, self.admission.loading, in_thread=True)
        return [await asyncio.to_thread(self._encode, request, scores)]

    async def _score_table(
        self, body: bytes, media_type: str, answer_type: str, query_string: bytes, more: Callable[[int], None]
    ) -> list[bytes]:
        """The answer to a bulk request, in chunks; decoded, scored and encoded in threads."""
        try:
            options = dict(
                parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_OPTIONS)
            )
        except ValueError as exc:
            raise BadRequest(f"the URL has more than {MAX_OPTIONS} options", "$") from exc
        request, needed = await asyncio.to_thread(self._read_table, body, media_type, answer_type, options)
        more(needed)
        scores, query = await self._predictor.score_table_async(
            request.table, request.windows, request.combine, bands=request.bands, hosts=request.hosts,
            alerts=request.alerts, bounds=self._bounds, loading=self.admission.loading,
        )  # fmt: skip
        self._predictor.metrics.count_series(scores.tally(len(query.bad)), len(query.rows))
        return await asyncio.to_thread(self._write_table, request, query, scores, answer_type)

    def _decode(self, body: bytes) -> tuple[SeriesRequest, int]:
        """The request in a body, and the bytes that scoring and answering it take."""
        request = parse(body, self._bounds)
        most = self._check_answer(request)
        return request, most + _scoring_bytes(request.point_count, alerts=request.query.alerts)

    def _encode(self, request: SeriesRequest, scores: Scores) -> bytes:
        self._predictor.metrics.count_series(scores.tally(len(request.bad)), request.point_count)
        return encode(request, scores, stale=self._predictor.stale)

    def _read_table(
        self, body: bytes, media_type: str, answer_type: str, options: dict[str, str]
    ) -> tuple[TableRequest, int]:
        """The request in a body, and the bytes that scoring and answering it take."""
        try:
            request = TABLES[media_type].read(body, options, self._bounds)
        except (pa.ArrowException, OverflowError, UnicodeDecodeError) as exc:
            raise BadRequest(f"the body cannot be read: {str(exc)[:MAX_ECHO]}") from exc
        if request.hosts and answer_type != JSON:
            raise BadRequest(f"hosts' scores are answered as {JSON}; accept that", "$.hosts")
        most = tables.most_bytes(request, self._windows(request.windows), TABLES[answer_type])
        answer_size.check(most, self._settings.max_answer_bytes)
        return request, most + _scoring_bytes(request.table.num_rows, alerts=request.alerts)

    def _write_table(self, request: TableRequest, query: TableQuery, scores: Scores, answer_type: str) -> list[bytes]:
        try:
            return list(tables.answer(request, query, scores, TABLES[answer_type], stale=self._predictor.stale))
        except (pa.ArrowException, OverflowError) as exc:
            raise BadRequest(f"the table cannot be answered: {str(exc)[:MAX_ECHO]}") from exc

    def _check_answer(self, request: SeriesRequest) -> int:
        """The most bytes the answer may have; raise `TooLarge` where these are more than allowed."""
        query = request.query
        points, windows = len(query.points.values), self._windows(query.windows)
        most = answer_size.of_series(
            request.labels, points, windows, bands=query.bands, hosts=query.hosts, alerts=query.alerts
        )
        answer_size.check(most, self._settings.max_answer_bytes)
        return most

    def _windows(self, asked: tuple[Window, ...] | None) -> int:
        return len(self._predictor.manifest.windows if asked is None else asked)

    def _body_format(self, headers: dict[bytes, bytes]) -> tuple[str, str]:
        """The body's media type and content coding.

        Raises:
            Problem: one of them is not supported, or there is no release to score with.
        """
        if self._predictor.current is None:
            raise Problem(503, "no-release", "no release has been loaded yet", retry_after=5)
        media_type = _header(headers, b"content-type", JSON).partition(";")[0].strip().lower()
        encoding = _header(headers, b"content-encoding", "identity").strip().lower()
        if media_type not in TABLES:
            known = ", ".join(TABLES)
            raise Problem(415, "unsupported-media-type", f"the body is {media_type[:60]}; send one of {known}")
        if encoding not in coding.ENCODINGS:
            known = ", ".join(coding.ENCODINGS)
            raise Problem(415, "unsupported-media-type", f"the body is encoded as {encoding[:60]}; send one of {known}")
        return media_type, encoding


def _scoring_bytes(points: int, *, alerts: bool) -> int:
    return points * (BYTES_PER_POINT + (BYTES_PER_ALERT_SCORE if alerts else 0))


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
