"""Seldon MLServer: a custom runtime with an LRU cache of models; `mlserver start` in a directory with its settings.

The tensors of labels have one element in a single-series request, and one for each point in a tick.
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
    """A model, from its file."""
    model: Seasonal = joblib.load(MODELS / region / host / metric / f"{window}.joblib")
    return model


class Fleet(MLModel):  # type: ignore[misc]
    """All the models as one MLServer model."""

    async def load(self) -> bool:
        """Load nothing: models are loaded on demand."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The scores, one tensor for each column."""
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
