"""Encoding: from scores to the bodies of answers."""

import functools
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import BadRequest
from myriad.models.key import Series
from myriad.models.windows import Window
from myriad.serving.decode import Joined, Posted
from myriad.serving.hosts import host_scores
from myriad.serving.schemas import HostAnswer, ModelUsed, PredictAnswer, SeriesAnswer, WindowMissing
from myriad.serving.scoring import STATUSES, Scores, Status

REMEMBERED = 10_000
"""Series whose models are kept as they are told, about 700 bytes each."""
SERIES_AT_ONCE = 1000
"""Answers are made and encoded so many at a time: the event loop stands still meanwhile, and garbage stays young."""
_ENCODER = msgspec.json.Encoder()


def encode(joined: Joined, scores: Scores, *, stale: bool = False) -> "list[bytes | BadRequest]":
    """The answer to each request as JSON, NaN as null; what is no request stays what it is."""
    told = _Told(joined, scores)
    return [one if isinstance(one, BadRequest) else _encoded(one, told, stale) for one in joined.posted]


class _Told:
    """Scores as lists, cut once for all the requests they answer."""

    def __init__(self, joined: Joined, scores: Scores) -> None:
        self.scores, self.duplicates = scores, joined.duplicates
        self.statuses = [str(STATUSES[code]) for code in scores.statuses.tolist()]
        self.windows = [str(window) for window in scores.windows]
        self.offsets = scores.points.offsets.tolist()
        self.levels: list[int] = scores.resolution.level.tolist()
        self.complete: list[bool] = np.all(scores.scored, axis=0).tolist()
        self.timestamps: list[int] = scores.points.timestamps.tolist()
        self.score: list[float] = scores.score.tolist()
        self.by_window, self.expected = scores.by_window.tolist(), scores.expected.tolist()

    def cut(self, k: int, values: list[list[float | None]]) -> dict[str, list[float | None]]:
        """The values of series k by window."""
        first, end = self.offsets[k], self.offsets[k + 1]
        return {window: row[first:end] for window, row in zip(self.windows, values, strict=True)}

    def band(self, k: int, values: NDArray[np.float64]) -> dict[str, list[float | None]]:
        """As `cut`, of what few ask for."""
        span = slice(self.offsets[k], self.offsets[k + 1])
        return dict(zip(self.windows, values[:, span].tolist(), strict=True))


def _encoded(posted: Posted, told: _Told, stale: bool) -> bytes:
    parsed = posted.parsed
    if parsed.single:
        answer = _answer(posted, told, 0)
        answer.stale = stale
        return _ENCODER.encode(answer)
    hosts = _hosts(posted, told.scores) if parsed.hosts else []
    around = _ENCODER.encode(PredictAnswer(told.scores.manifest.id, [], hosts, stale))
    before, after = around.split(b"[]", 1)
    which = {i: k for k, i in enumerate(posted.good)}
    pieces = []
    for first in range(0, len(parsed.labels), SERIES_AT_ONCE):
        some = range(first, min(first + SERIES_AT_ONCE, len(parsed.labels)))
        answers = [_answer(posted, told, which[i]) if i in which else _refused(posted, i) for i in some]
        pieces.append(_ENCODER.encode(answers)[1:-1])
    return b"".join((before, b"[", b",".join(pieces), b"]", after))


def _refused(posted: Posted, i: int) -> SeriesAnswer:
    return SeriesAnswer(*posted.parsed.labels[i], str(Status.BAD_SERIES), detail=posted.bad[i])


def _hosts(posted: Posted, scores: Scores) -> list[HostAnswer]:
    found = host_scores(scores, range(posted.first, posted.first + len(posted.good)))
    return [
        HostAnswer(
            *(one.region, one.host, str(one.status), one.timestamps.tolist(), one.scores.tolist()),
            *(one.metrics.tolist(), one.of),
        )
        for one in found
    ]


def _answer(posted: Posted, told: _Told, which: int) -> SeriesAnswer:
    """The answer for one of the good series of a request."""
    k, scores = posted.first + which, told.scores
    first, end = told.offsets[k], told.offsets[k + 1]
    columns: dict[str, list[Any]] = {"timestamp": told.timestamps[first:end], "score": told.score[first:end]}
    answer = SeriesAnswer(
        *posted.parsed.labels[posted.good[which]],
        status=told.statuses[k],
        anomaly_scores=columns | told.cut(k, told.by_window),
        duplicates=told.duplicates[k],
    )
    if used := scores.adapters[k]:
        answer.expected = told.cut(k, told.expected)
        models_used = _models_used if scores.seats is None else _remembered
        answer.models = models_used(scores.names[k], told.levels[k], used, scores.windows, scores.manifest.id)
        if posted.parsed.bands and scores.bands is not None:
            answer.lower, answer.upper = (told.band(k, edge) for edge in scores.bands)
    if not told.complete[k]:
        answer.missing = [WindowMissing(str(window), why) for window, why in scores.missing(k).items()]
    return answer


def _models_used(
    series: Series, level: int, adapters: tuple[str | None, ...], windows: tuple[Window, ...], release: str
) -> list[ModelUsed]:
    """The models that took part."""
    name, fallback = str(series.fallback(level)), level > 0
    return [
        ModelUsed(f"{name}/{window}", adapter, release, fallback)
        for window, adapter in zip(windows, adapters, strict=True)
        if adapter
    ]


@functools.lru_cache(maxsize=REMEMBERED)
def _remembered(*asked: Any) -> Any:
    """As `_models_used`, encoded already: of a series asked about by itself the same ones take part every time."""
    return msgspec.Raw(_ENCODER.encode(_models_used(*asked)))
