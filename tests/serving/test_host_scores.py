"""Scores of hosts as a whole, through the service and in process."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from myriad.kernels.scoring import NO_MODEL
from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from tests.conftest import Published, Server, history
from tests.serving.bodies import answered, frame, many, rows, single
from tests.training.small import fitted, released

HOST = "web-000"


@pytest.fixture(scope="session")
def hour(published: Published) -> pd.DataFrame:
    """Two hours of all the metrics of a host."""
    mine = [one for one in published.fleet.series if (one.region, one.host) == ("us-east-1", HOST)]
    assert len(mine) > 2
    return frame(published.fleet, *mine)


def request_of(points: pd.DataFrame, **more: Any) -> dict[str, Any]:
    return {**many(points), "hosts": True, **more}


def test_a_host_is_scored_from_all_its_metrics(service: Server, hour: pd.DataFrame) -> None:
    (host,) = answered(service.client, request_of(hour))["hosts"]
    assert (host["region"], host["host"], host["status"]) == ("us-east-1", HOST, "ok")
    assert host["timestamp"] == sorted(set(hour["timestamp"]))
    assert set(host["metrics"]) == {host["of"]} == {hour["metric"].nunique()}
    assert all(0 <= score < 3 for score in host["score"])


def test_trouble_in_all_metrics_is_trouble_of_the_host(service: Server, hour: pd.DataFrame) -> None:
    last = hour["timestamp"] > hour["timestamp"].max() - 1800
    worse = hour.assign(value=hour["value"].where(~last, hour["value"] * 3))
    (host,) = answered(service.client, request_of(worse))["hosts"]
    assert max(host["score"][:60]) < 1 < min(host["score"][-10:])


def test_the_metric_that_is_odd_is_named_first(service: Server, hour: pd.DataFrame) -> None:
    late = hour["timestamp"] > hour["timestamp"].max() - 1800
    for odd in hour["metric"].unique():
        worse = hour.assign(value=hour["value"].where(~late | (hour["metric"] != odd), hour["value"] * 5))
        (host,) = answered(service.client, request_of(worse))["hosts"]
        assert host["why"][0] == odd
        assert len(host["why"]) <= 3


def test_where_half_of_the_metrics_are_missing_there_is_no_score(service: Server, hour: pd.DataFrame) -> None:
    (host,) = answered(service.client, request_of(hour[hour["metric"] == "cpu_util"]))["hosts"]
    assert host["status"] == "insufficient_data"
    assert set(host["score"]) == {None}
    assert host["why"] == []
    assert set(host["metrics"]) == {1}


def test_a_host_that_was_never_fitted_has_no_model(service: Server, hour: pd.DataFrame) -> None:
    (host,) = answered(service.client, request_of(hour.assign(host="new")))["hosts"]
    assert (host["status"], host["score"], host["of"]) == ("no_model", [], 0)


def test_hosts_are_not_mixed_up_and_bad_series_harm_none(published: Published, service: Server) -> None:
    mine = [one for one in published.fleet.series if one.region == "us-east-1"]
    request = request_of(frame(published.fleet, *mine))
    alone = answered(service.client, request)["hosts"]
    assert [one["host"] for one in alone] == list(dict.fromkeys(one.host for one in mine))
    request["series"].insert(0, {"region": "us-east-1", "host": "a/b", "metric": "cpu_util", "datapoints": []})
    assert answered(service.client, request)["hosts"] == alone


def test_rows_can_ask_for_hosts_too(service: Server, hour: pd.DataFrame) -> None:
    assert (
        answered(service.client, {**rows(hour), "hosts": True})["hosts"]
        == answered(service.client, request_of(hour))["hosts"]
    )


def test_hosts_are_answered_only_when_asked_for(service: Server, hour: pd.DataFrame) -> None:
    assert "hosts" not in answered(service.client, many(hour))


@pytest.mark.parametrize("given", [{"windows": ["1m"]}, {"combine": "max"}])
def test_other_windows_or_combinations_have_no_threshold_for_hosts(
    service: Server, hour: pd.DataFrame, given: dict[str, Any]
) -> None:
    refused = service.client.post("/predict", json=request_of(hour, **given))
    assert refused.status_code == 422
    assert refused.json()["field"] == "$.hosts"


def test_one_series_is_no_host(service: Server, hour: pd.DataFrame) -> None:
    refused = service.client.post("/predict", json={**single(hour[hour["metric"] == "cpu_util"]), "hosts": True})
    assert (refused.status_code, refused.json()["field"]) == (422, "$.hosts")


def test_a_notebook_gets_what_the_service_answers(published: Published, service: Server, hour: pd.DataFrame) -> None:
    (host,) = answered(service.client, request_of(hour))["hosts"]
    found = Predictor.open(published.url).predict_hosts(hour)
    assert list(found) == ["region", "host", "timestamp", "score", "metrics", "of"]
    assert found["timestamp"].tolist() == host["timestamp"]
    assert np.allclose(found["score"], host["score"])


def test_the_host_s_entry_is_no_series_to_be_scored(published: Published) -> None:
    predictor = Predictor.open(published.url)
    place = predictor.locate(Series("us-east-1", HOST, "*"))
    assert place
    assert place.shard
    assert (place.shard.adapter[place.position] == NO_MODEL).all()


def test_a_metric_named_as_hosts_are_is_not_taken_for_one() -> None:
    store = MemoryStore()
    released(Releases(store), fitted("r/a/*", "r/a/cpu"))
    times, values = history(1 / 24, seed=3).series(0)
    parts = [{"region": "r", "host": "a", "metric": metric, "timestamp": times, "value": values} for metric in "*c"]
    assert Predictor.open(store).predict_hosts(pd.concat(map(pd.DataFrame, parts))).empty
