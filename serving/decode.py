"""Decoding: from a request's body to a query; what is wrong with one series is kept apart from its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from myriad.formats.base import Bounds
from myriad.formats.columns.table import LABELS
from myriad.formats.columns.timestamps import epoch_seconds
from myriad.models.ensemble import Combine
from myriad.models.errors import BadRequest, InvalidKey, InvalidPoints, Malformed, TooLarge
from myriad.models.key import ModelKey, Series
from myriad.models.names import Names
from myriad.models.points import MAX_MAGNITUDE, Points
from myriad.models.windows import Window
from myriad.serving.schemas import Datapoint, OneSeries, Plain, PlainRequest, PredictRequest
from myriad.serving.scoring import Query

Labels = tuple[str, str, str]
Rows = Sequence[Datapoint] | Sequence[Plain]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request whose datapoints are not arrays yet.

    Attributes:
        labels: region, host and metric of each series, as posted.
        series: by position among the labels, those that have a possible name and datapoints.
        points: the datapoints of each of the labels.
        bad: why the others cannot be scored.
        windows: to score at, None for all.
        combine: how to make one score of them.
        single: whether one series was asked for by itself.
        bands: whether the answer is to have the bands.
        hosts: whether it is to have the hosts' scores.
    """

    labels: list[Labels]
    series: dict[int, Series]
    points: Sequence[Rows]
    bad: dict[int, str]
    windows: tuple[Window, ...] | None
    combine: Combine
    single: bool
    bands: bool
    hosts: bool


