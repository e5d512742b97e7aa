"""Scores as alerts count them, in process; `tests/formats/bodies` has what requests are answered."""

import numpy as np
import pandas as pd
import pytest

from myriad.serving.predictor import Predictor
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases
from tests.conftest import history
from tests.training.small import fitted, released

METRICS = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """It knows five metrics of a host."""
    store = MemoryStore()
    released(Releases(store), fitted(*(f"r/h/{metric}" for metric in METRICS)))
    return Predictor.open(store)


def day(*metrics: str, odd: tuple[str, ...] = (), hours: tuple[int, ...] = (12,)) -> pd.DataFrame:
    """A day of a host's metrics, of which the odd ones are far off for ten minutes of these hours."""
    parts = []
    for metric in metrics:
        times, values = history(1).series(0)
        off = np.isin(np.arange(len(times)) // 60, hours) & (np.arange(len(times)) % 60 < 10) & (metric in odd)
        parts.append({"region": "r", "host": "h", "metric": metric, "timestamp": times, "value": values + 60.0 * off})
    return pd.concat(map(pd.DataFrame, parts), ignore_index=True)


def worst(predictor: Predictor, frame: pd.DataFrame, metric: str) -> tuple[float, float]:
    """The largest score of a metric, and the largest as alerts count it."""
    found = predictor.predict(frame, alerts=True)[frame["metric"] == metric]
    return found["score"].max(), found["alert_score"].max()


def test_one_odd_metric_of_a_quiet_host_counts_for_less(predictor: Predictor) -> None:
    score, alert = worst(predictor, day(*METRICS, odd=("a",)), "a")
    assert score > 2
    assert alert < 0.8 * score


def test_a_host_whose_metrics_are_all_odd_wakes_somebody(predictor: Predictor) -> None:
    score, alert = worst(predictor, day(*METRICS, odd=METRICS), "a")
    assert score > 2
    assert alert > 1.5


def test_a_series_that_pages_every_other_hour_counts_for_less_and_less(predictor: Predictor) -> None:
    frame = day("a", odd=("a",), hours=tuple(range(2, 24, 2)))
    found = predictor.predict(frame, alerts=True)
    by_hour = found.groupby(np.arange(len(found)) // 120)
    share = by_hour["alert_score"].max() / by_hour["score"].max().clip(upper=5)
    assert share.iloc[1] == pytest.approx(1)
    assert share.iloc[-1] < 0.6


def test_a_point_without_a_score_has_none_as_an_alert(predictor: Predictor) -> None:
    frame = day("a", "unknown")
    found = predictor.predict(frame, alerts=True)
    assert found["alert_score"].isna().tolist() == found["score"].isna().tolist()
    assert found["alert_score"].isna().any()
    assert found["alert_score"].notna().any()


def test_the_scores_themselves_are_the_same(predictor: Predictor) -> None:
    frame = day(*METRICS, odd=("a", "b"))
    plain = predictor.predict(frame)
    pd.testing.assert_frame_equal(predictor.predict(frame, alerts=True)[list(plain)], plain)
    assert "alert_score" not in plain


def test_other_metrics_of_a_host_count_wherever_they_stand_in_the_frame(predictor: Predictor) -> None:
    frame = day(*METRICS, odd=("a", "c"))
    shuffled = frame.sample(frac=1, random_state=1)
    found = predictor.predict(shuffled, alerts=True).sort_index()
    assert found["alert_score"].tolist() == predictor.predict(frame, alerts=True)["alert_score"].tolist()
