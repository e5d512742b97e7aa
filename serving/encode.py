"""Encoding: from scores to the bodies of answers about series. The schemas say what is in them."""

import functools
from collections.abc import Iterable, Sequence

import msgspec

from myriad.kernels.json_text import columns
from myriad.kernels.scoring import NO_MODEL
from myriad.models.key import Series
from myriad.models.points import Points
from myriad.models.windows import Window
from myriad.serving.decode import SeriesRequest
from myriad.serving.host_scores import HostScores
from myriad.serving.schemas import HostAnswer
from myriad.serving.scoring import Scores
from myriad.serving.status import STATUSES, Status

_TEXT = msgspec.json.Encoder().encode
_STATUSES = [_TEXT(str(status)) for status in STATUSES]


def encode(request: SeriesRequest, scores: Scores, *, stale: bool = False) -> bytes:
    """The answer to a request as JSON, NaN as null."""
    if request.single:
        (labels,), (duplicates,) = request.labels, request.duplicates
        return encode_one(Series(*labels), request.query.points, scores, duplicates, request.digits, stale=stale)
    parts = [b'{"release":%b,"series":[' % _TEXT(scores.release)]
    position = {i: k for k, i in enumerate(request.good)}
    for i, labels in enumerate(request.labels):
        parts.append(b",{" if i else b"{")
        if i in position:
            k = position[i]
            _add_series(parts, Series(*labels), request.query.points, scores, k, request.duplicates[k], request.digits)
        else:
            parts.append(_head(labels, _TEXT(str(Status.BAD_SERIES))) + b',"detail":' + _TEXT(request.bad[i]))
        parts.append(b"}")
    parts.append(b"]")
    if scores.hosts:
        parts.append(b',"hosts":' + _TEXT(host_answers(scores.hosts)))
    parts.append(b',"stale":true}' if stale else b"}")
    return b"".join(parts)


def encode_one(
    series: Series, points: Points, scores: Scores, duplicates: int = 0, digits: int = 0, *, stale: bool = False
) -> bytes:
    """The answer to a request about one series."""
    parts = [b"{"]
    _add_series(parts, series, points, scores, 0, duplicates, digits)
    parts.append(b',"stale":true}' if stale else b"}")
    return b"".join(parts)


def host_answers(hosts: Sequence[HostScores]) -> list[HostAnswer]:
    """The scores of hosts, as they are answered."""
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
        for host in hosts
    ]


def _add_series(
    parts: list[bytes], series: Series, points: Points, scores: Scores, k: int, duplicates: int, digits: int
) -> None:
    """What is answered of series k of the scores, as the fields of `SeriesAnswer`, without the braces."""
    first, end = points.offsets[k : k + 2].tolist()
    codes = tuple(scores.adapter[k].tolist()) if scores.adapter is not None else ()
    rows = len(scores.block) if any(code != NO_MODEL for code in codes) else 1 + len(scores.windows)
    parts.append(_head(series, _STATUSES[scores.status[k]]))
    parts.append(columns(points.timestamps, scores.block, first, end, _between(scores.windows, rows), digits))
    if rows > 1 + len(scores.windows):
        level = int(scores.level[k])
        used = _models_used(scores.release, scores.windows, codes, scores.adapters, level > 0)
        parts.append(used % ((str(series.fallback(level)).encode(),) * used.count(b"%b")))
    if not all(scores.counts[k].tolist()):
        why = [{"window": str(window), "reason": reason} for window, reason in scores.missing(k).items()]
        parts.append(b',"missing":' + _TEXT(why))
    if duplicates:
        parts.append(b',"duplicates":%d' % duplicates)


def _head(labels: Iterable[str], status: bytes) -> bytes:
    return b'"region":%b,"host":%b,"metric":%b,"status":%b' % (*map(_TEXT, labels), status)


@functools.lru_cache(maxsize=256)
def _between(windows: tuple[Window, ...], rows: int) -> list[bytes]:
    """The text before the times, before each row of the block, and after the last."""
    names = [b'"%b":' % str(window).encode() for window in windows]
    before = [b',"anomaly_scores":{"timestamp":', b',"score":', *(b"," + name for name in names)]
    for kind in (b'},"expected":{', b'},"lower":{', b'},"upper":{')[: (rows - 1) // len(windows) - 1]:
        before += [kind + names[0], *(b"," + name for name in names[1:])]
    return [*before, b"}"]


@functools.lru_cache(maxsize=1024)
def _models_used(
    release: str, windows: tuple[Window, ...], codes: tuple[int, ...], adapters: tuple[str, ...], fallback: bool
) -> bytes:
    """The list of models, with %b for the series they were fitted to."""
    used = [
        b'{"key":"%%b/%b","adapter":%b,"release":%b,"fallback":%b}'
        % (str(window).encode(), _escaped(adapters[code]), _escaped(release), b"true" if fallback else b"false")
        for window, code in zip(windows, codes, strict=True)
        if code != NO_MODEL
    ]
    return b',"models":[%b]' % b",".join(used)


def _escaped(text: str) -> bytes:
    return _TEXT(text).replace(b"%", b"%%")
