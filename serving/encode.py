"""Encoding: from scores to the body of an answer."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.decode import Posted
from serving.schemas import ModelUsed, PredictAnswer, SeriesAnswer, WindowMissing
from serving.scoring import STATUSES, Scores, Status

_ENCODER = msgspec.json.Encoder()


def encode(posted: Posted, scores: Scores, *, stale: bool = False) -> bytes:
    """The answer as JSON, NaN as null."""
    statuses = [str(STATUSES[code]) for code in scores.statuses().tolist()]
    if posted.single:
        answer = _answer(posted, scores, 0, statuses[0])
        answer.stale = stale
        return _ENCODER.encode(answer)
    answers: list[SeriesAnswer | None] = [None] * len(posted.labels)
    for k, i in enumerate(posted.good):
        answers[i] = _answer(posted, scores, k, statuses[k])
    bad = str(Status.BAD_SERIES)
    whole = [answer or SeriesAnswer(*posted.labels[i], bad, detail=posted.bad[i]) for i, answer in enumerate(answers)]
    return _ENCODER.encode(PredictAnswer(scores.manifest.id, whole, stale))


def _answer(posted: Posted, scores: Scores, k: int, status: str) -> SeriesAnswer:
    """The answer for series k of the query."""
    points = scores.points
    span = slice(int(points.offsets[k]), int(points.offsets[k + 1]))
    names = [str(window) for window in scores.windows]

    def by_window(values: NDArray[np.float64]) -> dict[str, list[float | None]]:
        return dict(zip(names, values[:, span].tolist(), strict=True))

    place = scores.place(k)
    columns = {"timestamp": points.timestamps[span].tolist(), "score": scores.score[span].tolist()}
    answer = SeriesAnswer(
        *posted.labels[posted.good[k]],
        status=status,
        anomaly_scores=columns | by_window(scores.by_window),
        duplicates=int(posted.tidied.duplicates[k]),
    )
    if place:
        answer.expected = by_window(scores.expected)
        answer.models = [
            ModelUsed(f"{place.series}/{window}", adapter, scores.manifest.id, place.level > 0)
            for window in scores.windows
            if (adapter := place.adapter(window))
        ]
    if posted.bands and place:
        answer.lower, answer.upper = by_window(scores.lower), by_window(scores.upper)
    answer.missing = [WindowMissing(str(window), why) for window, why in scores.missing(k).items()]
    return answer
