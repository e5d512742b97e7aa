"""Seldon MLServer: a custom runtime that keeps the models behind an LRU; `mlserver start` beside model-settings.json.

Labels are tensors of one name for a request about one series, or of a name a point.
"""

import os
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.codecs import NumpyCodec, StringCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from bench.peers.model import Seasonal, score_columns, score_series

MODELS = Path(os.environ.get("PEER_MODELS", "models"))


@lru_cache(maxsize=100_000)
def load(region: str, host: str, metric: str, window: str) -> Seasonal:
    """The model in its file."""
    model: Seasonal = joblib.load(MODELS / region / host / metric / f"{window}.joblib")
    return model


class Fleet(MLModel):  # type: ignore[misc]
    """All the models as one of MLServer's."""

    async def load(self) -> bool:
        """Nothing yet: models come as they are asked for."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The scores, a tensor a column."""
        tensors = {tensor.name: tensor for tensor in payload.inputs}
        text = {name: StringCodec.decode_input(tensors[name]) for name in ("region", "host", "metric", "windows")}
        timestamps = NumpyCodec.decode_input(tensors["timestamp"]).ravel()
        values = NumpyCodec.decode_input(tensors["value"]).ravel()
        labels = list(zip(text["region"], text["host"], text["metric"], strict=True))
        if len(labels) == 1:
            order = np.argsort(timestamps, kind="stable")
            columns = score_series(load, labels[0], timestamps[order], values[order], text["windows"])
        else:
            columns = score_columns(load, labels, timestamps, values, text["windows"])
        outputs = [NumpyCodec.encode_output(name, column) for name, column in columns.items()]
        return InferenceResponse(model_name=self.name, outputs=outputs)
