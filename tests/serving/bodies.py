"""Telemetry as `/predict` is sent it, and what is asked of the answers."""

from typing import Any

import httpx
import numpy as np
import pandas as pd

from myriad.models.key import Series
from myriad.serving.predictor import Predictor
from myriad.training.fleets.synthetic import Fleet

HOUR = 3600
LABELS = ["region", "host", "metric"]


def frame(fleet: Fleet, *series: Series, hours: float = 2, end: int | None = None) -> pd.DataFrame:
    """The datapoints of some series in the hours before `end`, by default that of the fleet."""
    until = int(fleet.timestamps[-1]) + 60 if end is None else end
    chosen = (fleet.timestamps >= until - hours * HOUR) & (fleet.timestamps < until)
    parts = [
        pd.DataFrame(
            {
                **one._asdict(),
                "timestamp": fleet.timestamps[chosen],
                "value": fleet.values[fleet.series.index(one)][chosen],
            }
        )
        for one in series
    ]
    return pd.concat(parts, ignore_index=True)


def rows(points: pd.DataFrame) -> dict[str, Any]:
    """A body of rows, in the frame's order."""
    return {"datapoints": points.to_dict("records")}


def many(points: pd.DataFrame) -> dict[str, Any]:
    """A body with a list of series, in order of their first row."""
    groups = points.groupby(LABELS, sort=False)
    return {"series": [_one(labels, group) for labels, group in groups]}


def single(points: pd.DataFrame) -> dict[str, Any]:
    """A body of the one series of the frame."""
    (one,) = many(points)["series"]
    return dict(one)


def _one(labels: Any, points: pd.DataFrame) -> dict[str, Any]:
    return dict(zip(LABELS, labels, strict=True)) | {"datapoints": points[["timestamp", "value"]].to_dict("records")}


def answered(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request that is in order."""
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def statuses(answer: dict[str, Any]) -> list[str]:
    """What became of each series of a bulk answer."""
    return [one["status"] for one in answer["series"]]


def columns(predictor: Predictor, points: pd.DataFrame) -> dict[str, list[Any]]:
    """The scores of one series' datapoints as `DataFrame.to_dict("list")`, None for NaN."""
    scored = predictor.predict(points)[["score", *predictor.manifest.windows]]
    whole = points[["timestamp"]].join(scored)
    lists = whole.astype(object).replace({np.nan: None}).to_dict("list")
    return {str(name): values for name, values in lists.items()}
