"""Encoding: from scores to the bodies of answers."""

import functools
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import BadRequest
from myriad.models.key import Series
from myriad.models.windows import Window
from myriad.serving.decode import Batch, BatchedRequest
from myriad.serving.host_scores import host_scores
from myriad.serving.schemas import HostAnswer, ModelUsed, PredictAnswer, SeriesAnswer, WindowMissing
from myriad.serving.scoring import STATUSES, Scores, Status

MAX_CACHED_MODEL_LISTS = 10_000
"""Series whose encoded list of models is cached, about 700 bytes each."""
SERIES_PER_CHUNK = 1000
"""Series that are made into answers and encoded at a time, so that one call does not block the event loop for long."""
_ENCODER = msgspec.json.Encoder()


def encode(batch: Batch, scores: Scores, *, stale: bool = False) -> "list[bytes | BadRequest]":
    """The answer to each request of a batch as JSON, NaN as null; a `BadRequest` in the batch is returned as it is."""
    lists = _ScoreLists(batch, scores)
    return [
        request if isinstance(request, BadRequest) else _encode_request(request, lists, stale)
        for request in batch.requests
    ]


class _ScoreLists:
    """A batch's scores as Python lists, converted once for all requests of the batch."""

    def __init__(self, batch: Batch, scores: Scores) -> None:
        self.scores, self.duplicates = scores, batch.duplicates
        self.statuses = [str(STATUSES[code]) for code in scores.statuses.tolist()]
        self.windows = [str(window) for window in scores.windows]
        self.offsets = scores.points.offsets.tolist()
        self.levels: list[int] = scores.resolution.level.tolist()
        self.complete: list[bool] = np.all(scores.score_counts, axis=0).tolist()
        self.timestamps: list[int] = scores.points.timestamps.tolist()
        self.score: list[float] = scores.score.tolist()
        self.by_window, self.expected = scores.by_window.tolist(), scores.expected.tolist()

    def of_series(self, k: int, values: list[list[float | None]]) -> dict[str, list[float | None]]:
        """The values of series k by window, from a list a window."""
        first, end = self.offsets[k], self.offsets[k + 1]
        return {window: row[first:end] for window, row in zip(self.windows, values, strict=True)}

    def of_series_in(self, k: int, values: NDArray[np.float64]) -> dict[str, list[float | None]]:
        """As `of_series`, from an array (W, n): for what few requests ask for and is not converted as a whole."""
        span = slice(self.offsets[k], self.offsets[k + 1])
        return dict(zip(self.windows, values[:, span].tolist(), strict=True))


def _encode_request(batched: BatchedRequest, lists: _ScoreLists, stale: bool) -> bytes:
    request = batched.request
    if request.single:
        answer = _series_answer(batched, lists, 0)
        answer.stale = stale
        return _ENCODER.encode(answer)
    mine = range(batched.first, batched.first + len(batched.good))
    hosts = host_answers(lists.scores, mine) if request.hosts else []
    envelope = _ENCODER.encode(PredictAnswer(lists.scores.manifest.id, [], hosts, stale))
    before, after = envelope.split(b"[]", 1)
    position_among_good = {i: k for k, i in enumerate(batched.good)}
    chunks = []
    for first in range(0, len(request.labels), SERIES_PER_CHUNK):
        answers = [
            _series_answer(batched, lists, position_among_good[i])
            if i in position_among_good
            else _bad_series_answer(batched, i)
            for i in range(first, min(first + SERIES_PER_CHUNK, len(request.labels)))
        ]
        chunks.append(_ENCODER.encode(answers)[1:-1])
    return b"".join((before, b"[", b",".join(chunks), b"]", after))


def _bad_series_answer(batched: BatchedRequest, i: int) -> SeriesAnswer:
    return SeriesAnswer(*batched.request.labels[i], str(Status.BAD_SERIES), detail=batched.bad[i])


def host_answers(scores: Scores, series: Iterable[int] | None = None) -> list[HostAnswer]:
    """The scores of the hosts of some of a query's series, of all where None."""
    return [
        HostAnswer(
            region=host.region,
            host=host.host,
            status=str(host.status),
            timestamp=host.timestamps.tolist(),
            score=host.scores.tolist(),
            metrics=host.metrics.tolist(),
            of=host.metrics_with_models,
        )
        for host in host_scores(scores, series)
    ]


def _series_answer(batched: BatchedRequest, lists: _ScoreLists, position: int) -> SeriesAnswer:
    """The answer for the series at a position among the request's good ones."""
    k, scores = batched.first + position, lists.scores
    first, end = lists.offsets[k], lists.offsets[k + 1]
    columns: dict[str, list[Any]] = {"timestamp": lists.timestamps[first:end], "score": lists.score[first:end]}
    answer = SeriesAnswer(
        *batched.request.labels[batched.good[position]],
        status=lists.statuses[k],
        anomaly_scores=columns | lists.of_series(k, lists.by_window),
        duplicates=lists.duplicates[k],
    )
    if used := scores.adapters[k]:
        answer.expected = lists.of_series(k, lists.expected)
        models_used = _models_used if scores.cached_models is None else _encoded_models_used
        answer.models = models_used(scores.names[k], lists.levels[k], used, scores.windows, scores.manifest.id)
        if batched.request.bands and scores.bands is not None:
            answer.lower, answer.upper = (lists.of_series_in(k, edge) for edge in scores.bands)
    if not lists.complete[k]:
        answer.missing = [WindowMissing(str(window), why) for window, why in scores.missing(k).items()]
    return answer


def _models_used(
    series: Series, level: int, adapters: tuple[str | None, ...], windows: tuple[Window, ...], release: str
) -> list[ModelUsed]:
    """The models that a series was scored with."""
    name, fallback = str(series.fallback(level)), level > 0
    return [
        ModelUsed(f"{name}/{window}", adapter, release, fallback)
        for window, adapter in zip(windows, adapters, strict=True)
        if adapter
    ]


@functools.lru_cache(maxsize=MAX_CACHED_MODEL_LISTS)
def _encoded_models_used(*args: Any) -> Any:
    """As `_models_used`, encoded and cached: a series that is posted by itself has the same models every time."""
    return msgspec.Raw(_ENCODER.encode(_models_used(*args)))
