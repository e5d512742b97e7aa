"""Prometheus: history asked for over its HTTP API, a stretch of time after the other.

The API is that of `query_range` in Prometheus' documentation, "HTTP API"; Thanos, Mimir and VictoriaMetrics speak it.
"""

import logging
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import numpy as np
import pyarrow as pa

from myriad.formats.base import Rows
from myriad.formats.columns.cells import COLUMNS, LABEL
from myriad.formats.layout import Layout
from myriad.formats.left_out import LeftOut
from myriad.models.errors import InvalidJob, InvalidPoints, StoreError, Unavailable
from myriad.training.job.config import Prometheus

_log = logging.getLogger(__name__)

MAX_POINTS = 11_000
"""A server refuses to give more points of a series in one answer."""
FIRST_POINTS = 60
"""Asked of each series at first, when nobody knows how many there are."""
ANSWER_POINTS = 500_000
"""Of all series together, about: what an answer is to have."""
ANSWER_BYTES = 64 << 20
"""A larger answer is not read, and a shorter stretch is asked for."""
TIMEOUT = httpx.Timeout(150.0, connect=5.0)
"""A server gives a query two minutes before it gives it up."""
ATTEMPTS, PAUSE_SECONDS = 3, 1.0


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    histograms: list[msgspec.Raw] = []


