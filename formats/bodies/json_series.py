"""JSON about series: one, rows of many, or a list. An error in one series of a request leaves the others alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from myriad.formats.base import Bounds
from myriad.formats.bodies.options import Options, check_hosts, parse_windows
from myriad.formats.bodies.reading import bad_request, decode_json, decoded, echoed
from myriad.formats.bodies.schemas import Datapoint, OneSeries, PredictRequest
from myriad.formats.columns.cells import LABELS
from myriad.formats.columns.table import grouping_of
from myriad.formats.columns.timestamps import epoch_seconds, seconds_of
from myriad.kernels.tables import rows_of
from myriad.models.errors import BadRequest, InvalidKey, InvalidPoints, Malformed
from myriad.models.key import ModelKey, Series
from myriad.models.names import Names
from myriad.models.points import MAX_MAGNITUDE, Points
from myriad.models.query import Query
from myriad.models.windows import Window

Labels = tuple[str, str, str]
Datapoints = Sequence[Datapoint]
NO_VALUES = "no datapoint has a value"


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """A request about series.

    Attributes:
        labels: region, host and metric of each series, as posted.
        good: the positions among the labels of the query's series.
        bad: why the others cannot be scored, by position among the labels.
        query: of the good ones.
        duplicates: how many points of each good series were dropped for a later one with the same timestamp.
        point_count: how many datapoints the good series were posted with.
        single: whether the request is about one series, so that its answer is not a list.
        digits: significant digits of the answer's numbers; 0 for as many as they have.
    """

    labels: list[Labels] | Names
    good: Sequence[int]
    bad: dict[int, str]
    query: Query
    duplicates: list[int]
    point_count: int
    single: bool
    digits: int


class _LenientRequest(Options, forbid_unknown_fields=True):
    """The request with its items left undecoded, to find out which of them are invalid."""

    region: str | None = None
    host: str | None = None
    metric: str | None = None
    model_id: str | None = None
    datapoints: list[msgspec.Raw] | UnsetType = UNSET
    series: list[msgspec.Raw] | UnsetType = UNSET


class _SeriesLabels(Struct):
    region: str
    host: str
    metric: str


_OPTIONS = msgspec.json.Decoder(Options)
_STRICT = msgspec.json.Decoder(PredictRequest)
_LENIENT = msgspec.json.Decoder(_LenientRequest)
_DATAPOINT = msgspec.json.Decoder(Datapoint)
_SERIES = msgspec.json.Decoder(OneSeries)
_LABELS = msgspec.json.Decoder(_SeriesLabels)


def parse(body: bytes, bounds: Bounds) -> SeriesRequest:
    """The request in a body. An error in one of several series leaves the others alone.

    Raises:
        Malformed: it is not JSON.
        BadRequest: it is not a request, or is about one series whose datapoints are bad.
        InvalidKey: the request is about one series whose name is not valid, or a window is not one.
        TooLarge: it holds more series or datapoints than the bounds allow.
    """
    if (found := rows_of(body, bounds.points)) and (tidy := _tidy_rows(found, bounds)):
        return tidy
    return _parse_any(body, bounds)


def _parse_any(body: bytes, bounds: Bounds) -> SeriesRequest:
    try:
        request = decoded(_STRICT, body)
    except msgspec.ValidationError as exc:
        request, labels, points, bad = _parse_leniently(body, exc, bounds)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Malformed(f"the body is not JSON: {exc}") from exc
    else:
        labels, points, bad = _series_of(request)
    names = (request.region, request.host, request.metric, request.model_id)
    single = request.series is UNSET and names != (None, None, None, None)
    windows = parse_windows(request.windows)
    if single:
        labels, windows = _named_series(request, windows)
    check_hosts(hosts=request.hosts, windows=windows, combine=request.combine, single=single)
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
    arrays, errors = _valid_points([points[i] for i in series])
    invalid = {i: errors[k] for k, i in enumerate(series) if k in errors}
    if single and invalid:
        raise _bad_datapoint(*invalid.values())
    good = [i for i in series if i not in invalid]
    bad = {**bad, **{i: _error_text(error) for i, error in invalid.items()}}
    tidied = arrays.tidied()
    query = Query(
        Names.of([series[i] for i in good]), tidied.points, windows, request.combine,
        bands=request.bands, hosts=request.hosts, models=True, alerts=request.alerts,
    )  # fmt: skip
    labels = [_echoed(label) if i in bad else label for i, label in enumerate(labels)] if bad else labels
    point_count = sum(len(points[i]) for i in good)
    return SeriesRequest(labels, good, bad, query, tidied.duplicates.tolist(), point_count, single, request.digits)


def _tidy_rows(found: dict[str, Any], bounds: Bounds) -> SeriesRequest | None:
    """The request in rows that have been read as columns; None where something is wrong in it, which others name."""
    words, codes, times, values = found.pop("datapoints")
    grouping = grouping_of(Names(words, codes))
    points = Points(grouping.in_order(times), grouping.in_order(values), grouping.offsets).where(
        np.isfinite(grouping.in_order(values))
    )
    if grouping.bad or not points.lengths.all():
        return None
    fields = [b'"%b":%b' % (name.encode(), raw) for name, raw in found.items()]
    options = decode_json(_OPTIONS, b"{%b}" % b",".join(fields))
    windows = parse_windows(options.windows)
    check_hosts(hosts=options.hosts, windows=windows, combine=options.combine)
    bounds.check(len(grouping.names), len(times))
    tidied = points.tidied()
    query = Query(
        grouping.names, tidied.points, windows, options.combine,
        bands=options.bands, hosts=options.hosts, models=True, alerts=options.alerts,
    )  # fmt: skip
    count, duplicates = len(grouping.names), tidied.duplicates.tolist()
    return SeriesRequest(grouping.names, range(count), {}, query, duplicates, len(points.values), False, options.digits)


def _echoed(label: Labels) -> Labels:
    """The labels of a series that cannot be one, as they are repeated in the answer."""
    region, host, metric = map(echoed, label)
    return region, host, metric


def _bad_datapoint(error: InvalidPoints) -> BadRequest:
    return BadRequest(str(error), "$.datapoints" if error.at is None else f"$.datapoints[{error.at}]")


def _error_text(error: InvalidPoints) -> str:
    return str(error) if error.at is None else f"datapoints[{error.at}]: {error}"


def _named_series(
    request: PredictRequest, windows: tuple[Window, ...] | None
) -> tuple[list[Labels], tuple[Window, ...] | None]:
    """The labels of the one series that a request is about, and the windows it asks for."""
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


def _series_of(request: PredictRequest) -> tuple[list[Labels], list[list[Datapoint]], dict[int, str]]:
    """The labels and datapoints of each series of a well-formed request, and why some cannot be scored."""
    if (request.series is UNSET) == (request.datapoints is UNSET):
        raise BadRequest("a request has either datapoints or series")
    if not isinstance(request.series, UnsetType):
        for part in ("region", "host", "metric", "model_id"):
            if getattr(request, part) is not None:
                raise BadRequest("each of the series names itself; leave it out", f"$.{part}")
        labels = [(series.region, series.host, series.metric) for series in request.series]
        return labels, [series.datapoints for series in request.series], {}
    rows = request.datapoints if not isinstance(request.datapoints, UnsetType) else []
    if request.region is not None or request.host is not None or request.metric is not None or request.model_id:
        for at, row in enumerate(rows):
            if row.region is not None or row.host is not None or row.metric is not None:
                raise BadRequest("the request names the series already", f"$.datapoints[{at}]")
        return [("", "", "")], [rows], {}
    return _group_rows([(row, _labels_of(row, at)) for at, row in enumerate(rows)])


def _labels_of(row: Datapoint, at: int) -> Labels:
    if row.region is not None and row.host is not None and row.metric is not None:
        return row.region, row.host, row.metric
    part = next(part for part in LABELS if getattr(row, part) is None)
    raise BadRequest(f"{part} is missing, in the datapoint and in the request", f"$.datapoints[{at}].{part}")


def _group_rows(
    rows: "Sequence[tuple[Datapoint | str, Labels]]",
) -> tuple[list[Labels], list[list[Datapoint]], dict[int, str]]:
    """Rows, or the errors in them, by series: labels, datapoints and why some series cannot be scored."""
    positions: dict[Labels, int] = {}
    points: list[list[Datapoint]] = []
    bad: dict[int, str] = {}
    for row, label in rows:
        i = positions.setdefault(label, len(positions))
        if i == len(points):
            points.append([])
        if isinstance(row, str):
            bad.setdefault(i, row)
        else:
            points[i].append(row)
    return list(positions), points, bad


def _parse_leniently(
    body: bytes, error: msgspec.ValidationError, bounds: Bounds
) -> tuple[PredictRequest, list[Labels], list[list[Datapoint]], dict[int, str]]:
    """What can be scored of a request in which some item is invalid: as `_series_of`, item by item."""
    lenient = decode_json(_LENIENT, body, "$")
    one_series = lenient.region is not None or lenient.model_id is not None
    if one_series or (lenient.series is UNSET) == (lenient.datapoints is UNSET):
        raise bad_request(error) from error
    options = {name: getattr(lenient, name) for name in Options.__struct_fields__}
    request = PredictRequest(**options)
    if isinstance(lenient.series, UnsetType):
        bounds.check(0, len(lenient.datapoints or ()))
        rows = [_decode_row(raw, f"$.datapoints[{at}]") for at, raw in enumerate(lenient.datapoints or ())]
        return request, *_group_rows(rows)
    bounds.check(len(lenient.series), 0)
    request.series = []
    labels, points, bad = [], [], {}
    for i, raw in enumerate(lenient.series):
        field = f"$.series[{i}]"
        try:
            series = decode_json(_SERIES, raw, field)
            label, datapoints = (series.region, series.host, series.metric), series.datapoints
        except Malformed:
            raise
        except BadRequest as exc:
            label, datapoints = _decode_labels(raw, field), []
            bad[i] = f"{exc} - at {exc.field}"
        labels.append(label)
        points.append(datapoints)
    return request, labels, points, bad


def _decode_row(raw: msgspec.Raw, field: str) -> tuple[Datapoint | str, Labels]:
    labels = _decode_labels(raw, field)
    try:
        return decode_json(_DATAPOINT, raw, field), labels
    except Malformed:
        raise
    except BadRequest as exc:
        return f"{exc} - at {exc.field}", labels


def _decode_labels(raw: msgspec.Raw, field: str) -> Labels:
    labels = decode_json(_LABELS, raw, field)
    return labels.region, labels.host, labels.metric


def _valid_points(points: Sequence[Datapoints]) -> tuple[Points, dict[int, InvalidPoints]]:
    """The datapoints of the valid series as arrays, and by position why those of the others are left out."""
    flat = [point for series in points for point in series]
    offsets = np.cumsum([0, *map(len, points)], dtype=np.int64)
    stamps = [point.timestamp for point in flat]
    times, values = seconds_of(stamps), np.array([point.value for point in flat], np.float64)  # None is NaN
    known = np.isfinite(values)
    valid = Points(times, values, offsets).where(known)
    empty = np.flatnonzero(valid.lengths == 0).tolist()
    errors = {i: InvalidPoints(NO_VALUES if len(points[i]) else "there are no datapoints") for i in empty}
    wrong = np.flatnonzero((times < 0) | (np.abs(values) > MAX_MAGNITUDE) & known)
    for at, i in zip(wrong.tolist(), (np.searchsorted(offsets, wrong, "right") - 1).tolist(), strict=True):
        if i not in errors:
            errors[i] = _why_invalid(stamps[at], float(values[at]), at - int(offsets[i]))
    return (valid.take(np.delete(np.arange(len(points)), list(errors))) if errors else valid), errors


def _why_invalid(stamp: object, value: float, at: int) -> InvalidPoints:
    """Why a point cannot be scored: its time, or else its value."""
    try:
        epoch_seconds([stamp])
    except InvalidPoints as exc:
        return InvalidPoints(str(exc), at)
    return InvalidPoints(f"value {value:g} is beyond {MAX_MAGNITUDE:g}", at)
