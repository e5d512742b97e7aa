"""The service as clients see it: a real process over HTTP."""

import contextlib
import json
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from myriad import kernels
from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from tests.conftest import END, Published, Server, services
from tests.serving.bodies import answered, columns, frame, many, rows, single, statuses
from tests.training.small import NAMES, fitted, released

CPU = Series("us-east-1", "web-000", "cpu_util")
MEM = Series("us-east-1", "web-000", "mem_util")
FAR = Series("eu-west-1", "web-001", "cpu_util")


@pytest.fixture(scope="session")
def hour(published: Published) -> pd.DataFrame:
    """Two hours of one series."""
    return frame(published.fleet, CPU)


def test_one_series_is_answered_as_its_frame_to_dict_list(
    published: Published, service: Server, hour: pd.DataFrame
) -> None:
    answer = answered(service.client, single(hour))
    assert answer["anomaly_scores"] == columns(Predictor.open(published.url), hour)
    assert list(answer["anomaly_scores"]) == ["timestamp", "score", "1m", "15m", "1h"]
    assert {key: answer[key] for key in ("region", "host", "metric", "status")} == {**CPU._asdict(), "status": "ok"}


def test_where_a_window_has_too_few_points_there_is_null(service: Server, hour: pd.DataFrame) -> None:
    scores = answered(service.client, single(hour))["anomaly_scores"]
    empty = {window: [at for at, score in enumerate(scores[window]) if score is None] for window in ("1m", "15m", "1h")}
    assert empty == {"1m": [], "15m": list(range(7)), "1h": list(range(29))}
    assert None not in scores["score"]


def test_an_incident_scores_above_1_and_the_hour_before_it_does_not(published: Published, service: Server) -> None:
    incident = published.fleet.incidents[0]
    points = frame(published.fleet, incident.series, hours=3, end=incident.end)
    scores = answered(service.client, single(points))["anomaly_scores"]["score"]
    assert max(scores[30:119]) < 1 < max(scores[121:])


def test_a_list_of_series_is_answered_in_its_order(published: Published, service: Server) -> None:
    points = frame(published.fleet, FAR, CPU, MEM)
    answer = answered(service.client, many(points))
    assert [Series(s["region"], s["host"], s["metric"]) for s in answer["series"]] == [FAR, CPU, MEM]
    assert answer["release"] == published.manifest.id


