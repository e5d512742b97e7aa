"""Flask and pandas with an LRU cache of joblib models: `gunicorn bench.peers.flask_app:app`."""

import os
from functools import lru_cache
from pathlib import Path

import joblib
import pandas as pd
from flask import Flask, Response, jsonify, request

from bench.peers.model import Seasonal, score_columns, score_series, series_answer, tick_answer

MODELS = Path(os.environ.get("PEER_MODELS", "models"))
app = Flask(__name__)


@lru_cache(maxsize=100_000)
def load(region: str, host: str, metric: str, window: str) -> Seasonal:
    """A model, from its file."""
    model: Seasonal = joblib.load(MODELS / region / host / metric / f"{window}.joblib")
    return model


@app.post("/predict")
def predict() -> Response:
    """The scores of one series."""
    body = request.get_json()
    frame = pd.DataFrame(body["datapoints"]).sort_values("timestamp")
    timestamps, values = frame["timestamp"].to_numpy(), frame["value"].to_numpy(float)
    scores = score_series(load, (body["region"], body["host"], body["metric"]), timestamps, values)
    return jsonify(series_answer(timestamps, scores))


@app.post("/tick")
def tick() -> Response:
    """The scores of a tick."""
    body = request.get_json()
    windows = body.pop("windows")
    frame = pd.DataFrame(body)
    labels = list(zip(frame["region"], frame["host"], frame["metric"], strict=True))
    values = frame["value"].to_numpy(float)
    return jsonify(tick_answer(score_columns(load, labels, frame["timestamp"].to_numpy(), values, windows)))