class _Data(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    errorType: str = ""  # noqa: N815  as the API has it
    error: str = ""
    warnings: list[str] | None = None
    isPartial: bool = False  # noqa: N815  of VictoriaMetrics


class _TooLarge(Exception):
    """An answer has more than `ANSWER_BYTES`."""


def batches(
    source: Prometheus, start: int, end: int, left_out: LeftOut, *, pause: float = PAUSE_SECONDS
) -> Iterator[pa.RecordBatch]:
    """The points of every query from `start` to `end`, in epoch seconds, both included, as batches of `cells.SCHEMA`.

    Args:
        source: whom to ask, and what.
        start: the first point is at the first multiple of the step from here on.
        end: the last moment asked for.
        left_out: told of points whose labels telemetry cannot have.
        pause: seconds before a failed request is tried again; twice as long before the next.

    Raises:
        InvalidJob: a header's environment variable is not set.
        InvalidPoints: a query gives several values for a host at one moment, too many series, native histograms, or
            series without a label that names them.
        StoreError: a query was refused, or answered in part only where that is not allowed.
        Unavailable: the server is out of reach, or failed at each of three attempts.
    """
    with httpx.Client(headers=_headers(source), timeout=TIMEOUT) as client:
        for metric, query in source.queries.items():
            for found in _answers(client, source, metric, query, (start, end), pause):
                yield from Layout().read(source.url, Rows(_batch(source, metric, query, found), 0), {}, left_out)


def _headers(source: Prometheus) -> dict[str, str]:
    if missing := [name for name in source.headers_env.values() if name not in os.environ]:
        raise InvalidJob(f"the environment variable {missing[0]} is not set; history.prometheus.headers_env names it")
    return {header: os.environ[name].strip() for header, name in source.headers_env.items()}


def _answers(
    client: httpx.Client, source: Prometheus, metric: str, query: str, span: tuple[int, int], pause: float
) -> Iterator[list[_Series]]:
    """What is found in one stretch after the other, each as long as the number of series of the last allows."""
    step, points = int(source.step), FIRST_POINTS
    first, end = -(-span[0] // step) * step, span[1]
    while first <= end:
        last = min(first + (points - 1) * step, end)
        form = {"query": query, "start": str(first), "end": str(last), "step": str(step)}
        try:
            found = _answer(client, source, metric, form, pause)
        except _TooLarge as exc:
            if points == 1:
                raise InvalidPoints(
                    f"{source.url}: query {metric!r} ({query}) gives more than {ANSWER_BYTES >> 20} MB for one moment; "
                    "split it into several"
                ) from exc
            points = max(1, points // 4)
            continue
        yield found
        first += points * step
        points = min(max(ANSWER_POINTS // max(len(found), 1), 1), 2 * points, MAX_POINTS)


def _answer(client: httpx.Client, source: Prometheus, metric: str, form: dict[str, str], pause: float) -> list[_Series]:
    """What a query finds; asked again where the server fails."""
    for attempt in range(ATTEMPTS):
        try:
            return _asked(client, source, metric, form)
        except Unavailable:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(pause * 2**attempt)
    raise AssertionError("unreachable")


def _asked(client: httpx.Client, source: Prometheus, metric: str, form: dict[str, str]) -> list[_Series]:
    what = f"query {metric!r} ({form['query']})"
    try:
        with client.stream("POST", f"{source.url}/api/v1/query_range", data=form) as response:
            body = b"".join(_bounded(response))
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise Unavailable(source.url, "api/v1/query_range", f"{what}: {str(exc) or type(exc).__name__}") from exc
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError as exc:
        shown = body[:200].decode(errors="replace")
        answer = _Answer("error", None, "no answer of Prometheus", f"{exc}: {shown}")
    if answer.status == "success" and answer.data:
        _demand_whole(source, what, answer)
        return answer.data.result
    kind = Unavailable if response.status_code >= 500 or response.status_code == 429 else StoreError
    why = f"{what} was answered {response.status_code} {answer.errorType}: {answer.error}"
    raise kind(source.url, "api/v1/query_range", why)


def _demand_whole(source: Prometheus, what: str, answer: _Answer) -> None:
    """A part of an answer must not be published as if it were all."""
    if not (answer.warnings or answer.isPartial):
        return
    why = "; ".join(answer.warnings or ["the server says isPartial"])[:500]
    if not source.allow_partial:
        raise StoreError(
            source.url,
            "api/v1/query_range",
            f"{what} was answered in part only: {why}; history.prometheus.allow_partial: true takes such answers",
        )
    _log.warning("%s: %s was answered in part only: %s", source.url, what, why)


def _bounded(response: httpx.Response) -> Iterator[bytes]:
    size = 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > ANSWER_BYTES:
            raise _TooLarge
        yield chunk


def _batch(source: Prometheus, metric: str, query: str, found: list[_Series]) -> pa.RecordBatch:
    labels = [_labels(source, metric, query, one) for one in found]
    owner = np.repeat(np.arange(len(found)), [len(one.values) for one in found])
    times = np.array([when for one in found for when, _ in one.values], np.float64).astype(np.int64)
    values = np.array([_number(value) for one in found for _, value in one.values], np.float64)
    there = ~np.isnan(values)
    owner, times, values = owner[there], times[there], values[there]
    _demand_one_value(source, metric, query, labels, owner, times)
    columns: list[Any] = [_repeated([label[kind] for label in labels], owner) for kind in (0, 1)]
    columns += [_repeated([metric], np.zeros_like(owner)), times, values]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=COLUMNS)


def _labels(source: Prometheus, metric: str, query: str, one: _Series) -> tuple[str, str]:
    """The region and the host of a series."""
    if one.histograms:
        raise InvalidPoints(
            f"{source.url}: query {metric!r} ({query}) gives native histograms, which are no numbers; ask for one of "
            "theirs, as in `histogram_quantile(0.99, ...)` or `histogram_count(...)`"
        )
    region = one.metric.get(source.region_label, "") if source.region_label else ""
    named = {source.region_label: region or source.region, source.host_label: one.metric.get(source.host_label)}
    for label, value in named.items():
        if not value:
            has = ", ".join(f"{name}={text!r}" for name, text in sorted(one.metric.items()))[:300] or "none at all"
            raise InvalidPoints(
                f"{source.url}: query {metric!r} ({query}) gives a series without the label {label!r}; it has {has}"
            )
    return named[source.region_label] or "", named[source.host_label] or ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _demand_one_value(
    source: Prometheus, metric: str, query: str, labels: list[tuple[str, str]], owner: Any, times: Any
) -> None:
    """Two series of one host at the same moment would be taken for one that jumps to and fro."""
    if len(set(labels)) == len(labels):
        return
    places: dict[tuple[str, str], int] = {}
    host = np.array([places.setdefault(label, len(places)) for label in labels], np.int64)[owner]
    order = np.lexsort((times, host))
    twice = (np.diff(host[order]) == 0) & (np.diff(times[order]) == 0)
    if twice.any():
        region, name = labels[owner[order][np.argmax(twice)]]
        by = ", ".join(label for label in (source.region_label, source.host_label) if label)
        raise InvalidPoints(
            f"{source.url}: query {metric!r} ({query}) gives several series for host {name!r} of region {region!r}; "
            f"aggregate them, as in `sum by ({by}) (...)`"
        )


def _repeated(labels: list[str], owner: Any) -> pa.Array:
    return pa.array(labels, pa.string()).take(pa.array(owner, pa.int64())).dictionary_encode().cast(LABEL)
