"""What the tests of adapters that learn from lags share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._onestep import OneStep
from myriad.models.base import Arrays, Prediction
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.conftest import END, history

STEP = 300
PAST = history(7, step=STEP)  # of so few points every one after the first 30 is an example
TODAY = history(1, step=STEP, seed=1, until=END + DAY)


def stacked(rows: Sequence[Arrays]) -> Arrays:
    """Arrays of one row each as those of as many rows."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def predict_row(kind: type[OneStep], row: Arrays, points: Points = TODAY) -> Prediction:
    """The prediction of one reduced row for the points."""
    return kind.uncalibrated(row).predict(np.array([0]), points)


def library_and_ours(
    kind: type[OneStep], row: Arrays, answer: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the library's answer to the examples means in the history's unit, and what the row says of their points."""
    _, y = kind.examples(PAST)
    zero = PAST.values[-len(y) :] - row["unit"] * y
    return zero + row["unit"] * answer, predict_row(kind, row, PAST).expected[-len(y) :]


def with_incident(points: Points, start: float, hours: float, height: float) -> tuple[Points, NDArray[np.bool_]]:
    """The points, some hours after midnight higher, and which."""
    since = points.timestamps - points.timestamps[0]
    inside = (since >= start * 3600) & (since < (start + hours) * 3600)
    return points.with_values(points.values + height * inside), inside