def test_rows_are_answered_as_the_same_points_in_a_list_of_series(published: Published, service: Server) -> None:
    points = frame(published.fleet, FAR, CPU, MEM)
    mixed = points.sample(frac=1, random_state=0).reset_index(drop=True)
    answers = answered(service.client, rows(mixed))["series"]
    listed = {(s["host"], s["metric"]): s for s in answered(service.client, many(points))["series"]}
    first_seen = list(mixed[["host", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    assert [(s["host"], s["metric"]) for s in answers] == first_seen
    assert all(s == listed[s["host"], s["metric"]] for s in answers)


def test_a_model_id_names_the_series_and_may_name_the_window(service: Server, hour: pd.DataFrame) -> None:
    datapoints = single(hour)["datapoints"]
    whole = answered(service.client, {"model_id": str(CPU), "datapoints": datapoints})
    only = answered(service.client, {"model_id": f"{CPU}/15m", "datapoints": datapoints})
    assert whole == answered(service.client, single(hour))
    assert list(only["anomaly_scores"]) == ["timestamp", "score", "15m"]
    assert only["anomaly_scores"]["15m"] == whole["anomaly_scores"]["15m"]


def test_an_unknown_host_is_scored_with_its_region_and_an_unknown_region_with_everyones(
    service: Server, hour: pd.DataFrame
) -> None:
    for place, key in (({"host": "new"}, "us-east-1/*/cpu_util/1m"), ({"region": "new"}, "*/*/cpu_util/1m")):
        answer = answered(service.client, single(hour.assign(**place)))
        assert answer["status"] == "fallback"
        assert (answer["models"][0]["key"], answer["models"][0]["fallback"]) == (key, True)
        assert None not in answer["anomaly_scores"]["1m"]


def test_an_unknown_metric_has_no_model_and_no_score(service: Server, hour: pd.DataFrame) -> None:
    answer = answered(service.client, single(hour.assign(metric="gpu")))
    assert answer["status"] == "no_model"
    assert set(answer["anomaly_scores"]["score"]) == {None}
    assert [missing["reason"] for missing in answer["missing"]] == ["there is no model"] * 3


def test_a_bad_series_is_named_and_fails_no_neighbour(published: Published, service: Server) -> None:
    body = many(frame(published.fleet, CPU, FAR, MEM))
    alone = answered(service.client, body["series"][2])
    body["series"][0]["datapoints"][3]["value"] = "high"
    body["series"][1]["host"] = "a\nb"
    answer = answered(service.client, body)
    assert statuses(answer) == ["bad_series", "bad_series", "ok"]
    assert answer["series"][2] == alone
    assert "datapoints[3].value" in answer["series"][0]["detail"]
    assert "'a\\nb'" in answer["series"][1]["detail"]


def test_a_datapoint_without_a_value_is_left_out(service: Server, hour: pd.DataFrame) -> None:
    body = single(hour)
    whole = answered(service.client, {**body, "datapoints": [*body["datapoints"][:30], *body["datapoints"][31:]]})
    for nothing in (None, float("nan"), float("inf"), float("-inf")):
        body["datapoints"][30]["value"] = nothing
        content = json.dumps(body).encode()
        assert service.client.post("/predict", content=content).json() == whole
    body["datapoints"] = [{"timestamp": END, "value": None}]
    assert problem(service.client.post("/predict", json=body), 422)["detail"] == "no datapoint has a value"


def test_bands_are_given_when_asked_for(service: Server, hour: pd.DataFrame) -> None:
    answer = answered(service.client, {**single(hour), "bands": True})
    value, score = hour["value"].iloc[-1], answer["anomaly_scores"]["1m"][-1]
    low, middle, high = (answer[name]["1m"][-1] for name in ("lower", "expected", "upper"))
    assert score == pytest.approx(abs(value - middle) / (high - middle))
    assert middle - low == pytest.approx(high - middle)


def test_a_corrupt_artifact_fails_its_own_series_only(
    published: Published, serve: Callable[..., Server], copied: str
) -> None:
    artifact = published.manifest.regions[FAR.region][0]
    assert artifact
    path = Path(copied.removeprefix("file://")) / "artifacts" / f"{artifact.hash}.st.zst"
    path.write_bytes(path.read_bytes()[:-1])
    answer = answered(serve(copied).client, many(frame(published.fleet, CPU, FAR)))
    assert statuses(answer) == ["ok", "load_failed"]
    assert artifact.hash in answer["series"][1]["missing"][0]["reason"]
    assert set(answer["series"][1]["anomaly_scores"]["score"]) == {None}


def test_what_is_open_is_served_when_the_store_is_gone(
    published: Published, serve: Callable[..., Server], copied: str, hour: pd.DataFrame
) -> None:
    client = serve(copied, MYRIAD_POLL_SECONDS="0.1").client
    before = answered(client, single(hour))
    shutil.rmtree(copied.removeprefix("file://"))
    time.sleep(0.3)
    assert answered(client, single(hour)) == {**before, "stale": True}
    assert client.get("/health/ready").json()["checked_seconds_ago"] > 0.1


def test_the_models_of_a_series_can_be_looked_at(published: Published, service: Server) -> None:
    known = service.client.get(f"/models/{CPU}").json()
    assert (known["series"], known["fallback"], known["release"]) == (str(CPU), False, published.manifest.id)
    assert {window: model["adapter"] for window, model in known["windows"].items()} == {
        "1m": "ewma",
        "15m": "seasonal",
        "1h": "seasonal",
    }
    assert (known["step_seconds"], known["history_points"]) == (60, 10 * 24 * 60)
    assert (known["direction"], known["range"], known["time_zone"]) == ("both", [None, None], "UTC")
    assert all(model["threshold"] > 0 and model["floor"] > 0 for model in known["windows"].values())


def test_the_models_of_an_unknown_host_are_its_regions(service: Server) -> None:
    known = service.client.get("/models/us-east-1/new/cpu_util").json()
    assert (known["series"], known["fallback"]) == ("us-east-1/*/cpu_util", True)


ODD_NAMES = ("/dev/sda1", "k8s/ns/pod", "http req/s", "..", ".", "C:\\disk", "a%2Fb", "?x#y")


def test_names_may_have_slashes_backslashes_and_dots(tmp_path: Path, serve: Callable[..., Server]) -> None:
    odd = [Series("e/u", name, name) for name in ODD_NAMES]
    url = f"file://{tmp_path / 'store'}"
    released(Releases(open_store(url)), fitted(*map(str, odd)))
    client = serve(url).client
    points = [{"timestamp": END - 60 * i, "value": 1.0} for i in range(120)]
    for series in odd:
        known = client.get(f"/models/{series}")
        assert known.status_code == 200, (series, known.text)
        assert Series.parse(known.json()["series"]) == series
        named = client.post("/predict", json={**series._asdict(), "datapoints": points}).json()
        assert (named["status"], named["host"]) == ("ok", series.host)
        assert named["models"][0]["key"] == f"{series}/1m"
        by_key = client.post("/predict", json={"model_id": str(series), "datapoints": points}).json()
        assert by_key["anomaly_scores"] == named["anomaly_scores"]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/models/us-east-1/web-000/gpu", 404, "no-model"),
        ("/models/us-east-1/web-000", 404, "not-found"),
        ("/models/us-east-1/web-000/cpu/util", 404, "not-found"),
        ("/models/us-east-1/%2Fdev%2Fsda1/gpu", 404, "no-model"),
        ("/models/us-east-1/a%00b/cpu_util", 422, "invalid-key"),
        ("/nothing", 404, "not-found"),
    ],
)
def test_what_is_not_there_is_a_problem(service: Server, path: str, status: int, kind: str) -> None:
    assert problem(service.client.get(path), status)["type"] == f"urn:myriad:problem:{kind}"


def test_the_current_release_is_described(published: Published, service: Server) -> None:
    current, manifest = service.client.get("/releases/current").json(), published.manifest
    assert (current["id"], current["windows"], current["weights"]) == (manifest.id, ["1m", "15m", "1h"], [1, 2, 4])
    assert current["adapters"] == {"ewma": 1, "seasonal": 1}
    assert current["series"] == 16 + 2 * 4 + 4
    assert current["models"] == 3 * current["series"]
    assert current["provenance"]["adapters"] == "ewma, seasonal"
    assert current["provenance"] == published.manifest.provenance


def test_the_service_is_live_and_ready(published: Published, service: Server) -> None:
    assert service.client.get("/health/live").json()["status"] == "live"
    ready = service.client.get("/health/ready").json()
    assert (ready["status"], ready["release"]) == ("ready", published.manifest.id)
    assert ready["kernels"] == kernels.in_use()


def test_a_service_of_an_empty_store_gets_ready_after_a_publish_and_follows_later_ones(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    url = f"file://{tmp_path / 'store'}"
    client = serve(url, ready=False, MYRIAD_POLL_SECONDS="0.2").client
    assert client.get("/health/live").status_code == 200
    assert problem(client.get("/health/ready"), 503)["type"] == "urn:myriad:problem:no-release"
    refused = client.post("/predict", json=body_of(NAMES[0]))
    assert problem(refused, 503)["type"] == "urn:myriad:problem:no-release"
    assert int(refused.headers["retry-after"]) > 0
    releases = Releases(open_store(url))
    first = released(releases, fitted())
    assert eventually(client, first.id)
    assert answered(client, body_of(NAMES[0]))["models"][0]["release"] == first.id
    second = released(releases, fitted(seed=1), releases.head())
    assert eventually(client, second.id)
    assert answered(client, body_of(NAMES[0]))["models"][0]["release"] == second.id
    releases.rollback(first.id)
    assert eventually(client, first.id)


def test_the_metrics_of_all_workers_are_summed(
    published: Published, serve: Callable[..., Server], hour: pd.DataFrame
) -> None:
    server, body = serve(published.url, "--workers", "2"), {**many(hour)}
    body["series"].append({"region": "r", "host": "", "metric": "m", "datapoints": []})
    for _ in range(20):  # a connection each, so that both workers get some
        httpx.post(f"{server.client.base_url}/predict", json=body, trust_env=False).raise_for_status()
    httpx.post(f"{server.client.base_url}/predict", content=b"{", trust_env=False)
    count, refused = (("myriad_requests_total", "predict", code) for code in ("200", "400"))
    deadline = time.monotonic() + 10  # each worker hands its numbers over twice a second
    seen: Mapping[tuple[str, ...], float] = {}
    while (seen.get(count), seen.get(refused)) != (20, 1):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        seen = samples(httpx.get(f"{server.client.base_url}/metrics", trust_env=False).text)
    for _ in range(3):  # whichever worker is asked
        seen = samples(httpx.get(f"{server.client.base_url}/metrics", trust_env=False).text)
        assert seen[count] == 20
        assert seen[refused] == 1
        assert seen["myriad_errors_total", "malformed-json"] == 1
        assert seen["myriad_series_total", "ok"] == 20
        assert seen["myriad_series_total", "bad_series"] == 20
        assert seen["myriad_points_total",] == 20 * len(hour)
        assert seen["myriad_loads_total", "ok"] <= 2
        assert seen["myriad_request_seconds_count", "predict"] == 21


def test_metrics_are_there_for_prometheus(published: Published, serve: Callable[..., Server]) -> None:
    client = serve(published.url).client
    answered(client, rows(frame(published.fleet, CPU, MEM)))
    response = client.get("/metrics")
    seen = samples(response.text)
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert seen["myriad_loads_total", "ok"] == 1
    assert seen["myriad_cache_bytes",] > 0
    assert seen["myriad_release_since_seconds",] == pytest.approx(time.time(), abs=60)
    assert seen["myriad_release_checked_seconds",] == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("body", "status", "kind", "field"),
    [
        (b"{", 400, "malformed-json", None),
        (b"", 400, "malformed-json", None),
        (b"[]", 422, "bad-request", "$"),
        (b"{}", 422, "bad-request", "$"),
        (b'{"datapoints": [{"timestamp": 1, "value": 1}]}', 422, "bad-request", "$.datapoints[0].region"),
        (b'{"model_id": "a/b/c", "datapoints": [{"timestamp": 1, "value": "x"}]}', 422, "bad-request",
         "$.datapoints[0].value"),
        (b'{"model_id": "a/%00/c", "datapoints": [{"timestamp": 1, "value": 1}]}', 422, "invalid-key", "$.host"),
        (b'{"model_id": "a/b/c", "datapoints": [{"timestamp": 1, "value": 1}], "windows": ["7m"]}', 422, "invalid-key",
         "$.windows"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_a_problem_naming_the_field(
    service: Server, body: bytes, status: int, kind: str, field: str | None
) -> None:
    found = problem(service.client.post("/predict", content=body), status)
    assert (found["type"], found.get("field")) == (f"urn:myriad:problem:{kind}", field)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
def test_only_post_predicts(service: Server, method: str) -> None:
    response = service.client.request(method, "/predict")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/csv"}, {"content-type": "application/json", "content-encoding": "br"}]
)
def test_a_body_that_is_not_json_or_is_encoded_is_refused(service: Server, headers: dict[str, str]) -> None:
    found = problem(service.client.post("/predict", content=b"{}", headers=headers), 415)
    assert found["type"] == "urn:myriad:problem:unsupported-media-type"


def test_json_with_a_charset_is_json(service: Server, hour: pd.DataFrame) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert service.client.post("/predict", content=json.dumps(single(hour)), headers=headers).status_code == 200


def test_a_body_beyond_the_bound_is_refused_whether_it_says_its_length_or_not(bounded: Server) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 1000

    for content in (b" " * 30_000, chunks()):
        found = problem(bounded.client.post("/predict", content=content), 413)
        assert found["type"] == "urn:myriad:problem:too-large"
        assert "20000 bytes" in found["detail"]


def test_too_many_points_and_series_are_refused(bounded: Server) -> None:
    point = {"timestamp": 1, "value": 1}
    points = {"region": "r", "host": "h", "metric": "m", "datapoints": [point] * 101}
    series = {"series": [{"region": "r", "host": f"h{i}", "metric": "m", "datapoints": [point]} for i in range(6)]}
    assert "101 datapoints; at most 100" in problem(bounded.client.post("/predict", json=points), 413)["detail"]
    assert "6 series; at most 5" in problem(bounded.client.post("/predict", json=series), 413)["detail"]


def test_a_body_that_does_not_arrive_in_time_is_refused(bounded: Server) -> None:
    with posting(bounded, b"{}", declared=100) as connection:
        head, _, body = received(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert json.loads(body)["type"] == "urn:myriad:problem:timeout"


def test_more_requests_than_can_be_in_hand_are_refused_with_a_time_to_come_back(bounded: Server) -> None:
    body = body_of(str(CPU))
    eventual(lambda: bounded.client.post("/predict", json=body), 200)  # its models are there

    def post(_: int) -> httpx.Response:
        return httpx.post(f"{bounded.client.base_url}/predict", json=body, trust_env=False, timeout=30)

    def at_once() -> list[httpx.Response]:
        with ThreadPoolExecutor(16) as threads:
            return [answer for answer in threads.map(post, range(64)) if answer.status_code == 503]

    refused = next(answers[0] for answers in iter(at_once, None) if answers)
    assert problem(refused, 503)["type"] == "urn:myriad:problem:too-many-requests"
    assert refused.headers["retry-after"] == "1"
    assert eventual(lambda: bounded.client.post("/predict", json=body_of("r/h/m")), 200).status_code == 200


def test_a_client_that_goes_away_leaves_the_service_as_it_was(service: Server, hour: pd.DataFrame) -> None:
    with posting(service, b"{", declared=100):
        pass
    assert answered(service.client, single(hour))["status"] == "ok"
    assert b"Traceback" not in service.log.read_bytes()


def test_sigterm_lets_a_request_in_hand_be_answered_and_ends_with_0(
    published: Published, serve: Callable[..., Server], hour: pd.DataFrame
) -> None:
    server, body = serve(published.url), json.dumps(single(hour)).encode()
    with posting(server, body[:1000], declared=len(body)) as connection:
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[1000:])
        head, _, answer = received(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(answer)["status"] == "ok"
    assert server.process.wait(10) == 0


def test_a_large_request_is_scored_beside_small_ones(published: Published, service: Server, hour: pd.DataFrame) -> None:
    large = many(frame(published.fleet, *published.fleet.series, hours=12))
    assert len(json.dumps(large)) > 256 << 10
    answer = answered(service.client, large)
    assert statuses(answer) == ["ok"] * len(published.fleet.series)
    assert answered(service.client, single(hour))["status"] == "ok"


def test_a_fleet_in_s3_is_served_the_same(
    published: Published, serve: Callable[..., Server], service: Server, bucket: str, hour: pd.DataFrame
) -> None:
    there, url = open_store(published.url), f"s3://{bucket}/fleet"
    for stored in there.list(""):
        open_store(url).create(stored.name, there.get(stored.name, stored.size).data)
    assert answered(serve(url).client, single(hour)) == answered(service.client, single(hour))


def test_the_log_is_json_a_line_and_names_the_release(published: Published, service: Server) -> None:
    records = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert published.manifest.id in [record.get("release") for record in records]
    assert not [record for record in records if record["level"] in ("ERROR", "WARNING")]


@pytest.fixture
def copied(published: Published, tmp_path: Path) -> str:
    """The URL of a copy of the published store."""
    shutil.copytree(published.url.removeprefix("file://"), tmp_path / "copy")
    return f"file://{tmp_path / 'copy'}"


@pytest.fixture(scope="module")
def bounded(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose bounds are easily reached."""
    bounds = {
        "MYRIAD_MAX_BODY_BYTES": "20000",
        "MYRIAD_MAX_POINTS": "100",
        "MYRIAD_MAX_SERIES": "5",
        "MYRIAD_BODY_SECONDS": "0.5",
        "MYRIAD_MAX_REQUESTS": "1",
    }
    with services(tmp_path_factory.mktemp("bounded")) as start:
        yield start(published.url, **bounds)


def body_of(name: str) -> dict[str, Any]:
    """An hour of points of a series."""
    datapoints = [{"timestamp": 1_767_571_200 + 60 * i, "value": 100.0} for i in range(60)]
    return {"model_id": name, "datapoints": datapoints}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


def samples(text: str) -> dict[tuple[str, ...], float]:
    """An exposition's samples by name and label values."""
    families = text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def eventual(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """The first response of that status, or the last one of five seconds."""
    deadline = time.monotonic() + 5
    while (response := ask()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.02)
    return response


def eventually(client: httpx.Client, release: str) -> bool:
    """Whether the service takes up a release within five seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        response = client.get("/releases/current")
        if response.is_success and response.json()["id"] == release:
            return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def posting(server: Server, content: bytes, *, declared: int) -> Iterator[socket.socket]:
    """A connection on which the beginning of a body was sent."""
    address = server.client.base_url
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        head = f"POST /predict HTTP/1.1\r\nHost: t\r\nContent-Length: {declared}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + content)
        yield connection


def received(connection: socket.socket) -> bytes:
    """All that comes before the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))
