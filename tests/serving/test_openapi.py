"""The description of the service at /openapi.json: true of what the service does."""

import gzip
import html.parser
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pandas as pd
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from myriad.formats.bodies.schemas import PredictAnswer, SeriesAnswer
from myriad.serving.openapi import STATIC
from tests.conftest import Published, Server
from tests.serving.bodies import frame, many, rows, single

CHROMIUM = Path("/usr/bin/chromium")


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


class References(html.parser.HTMLParser):
    """What a page refers to, its scripts' own text, and attributes that would be script or style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.references, self.inline, self._script = list[str](), list[str](), False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag in ("script", "style")
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        self.inline += [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)


def test_the_docs_page_refers_to_nothing_but_what_the_service_has(service: Server) -> None:
    page = service.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    found = References(page.text)
    assert len(found.references) >= 3
    assert found.inline == []
    for reference in found.references:
        assert re.match(r"[a-z]", reference)
        assert ":" not in reference
        assert service.client.get(f"/{reference}").status_code == 200


def test_the_docs_page_may_load_nothing_from_elsewhere(service: Server) -> None:
    for path in ("/docs", "/docs/static/docs.js"):
        policy = service.client.get(path).headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert {*rules.values()} == {"'self'", "'none'"}


def test_its_script_and_style_ask_for_nothing_elsewhere(service: Server) -> None:
    assert not re.search(r"https?:|//[a-z]", service.client.get("/docs/static/docs.js").text.partition("\n")[2])
    style = service.client.get("/docs/static/swagger-ui.css").text
    assert {address[:5] for address in re.findall(r"url\([\"']?([^)\"']+)", style)} <= {"data:"}
    assert "@import" not in style


def test_the_pages_files_may_be_kept_for_a_year_as_their_address_changes_with_them(service: Server) -> None:
    for reference in References(service.client.get("/docs").text).references:
        if reference.startswith("docs/static/"):
            assert re.search(r"\?[0-9a-f]{16}$", reference)
            assert "max-age=31536000, immutable" in service.client.get(f"/{reference}").headers["cache-control"]
    assert service.client.get("/docs").headers["cache-control"] == "no-cache"


def test_the_pages_files_are_compressed_for_those_who_take_it(service: Server) -> None:
    script = "/docs/static/swagger-ui-bundle.js"
    plain = service.client.get(script, headers={"accept-encoding": "identity"})
    packed = service.client.get(script, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.content == packed.content == gzip.decompress((STATIC / "swagger-ui-bundle.js.gz").read_bytes())


def test_the_pages_files_have_their_licence_and_a_version(service: Server) -> None:
    assert "Apache License" in (STATIC / "swagger-ui.LICENSE.txt").read_text()
    (version,) = re.findall(r"`swagger-ui-dist` ([0-9.]+[0-9])", (STATIC / "README.md").read_text())
    assert f'"{version}"' in service.client.get("/docs/static/swagger-ui-bundle.js").text


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/docs/static/no.js", "/docs/static/README.md"])
def test_there_is_no_other_page_of_docs(service: Server, path: str) -> None:
    assert service.client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/docs/", "/redoc/", "/health/live/", "/models/r/h/m/", "/metrics/", "//docs", "/a//"]
)
def test_nobody_is_sent_to_the_host_a_request_names(service: Server, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: elsewhere.example\r\nX-Forwarded-Host: elsewhere.example\r\n"
    address = (service.client.base_url.host, service.client.base_url.port or 80)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"elsewhere" not in answer


def test_a_browser_shows_the_docs_page(service: Server, tmp_path: Path) -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server", f"--user-data-dir={tmp_path}"]
    flags += ["--virtual-time-budget=20000", "--enable-logging=stderr", "--dump-dom"]
    command = [str(CHROMIUM), *flags, f"{service.client.base_url}/docs"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert "/predict" in shown.stdout
    assert "Score datapoints" in shown.stdout


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
