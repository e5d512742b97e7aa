"""The usual request: read as its twin and msgspec read it, whatever is changed in it."""

import importlib
import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.mutations import mutated

MUTATIONS = 6000
NAMED = {"region": "us-east-1", "host": "wéb-042", "metric": "cpu_util"}
POINT = {"timestamp": 1_767_571_200, "value": 71.25}


def read(name: str, body: bytes, most: int = 100) -> Any:
    """What a reader makes of a body, in lists."""
    found = importlib.import_module(f"myriad.kernels.{name}").one_series(body, most)
    return found and (*found[:3], found[3].tolist(), found[4].tolist(), *found[5:])


def both(body: bytes, most: int = 100) -> Any:
    """What both readers make of a body."""
    compiled, twin = read("_compiled", body, most), read("_bodies_py", body, most)
    assert compiled == twin
    return compiled


def request(points: Any, **options: Any) -> bytes:
    return json.dumps({**NAMED, "datapoints": points, **options}, ensure_ascii=False).encode()


def test_a_request_is_read_into_arrays() -> None:
    points = [{"timestamp": 1_767_571_200 + 60 * i, "value": 0.1 * i} for i in range(3)]
    labels = ("us-east-1", "wéb-042", "cpu_util")
    read_points = ([1_767_571_200, 1_767_571_260, 1_767_571_320], [0.0, 0.1, 0.2])
    assert both(request(points)) == (*labels, *read_points, None, "weighted", False, 0)
    options = {"windows": ["1m", "1h"], "combine": "max", "bands": True, "digits": 6}
    assert both(request(points, **options)) == (*labels, *read_points, ["1m", "1h"], "max", True, 6)
    assert both(b" \n" + json.dumps({"datapoints": points, **NAMED}, indent=3, ensure_ascii=False).encode() + b"\t")


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("1767571200", 1_767_571_200), ("1767571200999", 1_767_571_200), ("1767571200999999", 1_767_571_200),
     ("1767571200999999999", None), ("176757120099999999", 176_757_120), ("0", 0), ("1767571200.9", 1_767_571_200),
     ("1.7675712e9", 1_767_571_200), ("-1", None), ("7258118400", 7_258_118_400), ("7258118401", None),
     ("1e400", None), ("99999999999999999999", None), ('"2026-01-05T00:00:00Z"', None), ("null", None)],
)  # fmt: skip
def test_times_are_told_apart_by_their_size(stamp: str, seconds: int | None) -> None:
    found = both(request([POINT]).replace(b"1767571200", stamp.encode()))
    assert (found and found[3]) == (None if seconds is None else [seconds])


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "0.0", "1e5", "1E+5", "1e-5", "123456789012345678", "0.1", "2.2250738585072011e-308", "5e-324",
     "9007199254740993", "9007199254740993.0", "1.7976931348623157e150", "71.24999999999999", "1e-400",
     "0.000000000000000000000000000012345678901234567", "12345678901234567890.5", "8.5e22", "3.4e-20"],
)  # fmt: skip
def test_numbers_are_the_nearest_floats(text: str) -> None:
    found = read("_compiled", request([POINT]).replace(b"71.25", text.encode()))
    if found is None:
        assert read("_bodies_py", request([POINT]).replace(b"71.25", text.encode())) is None
    else:
        assert found[4] == [float(text)]


@given(st.floats(-1e150, 1e150, allow_nan=False) | st.floats(-1e5, 1e5))
@settings(max_examples=500, deadline=None)
def test_every_float_that_python_writes_is_read_again(value: float) -> None:
    found = both(request([{**POINT, "value": value}]))
    assert np.array(found[4]).tobytes() == np.array([value]).tobytes()


@pytest.mark.parametrize(
    "text",
    ["01", "1.", ".5", "+1", "1e", "1e+", "0x1", "NaN", "Infinity", "--1", "1_0", "tru", "", '"1"', "1e151", "{}"],
)
def test_what_json_does_not_have_is_not_read(text: str) -> None:
    assert both(request([POINT]).replace(b"71.25", text.encode())) is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{}", b"[]", b"null", b"\0", request([POINT]) + b"}", request([POINT]) + b"\0",
        request([POINT])[:-1], request([]), request(None), request([POINT, POINT]),
        request([{**POINT, "x": 1}]), request([{"timestamp": 1}]),
        request([POINT], hosts=True), request([POINT], digits=18), request([POINT], digits=1.0),
        request([POINT], bands=None), request([POINT], windows="1m"), request([POINT], windows=[1]),
        request([POINT], combine=None), request([POINT]).replace(b"us-east-1", b""),
        request([POINT]).replace(b"us-east-1", b"*"), request([POINT]).replace(b"us-east-1", b"\xff"),
        request([POINT]).replace("é".encode(), b"\xc2\x85"), request([POINT]).replace("é".encode(), b"\xe2\x80\xa8"),
        request([POINT]).replace(b"us-east-1", b"a\x7fb"), request([POINT]).replace(b"us-east-1", b"x" * 201),
        request([POINT]).replace(b'{"region"', b'{"region": "r", "region"'),
        request([POINT]).replace(b'"value"', b'"value": 1, "value"'), request([POINT]).replace(b'"host"', b'"hosts"'),
    ],
)  # fmt: skip
def test_any_other_request_is_left_to_others(body: bytes) -> None:
    assert read("_compiled", body) is None


def test_datapoints_without_a_value_are_left_out_and_no_more_than_allowed_are_read() -> None:
    points = [{"timestamp": 60 * i, "value": None if i % 2 else 1.5} for i in range(5)]
    assert both(request(points))[3:5] == ([0, 120, 240], [1.5] * 3)
    assert both(request([{**POINT, "value": None}])) is None
    assert both(request(points), 4) is None
    assert both(request(points), 5)


def test_mutated_requests_are_read_as_their_twin_reads_them_or_left_to_it() -> None:
    rng = random.Random(3)
    sound = [
        request(
            [{"timestamp": at, "value": rng.random() * 10 ** rng.randrange(-3, 6)} for at in (60, 120, 1_767_571_200)]
        )
        for _ in range(20)
    ]
    accepted = 0
    for _ in range(MUTATIONS):
        body = mutated(rng.choice(sound), rng)
        found = read("_compiled", body)
        accepted += found is not None
        assert found is None or found == read("_bodies_py", body), body
    assert accepted > MUTATIONS / 50
