"""FastAPI, pydantic and pandas with an LRU cache of joblib models: `uvicorn bench.peers.fastapi_app:app`."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

from bench.peers.model import Seasonal, score_columns, score_series, series_answer, tick_answer

MODELS = Path(os.environ.get("PEER_MODELS", "models"))
app = FastAPI()


class Datapoint(BaseModel):
    """A value at a time."""

    timestamp: int
    value: float


class OneSeries(BaseModel):
    """A request for one series."""

    region: str
    host: str
    metric: str
    datapoints: list[Datapoint]


class Tick(BaseModel):
    """One point of each of many series, in columns."""

    windows: list[str]
    region: list[str]
    host: list[str]
    metric: list[str]
    timestamp: list[int]
    value: list[float]


class Answer(BaseModel):
    """Scores and expected values, by window."""

    anomaly_scores: dict[str, list[float | None]]
    expected: dict[str, list[float | None]]


@lru_cache(maxsize=100_000)
def load(region: str, host: str, metric: str, window: str) -> Seasonal:
    """A model, from its file."""
    model: Seasonal = joblib.load(MODELS / region / host / metric / f"{window}.joblib")
    return model


@app.post("/predict")
async def predict(body: OneSeries) -> Answer:
    """The scores of one series."""
    frame = pd.DataFrame([point.model_dump() for point in body.datapoints]).sort_values("timestamp")
    timestamps, values = frame["timestamp"].to_numpy(), frame["value"].to_numpy()
    scores = score_series(load, (body.region, body.host, body.metric), timestamps, values)
    return Answer(**series_answer(timestamps, scores))


@app.post("/tick")
async def tick(body: Tick) -> dict[str, Any]:
    """The scores of a tick."""
    frame = pd.DataFrame(body.model_dump(exclude={"windows"}))
    labels = list(zip(frame["region"], frame["host"], frame["metric"], strict=True))
    timestamps, values = frame["timestamp"].to_numpy(), frame["value"].to_numpy()
    return tick_answer(score_columns(load, labels, timestamps, values, body.windows))
