"""The dispatcher: every request is counted by route and status, every exception is a problem document."""

import asyncio
import json
from typing import Any, cast

import pytest
from fastapi import FastAPI

from myriad.models.errors import Malformed
from myriad.serving.admission import BASE_BYTES, Admission
from myriad.serving.dispatcher import Dispatcher
from myriad.serving.metrics import Metrics
from myriad.serving.predict import Answer, PredictEndpoint


class Service:
    """A dispatcher in front of an endpoint and an app that answer with, or raise, a given outcome."""

    def __init__(self, outcome: Answer | Exception | None = None) -> None:
        self.metrics, app = Metrics(), FastAPI()

        async def endpoint(scope: Any, receive: Any) -> Answer | None:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        self.endpoint: Any = endpoint

        async def broken() -> None:
            raise ZeroDivisionError("a secret of the inside")

        app.get("/health/live")(lambda: "live")
        app.get("/models")(broken)
        self.dispatcher = Dispatcher(app, cast(PredictEndpoint, endpoint), self.metrics)

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and body of the answer; a status of 0 where there is none."""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": [], "root_path": "", "http_version": "1.1", "scheme": "http"}  # fmt: skip
        asyncio.run(self.dispatcher(scope, receive, send))
        status = sent[0]["status"] if sent else 0
        return status, b"".join(message.get("body", b"") for message in sent)

    def counted(self, route: str, status: int) -> float | None:
        """How many requests were counted for a route and status."""
        return self.metrics.registry.get_sample_value("myriad_requests_total", {"route": route, "status": str(status)})


def test_predict_goes_to_its_endpoint() -> None:
    service = Service(Answer([b"the ", b"answer"]))
    assert service.get("/predict") == (200, b"the answer")
    assert service.counted("predict", 200) == 1
    latency = service.metrics.registry.get_sample_value("myriad_request_seconds_count", {"route": "predict"})
    assert latency == 1


def test_what_predict_raises_is_a_problem_counted_by_kind() -> None:
    service = Service(Malformed("no JSON"))
    status, body = service.get("/predict")
    assert (status, json.loads(body)["detail"]) == (400, "no JSON")
    assert service.counted("predict", 400) == 1
    assert service.metrics.registry.get_sample_value("myriad_errors_total", {"kind": "malformed-json"}) == 1


def test_a_client_that_goes_away_is_not_answered() -> None:
    service = Service(None)
    assert service.get("/predict") == (0, b"")
    assert service.counted("predict", 0) == 1


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [("/health/live", "health", 200), ("/health/nothing", "health", 404), ("/a/random/path", "other", 404)],
)
def test_other_paths_go_to_fastapi_and_are_counted_by_a_bounded_name(path: str, route: str, status: int) -> None:
    service = Service()
    assert service.get(path)[0] == status
    assert service.counted(route, status) == 1


def test_an_unforeseen_exception_is_logged_and_kept_from_the_client(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()
    status, body = service.get("/models")
    assert (status, json.loads(body)["type"]) == (500, "urn:myriad:problem:internal-error")
    assert b"secret" not in body
    assert "a secret of the inside" in caplog.text
    assert service.counted("models", 500) == 1


def test_a_large_answer_holds_its_memory_until_it_is_sent() -> None:
    one = Service(Answer([b"x" * 1_000_000]))
    one.endpoint.admission = Admission(10, BASE_BYTES, 0)
    with one.endpoint.admission.memory(BASE_BYTES - 1_000):
        assert one.get("/predict")[0] == 503
    assert one.get("/predict")[0] == 200
