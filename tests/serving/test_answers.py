"""Answers in one call of a kernel: to the last byte what the general way answers, or left to it."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from myriad import kernels
from myriad.formats.base import Bounds
from myriad.formats.bodies.json_series import parse
from myriad.formats.bodies.json_series_answer import encode
from myriad.models.errors import MyriadError
from myriad.models.key import Series
from myriad.serving.predict import PredictEndpoint
from myriad.serving.predictor import Predictor
from myriad.serving.settings import Settings
from myriad.storage.clocks import RegionClock
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.storage.shard import Entries, concatenated
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from tests.conftest import history
from tests.kernels.mutations import mutated
from tests.training.small import PLAN, fitted, released

pytestmark = pytest.mark.skipif(not kernels.compiled(), reason="kernels are off")

SETTINGS = Settings(store="memory://")
BOUNDS = Bounds(SETTINGS.max_points, SETTINGS.max_series)
ODD = Series("eu west/1", "höst%", "..")
EVERYBODY = ("r/a/cpu", "r/*/cpu", "*/*/cpu", str(ODD))
LIBRARY = Plan(windows=PLAN.windows, candidates=only("ewma", "lightgbm"), weights=PLAN.weights)
MUTATIONS = 3000


def serving(*parts: Entries) -> tuple[Predictor, PredictEndpoint]:
    """A predictor on a fleet of these entries, all of whose shards are open, and its endpoint."""
    releases = Releases(MemoryStore())
    released(releases, concatenated(parts))
    predictor = Predictor.open(releases.store)
    for name in ("r/a/cpu", "q/a/cpu", str(ODD)):
        predictor.locate(Series.parse(name))
    return predictor, PredictEndpoint(predictor, SETTINGS)


@pytest.fixture(scope="module")
def served() -> tuple[Predictor, PredictEndpoint]:
    """On a host's, its region's and everyone's models of one metric, and those of a name that is odd."""
    return serving(*(fitted(name, seed=seed) for seed, name in enumerate(EVERYBODY)))


def body_of(series: Series, minutes: int = 60, **options: Any) -> bytes:
    """The usual request about a series."""
    points = history(minutes / 1440, seed=3)
    datapoints = [
        {"timestamp": at, "value": value}
        for at, value in zip(points.timestamps.tolist(), points.values.tolist(), strict=True)
    ]
    request = {**series._asdict(), "datapoints": datapoints, **options}
    return json.dumps(request, ensure_ascii=False).encode()


def in_general(predictor: Predictor, body: bytes) -> bytes:
    """The answer of the general way."""
    request = parse(body, BOUNDS)
    return encode(request, predictor.score(request.query), stale=predictor.stale)


@pytest.mark.parametrize(
    "series", [Series.parse(name) for name in (*EVERYBODY[:2], "r/b/cpu", "q/a/cpu", "r/a/gpu", "q/*/cpu")]
)
@pytest.mark.parametrize(
    "options",
    [{}, {"bands": True}, {"windows": ["5m"]}, {"windows": ["5m", "1m"], "combine": "max"}, {"combine": "min"},
     {"digits": 6}, {"digits": 17, "bands": True, "windows": ["1m"]}],
)  # fmt: skip
def test_an_answer_is_that_of_the_general_way(
    served: tuple[Predictor, PredictEndpoint], series: Series, options: dict[str, Any]
) -> None:
    predictor, endpoint = served
    body = body_of(series, **options)
    assert endpoint.answer_at_once(body) == in_general(predictor, body)


@pytest.mark.parametrize(
    "series",
    [ODD, Series("r", "..", "cpu"), Series("r", ".", "cpu"), Series("é", "a/b", "cpu"), Series("r", "a" * 200, "cpu")],
)
def test_names_are_found_and_written_whatever_characters_they_have(
    served: tuple[Predictor, PredictEndpoint], series: Series
) -> None:
    predictor, endpoint = served
    body = body_of(series)
    answer = endpoint.answer_at_once(body)
    assert answer == in_general(predictor, body)
    assert json.loads(answer)["status"] == ("ok" if series == ODD else "fallback")


@pytest.mark.parametrize("minutes", [1, 2, 3, 500])
def test_few_and_many_points_are_answered_alike(served: tuple[Predictor, PredictEndpoint], minutes: int) -> None:
    predictor, endpoint = served
    for stale in (False, True):
        predictor.stale = stale
        body = body_of(Series("r", "a", "cpu"), minutes)
        answer = endpoint.answer_at_once(body)
        assert answer == in_general(predictor, body)
        assert (b'"stale":true' in answer) == stale
    predictor.stale = False


@pytest.mark.parametrize("name", ["r/a/cpu", "q/a/cpu", str(ODD)])
@pytest.mark.parametrize("regions", [("r",), ("*",), ("r", "*"), ("q",)])
def test_local_times_are_those_of_the_general_way(name: str, regions: tuple[str, ...]) -> None:
    """By clocks that change three times among the posted points, forward and back, and by none in other regions."""
    predictor, _ = serving(*(fitted(one, seed=seed) for seed, one in enumerate(EVERYBODY)))
    body = body_of(Series.parse(name), 500)
    unclocked, first = in_general(predictor, body), int(history(500 / 1440, seed=3).timestamps[0])
    changes = tuple((first + 3600 * hour, shift) for hour, shift in ((0, 0), (3, 30_600), (6, -86_400)))
    clocks = {region: RegionClock("x", 7200 * (1 + i), changes) for i, region in enumerate(regions)}
    current = predictor.current
    assert current
    predictor.current = replace(current, manifest=structs.replace(current.manifest, clocks=clocks))
    answer = PredictEndpoint(predictor, SETTINGS).answer_at_once(body)
    assert answer == in_general(predictor, body)
    assert (answer == unclocked) == (regions in (("r",), ("q",)) and not name.startswith(regions[0] + "/"))


