"""Prometheus: every point asked for once, in answers no server refuses, and clear words where one does."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from myriad.formats.columns.cells import SCHEMA
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


def read(server: PromServer, minutes: int = 5, **fields: Any) -> pa.Table:
    """All points of some minutes, the last included."""
    asked = source(server, **fields)
    found = list(prometheus.batches(asked, START, START + 60 * minutes, pause=0))
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


def test_what_is_no_number_is_skipped_and_infinity_left_to_those_who_read_tables(server: PromServer) -> None:
    given = ["1", "NaN", "+Inf", "-Inf", None, "x"]
    server.series = {"up": [(labelled("eu", "a"), lambda t: given[(t - START) // 60])]}
    assert read(server)["value"].to_pylist() == [1.0, float("inf"), float("-inf")]


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
    sizes = [batch.num_rows for batch in prometheus.batches(asked, START, START + 6000, pause=0)]
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
    (batch,) = prometheus.batches(source(server, step="5m"), START - 1, START + 700, pause=0)
    assert batch["timestamp"].to_pylist() == [START, START + 300, START + 600]


def test_a_region_may_be_the_same_for_all_or_stand_in_where_none_is_given(server: PromServer) -> None:
    server.series = {"up": [(labelled("eu", "a"), lambda t: "1"), ({"host": "b"}, lambda t: "1")]}
    found = {fixed: read(server, 0, region_label=label, region=fixed)["region"].to_pylist()
             for label, fixed in (("region", None), ("region", "x"), (None, "y"))}  # fmt: skip
    assert found == {None: ["eu", None], "x": ["eu", "x"], "y": ["y", "y"]}


def test_a_series_without_a_host_is_left_to_those_who_read_tables(server: PromServer) -> None:
    server.series = {"up": [({"region": "eu"}, lambda t: "1")]}
    assert read(server, 0)["host"].to_pylist() == [None]


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
        list(prometheus.batches(gone, START, START, pause=0))
