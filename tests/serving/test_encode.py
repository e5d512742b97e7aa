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


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_the_pieces_an_answer_is_made_in_do_not_show(
    published: Published, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    predictor, series = Predictor.open(published.url), published.fleet.series[:8]
    body = many(frame(published.fleet, *series, hours=0.2))
    body["series"][3]["datapoints"] = []
    joined = decode(json.dumps({**body, "hosts": True}).encode(), BOUNDS)
    scores = predictor.score(joined.query)
    (whole,) = encode(joined, scores, stale=True)
    monkeypatch.setattr("myriad.serving.encode.SERIES_AT_ONCE", at_once)
    assert encode(joined, scores, stale=True) == [whole]
    assert isinstance(whole, bytes)
    answer = json.loads(whole)
    assert [one["host"] for one in answer["series"]] == [one.host for one in series]
    assert [one["status"] for one in answer["series"]][2:5] == ["ok", "bad_series", "ok"]
    assert (list(answer), answer["stale"]) == (["release", "series", "hosts", "stale"], True)


def test_an_answer_about_no_series_is_one(published: Published) -> None:
    predictor = Predictor.open(published.url)
    joined = decode(b'{"series": []}', BOUNDS)
    (answer,) = encode(joined, predictor.score(joined.query))
    assert isinstance(answer, bytes)
    assert json.loads(answer) == {"release": published.manifest.id, "series": []}
