"""Prometheus: every point asked for once, in answers no server refuses, and clear words where one does."""

import logging
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from myriad.formats.columns.cells import SCHEMA
from myriad.formats.left_out import LeftOut
from myriad.models.errors import InvalidJob, InvalidPoints, StoreError, Unavailable
from myriad.training import prometheus
from myriad.training.job.config import Prometheus
from tests.training.promserver import PromServer, promserver

START = 1_767_571_200


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PromServer]:
    """A server with no series yet."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with promserver() as running:
        yield running


def source(server: PromServer, **fields: Any) -> Prometheus:
    """Asks for `up`, as the metric m, a point a minute."""
    queries = {"m": "up"}
    return Prometheus(url=server.url, **({"queries": queries, "region_label": "region", "host_label": "host"} | fields))


def read(server: PromServer, minutes: int = 5, left_out: LeftOut | None = None, **fields: Any) -> pa.Table:
    """All points of some minutes, the last included; nothing may be left out where nobody is told."""
    asked, told = source(server, **fields), LeftOut()
    found = list(
        prometheus.batches(asked, START, START + 60 * minutes, told if left_out is None else left_out, pause=0)
    )
    assert told.rows == 0
    return pa.Table.from_batches(found, SCHEMA).unify_dictionaries()


def labelled(region: str, host: str) -> dict[str, str]:
    return {"__name__": "up", "region": region, "host": host, "job": "node"}


def test_the_points_of_every_query_and_series_come_with_their_labels(server: PromServer) -> None:
    server.series = {
        "up": [(labelled("eu", "a"), lambda t: "1.5"), (labelled("us", "b"), lambda t: "-2e3")],
        "down": [(labelled("eu", "a"), lambda t: "0")],
    }
    rows = read(server, 1, queries={"m": "up", "n": "down"}).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("eu", "a", "m", START, 1.5),
        ("eu", "a", "m", START + 60, 1.5),
        ("us", "b", "m", START, -2000.0),
        ("us", "b", "m", START + 60, -2000.0),
        ("eu", "a", "n", START, 0.0),
        ("eu", "a", "n", START + 60, 0.0),
    ]


def test_what_is_no_number_is_skipped_and_infinity_no_value(server: PromServer) -> None:
    given = ["1", "NaN", "+Inf", "-Inf", None, "x", "2"]
    server.series = {"up": [(labelled("eu", "a"), lambda t: given[(t - START) // 60])]}
    found = read(server, 6)
    assert found["timestamp"].to_pylist() == [START + 60 * i for i in (0, 2, 3, 6)]
    assert repr(found["value"].to_pylist()) == "[1.0, nan, nan, 2.0]"


def test_a_long_history_is_asked_for_in_parts_each_moment_once(server: PromServer) -> None:
    server.series = {"up": [(labelled("eu", "a"), str)]}
    table = read(server, 40_000)
    assert table["timestamp"].to_pylist() == [START + 60 * i for i in range(40_001)]
    assert table["value"].to_pylist() == table["timestamp"].to_pylist()
    points = [(int(form["end"]) - int(form["start"])) // 60 + 1 for form in server.asked]
    assert points[0] == prometheus.FIRST_POINTS
    assert max(points) == prometheus.MAX_POINTS


def test_answers_are_bounded_however_many_series_there_are(server: PromServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "ANSWER_POINTS", 100)
    server.series = {"up": [(labelled("eu", str(i)), lambda t: "1") for i in range(10)]}
    asked = source(server)
    sizes = [batch.num_rows for batch in prometheus.batches(asked, START, START + 6000, LeftOut(), pause=0)]
    assert sum(sizes) == 10 * 101
    assert max(sizes[1:]) <= 100


def test_an_answer_with_too_many_bytes_is_asked_for_in_smaller_parts(
    server: PromServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "ANSWER_BYTES", 1500)
    server.series = {"up": [(labelled("eu", "a"), lambda t: "1.000000000000001")]}
    assert read(server, 200).num_rows == 201
    monkeypatch.setattr(prometheus, "ANSWER_BYTES", 50)
    with pytest.raises(InvalidPoints, match=r"'m' .*for one moment; split it"):
        read(server)


def test_moments_are_multiples_of_the_step(server: PromServer) -> None:
    server.series = {"up": [(labelled("eu", "a"), lambda t: "1")]}
    (batch,) = prometheus.batches(source(server, step="5m"), START - 1, START + 700, LeftOut(), pause=0)
    assert batch["timestamp"].to_pylist() == [START, START + 300, START + 600]


def test_a_region_may_be_the_same_for_all_or_stand_in_where_none_is_given(server: PromServer) -> None:
    server.series = {"up": [(labelled("eu", "a"), lambda t: "1"), ({"host": "b"}, lambda t: "1")]}
    found = {fixed: read(server, 0, region_label=label, region=fixed)["region"].to_pylist()
             for label, fixed in (("region", "x"), (None, "y"))}  # fmt: skip
    assert found == {"x": ["eu", "x"], "y": ["y", "y"]}


@pytest.mark.parametrize(
    ("labels", "missing", "has"),
    [
        ({"host": "b", "job": "node"}, "region", "host='b', job='node'"),
        ({"host": "b", "region": ""}, "region", "host='b', region=''"),
        ({"region": "eu", "instance": "b:9100"}, "host", "instance='b:9100', region='eu'"),
        ({}, "region", "none at all"),
    ],
)
def test_a_series_without_a_label_that_names_it_is_refused_with_the_query_and_what_it_has(
    server: PromServer, labels: dict[str, str], missing: str, has: str
) -> None:
    server.series = {"up": [(labelled("eu", "a"), lambda t: "1"), (labels, lambda t: "1")]}
    with pytest.raises(InvalidPoints) as refused:
        read(server, 0)
    assert str(refused.value) == (
        f"{server.url}: query 'm' (up) gives a series without the label {missing!r}; it has {has}"
    )


def test_labels_that_telemetry_cannot_have_are_left_out_and_told(server: PromServer) -> None:
    hosts = ("a", "*", "x" * 201, "b")
    server.series = {"up": [(labelled("eu", host), lambda t: "1") for host in hosts]}
    left_out = LeftOut()
    assert sorted(read(server, 1, left_out)["host"].to_pylist()) == ["a", "a", "b", "b"]
    assert (left_out.read, left_out.reasons) == (8, {
        "host is reserved: it stands for every host": 2,
        "host has 201 characters; at most 200 are allowed": 2,
    })  # fmt: skip
    assert {one.file for one in left_out.first} == {server.url}
    assert [one.value for one in left_out.first] == ["'*'", "'" + "x" * 99]


def test_native_histograms_are_refused_with_what_to_ask_for_instead(server: PromServer) -> None:
    server.series = {"up": [(labelled("eu", "a"), lambda t: "1")]}
    server.histograms = {"up": [labelled("eu", "b")]}
    with pytest.raises(InvalidPoints, match=r"query 'm' \(up\) gives native histograms, .*`histogram_quantile\(0\.99"):
        read(server)


PARTIAL = {
    "a warning": ({"warnings": ["1 of 3 stores is down", "so is 2"]}, "1 of 3 stores is down; so is 2"),
    "isPartial": ({"isPartial": True}, "the server says isPartial"),
    "both": ({"warnings": ["x" * 9999], "isPartial": True}, "x" * 500),
}


@pytest.mark.parametrize(("also", "why"), PARTIAL.values(), ids=list(PARTIAL))
def test_an_answer_in_part_is_refused_with_the_servers_reason(
    server: PromServer, also: dict[str, Any], why: str
) -> None:
    server.series, server.also = {"up": [(labelled("eu", "a"), lambda t: "1")]}, also
    with pytest.raises(StoreError) as refused:
        read(server)
    assert not isinstance(refused.value, Unavailable)
    said = f"query 'm' (up) was answered in part only: {why}; history.prometheus.allow_partial: true takes such answers"
    assert said in str(refused.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("also", "why"), PARTIAL.values(), ids=list(PARTIAL))
def test_an_answer_in_part_is_taken_with_a_warning_where_that_is_allowed(
    server: PromServer, caplog: pytest.LogCaptureFixture, also: dict[str, Any], why: str
) -> None:
    server.series, server.also = {"up": [(labelled("eu", "a"), lambda t: "1")]}, also
    with caplog.at_level(logging.WARNING):
        assert read(server, allow_partial=True).num_rows == 6
    assert f"query 'm' (up) was answered in part only: {why}" in caplog.text


@pytest.mark.parametrize("also", [{"warnings": None}, {"infos": ["a rate of a gauge"]}, {"isPartial": False}, {"x": 1}])
def test_what_else_an_answer_says_does_not_matter(server: PromServer, also: dict[str, Any]) -> None:
    server.series, server.also = {"up": [(labelled("eu", "a"), lambda t: "1")]}, also
    assert read(server).num_rows == 6


def test_no_series_are_no_rows(server: PromServer) -> None:
    server.series = {"up": []}
    assert read(server).num_rows == 0


def test_several_series_of_a_host_at_one_moment_are_refused(server: PromServer) -> None:
    by_core = [({**labelled("eu", "a"), "cpu": core}, lambda t: "1") for core in "01"]
    server.series = {"up": [(labelled("eu", "b"), lambda t: "1"), *by_core]}
    with pytest.raises(InvalidPoints, match=r"query 'm' \(up\) gives several series for host 'a' of region 'eu'; agg"):
        read(server)


def test_a_series_whose_other_labels_change_goes_on(server: PromServer) -> None:
    versions = [
        ({**labelled("eu", "a"), "version": version}, lambda t, at=at: "1" if (t < START + 120) == at else None)
        for version, at in (("1", True), ("2", False))
    ]
    server.series = {"up": versions}  # type: ignore[dict-item]
    assert sorted(read(server)["timestamp"].to_pylist()) == [START + 60 * i for i in range(6)]


def test_headers_come_from_the_environment(server: PromServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.series = {"up": []}
    headers = {"Authorization": "MYRIAD_PROMETHEUS_AUTHORIZATION"}
    with pytest.raises(InvalidJob, match=r"_AUTHORIZATION is not set; history\.prometheus\.headers_env"):
        read(server, headers_env=headers)
    monkeypatch.setenv("MYRIAD_PROMETHEUS_AUTHORIZATION", "Bearer x")
    read(server, headers_env=headers)
    assert server.headers["Authorization"] == "Bearer x"


def test_a_query_that_is_refused_is_named_with_the_servers_reason(server: PromServer) -> None:
    with pytest.raises(StoreError, match=r"query 'm' \(up\) was answered 400 bad_data: .*parse error") as refused:
        read(server)
    assert not isinstance(refused.value, Unavailable)
    assert server.url in str(refused.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "failure", [(503, b'{"status":"error","errorType":"timeout","error":"timed out"}'), (502, b"<p>")]
)
def test_a_server_that_fails_is_asked_again(server: PromServer, failure: tuple[int, bytes]) -> None:
    server.series = {"up": [(labelled("eu", "a"), lambda t: "1")]}
    server.failures = [failure] * 2
    assert read(server).num_rows == 6
    server.failures = [failure] * 3
    with pytest.raises(Unavailable, match=f"query 'm' .* was answered {failure[0]} "):
        read(server)


def test_an_answer_that_is_none_of_prometheus_is_shown(server: PromServer) -> None:
    server.failures = [(200, b"<html>log in</html>")]
    with pytest.raises(StoreError, match=r"was answered 200 no answer of Prometheus: .*<html>log in"):
        read(server)


def test_a_server_out_of_reach_is_named(server: PromServer) -> None:
    gone = source(server).model_copy(update={"url": "http://127.0.0.1:1"})
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/api/v1/query_range: query 'm'"):
        list(prometheus.batches(gone, START, START, LeftOut(), pause=0))
