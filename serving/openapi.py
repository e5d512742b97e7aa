"""OpenAPI: the document behind `/docs`, in which `/predict` is described by the types that decode and encode it."""

from typing import Any

import msgspec
from fastapi import FastAPI

from myriad.serving.bulk import BULK
from myriad.serving.schemas import PredictAnswer, PredictRequest, SeriesAnswer

_SERIES_EXAMPLE = {
    "region": "us-east-1",
    "host": "web-000",
    "metric": "cpu_util",
    "datapoints": [{"timestamp": 1764547140, "value": 31.5}, {"timestamp": "2025-12-01T00:00:00Z", "value": 32.1}],
}
_ROWS_EXAMPLE = {
    "datapoints": [
        {"region": "us-east-1", "host": "web-000", "metric": "cpu_util", "timestamp": 1764547140, "value": 31.5},
        {"region": "us-east-1", "host": "web-001", "metric": "cpu_util", "timestamp": 1764547140, "value": 29.8},
    ],
    "windows": ["1m"],
}
_COLUMNS_EXAMPLE = {
    "region": ["us-east-1", "us-east-1"],
    "host": ["web-000", "web-001"],
    "metric": ["cpu_util", "cpu_util"],
    "timestamp": [1764547140, 1764547140],
    "value": [31.5, 29.8],
}
_PROBLEMS = {
    "400": "The body is not JSON",
    "404": "There is nothing of that name",
    "405": "The method is not POST",
    "408": "The body did not arrive in time",
    "413": "The body, its datapoints or its series are more than the bounds allow",
    "415": "The body is of a type or encoding not understood",
    "422": "The request is not one; the problem names the field at fault",
    "503": "No release is loaded, too many requests are in hand, or the store cannot be had",
}
_PROBLEM = {
    "title": "Problem",
    "description": "An RFC 9457 problem document.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:myriad:problem:bad-request"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "examples": ["$.datapoints[3].value"]},
    },
}


def describe_predict(app: FastAPI) -> None:
    """Add `/predict`, which is no FastAPI route, to the OpenAPI document of an app."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = generate()
            template = "#/components/schemas/{name}"
            types = (PredictRequest, SeriesAnswer, PredictAnswer)
            (request, *answers), components = msgspec.json.schema_components(types, ref_template=template)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(components, Problem=_PROBLEM)
            schema["paths"]["/predict"] = {"post": _operation(request, answers)}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The descriptions of the problem documents that a route may answer, by status."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _PROBLEMS[str(status)], "content": content} for status in statuses}


def _operation(request: dict[str, Any], answers: list[dict[str, Any]]) -> dict[str, Any]:
    examples = {
        "one series": {"value": _SERIES_EXAMPLE},
        "rows of many": {"value": _ROWS_EXAMPLE},
        "columns": {"value": _COLUMNS_EXAMPLE},
    }
    columns = {"type": "object", "description": "Columns of the same length", "required": ["region", "host", "metric"]}
    bulk_bodies = {media: {"schema": {"type": "string", "format": "binary"}} for media in BULK}
    bodies = {"application/json": {"schema": {"anyOf": [request, columns]}, "examples": examples}, **bulk_bodies}
    ok_response = {
        "description": "The scores: of one series by itself, or of many in the order in which they were first posted",
        "content": {"application/json": {"schema": {"anyOf": [*answers, columns]}}, **bulk_bodies},
    }
    return {
        "tags": ["predict"],
        "summary": "Score datapoints",
        "description": "A score above 1 is rarer than the release's target rate. Post with each series the points its "
        "longest window needs before the first one of interest.",
        "operationId": "predict",
        "requestBody": {"required": True, "content": bodies},
        "responses": {
            "200": ok_response,
            **{str(k): v for k, v in problems(400, 405, 408, 413, 415, 422, 503).items()},
        },
    }
