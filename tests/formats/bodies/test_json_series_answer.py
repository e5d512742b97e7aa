"""Answers about series, as text."""

import json

from myriad.formats.base import Bounds
from myriad.formats.bodies.json_series import parse
from myriad.formats.bodies.json_series_answer import encode
from myriad.serving.predictor import Predictor
from tests.conftest import Published
from tests.serving.bodies import frame, many, single

BOUNDS = Bounds(points=100_000, series=1000)


def test_an_answer_has_every_series_in_its_place_and_whatever_else_was_asked_for(published: Published) -> None:
    predictor, series = Predictor.open(published.url), published.fleet.series[:8]
    body = many(frame(published.fleet, *series, hours=0.2))
    body["series"][3]["datapoints"] = []
    request = parse(json.dumps({**body, "hosts": True}).encode(), BOUNDS)
    answer = json.loads(encode(request, predictor.score(request.query), stale=True))
    assert [one["host"] for one in answer["series"]] == [one.host for one in series]
    assert [one["status"] for one in answer["series"]][2:5] == ["ok", "bad_series", "ok"]
    assert (list(answer), answer["stale"]) == (["release", "series", "hosts", "stale"], True)


def test_an_answer_about_no_series_is_one(published: Published) -> None:
    predictor = Predictor.open(published.url)
    request = parse(b'{"series": []}', BOUNDS)
    answer = encode(request, predictor.score(request.query))
    assert json.loads(answer) == {"release": published.manifest.id, "series": []}


def test_numbers_have_as_many_digits_as_are_asked_for(published: Published) -> None:
    predictor, series = Predictor.open(published.url), published.fleet.series[0]
    body = {**single(frame(published.fleet, series)), "bands": True}
    exact, rounded = (
        json.loads(encode(request, predictor.score(request.query)))
        for request in (parse(json.dumps({**body, "digits": digits}).encode(), BOUNDS) for digits in (0, 6))
    )
    assert exact["anomaly_scores"]["timestamp"] == rounded["anomaly_scores"]["timestamp"]
    for kind in ("anomaly_scores", "expected", "lower", "upper"):
        for window in ("1m", "1h"):
            pairs = zip(exact[kind][window], rounded[kind][window], strict=True)
            known = [(one, other) for one, other in pairs if one is not None]
            assert known
            assert all(other == float(f"{one:.6g}") or abs(one - other) < 1.1e-6 * abs(one) for one, other in known)
            assert any(one != other for one, other in known)
