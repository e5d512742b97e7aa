"""Encoding: from scores to the bodies of answers about series. The schemas say what is in them."""

import functools
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from myriad.formats.bodies.json_series import SeriesRequest
from myriad.formats.bodies.schemas import HostAnswer
from myriad.kernels.scoring import NO_MODEL
from myriad.kernels.tables import series_texts
from myriad.models.scores import HostScores, Scores, missing_windows
from myriad.models.status import STATUSES, Status
from myriad.models.windows import Window

_TEXT = msgspec.json.Encoder().encode
_STATUSES = [_TEXT(str(status)) for status in STATUSES]
_BAD = _TEXT(str(Status.BAD_SERIES))
SERIES_PER_CALL = 5000


def encode(request: SeriesRequest, scores: Scores, *, stale: bool = False) -> bytes:
    """The answer to a request as JSON, NaN as null."""
    texts = _SeriesTexts(request, scores).pieces() or [b""]
    end = b',"stale":true}' if stale else b"}"
    if request.single:
        return texts[0][:-1] + end
    hosts = b',"hosts":' + _TEXT(host_answers(scores.hosts)) if scores.hosts else b""
    texts[0] = b'{"release":%b,"series":[' % _TEXT(scores.release) + texts[0]
    texts[-1] += b"]" + hosts + end
    return b",".join(texts)  # the one copy of all


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
            why=list(host.why),
        )
        for host in hosts
    ]