@dataclass(frozen=True, slots=True)
class Posted:
    """A request to score, alone or together with others.

    Attributes:
        parsed: the request.
        bad: why some of its series cannot be scored, by position among the labels.
        good: the positions of the others.
        first: where the first of those is among the series of the query they are scored with.
        posted: how many datapoints they were posted with.
    """

    parsed: Parsed
    bad: dict[int, str]
    good: list[int]
    first: int
    posted: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Requests that are scored together.

    Attributes:
        query: what to score.
        duplicates: how many points each of its series lost to others at the same time.
        posted: each request, or why it is none.
    """

    query: Query
    duplicates: list[int]
    posted: "list[Posted | BadRequest]"


class _Loose(Struct, forbid_unknown_fields=True):
    """The request with its items left undecoded, to find out which of them are at fault."""

    windows: list[str] | None = None
    combine: Combine = "weighted"
    bands: bool = False
    hosts: bool = False

    region: str | None = None
    host: str | None = None
    metric: str | None = None
    model_id: str | None = None
    datapoints: list[msgspec.Raw] | UnsetType = UNSET
    series: list[msgspec.Raw] | UnsetType = UNSET


class _Labelled(Struct):
    region: str
    host: str
    metric: str


_PLAIN = msgspec.json.Decoder(PlainRequest)
_STRICT = msgspec.json.Decoder(PredictRequest)
_LOOSE = msgspec.json.Decoder(_Loose)
_ROW = msgspec.json.Decoder(Datapoint)
_SERIES = msgspec.json.Decoder(OneSeries)
_LABELS = msgspec.json.Decoder(_Labelled)


def decode(body: bytes, bounds: Bounds) -> Joined:
    """The request in a body, by itself.

    Raises:
        BadRequest: the one series it is about is bad.
        Malformed, InvalidKey, TooLarge: as `parse`.
    """
    joined = join([parse(body, bounds)])
    (posted,) = joined.posted
    if isinstance(posted, BadRequest):
        raise posted
    return joined


def plain(body: bytes, bounds: Bounds) -> Parsed | None:
    """The request in a body, if it is of the usual kind and nothing is wrong with it: None where `parse` is to say."""
    try:
        request = _PLAIN.decode(body)
        series = Series.of(request.region, request.host, request.metric)
        windows = None if request.windows is None else tuple(Window.parse(text) for text in request.windows)
        bounds.check(1, len(request.datapoints))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidKey, TooLarge):
        return None
    if windows == ():
        return None
    points = [request.datapoints]
    return Parsed([series], {0: series}, points, {}, windows, request.combine, True, request.bands, False)


def parse(body: bytes, bounds: Bounds) -> Parsed:
    """The request in a body.

    Raises:
        Malformed: it is not JSON.
        BadRequest: it is not one.
        InvalidKey: the one series it is about has no possible name, or a window is not one.
        TooLarge: it holds more than the bounds allow.
    """
    try:
        request = _STRICT.decode(body)
    except msgspec.ValidationError as exc:
        request, labels, points, bad = _salvaged(body, exc)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Malformed(f"the body is not JSON: {exc}") from exc
    else:
        labels, points, bad = _parted(request)
    named = (request.region, request.host, request.metric, request.model_id)
    single = request.series is UNSET and named != (None, None, None, None)
    windows = tuple(Window.parse(text) for text in request.windows) if request.windows is not None else None
    if single:
        labels, windows = _named(request, windows)
    _check_asked(request, windows, single=single)
    bounds.check(len(labels), sum(map(len, points)))
    series: dict[int, Series] = {}
    for i, label in enumerate(labels):
        try:
            if i not in bad:
                series[i] = Series.of(*label)
        except InvalidKey as exc:
            if single:
                raise
            bad[i] = str(exc)
    return Parsed(labels, series, points, bad, windows, request.combine, single, request.bands, request.hosts)


def _check_asked(request: PredictRequest, windows: tuple[Window, ...] | None, *, single: bool) -> None:
    if windows == ():
        raise BadRequest("no window is asked for", "$.windows")
    if request.hosts and (single or windows is not None or request.combine != "weighted"):
        raise BadRequest("a host's score is of several series, all windows and their weighted combination", "$.hosts")


def join(requests: Sequence[Parsed]) -> Joined:
    """One query of requests for the same windows, combined in the same way; what is wrong with one harms no other."""
    points = [request.points[i] for request in requests for i in request.series]
    arrays, wrong = _checked(points)
    at, first, series, posted = 0, 0, list[Series](), list[Posted | BadRequest]()
    for request in requests:
        spoilt = {i: wrong[k] for k, i in enumerate(request.series, at) if k in wrong}
        at += len(request.series)
        if request.single and spoilt:
            posted.append(_refused(*spoilt.values()))
            continue
        good = [i for i in request.series if i not in spoilt]
        bad = {**request.bad, **{i: _told(why) for i, why in spoilt.items()}}
        posted.append(Posted(request, bad, good, first, sum(len(request.points[i]) for i in good)))
        series += [request.series[i] for i in good]
        first += len(good)
    tidied = arrays.tidied()
    bands = any(request.bands for request in requests)
    query = Query(Names.of(series), tidied.points, requests[0].windows, requests[0].combine, bands=bands)
    return Joined(query, tidied.duplicates.tolist(), posted)


def _refused(why: InvalidPoints) -> BadRequest:
    return BadRequest(str(why), "$.datapoints" if why.at is None else f"$.datapoints[{why.at}]")


def _told(why: InvalidPoints) -> str:
    return str(why) if why.at is None else f"datapoints[{why.at}]: {why}"


def _named(
    request: PredictRequest, windows: tuple[Window, ...] | None
) -> tuple[list[Labels], tuple[Window, ...] | None]:
    """The one series a request is about, and the windows it asks for."""
    if request.model_id is None:
        labels = request.region, request.host, request.metric
        for part, label in zip(LABELS, labels, strict=True):
            if label is None:
                raise BadRequest(f"{part} is missing", f"$.{part}")
        return [(labels[0] or "", labels[1] or "", labels[2] or "")], windows
    if request.region is not None or request.host is not None or request.metric is not None:
        raise BadRequest("model_id names the series; leave region, host and metric out", "$.model_id")
    if request.model_id.count("/") < 3:
        return [Series.parse(request.model_id)], windows
    if windows is not None:
        raise BadRequest("model_id names a window; leave windows out, or the window", "$.windows")
    key = ModelKey.parse(request.model_id)
    return [key.series], (key.window,)


def _parted(request: PredictRequest) -> tuple[list[Labels], list[list[Datapoint]], dict[int, str]]:
    """The labels and datapoints of each series of a well-formed request."""
    if (request.series is UNSET) == (request.datapoints is UNSET):
        raise BadRequest("a request has either datapoints or series")
    if not isinstance(request.series, UnsetType):
        for part in ("region", "host", "metric", "model_id"):
            if getattr(request, part) is not None:
                raise BadRequest("each of the series names itself; leave it out", f"$.{part}")
        labels = [(one.region, one.host, one.metric) for one in request.series]
        return labels, [one.datapoints for one in request.series], {}
    rows = request.datapoints if not isinstance(request.datapoints, UnsetType) else []
    if request.region is not None or request.host is not None or request.metric is not None or request.model_id:
        for at, row in enumerate(rows):
            if row.region is not None or row.host is not None or row.metric is not None:
                raise BadRequest("the request names the series already", f"$.datapoints[{at}]")
        return [("", "", "")], [rows], {}
    return _by_label([(row, _label(row, at)) for at, row in enumerate(rows)])


def _label(row: Datapoint, at: int) -> Labels:
    if row.region is not None and row.host is not None and row.metric is not None:
        return row.region, row.host, row.metric
    part = next(part for part in LABELS if getattr(row, part) is None)
    raise BadRequest(f"{part} is missing, in the datapoint and in the request", f"$.datapoints[{at}].{part}")


def _by_label(
    rows: "Sequence[tuple[Datapoint | str, Labels]]",
) -> tuple[list[Labels], list[list[Datapoint]], dict[int, str]]:
    """Rows, or what is wrong with them, by the series they are of."""
    place: dict[Labels, int] = {}
    points: list[list[Datapoint]] = []
    bad: dict[int, str] = {}
    for row, label in rows:
        i = place.setdefault(label, len(place))
        if i == len(points):
            points.append([])
        if isinstance(row, str):
            bad.setdefault(i, row)
        else:
            points[i].append(row)
    return list(place), points, bad


def _salvaged(
    body: bytes, error: msgspec.ValidationError
) -> tuple[PredictRequest, list[Labels], list[list[Datapoint]], dict[int, str]]:
    """What can be scored of a request of which something is not as it should be."""
    loose = decoded(_LOOSE, body, "$")
    if loose.region is not None or loose.model_id is not None or (loose.series is UNSET) == (loose.datapoints is UNSET):
        raise _explained(error) from error
    request = PredictRequest(windows=loose.windows, combine=loose.combine, bands=loose.bands, hosts=loose.hosts)
    if isinstance(loose.series, UnsetType):
        rows = [_row(raw, f"$.datapoints[{at}]") for at, raw in enumerate(loose.datapoints or ())]
        return request, *_by_label(rows)
    request.series = []
    labels, points, bad = [], [], {}
    for i, raw in enumerate(loose.series):
        field = f"$.series[{i}]"
        try:
            one = decoded(_SERIES, raw, field)
            label, datapoints = (one.region, one.host, one.metric), one.datapoints
        except Malformed:
            raise
        except BadRequest as exc:
            label, datapoints = _labels(raw, field), []
            bad[i] = f"{exc} - at {exc.field}"
        labels.append(label)
        points.append(datapoints)
    return request, labels, points, bad


def _row(raw: msgspec.Raw, field: str) -> tuple[Datapoint | str, Labels]:
    labels = _labels(raw, field)
    try:
        return decoded(_ROW, raw, field), labels
    except Malformed:
        raise
    except BadRequest as exc:
        return f"{exc} - at {exc.field}", labels


def _labels(raw: msgspec.Raw, field: str) -> Labels:
    labelled = decoded(_LABELS, raw, field)
    return labelled.region, labelled.host, labelled.metric


def decoded(decoder: "msgspec.json.Decoder[T]", body: bytes | msgspec.Raw, field: str = "$") -> T:
    """A request or a part of one, which is at `field`.

    Raises:
        Malformed: it is not JSON.
        BadRequest: it is not of the decoder's type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _explained(exc, field) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Malformed(f"the body is not JSON: {exc}") from exc


