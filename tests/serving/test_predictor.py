"""The Predictor, as notebooks and batch jobs use it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from myriad.models.errors import InvalidKey, InvalidPoints, LoadFailed, NoRelease, NotFound
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.query import Query
from myriad.models.windows import Window
from myriad.serving.metrics import Metrics
from myriad.serving.predictor import Predictor
from myriad.storage.local import LocalTier
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from tests.conftest import Published, history
from tests.serving.bodies import frame
from tests.training.small import NAMES, fitted, released

CPU = Series("us-east-1", "web-000", "cpu_util")


@pytest.fixture(scope="session")
def predictor(published: Published) -> Predictor:
    """One on the published fleet."""
    return Predictor.open(published.url)


@pytest.fixture
def releases() -> Releases:
    """A store in memory with a small release."""
    releases = Releases(MemoryStore())
    released(releases, fitted())
    return releases


def hour(*names: str) -> pd.DataFrame:
    """An hour of points of the small fleet's series."""
    times, values = history(1 / 24, seed=3).series(0)
    series = [Series.parse(name) for name in names or NAMES]
    return pd.concat([pd.DataFrame({**one._asdict(), "timestamp": times, "value": values}) for one in series])


def test_a_notebook_gets_a_row_of_scores_for_each_of_its_rows(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, CPU)
    scored = points.join(predictor.predict(points))
    assert list(scored)[5:] == ["score", "1m", "15m", "1h", "expected_1m", "expected_15m", "expected_1h", "status"]
    assert scored["score"].notna().all()
    assert (scored["status"] == "ok").all()
    assert scored["1h"].isna().sum() == 29


def test_rows_in_any_order_with_any_index_get_their_own_scores(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, *published.fleet.series[:5])
    points.index = pd.Index([f"row-{i}" for i in range(len(points))])
    mixed = points.sample(frac=1, random_state=1)
    scored = predictor.predict(mixed)
    assert scored.index.equals(mixed.index)
    pd.testing.assert_frame_equal(scored.loc[points.index], predictor.predict(points), check_categorical=False)


def test_rows_of_one_time_all_get_the_score_of_the_last_of_them(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, CPU)
    wrong = points.iloc[[50, 70]].assign(value=1e6)
    scored = predictor.predict(pd.concat([wrong, points]))
    assert scored["score"].iloc[2:].tolist() == predictor.predict(points)["score"].tolist()
    assert scored["score"].iloc[:2].tolist() == scored["score"].iloc[[52, 72]].tolist()


@pytest.mark.parametrize("how", ["ms", "us", "ns", "text", "lower case", "number as text", "datetime"])
def test_times_may_be_written_in_other_ways(published: Published, predictor: Predictor, how: str) -> None:
    points = frame(published.fleet, CPU)
    when = pd.to_datetime(points["timestamp"], unit="s", utc=True)
    ways = {
        "ms": points["timestamp"] * 1000,
        "us": points["timestamp"] * 10**6,
        "ns": points["timestamp"] * 10**9,
        "text": when.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lower case": when.dt.strftime("%Y-%m-%dt%H:%M:%S.5z"),
        "number as text": points["timestamp"].map(str),
        "datetime": when,
    }
    pd.testing.assert_frame_equal(predictor.predict(points.assign(timestamp=ways[how])), predictor.predict(points))


def test_some_windows_and_another_combination_can_be_asked_for(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, CPU)
    whole, some = predictor.predict(points), predictor.predict(points, ["15m", "1m"], "max")
    assert list(some) == ["score", "1m", "15m", "expected_1m", "expected_15m", "status"]
    pd.testing.assert_frame_equal(some[["1m", "15m"]], whole[["1m", "15m"]])
    with pytest.raises(InvalidKey, match="'7m' is not one of this release's: 1m, 15m, 1h"):
        predictor.predict(points, ["7m"])


def test_rows_that_cannot_be_scored_say_why(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, CPU, hours=1)
    others = {"no_model": {"metric": "gpu"}, "bad_series": {"host": "a\nb"}, "fallback": {"host": "new"}}
    parts = [points.assign(**labels) for labels in others.values()]
    alone = points.iloc[:1].assign(host="web-001")
    scored = predictor.predict(pd.concat([*parts, alone]))
    assert scored["status"].astype(str).drop_duplicates().tolist() == [*others, "ok"]
    assert scored["score"][scored["status"].isin(["no_model", "bad_series"])].isna().all()
    too_few = predictor.predict(alone, ["1h"])
    assert too_few["status"].tolist() == ["insufficient_data"]


