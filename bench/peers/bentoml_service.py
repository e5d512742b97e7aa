"""BentoML: a service with typed methods and an LRU cache of joblib models; `bentoml serve`."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import bentoml  # type: ignore[import-not-found]
import joblib
import numpy as np
from pydantic import BaseModel

from bench.peers.model import Seasonal, score_columns, score_series, series_answer, tick_answer

MODELS = Path(os.environ.get("PEER_MODELS", "models"))


class Datapoint(BaseModel):
    """A value at a time."""

    timestamp: int
    value: float


@lru_cache(maxsize=100_000)
def load(region: str, host: str, metric: str, window: str) -> Seasonal:
    """A model, from its file."""
    model: Seasonal = joblib.load(MODELS / region / host / metric / f"{window}.joblib")
    return model


@bentoml.service(workers=1, traffic={"timeout": 60})
class Fleet:
    """All the models."""

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, region: str, host: str, metric: str, datapoints: list[Datapoint]) -> dict[str, Any]:
        """The scores of one series."""
        datapoints.sort(key=lambda point: point.timestamp)
        timestamps = np.array([point.timestamp for point in datapoints])
        values = np.array([point.value for point in datapoints])
        return series_answer(timestamps, score_series(load, (region, host, metric), timestamps, values))

    @bentoml.api  # type: ignore[untyped-decorator]
    def tick(
        self,
        windows: list[str],
        region: list[str],
        host: list[str],
        metric: list[str],
        timestamp: list[int],
        value: list[float],
    ) -> dict[str, Any]:
        """The scores of a tick."""
        labels = list(zip(region, host, metric, strict=True))
        return tick_answer(score_columns(load, labels, np.array(timestamp), np.array(value), windows))