def _explained(error: msgspec.ValidationError, within: str = "$") -> BadRequest:
    """Msgspec's message, "why - at `$.field`", with the field apart."""
    why, _, field = str(error).partition(" - at `")
    return BadRequest(why, within + field.rstrip("`")[1:])


def _checked(points: Sequence[Rows]) -> tuple[Points, dict[int, InvalidPoints]]:
    """The datapoints as arrays, and why those of some series cannot be; those are left out."""
    try:
        return _arrays(points), {}
    except InvalidPoints:
        wrong = {}
    for i, one in enumerate(points):
        try:
            _arrays([one])
        except InvalidPoints as exc:
            wrong[i] = exc
    return _arrays([one for i, one in enumerate(points) if i not in wrong]), wrong


def _arrays(points: Sequence[Rows]) -> Points:
    if not all(points):
        raise InvalidPoints("there are no datapoints")
    flat = points[0] if len(points) == 1 else [point for one in points for point in one]
    times = epoch_seconds([point.timestamp for point in flat])
    values = np.array([point.value for point in flat], np.float64)
    if len(huge := np.flatnonzero(np.abs(values) > MAX_MAGNITUDE)):
        raise InvalidPoints(f"value {values[huge[0]]:g} is beyond {MAX_MAGNITUDE:g}", int(huge[0]))
    return Points(times, values, np.cumsum([0, *map(len, points)], dtype=np.int64))