def test_a_row_without_a_value_gets_no_score_and_is_else_as_if_it_were_not_there(
    published: Published, predictor: Predictor
) -> None:
    points = frame(published.fleet, CPU)
    gap = points.copy()
    gap.loc[[60, 61], "value"] = [np.nan, np.inf]
    scored, dropped = predictor.predict(gap), predictor.predict(points.drop(index=[60, 61]))
    assert scored.loc[[60, 61], "score"].isna().all()
    pd.testing.assert_frame_equal(scored.drop(index=[60, 61]), dropped)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("value", True),
        ("value", pd.Timestamp(0, tz="UTC")),
        ("timestamp", True),
        ("timestamp", pd.Timestamp("2026-01-05")),
        ("host", 1.5),
    ],
)
def test_a_column_of_the_wrong_type_is_refused_by_name(
    published: Published, predictor: Predictor, column: str, value: Any
) -> None:
    with pytest.raises(InvalidPoints, match=column):
        predictor.predict(frame(published.fleet, CPU).assign(**{column: value}))


@pytest.mark.parametrize(
    ("column", "value"), [("value", "high"), ("value", "5%"), ("timestamp", "noon"), ("timestamp", "-5")]
)
def test_a_cell_that_cannot_be_read_fails_its_series_alone(
    published: Published, predictor: Predictor, column: str, value: str
) -> None:
    points = frame(published.fleet, *published.fleet.series[:2]).reset_index(drop=True)
    texts = points.assign(**{column: points[column].map(str)})
    texts.loc[3, column] = value
    scored, whole = predictor.predict(texts), predictor.predict(points)
    first = points.index < len(points) // 2
    assert set(scored["status"][first]) == {"bad_series"}
    pd.testing.assert_frame_equal(scored[~first], whole[~first], check_categorical=False)


def test_labels_may_be_numbers(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, CPU)
    by_number = predictor.predict(points.assign(host=17))
    pd.testing.assert_frame_equal(by_number, predictor.predict(points.assign(host="17")))
    assert set(by_number["status"]) == {"fallback"}


@pytest.mark.parametrize("column", ["value", "host", "timestamp"])
def test_a_column_of_mixed_types_is_refused_by_name(published: Published, predictor: Predictor, column: str) -> None:
    points = frame(published.fleet, CPU).astype({column: object})
    points.loc[3, column] = ["what", "is"]
    with pytest.raises(InvalidPoints, match=column):
        predictor.predict(points)


@pytest.mark.parametrize("column", ["region", "host", "metric", "timestamp", "value"])
def test_a_missing_column_is_refused_by_name(published: Published, predictor: Predictor, column: str) -> None:
    with pytest.raises(InvalidPoints, match=column):
        predictor.predict(frame(published.fleet, CPU).drop(columns=column))


def test_columns_of_ones_own_make_no_difference(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, CPU)
    more = points.assign(note=pd.Series([object()] * len(points), dtype=object))
    pd.testing.assert_frame_equal(predictor.predict(more), predictor.predict(points))


def test_a_frame_without_any_value_has_no_scores(published: Published, predictor: Predictor) -> None:
    scored = predictor.predict(frame(published.fleet, CPU).assign(value=np.nan))
    assert scored["score"].isna().all()
    assert set(scored["status"]) == {"insufficient_data"}


def test_a_frame_without_rows_has_no_scores(published: Published, predictor: Predictor) -> None:
    points = frame(published.fleet, CPU)
    empty = pa.Table.from_pandas(points, preserve_index=False).slice(0, 0)
    assert predictor.predict_table(empty).num_rows == 0


@given(st.lists(st.integers(0, 15), min_size=1, max_size=6, unique=True), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_answer_for_a_series_does_not_depend_on_its_neighbours_to_the_last_bit(
    published: Published, predictor: Predictor, chosen: list[int], seed: int
) -> None:
    draw = np.random.default_rng(seed)
    series = [published.fleet.series[i] for i in chosen]
    parts = [frame(published.fleet, one, hours=draw.uniform(0.2, 3)) for one in series]
    parts[0] = parts[0].assign(value=parts[0]["value"] * draw.choice([1.0, 1e30, 1e149]))
    together = predictor.predict(pd.concat(parts, ignore_index=True)).drop(columns="status")
    alone = pd.concat([predictor.predict(part).drop(columns="status") for part in parts], ignore_index=True)
    assert together.to_numpy().tobytes() == alone.to_numpy().tobytes()


def test_waiting_and_awaiting_give_the_same(published: Published, predictor: Predictor) -> None:
    times, values = published.fleet.timestamps[-120:], published.fleet.values[0, -120:]
    query = Query(Names.of([published.fleet.series[0]]), Points.of((times, values)))
    cold = Predictor.open(published.url)
    assert asyncio.run(cold.score_async(query)).score.tobytes() == predictor.score(query).score.tobytes()


def test_many_threads_get_what_one_gets(published: Published) -> None:
    predictor = Predictor.open(published.url, cache_bytes=1)  # so that every one of them loads
    points = frame(published.fleet, *published.fleet.series)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(predictor.predict, [points] * 8))
    for answer in answers[1:]:
        pd.testing.assert_frame_equal(answer, answers[0])


