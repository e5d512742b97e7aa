"""JSON bodies of /predict requests for series of the reference fleet."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from myriad.models.key import Series
from myriad.training.fleets.reference import FITTED_AT

POINTS = 60
"""One-minute points of a single-series request: what its longest window needs."""
SWEEP_BATCH = 1000
"""Series in one request of a sweep."""


def single_series_body(series: Series, points: int = POINTS) -> bytes:
    """A request for one series at all windows."""
    rng = random.Random(series.hash)
    times = range(FITTED_AT, FITTED_AT + 60 * points, 60)
    datapoints = [{"timestamp": t, "value": round(rng.lognormvariate(3, 1), 3)} for t in times]
    return msgspec.json.encode({**series._asdict(), "datapoints": datapoints})


def bulk_body(series: Iterable[Series]) -> bytes:
    """A request for several series at the shortest window, with one point each."""
    return msgspec.json.encode({"windows": ["1m"], "series": [_with_one_point(name) for name in series]})


def sweep_bodies(series: Sequence[Series]) -> list[bytes]:
    """Bulk requests that together score every series once."""
    return [bulk_body(series[start : start + SWEEP_BATCH]) for start in range(0, len(series), SWEEP_BATCH)]


def unknown_series_body() -> bytes:
    """A request for a series without a model: it warms up the code and opens no shard."""
    return single_series_body(Series("nowhere", "nobody", "nothing"))


def _with_one_point(series: Series) -> dict[str, Any]:
    return {**series._asdict(), "datapoints": [{"timestamp": FITTED_AT, "value": 50.0}]}
