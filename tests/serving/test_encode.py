"""A large answer is encoded a piece at a time, which nobody sees."""

import json

import pytest

from myriad.formats.base import Bounds
from myriad.serving.decode import decode
from myriad.serving.encode import encode
from myriad.serving.predictor import Predictor
from tests.conftest import Published
from tests.serving.bodies import frame, many

BOUNDS = Bounds(points=100_000, series=1000)


@pytest.mark.parametrize("per_chunk", [1, 3, 8])
def test_the_pieces_an_answer_is_made_in_do_not_show(
    published: Published, monkeypatch: pytest.MonkeyPatch, per_chunk: int
) -> None:
    predictor, series = Predictor.open(published.url), published.fleet.series[:8]
    body = many(frame(published.fleet, *series, hours=0.2))
    body["series"][3]["datapoints"] = []
    batch = decode(json.dumps({**body, "hosts": True}).encode(), BOUNDS)
    scores = predictor.score(batch.query)
    (encoded,) = encode(batch, scores, stale=True)
    monkeypatch.setattr("myriad.serving.encode.SERIES_PER_CHUNK", per_chunk)
    assert encode(batch, scores, stale=True) == [encoded]
    assert isinstance(encoded, bytes)
    answer = json.loads(encoded)
    assert [one["host"] for one in answer["series"]] == [one.host for one in series]
    assert [one["status"] for one in answer["series"]][2:5] == ["ok", "bad_series", "ok"]
    assert (list(answer), answer["stale"]) == (["release", "series", "hosts", "stale"], True)


def test_an_answer_about_no_series_is_one(published: Published) -> None:
    predictor = Predictor.open(published.url)
    batch = decode(b'{"series": []}', BOUNDS)
    (answer,) = encode(batch, predictor.score(batch.query))
    assert isinstance(answer, bytes)
    assert json.loads(answer) == {"release": published.manifest.id, "series": []}
