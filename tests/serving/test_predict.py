"""The `/predict` endpoint in process: which requests it takes, and how it tells their forms apart."""

import asyncio
import gzip
import json
from typing import Any

import pytest
import zstandard

from myriad.models.errors import BadRequest
from myriad.serving.predict import MIN_COMPRESSED_BYTES, SNIFF_BYTES, Answer, PredictEndpoint, _has_columns
from myriad.serving.predictor import Predictor
from myriad.serving.problems import Problem
from myriad.serving.settings import Settings
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from tests.training.small import fitted, released

SERIES = {"region": "r", "host": "a", "metric": "cpu"}
POINTS = [{"timestamp": 60 * i, "value": 100.0} for i in range(1, 11)]
SINGLE = json.dumps({**SERIES, "datapoints": POINTS}).encode()
COLUMNS = {name: [value] * 10 for name, value in SERIES.items()} | {
    name: [point[name] for point in POINTS] for name in ("timestamp", "value")
}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """On a small release."""
    releases = Releases(MemoryStore())
    released(releases, fitted())
    return Predictor.open(releases.store)


def posted(
    predictor: Predictor, body: bytes | None, *, method: str = "POST", query: bytes = b"", **headers: str
) -> Answer | None:
    """The answer to a request; where `body` is None the client goes away."""
    endpoint = PredictEndpoint(predictor, Settings())

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"} if body is None else {"type": "http.request", "body": body}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "query_string": query, "headers": raw}
    return asyncio.run(endpoint(scope, receive))


def content(answer: Answer | None) -> Any:
    """The JSON of an answer."""
    assert answer is not None
    return json.loads(b"".join(answer.chunks))


def test_every_form_of_a_request_has_the_same_scores(predictor: Predictor) -> None:
    single = content(posted(predictor, SINGLE))["anomaly_scores"]
    rows = content(posted(predictor, json.dumps({"datapoints": [{**SERIES, **point} for point in POINTS]}).encode()))
    assert rows["series"][0]["anomaly_scores"] == single
    columns = content(posted(predictor, json.dumps(COLUMNS).encode()))
    assert {name: columns[name] for name in single} == single
    assert content(posted(predictor, gzip.compress(SINGLE), content_encoding="gzip"))["anomaly_scores"] == single


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"method": "GET"}, 405),
        ({"content_type": "text/csv"}, 415),
        ({"content_encoding": "br"}, 415),
        ({"content_length": str(1 << 40)}, 413),
    ],
)
def test_a_request_that_cannot_be_taken_is_a_problem(
    predictor: Predictor, request_: dict[str, str], status: int
) -> None:
    with pytest.raises(Problem) as refused:
        posted(predictor, SINGLE, **request_)  # type: ignore[arg-type]
    assert refused.value.status == status


def test_without_a_release_there_is_no_answer() -> None:
    with pytest.raises(Problem) as refused:
        posted(Predictor(MemoryStore()), SINGLE)
    assert (refused.value.status, refused.value.kind) == (503, "no-release")


@pytest.mark.parametrize("body", [SINGLE, json.dumps(COLUMNS).encode()])
def test_json_has_its_options_in_the_body_and_not_in_the_url(predictor: Predictor, body: bytes) -> None:
    with pytest.raises(BadRequest, match="not of the URL"):
        posted(predictor, body, query=b"windows=1m")


def test_a_client_that_goes_away_gets_no_answer(predictor: Predictor) -> None:
    assert posted(predictor, None) is None


def test_large_answers_are_compressed_if_the_client_accepts_it(predictor: Predictor) -> None:
    large = json.dumps({name: values * 500 for name, values in COLUMNS.items()}).encode()
    plain, compressed = posted(predictor, large), posted(predictor, large, accept_encoding="gzip;q=0.5, zstd;q=0.8")
    assert plain is not None
    assert compressed is not None
    assert sum(map(len, plain.chunks)) >= MIN_COMPRESSED_BYTES
    assert (plain.encoding, compressed.encoding) == ("identity", "zstd")
    decompressed = zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(compressed.chunks))
    assert decompressed == b"".join(plain.chunks)
    small = posted(predictor, json.dumps(COLUMNS).encode(), accept_encoding="gzip")
    assert small is not None
    assert small.encoding == "identity"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"region": ["r"], "value": [1]}, True),
        ({"combine": "max", "windows": ["1m"], "1m": [1.0]}, True),
        ({"datapoints": [{"value": [1]}]}, False),
        ({"region": "r", "datapoints": []}, False),
        ({"series": [], "region": ["r"]}, False),
        ({"combine": "max"}, False),
        ({"combine": "x" * SNIFF_BYTES, "region": ["r"]}, False),
    ],
)
def test_columns_are_known_by_a_list_before_any_rows(body: dict[str, Any], expected: bool) -> None:
    assert _has_columns(json.dumps(body).encode()) is expected
