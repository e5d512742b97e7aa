"""OpenAPI: the document, in which `/predict` is described by the types that decode and encode it, and the page `/docs`.

The page, its script and its style are files beside this module, so that it works without a network.
"""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from myriad.formats.bodies import JSON, TABLES
from myriad.formats.bodies.schemas import PredictAnswer, PredictRequest, SeriesAnswer
from myriad.serving.problems import Problem

STATIC = Path(__file__).parent / "static"
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_FILES = {"swagger-ui-bundle.js": _SCRIPT, "docs.js": _SCRIPT, "swagger-ui.css": _STYLE}
"""What the page refers to, with the media type of each; some are kept compressed, as a file of that name and `.gz`."""
_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_SAFE = {
    "Content-Security-Policy": "; ".join(f"{what} {where}" for what, where in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
"""A file is asked for with a hash of its content, so that it can be kept for a year."""

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
    serve_page(app)


def serve_page(app: FastAPI) -> None:
    """Add `/docs` and its files, in place of FastAPI's page, which loads its script from elsewhere."""
    files = {name: _compressed(name) for name in _FILES}
    page = (STATIC / "docs.html").read_text()
    for name, content in files.items():
        page = page.replace(f"docs/static/{name}", f"docs/static/{name}?{hashlib.sha256(content).hexdigest()[:16]}")

    async def docs(_: Request) -> Response:
        return Response(page, headers={**_SAFE, "Cache-Control": "no-cache"}, media_type="text/html")

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            raise Problem(404, "not-found", "there is no such file")
        headers, content = {**_SAFE, **_KEPT}, files[name]
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        return Response(content, headers=headers, media_type=_FILES[name])

    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/static/{name}", static, include_in_schema=False)


def _compressed(name: str) -> bytes:
    kept = STATIC / f"{name}.gz"
    return kept.read_bytes() if kept.exists() else gzip.compress((STATIC / name).read_bytes(), mtime=0)


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
    bulk_bodies = {media: {"schema": {"type": "string", "format": "binary"}} for media in TABLES if media != JSON}
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