def test_a_head_comes_before_the_answer_with_its_length(served: tuple[Predictor, PredictEndpoint]) -> None:
    _, endpoint = served
    body = body_of(Series("r", "a", "cpu"))
    answer = endpoint.answer_at_once(body)
    assert answer
    head = b"HTTP/1.1 200 OK\r\ncontent-length: "
    assert endpoint.answer_at_once(body, head) == head + b"%d\r\n\r\n" % len(answer) + answer


def test_mutated_requests_are_answered_as_the_general_way_does_or_left_to_it(
    served: tuple[Predictor, PredictEndpoint],
) -> None:
    predictor, endpoint = served
    rng, answered = random.Random(5), 0
    sound = [
        body_of(Series("r", "a", "cpu"), 4, windows=["1m", "5m"], combine="max"),
        body_of(ODD, 2, bands=True, digits=7),
    ]
    for _ in range(MUTATIONS):
        body = mutated(rng.choice(sound), rng)
        answer = endpoint.answer_at_once(body)
        answered += answer is not None
        try:
            assert answer is None or answer == in_general(predictor, body), body
        except MyriadError:
            raise AssertionError(body) from None
    assert answered > MUTATIONS / 50


@pytest.mark.parametrize(
    "options",
    [{"windows": ["7m"]}, {"windows": []}, {"windows": ["x"]}, {"windows": ["1m"] * 60}, {"combine": "mean"},
     {"hosts": True}, {"bands": 1}, {"digits": 18}, {"region": "*"}, {"host": ""}, {"metric": "a\u0080b"}],
)  # fmt: skip
def test_what_is_wrong_is_left_to_the_general_way(
    served: tuple[Predictor, PredictEndpoint], options: dict[str, Any]
) -> None:
    assert served[1].answer_at_once(body_of(Series("r", "a", "cpu"), **options)) is None


def test_a_shard_that_is_not_open_or_was_closed_is_left_to_the_general_way() -> None:
    releases = Releases(MemoryStore())
    released(releases, fitted("r/a/cpu"))
    predictor = Predictor.open(releases.store)
    endpoint, body = PredictEndpoint(predictor, SETTINGS), body_of(Series("r", "a", "cpu"))
    assert endpoint.answer_at_once(body) is None
    predictor.locate(Series("r", "a", "cpu"))
    first = endpoint.answer_at_once(body)
    assert first == in_general(predictor, body)
    predictor.drop_changed()  # the cache looks at each shard again
    assert endpoint.answer_at_once(body) == first
    predictor._cache.retain(frozenset())
    assert endpoint.answer_at_once(body) is None


def test_another_release_answers_as_soon_as_it_is_taken_up() -> None:
    releases = Releases(MemoryStore())
    released(releases, fitted("r/a/cpu"))
    predictor = Predictor.open(releases.store)
    predictor.locate(Series("r", "a", "cpu"))
    endpoint, body = PredictEndpoint(predictor, SETTINGS), body_of(Series("r", "a", "cpu"))
    before = endpoint.answer_at_once(body)
    released(releases, fitted("r/a/cpu", seed=9), releases.head())
    predictor.refresh()
    after = endpoint.answer_at_once(body)
    assert after == in_general(predictor, body)
    assert before
    assert after != before
    assert predictor.manifest.id.encode() in after


def test_models_of_libraries_and_counters_are_left_to_the_general_way() -> None:
    _, endpoint = serving(fitted("r/a/cpu", plan=LIBRARY))
    body = body_of(Series("r", "a", "cpu"), windows=["1m"])
    assert endpoint.answer_at_once(body)
    assert endpoint.answer_at_once(body_of(Series("r", "a", "cpu"))) is None
    predictor, endpoint = serving(fitted("r/a/cpu"))
    current = predictor.current
    assert current
    predictor.current = replace(current, manifest=structs.replace(current.manifest, rates={"cpu": True}))
    assert endpoint.answer_at_once(body) is None


def test_what_is_answered_is_counted() -> None:
    predictor, endpoint = serving(fitted("r/a/cpu"))
    read = predictor.metrics.registry.get_sample_value
    hits = read("myriad_cache_hits_total") or 0
    for _ in range(3):
        endpoint.answer_at_once(body_of(Series("r", "a", "cpu"), 60))
    endpoint.answer_at_once(body_of(Series("r", "a", "gpu"), 10))
    for _ in range(2):  # nothing is counted twice
        read = predictor.metrics.registry.get_sample_value
        assert read("myriad_points_total") == 190
        assert read("myriad_series_total", {"status": "ok"}) == 3
        assert read("myriad_series_total", {"status": "no_model"}) == 1
        assert (read("myriad_cache_hits_total") or 0) - hits == 5  # one is looked for again, as its fallback