class _SeriesTexts:
    """The answers for the series of a request, most of which have the same texts around what is their own."""

    def __init__(self, request: SeriesRequest, scores: Scores) -> None:
        self._request, self._scores = request, scores
        names = request.query.names
        self._labels = [[_TEXT(part) for part in parts] for parts in names.parts]
        self._keys = [[part.encode() for part in parts] for parts in names.quoted]
        self._codes = np.ascontiguousarray(names.codes)
        self._kind, some = self._kinds()
        self._around = [self._around_one(k) for k in some.tolist()]
        self._extras = {k: self._extra(k) for k in self._special()}

    def pieces(self) -> list[bytes]:
        """All of them, in the order in which they were posted, some in one piece; commas belong between the pieces."""
        request, position, parts, run = self._request, 0, list[bytes](), 0
        if not request.bad:
            return self._of_run(0, len(request.query.names))
        for i in range(len(request.labels)):
            if i not in request.bad:
                run += 1
                continue
            parts += self._of_run(position, run)
            parts.append(b"{" + _head(request.labels[i], _BAD) + b',"detail":' + _TEXT(request.bad[i]) + b"}")
            position, run = position + run, 0
        return parts + self._of_run(position, run)

    def _of_run(self, first: int, count: int) -> list[bytes]:
        """Series of the query; not too many at a time, so that no call holds the interpreter for long."""
        starts = range(first, first + count, SERIES_PER_CALL)
        return [self._text(start, min(start + SERIES_PER_CALL, first + count)) for start in starts]

    def _text(self, first: int, end: int) -> bytes:
        points, scores = self._request.query.points, self._scores
        between, after = [one for one, _ in self._around], [one for _, one in self._around]
        return series_texts(
            points.timestamps, scores.block, points.offsets, first, end, self._codes, self._labels, self._keys,
            _STATUSES, scores.status, scores.level, self._kind, between, after, self._extras, self._request.digits,
        )  # fmt: skip

    def _kinds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The kind of each series, and one series of each kind: by adapters, level, and the windows without a score."""
        scores = self._scores
        code = scores.level.astype(np.int64)
        for k in range(len(scores.windows)):
            adapter = scores.adapter[:, k].astype(np.int64) if scores.adapter is not None else NO_MODEL
            code = code * 512 + 2 * adapter + (scores.counts[:, k] == 0)
        _, some, kind = np.unique(code, return_index=True, return_inverse=True)
        return kind.astype(np.int64), some

    def _around_one(self, k: int) -> tuple[list[bytes], list[bytes]]:
        scores = self._scores
        codes = scores.adapter[k].tolist() if scores.adapter is not None else []
        rows = len(scores.block) if min(codes, default=NO_MODEL) != NO_MODEL else 1 + len(scores.windows)
        scored = [True] * len(codes) if scores.failed else (scores.counts[k] > 0).tolist()
        return around(
            scores.release, scores.windows, codes, scores.adapters, rows, scored, scores.coverage,
            fallback=bool(scores.level[k]),
        )  # fmt: skip

    def _special(self) -> Iterable[int]:
        """The series that have something of their own besides numbers."""
        duplicates = np.flatnonzero(self._request.duplicates).tolist()
        return range(len(self._scores.status)) if self._scores.failed else duplicates

    def _extra(self, k: int) -> bytes:
        duplicates = self._request.duplicates[k]
        return (_missing(self._scores, k) if self._scores.failed else b"") + _duplicates(duplicates)


def around(
    release: str,
    windows: tuple[Window, ...],
    codes: Sequence[int],
    adapters: tuple[str, ...],
    rows: int,
    scored: Sequence[bool],
    coverage: float,
    *,
    fallback: bool,
) -> tuple[list[bytes], list[bytes]]:
    """The texts around what is a series' own, see `kernels.tables.series_texts`.

    Args:
        release: that answers.
        windows: asked for.
        codes: of the model at each window the position in `adapters`, or `NO_MODEL`.
        adapters: names.
        rows: of the block that are answered.
        scored: whether a point has a score, by window.
        coverage: the share of its points that a window needs.
        fallback: whether the models are a fallback's.
    """
    used = [b""]
    if rows > 1 + len(windows):
        used = _models_used(release, windows, codes, adapters, fallback=fallback)
    missing = (
        []
        if all(scored)
        else [
            {"window": str(window), "reason": reason}
            for window, reason in missing_windows(windows, codes, scored, coverage).items()
        ]
    )
    used[-1] += b',"missing":' + _TEXT(missing) if missing else b""
    return _between(windows, rows), used


def _missing(scores: Scores, k: int) -> bytes:
    """Which windows have no score, and why."""
    if all(scores.counts[k].tolist()):
        return b""
    return b',"missing":' + _TEXT([{"window": str(w), "reason": why} for w, why in scores.missing(k).items()])


def status_text(status: Status) -> bytes:
    """A status as it is answered."""
    return _TEXT(str(status))


def _duplicates(count: int) -> bytes:
    return b',"duplicates":%d' % count if count else b""


def _head(labels: Iterable[str], status: bytes) -> bytes:
    return b'"region":%b,"host":%b,"metric":%b,"status":%b' % (*map(_TEXT, labels), status)


@functools.lru_cache(maxsize=256)
def _between(windows: tuple[Window, ...], rows: int) -> list[bytes]:
    """The text before the times, before each row of the block, and after the last."""
    names = [b'"%b":' % str(window).encode() for window in windows]
    before = [b',"anomaly_scores":{"timestamp":', b',"score":', *(b"," + name for name in names)]
    with_alerts = rows > 1 + len(windows) and rows % 2 == 0  # see `Scores.block`
    kinds = (b'},"expected":{', b'},"lower":{', b'},"upper":{')
    for kind in kinds[: (rows - 1 - with_alerts) // len(windows) - 1]:
        before += [kind + names[0], *(b"," + name for name in names[1:])]
    return [*before, b'},"alert_scores":', b""] if with_alerts else [*before, b"}"]


def _models_used(
    release: str, windows: tuple[Window, ...], codes: Sequence[int], adapters: tuple[str, ...], *, fallback: bool
) -> list[bytes]:
    """The list of models, in pieces between which the series is put that they were fitted to."""
    pieces, before = [], b',"models":[{"key":"'
    for window, code in zip(windows, codes, strict=True):
        if code != NO_MODEL:
            pieces.append(before)
            rest = (str(window).encode(), _TEXT(adapters[code]), _TEXT(release), b"true" if fallback else b"false")
            before = b'/%b","adapter":%b,"release":%b,"fallback":%b},{"key":"' % rest
    return [*pieces, before.removesuffix(b',{"key":"') + b"]"]
