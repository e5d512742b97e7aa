"""Requests that arrive together are scored in one call, each answered as if it had come alone."""

import asyncio
import json
from contextlib import nullcontext
from typing import Any

import pytest

from myriad.formats.base import Bounds
from myriad.models.errors import BadRequest, InvalidKey
from myriad.models.key import Series
from myriad.serving.decode import parse
from myriad.serving.micro_batching import MicroBatcher
from myriad.serving.predictor import Loading, Predictor
from myriad.serving.scoring import MAX_GATHERED_SERIES, Query, Scores
from tests.conftest import Published
from tests.serving.bodies import frame, many, single

BOUNDS = Bounds(points=100_000, series=1000)
NOBODY = Series("nowhere", "nobody", "nothing")


class Counting(Predictor):
    """A predictor that counts its calls."""

    calls = 0

    async def score_async(self, query: Query, loading: Loading = nullcontext) -> Scores:
        """As a predictor does."""
        self.calls += 1
        return await super().score_async(query, loading)


@pytest.fixture
def predictor(published: Published) -> Counting:
    """On the published fleet, the models of every series cached."""
    predictor = Counting.open(published.url)
    predictor.predict(frame(published.fleet, *published.fleet.series, hours=0.1))
    for one in published.fleet.series:
        predictor.locate(one)
    return predictor


def answers(predictor: Predictor, *bodies: dict[str, Any]) -> list[Any]:
    """What requests that arrive at once are answered, or why not."""

    async def all_at_once() -> list[Any]:
        batcher = MicroBatcher(predictor)
        requests = [parse(json.dumps(body).encode(), BOUNDS) for body in bodies]
        return await asyncio.gather(*(batcher.answer(request) for request in requests), return_exceptions=True)

    return asyncio.run(all_at_once())


def bodies(published: Published) -> list[dict[str, Any]]:
    """A request for each series, of different lengths."""
    fleet = published.fleet
    return [single(frame(fleet, one, hours=0.2 + i / 10)) for i, one in enumerate(fleet.series)]


def test_each_is_answered_as_if_it_had_come_alone(published: Published, predictor: Counting) -> None:
    requests = bodies(published)
    alone = [answers(predictor, body)[0] for body in requests]
    predictor.calls = 0
    assert answers(predictor, *requests) == alone
    assert predictor.calls == 1


def test_those_that_arrive_while_others_are_parsed_are_answered_with_them(
    published: Published, predictor: Counting
) -> None:
    requests = [parse(json.dumps(body).encode(), BOUNDS) for body in bodies(published)[:3]]

    async def one_a_turn() -> list[bytes]:
        batcher = MicroBatcher(predictor)
        waiting = []
        for request in requests:
            waiting.append(asyncio.ensure_future(batcher.answer(request)))
            await asyncio.sleep(0)
        return await asyncio.gather(*waiting)

    predictor.calls = 0
    assert len(set(asyncio.run(one_a_turn()))) == 3
    assert predictor.calls == 1


def test_those_for_other_windows_or_combinations_are_answered_apart(published: Published, predictor: Counting) -> None:
    usual = bodies(published)[0]
    requests = [usual, {**usual, "windows": ["1m"]}, {**usual, "combine": "max"}, {**usual, "bands": True}]
    alone = [answers(predictor, body)[0] for body in requests]
    predictor.calls = 0
    assert answers(predictor, *requests) == alone
    assert predictor.calls == 3
    assert len(set(alone)) == 4


def test_what_is_wrong_with_one_harms_no_other(published: Published, predictor: Counting) -> None:
    first, second, *_ = bodies(published)
    empty = {**first, "datapoints": []}
    huge = {**first, "datapoints": [{"timestamp": 60, "value": 1e200}]}
    unknown = {**first, "windows": ["7m"]}
    several = {"series": [*many(frame(published.fleet, *published.fleet.series[:2]))["series"], empty]}
    requests = [first, empty, second, huge, unknown, several, {"series": []}]
    got = answers(predictor, *requests)
    assert [got[i] for i in (0, 2, 5, 6)] == [answers(predictor, requests[i])[0] for i in (0, 2, 5, 6)]
    assert [(str(got[i]), got[i].field) for i in (1, 3)] == [
        ("there are no datapoints", "$.datapoints"),
        ("value 1e+200 is beyond 1e+150", "$.datapoints[0]"),
    ]
    assert isinstance(got[1], BadRequest)
    assert isinstance(got[4], InvalidKey)
    assert [one["status"] for one in json.loads(got[5])["series"]] == ["ok", "ok", "bad_series"]


def test_one_whose_models_are_not_open_is_waited_for_by_nobody_else(published: Published, predictor: Counting) -> None:
    warm = bodies(published)[0]
    got = answers(predictor, warm, {**warm, **NOBODY._asdict()})
    assert got[0] == answers(predictor, warm)[0]
    assert json.loads(got[1])["status"] == "no_model"
    predictor.calls = 0
    answers(predictor, warm, {**warm, **NOBODY._asdict()})
    assert predictor.calls == 2


def test_more_series_than_one_call_takes_are_answered_in_portions(published: Published, predictor: Counting) -> None:
    requests = bodies(published) * 10
    expected = answers(predictor, *requests[: len(requests) // 10]) * 10
    predictor.calls = 0
    assert answers(predictor, *requests) == expected
    assert predictor.calls == -(-len(requests) // MAX_GATHERED_SERIES)


def test_one_who_goes_away_leaves_the_others_theirs(published: Published, predictor: Counting) -> None:
    first, second, *_ = [parse(json.dumps(body).encode(), BOUNDS) for body in bodies(published)]

    async def leaving() -> bytes:
        batcher = MicroBatcher(predictor)
        gone, stays = (asyncio.ensure_future(batcher.answer(one)) for one in (first, second))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert json.loads(asyncio.run(leaving()))["status"] == "ok"
