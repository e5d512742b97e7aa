"""The description of the service at /openapi.json: true of what the service does."""

from typing import Any

import httpx
import msgspec
import pandas as pd
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from myriad.serving.schemas import PredictAnswer, SeriesAnswer
from tests.conftest import Published, Server
from tests.serving.bodies import frame, many, rows, single


@pytest.fixture(scope="module")
def described(service: Server) -> dict[str, Any]:
    """The document."""
    document: dict[str, Any] = service.client.get("/openapi.json").json()
    return document


@pytest.fixture(scope="module")
def hour(published: Published) -> pd.DataFrame:
    """Two hours of two series."""
    return frame(published.fleet, *published.fleet.series[:2])


def conforms(described: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    """Whether a value is as a schema of the document says."""
    validator = Draft202012Validator({**schema, "components": described["components"]})
    errors = [error.message for error in validator.iter_errors(value)]
    assert errors == []
    return True


def answer_schema(described: dict[str, Any], path: str, method: str, response: httpx.Response) -> dict[str, Any]:
    """The schema of a response."""
    content = described["paths"][path][method]["responses"][str(response.status_code)]["content"]
    schema: dict[str, Any] = content[response.headers["content-type"].partition(";")[0]]["schema"]
    return schema


def test_the_document_is_openapi(described: dict[str, Any]) -> None:
    validate(described)


def test_every_route_is_described(described: dict[str, Any]) -> None:
    assert set(described["paths"]) == {
        "/predict",
        "/models/{region}/{host}/{metric}",
        "/releases/current",
        "/health/live",
        "/health/ready",
        "/metrics",
    }


def test_the_docs_page_is_there(service: Server) -> None:
    assert "swagger" in service.client.get("/docs").text


def test_the_examples_are_answered(service: Server, described: dict[str, Any]) -> None:
    content = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert len(content["examples"]) >= 2
    for example in content["examples"].values():
        assert conforms(described, content["schema"], example["value"])
        response = service.client.post("/predict", json=example["value"])
        assert response.status_code == 200
        assert conforms(described, answer_schema(described, "/predict", "post", response), response.json())


def test_every_form_of_request_and_its_answer_are_as_described(
    service: Server, described: dict[str, Any], hour: pd.DataFrame
) -> None:
    request = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    one = single(hour[hour["metric"] == hour["metric"].iloc[0]])
    bodies = [
        one,
        many(hour),
        rows(hour),
        {**one, "bands": True, "windows": ["1m"], "combine": "max"},
        {"model_id": "us-east-1/web-000/cpu_util/15m", "datapoints": one["datapoints"]},
        {**one, "metric": "gpu"},
        {"series": [one, {**one, "host": "a/b"}, {**one, "datapoints": []}]},
        {"series": []},
    ]
    for body in bodies:
        assert conforms(described, request, body)
        response = service.client.post("/predict", json=body)
        assert response.status_code == 200
        assert conforms(described, answer_schema(described, "/predict", "post", response), response.json())
        msgspec.convert(response.json(), PredictAnswer if "release" in response.json() else SeriesAnswer)


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"{", {}), (b"{}", {}), (b"{}", {"content-type": "text/csv"}), (b'{"model_id": "a"}', {})],
)
def test_problems_are_as_described(
    service: Server, described: dict[str, Any], body: bytes, headers: dict[str, str]
) -> None:
    response = service.client.post("/predict", content=body, headers=headers)
    assert response.status_code >= 400
    assert conforms(described, answer_schema(described, "/predict", "post", response), response.json())


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/models/{region}/{host}/{metric}", "/models/us-east-1/web-000/cpu_util"),
        ("/releases/current", "/releases/current"),
        ("/health/live", "/health/live"),
        ("/health/ready", "/health/ready"),
    ],
)
def test_what_is_got_is_as_described(service: Server, described: dict[str, Any], path: str, url: str) -> None:
    response = service.client.get(url)
    assert conforms(described, answer_schema(described, path, "get", response), response.json())


def test_what_a_models_route_answers_for_nothing_is_described(service: Server, described: dict[str, Any]) -> None:
    response = service.client.get("/models/us-east-1/web-000/gpu")
    assert response.status_code == 404
    assert conforms(
        described, answer_schema(described, "/models/{region}/{host}/{metric}", "get", response), response.json()
    )
