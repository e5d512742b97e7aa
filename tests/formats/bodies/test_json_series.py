"""From a body to a query, and every way in which a body is none."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myriad.formats.base import Bounds
from myriad.formats.bodies.json_series import SeriesRequest, parse
from myriad.kernels._bodies_py import one_series
from myriad.models.errors import BadRequest, InvalidKey, Malformed, MyriadError, TooLarge
from myriad.models.windows import Window

BOUNDS = Bounds(points=100, series=10)
POINTS = [{"timestamp": 60, "value": 1.0}, {"timestamp": 120, "value": 2.0}]
NAMED = {"region": "r", "host": "h", "metric": "m"}
SINGLE: dict[str, Any] = {**NAMED, "datapoints": POINTS}
NEIGHBOUR = {**NAMED, "host": "neighbour", "datapoints": POINTS}


def decoded(body: Any) -> SeriesRequest:
    """What a body is decoded to."""
    return parse(body if isinstance(body, bytes) else json.dumps(body).encode(), BOUNDS)


def hosts(request: SeriesRequest) -> list[str]:
    """The host of each series to score."""
    return [request.query.names[i].host for i in range(len(request.query.names))]


def point(timestamp: str = "60", value: str = "1") -> bytes:
    """A request with one point, its timestamp and value as they stand in the JSON."""
    names = json.dumps(NAMED)[:-1]
    return f'{names}, "datapoints": [{{"timestamp": {timestamp}, "value": {value}}}]}}'.encode()


def test_one_series_is_posted_by_itself() -> None:
    got = decoded(SINGLE)
    assert (got.single, got.labels, got.bad, got.good) == (True, [("r", "h", "m")], {}, [0])
    assert got.query.points.timestamps.tolist() == [60, 120]
    assert got.query.points.values.tolist() == [1.0, 2.0]
    assert (got.query.windows, got.query.combine, got.query.bands) == (None, "weighted", False)


def test_rows_are_grouped_in_the_order_of_their_first() -> None:
    rows = [{**NAMED, "host": host, "timestamp": 60 * i, "value": i} for i, host in enumerate("babca")]
    got = decoded({"datapoints": rows})
    assert hosts(got) == ["b", "a", "c"]
    assert [got.query.points.series(i)[1].tolist() for i in range(3)] == [[0, 2], [1, 4], [3]]
    assert not got.single


def test_a_list_of_series_keeps_its_order_and_its_repetitions() -> None:
    got = decoded({"series": [NEIGHBOUR, SINGLE, NEIGHBOUR]})
    assert hosts(got) == ["neighbour", "h", "neighbour"]
    assert got.query.points.lengths.tolist() == [2, 2, 2]


def test_a_request_of_no_series_is_one() -> None:
    assert decoded({"series": []}).labels == decoded({"datapoints": []}).labels == []


@pytest.mark.parametrize(("model_id", "windows"), [("r/h/m", None), ("r/h/m/15m", (Window(900),))])
def test_a_model_id_names_a_series_and_perhaps_a_window(model_id: str, windows: Any) -> None:
    got = decoded({"model_id": model_id, "datapoints": POINTS})
    assert (got.labels, got.query.windows, got.single) == ([("r", "h", "m")], windows, True)


def test_windows_combine_and_bands_are_taken_over() -> None:
    got = decoded({**SINGLE, "windows": ["1h", "1m"], "combine": "min", "bands": True})
    assert (got.query.windows, got.query.combine, got.query.bands) == ((Window(3600), Window(60)), "min", True)


@pytest.mark.parametrize(
    "times",
    [
        [1764547140, 1764547200, 1764547260],
        [1764547140.9, 1764547200.0, 1764547260.5],
        [1764547140000, 1764547200000, 1764547260999],
        ["2025-11-30T23:59:00Z", "2025-12-01T00:00:00+00:00", "2025-12-01T01:01:00+01:00"],
        [1764547140, 1764547200000, "2025-12-01T00:01:00.5Z"],
        [1764547140000000, 1764547200000000000, "2025-12-01 00:01:00 UTC"],
        ["2025-11-30t23:59:00z", "30/Nov/2025:23:59:60 +0000", "2025-12-01T00:00:60Z"],
    ],
)
def test_times_are_numbers_of_any_unit_or_text_and_may_be_mixed(times: list[Any]) -> None:
    got = decoded({**NAMED, "datapoints": [{"timestamp": t, "value": 1} for t in times]})
    assert got.query.points.timestamps.tolist() == [1764547140, 1764547200, 1764547260]


def test_points_out_of_order_are_put_in_order_and_the_last_of_duplicates_wins() -> None:
    values = [(120, 1), (60, 2), (120, 3)]
    got = decoded({**NAMED, "datapoints": [{"timestamp": t, "value": v} for t, v in values]})
    assert got.query.points.series(0)[1].tolist() == [2, 3]
    assert got.duplicates == [1]


@pytest.mark.parametrize("nothing", ["null", "NaN", "Infinity", "-Infinity"])
def test_a_datapoint_without_a_value_is_left_out(nothing: str) -> None:
    """Also where it is written as Python does; words within text stay."""
    rows = f'{{"timestamp": 60, "value": 1}}, {{"timestamp": 120, "value": {nothing}, "unit": "NaN, Infinity"}}'
    got = decoded(f'{{"region": "NaN", "host": "-Infinity", "metric": "m", "datapoints": [{rows}]}}'.encode())
    assert got.labels == [("NaN", "-Infinity", "m")]
    assert got.query.points.timestamps.tolist() == [60]
    assert (got.query.points.values.tolist(), got.point_count) == ([1], 2)


def test_names_may_have_slashes_and_dots() -> None:
    assert decoded({**SINGLE, "host": "/dev/sda1", "metric": ".."}).labels == [("r", "/dev/sda1", "..")]
    assert decoded({"model_id": "r/%2Fdev%2Fsda1/%2E%2E", "datapoints": POINTS}).labels == [("r", "/dev/sda1", "..")]


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert decoded(b'{"region": "x", ' + point()[1:]).labels == [("r", "h", "m")]


def test_a_datapoint_may_have_fields_of_its_own() -> None:
    assert decoded({**NAMED, "datapoints": [{**POINTS[0], "unit": "%"}]}).query.points.lengths.tolist() == [1]


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"nothing", b"{} {}", b"\xef\xbb\xbf{}", b"\xff",
        b'{"region": "\xff"}', b'{"region": "\\ud800"}',
        point(value="01"), point(value="nan"), point(value="+Infinity"), point(value="NaNs"),
        b'{"datapoints": [{"timestamp": null}, broken',
        b'{"series": [{"region": 5}, {"region": "\\q"}]}',
    ],
)  # fmt: skip
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="not JSON"):
        decoded(body)


@pytest.mark.parametrize(
    "deep",
    [
        b"[" * 100_000,
        b'{"datapoints": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"series": [' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}",
        b'{"unknown": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["open", "datapoints", "series", "unknown"],
)
def test_what_is_nested_deep_is_refused(deep: bytes) -> None:
    with pytest.raises(BadRequest):
        decoded(deep)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "$"),
        (None, "$"),
        ({}, "$"),
        ({**SINGLE, "series": [SINGLE]}, "$"),
        ({"series": [SINGLE], "region": "r"}, "$.region"),
        ({"series": [SINGLE], "metric": "m"}, "$.metric"),
        ({"series": [SINGLE], "model_id": "r/h/m"}, "$.model_id"),
        ({**SINGLE, "model_id": "r/h/m"}, "$.model_id"),
        ({"model_id": "r/h/m/1m", "datapoints": POINTS, "windows": ["1m"]}, "$.windows"),
        ({**SINGLE, "windows": []}, "$.windows"),
        ({**SINGLE, "windows": "1m"}, "$.windows"),
        ({**SINGLE, "windows": [1]}, "$.windows[0]"),
        ({**SINGLE, "combine": "sum"}, "$.combine"),
        ({**SINGLE, "bands": 1}, "$.bands"),
        ({**SINGLE, "region": 5}, "$.region"),
        ({"region": "r", "metric": "m", "datapoints": POINTS}, "$.host"),
        ({**SINGLE, "model": "x"}, "$"),
        ({**NAMED, "datapoints": []}, "$.datapoints"),
        ({**NAMED, "datapoints": {}}, "$.datapoints"),
        ({**NAMED, "datapoints": [5]}, "$.datapoints[0]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": 1}]}, "$.datapoints[2]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": 1, "value": "high"}]}, "$.datapoints[2].value"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": 1, "value": "NaN"}]}, "$.datapoints[2].value"),
        (point(timestamp="NaN"), "$.datapoints[0].timestamp"),
        ({**NAMED, "datapoints": [{"timestamp": 1, "value": None}]}, "$.datapoints"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": 1, "value": True}]}, "$.datapoints[2].value"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": 1, "value": 1e200}]}, "$.datapoints[2]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": None, "value": 1}]}, "$.datapoints[2].timestamp"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": -1, "value": 1}]}, "$.datapoints[2]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": "noon", "value": 1}]}, "$.datapoints[2]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": "2025-12-01T00:00:00", "value": 1}]}, "$.datapoints[2]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": "9999-12-31T00:00:00Z", "value": 1}]}, "$.datapoints[2]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": 10**30, "value": 1}]}, "$.datapoints[2]"),
        ({**NAMED, "datapoints": [*POINTS, {"timestamp": 10**400, "value": 1}]}, "$.datapoints[2]"),
        ({"datapoints": [{**NAMED, **POINTS[0]}, {"region": "r", "host": "h", **POINTS[0]}]}, "$.datapoints[1].metric"),
        ({"datapoints": [{**NAMED, "host": 5, **POINTS[0]}]}, "$.datapoints[0].host"),
        ({"series": [SINGLE, 5]}, "$.series[1]"),
        ({"series": [SINGLE, {"region": "r", "datapoints": POINTS}]}, "$.series[1]"),
    ],
)  # fmt: skip
def test_what_is_no_request_says_which_field_is_at_fault(body: Any, field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decoded(body)
    assert refused.value.field == field
    assert not isinstance(refused.value, Malformed)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400, "1" * 5000])
def test_numbers_too_large_to_be_any_are_refused(number: str) -> None:
    for body in (point(value=number), point(timestamp=number)):
        with pytest.raises(BadRequest):
            decoded(body)


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({**SINGLE, "host": ""}, "host"),
        ({**SINGLE, "metric": "a\nb"}, "metric"),
        ({"model_id": "r/%00/m", "datapoints": POINTS}, "host"),
        ({**SINGLE, "region": "x" * 201}, "region"),
        ({**SINGLE, "region": "*"}, "host"),
        ({"model_id": "r/h", "datapoints": POINTS}, "model_id"),
        ({"model_id": "r/h/m/1m/x", "datapoints": POINTS}, "model_id"),
        ({"model_id": "r/%ff/m", "datapoints": POINTS}, "model_id"),
        ({"model_id": "r/h/m/1w", "datapoints": POINTS}, "window"),
        ({**SINGLE, "windows": ["fortnight"]}, "window"),
    ],
)
def test_a_name_no_series_can_have_is_refused(body: Any, part: str) -> None:
    with pytest.raises(InvalidKey) as refused:
        decoded(body)
    assert refused.value.part == part


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"datapoints": []}, "no datapoints"),
        ({"datapoints": [{"timestamp": 1, "value": "high"}]}, "datapoints[0].value"),
        ({"datapoints": [*POINTS, {"timestamp": "noon", "value": 1}]}, "datapoints[2]"),
        ({"datapoints": [{"timestamp": 10**400, "value": 1}]}, "datapoints[0]"),
        ({"datapoints": [*POINTS, {"timestamp": 1, "value": -1e200}]}, "datapoints[2]"),
        ({"datapoints": None}, "datapoints"),
        ({"datapoints": [{"timestamp": 1, "value": None}]}, "no datapoint has a value"),
        ({"host": "a\nb"}, r"'a\nb'"),
        ({"metric": ""}, "is empty"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_bad_series_is_told_apart_from_its_neighbours(bad: dict[str, Any], why: str) -> None:
    got = decoded({"series": [NEIGHBOUR, {**SINGLE, **bad}, NEIGHBOUR]})
    assert got.good == [0, 2]
    assert list(got.bad) == [1]
    assert why in got.bad[1]
    assert len(got.labels) == 3
    assert hosts(got) == ["neighbour", "neighbour"]
    assert got.query.points.values.tolist() == [1.0, 2.0] * 2


@pytest.mark.parametrize(
    "bad", [{"value": "high"}, {"value": 1e200}, {"timestamp": None}, {"timestamp": "noon"}, {"timestamp": -5}]
)
def test_a_bad_row_fails_its_series_only(bad: dict[str, Any]) -> None:
    rows = [{**NAMED, **POINTS[0]}, {**NAMED, "host": "bad", **POINTS[0]}, {**NAMED, "host": "bad", **POINTS[1], **bad}]
    got = decoded({"datapoints": rows})
    assert (got.good, list(got.bad)) == ([0], [1])
    assert got.labels[1] == ("r", "bad", "m")


def test_bytes_that_are_no_text_behind_a_bad_row_are_still_no_json() -> None:
    rows = b'{"timestamp": null, "region": "r", "host": "h", "metric": "m"}, {"timestamp": 1, "region": "\xff"}'
    with pytest.raises(Malformed):
        decoded(b'{"datapoints": [' + rows + b"]}")


@pytest.mark.parametrize("form", [lambda n: {**NAMED, "datapoints": POINTS[:1] * n}, lambda n: rows_of(n)])
def test_more_points_than_allowed_are_too_large(form: Callable[[int], dict[str, Any]]) -> None:
    assert decoded(form(100)).point_count == 100
    with pytest.raises(TooLarge, match="101 datapoints; at most 100"):
        decoded(form(101))


def test_more_series_than_allowed_are_too_large() -> None:
    with pytest.raises(TooLarge, match="11 series; at most 10"):
        decoded({"series": [{**SINGLE, "host": f"h{i}"} for i in range(11)]})


def rows_of(count: int) -> dict[str, Any]:
    """A request of that many rows of one series."""
    return {"datapoints": [{**NAMED, **POINTS[0]}] * count}


_words = st.sampled_from(
    ["region", "host", "metric", "model_id", "datapoints", "series", "windows", "combine", "bands", "timestamp",
     "value", "1m", "min", "r/h/m", "2025-12-01T00:00:00Z"]
)  # fmt: skip
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _words
_junk = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=6), max_leaves=20
)
_datapoint = st.fixed_dictionaries(
    {"timestamp": st.integers(0, 10**10) | _junk, "value": st.floats(allow_nan=False, allow_infinity=False) | _junk},
    optional={name: st.just("x") | _junk for name in NAMED},
)
_datapoints = st.lists(_datapoint, max_size=4)
_one = st.fixed_dictionaries({name: st.just("x") | _junk for name in NAMED} | {"datapoints": _datapoints | _junk})
_requests = st.fixed_dictionaries(
    {},
    optional={name: st.just("x") | _scalars for name in NAMED}
    | {
        "datapoints": _datapoints | _junk,
        "series": st.lists(_one, max_size=4) | _junk,
        "windows": st.just(["1m"]) | _junk,
    },
)


@given(_requests | _one | _junk)
@settings(max_examples=400, deadline=None)
def test_random_json_is_a_request_or_refused(body: Any) -> None:
    try:
        got = decoded(body)
    except MyriadError:
        return
    assert sorted([*got.good, *got.bad]) == list(range(len(got.labels)))
    assert len(got.query.names) == len(got.query.points) == len(got.good)
    assert np.isfinite(got.query.points.values).all()


@given(_requests, st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_request_is_a_request_or_refused(body: Any, data: st.DataObject) -> None:
    text = json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")
    at, end = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))
    try:
        decoded(text[:at] + data.draw(st.binary(max_size=3)) + text[end:])
    except MyriadError:
        return


@given(_one | st.builds(dict, st.just(SINGLE), windows=st.just(["1m"]) | _junk, bands=_junk, combine=_words))
@settings(max_examples=400, deadline=None)
def test_the_usual_request_is_the_same_whichever_way_it_is_parsed(body: Any) -> None:
    text = json.dumps(body).encode()
    parsed = one_series(text, 100)
    if parsed is None or parsed[6] not in ("weighted", "min", "max"):
        return
    *labels, times, values, windows, combine, bands, digits = parsed
    general = parse(text, BOUNDS)
    assert (general.labels, general.bad, general.single, general.digits) == ([tuple(labels)], {}, True, digits)
    assert general.query.points.timestamps.tolist() == times.tolist()
    assert general.query.points.values.tolist() == values.tolist()
    asked = None if windows is None else tuple(map(Window.parse, windows))
    assert (general.query.windows, general.query.combine, general.query.bands) == (asked, combine, bands)


def test_the_usual_request_is_recognised_and_left_to_the_general_parser_where_it_is_wrong() -> None:
    assert one_series(json.dumps({**SINGLE, "windows": ["1m"], "combine": "max"}).encode(), 100)
    point = POINTS[0]
    several: list[dict[str, Any]] = [
        {"host": "a\nb"}, {"host": ""}, {"metric": "m" * 201}, {"region": "*"}, {"hosts": True},
        {"datapoints": [{**point, "timestamp": 60 * i} for i in range(101)]}, {"datapoints": []},
        {"datapoints": [{**point, "region": "r"}]}, {"datapoints": [{**point, "value": "1"}]},
        {"datapoints": [point, point]}, {"datapoints": [{**point, "value": 1e151}]}, {"digits": 18}, {"digits": -1},
    ]  # fmt: skip
    for wrong in several:
        assert one_series(json.dumps({**SINGLE, **wrong}).encode(), 100) is None
