"""KServe: its SDK's server, a custom model by the V1 protocol, an LRU cache of joblib models; run with a port."""

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from kserve import Model, ModelServer  # type: ignore[import-not-found]

from bench.peers.model import Seasonal, score_columns, score_series, series_answer, tick_answer

MODELS = Path(os.environ.get("PEER_MODELS", "models"))


@lru_cache(maxsize=100_000)
def load(region: str, host: str, metric: str, window: str) -> Seasonal:
    """A model, from its file."""
    model: Seasonal = joblib.load(MODELS / region / host / metric / f"{window}.joblib")
    return model


class Fleet(Model):  # type: ignore[misc]
    """All the models as one KServe model."""

    def load(self) -> bool:
        """Load nothing: models are loaded on demand."""
        self.ready = True
        return True

    async def predict(self, payload: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        """The scores of one series, or of a tick in columns."""
        if "datapoints" in payload:
            points = sorted(payload["datapoints"], key=lambda point: point["timestamp"])
            timestamps = np.array([point["timestamp"] for point in points])
            values = np.array([point["value"] for point in points], np.float64)
            key = (payload["region"], payload["host"], payload["metric"])
            return series_answer(timestamps, score_series(load, key, timestamps, values))
        labels = list(zip(payload["region"], payload["host"], payload["metric"], strict=True))
        timestamps, values = np.array(payload["timestamp"]), np.array(payload["value"], np.float64)
        return tick_answer(score_columns(load, labels, timestamps, values, payload["windows"]))


if __name__ == "__main__":
    fleet = Fleet("fleet")
    fleet.load()
    ModelServer(http_port=int(sys.argv[1]), workers=1, enable_grpc=False, enable_latency_logging=False).start([fleet])