def test_the_services_environment_does_not_matter(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYRIAD_CACHE_BYTES", "no number")
    monkeypatch.setenv("MYRIAD_PORT", "-1")
    assert Predictor.open(releases.store).predict(hour())["score"].notna().all()


def test_a_store_without_a_release_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(NoRelease, match=str(tmp_path)):
        Predictor.open(f"file://{tmp_path}")


def test_a_refresh_takes_up_a_new_release_and_else_does_nothing(releases: Releases) -> None:
    predictor = Predictor.open(releases.store)
    first, before = predictor.manifest, predictor.predict(hour())
    assert not predictor.refresh()
    second = released(releases, fitted(seed=1), releases.head())
    assert predictor.manifest == first
    assert predictor.refresh()
    assert predictor.manifest == second
    assert not before["score"].equals(predictor.predict(hour())["score"])
    releases.rollback(first.id)
    assert predictor.refresh()
    pd.testing.assert_frame_equal(predictor.predict(hour()), before)


def test_a_release_that_cannot_be_read_leaves_the_old_one_in_place(releases: Releases) -> None:
    predictor = Predictor.open(releases.store)
    before = predictor.predict(hour())
    second = released(releases, fitted(seed=1), releases.head())
    releases.store.delete(f"releases/{second.id}.json")
    with pytest.raises(NotFound):
        predictor.refresh()
    pd.testing.assert_frame_equal(predictor.predict(hour()), before)


def test_a_release_whose_artifacts_cannot_be_loaded_leaves_the_old_one_in_place(releases: Releases) -> None:
    predictor = Predictor.open(releases.store)
    before = predictor.predict(hour())
    second = released(releases, fitted(seed=1), releases.head())
    for artifact in second.artifacts:
        releases.store.delete(f"artifacts/{artifact.hash}.st.zst")
    with pytest.raises(LoadFailed):
        predictor.refresh()
    pd.testing.assert_frame_equal(predictor.predict(hour()), before)


def test_series_whose_shard_cannot_be_loaded_fail_alone(releases: Releases) -> None:
    predictor = Predictor.open(releases.store)
    (artifact,) = (a for a in predictor.manifest.regions["r"] if a)
    releases.store.delete(f"artifacts/{artifact.hash}.st.zst")
    scored = predictor.predict(hour("r/a/cpu", "s/a/cpu"))
    assert scored["status"].astype(str).drop_duplicates().tolist() == ["load_failed", "ok"]
    assert scored["score"].isna().sum() == 60
    with pytest.raises(LoadFailed, match=artifact.hash):
        predictor.locate(Series("r", "a", "cpu"))


def test_a_shard_of_other_windows_than_the_releases_is_a_failed_load(releases: Releases) -> None:
    other = Releases(MemoryStore())
    plan = Plan(windows=(Window(60),), candidates=only("ewma"), weights=(1.0,))
    shorter = released(other, fitted(plan=plan), plan=plan)
    for stored in other.store.list("artifacts/"):
        releases.store.create(stored.name, other.store.get(stored.name, stored.size).data)
    manifest = releases.manifest(releases.head().release)
    wrong = msgspec.structs.replace(manifest, id="20260101T000000Z-wrong", regions=shorter.regions)
    releases.publish(wrong, releases.head())
    assert set(Predictor.open(releases.store).predict(hour())["status"]) == {"load_failed"}


def test_a_local_tier_serves_when_the_store_is_gone(releases: Releases, tmp_path: Path) -> None:
    tier = LocalTier(tmp_path, 1 << 20)
    before = Predictor(releases.store, local=tier)
    before.refresh()
    scored = before.predict(hour())
    for stored in list(releases.store.list("")):
        releases.store.delete(stored.name)
    after = Predictor(releases.store, local=LocalTier(tmp_path, 1 << 20))
    assert after.restore_last_release()
    pd.testing.assert_frame_equal(after.predict(hour()), scored)


def test_what_is_loaded_and_found_is_counted(releases: Releases) -> None:
    metrics = Metrics()
    predictor = Predictor(releases.store, metrics)
    predictor.refresh()
    for _ in range(3):
        predictor.predict(hour("r/a/cpu"))
    value = metrics.registry.get_sample_value
    assert value("myriad_cache_misses_total") == 1
    assert (value("myriad_cache_hits_total") or 0) >= 2
    assert value("myriad_loads_total", {"outcome": "ok"}) == 1


def test_without_a_release_there_is_nothing_to_score_with(releases: Releases) -> None:
    with pytest.raises(RuntimeError, match="refresh"):
        Predictor(releases.store).predict(hour())
