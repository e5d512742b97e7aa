"""The model every peer serves: a seasonal profile of one series at one window, in plain NumPy.

The formulas are those of Myriad's `seasonal` adapter, its windows and its weighted combination, written for a single
model: all that can be precomputed for a model is in its tables.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HOUR, DAY_HOURS, WEEK_HOURS = 3600, 24, 168
WINDOWS = {"1m": 60, "15m": 900, "1h": 3600}
WEIGHTS = (1.0, 2.0, 4.0)
MOST_SCORE, HOLD, MOST_HELD = 1000.0, 2**-0.2, 20.0
STEP = 60
COVERAGE = 0.5

Floats = NDArray[np.float64]
Key = tuple[str, str, str]


class Seasonal:
    """The expected value at each hour of the week, and the deviation that scores 1 at each hour of the day."""

    __slots__ = ("center", "divisors", "half", "profile", "unit")

    def __init__(
        self, center: float, unit: float, profile: NDArray[np.float32], half: Floats, divisors: NDArray[np.float32]
    ) -> None:
        """A model.

        Args:
            center: the overall level.
            unit: of the profile, in that of the series.
            profile: deviation from the level at each hour of the week, (168,).
            half: half the width of the band in each hour of the day, (24,).
            divisors: calibration of the series' combined score, by subset of the windows as a bit mask, (8,).
        """
        self.center, self.unit, self.profile, self.half, self.divisors = center, unit, profile, half, divisors

    def predict(self, timestamps: NDArray[np.int64], values: Floats) -> tuple[Floats, Floats]:
        """The expected values and the scores, both (n,)."""
        hour, second = np.divmod(timestamps - HOUR // 2, HOUR)
        low, high = self.profile[hour % WEEK_HOURS], self.profile[(hour + 1) % WEEK_HOURS]
        expected = self.center + self.unit * (low + (high - low) * (second / HOUR))
        return expected, np.abs(values - expected) / self.half[timestamps // HOUR % DAY_HOURS]


Load = Callable[[str, str, str, str], Seasonal]
"""Returns the model of a region, host, metric and window."""


def score_series(
    load: Load, key: Key, timestamps: NDArray[np.int64], values: Floats, windows: Sequence[str] = tuple(WINDOWS)
) -> dict[str, Floats]:
    """The columns score, <window> and expected_<window> of one series whose points are in time order."""
    models = [load(*key, window) for window in windows]
    expected, scores = np.empty((2, len(windows), len(values)))
    for i, (model, window) in enumerate(zip(models, windows, strict=True)):
        means = window_means(timestamps, values, WINDOWS[window])
        expected[i], scores[i] = model.predict(timestamps, means)
        expected[i, np.isnan(means)] = np.nan
    columns = {"score": combined(scores, [*map([*WINDOWS].index, windows)], models[0].divisors)}
    columns |= dict(zip(windows, scores, strict=True))
    return columns | {f"expected_{window}": row for window, row in zip(windows, expected, strict=True)}


def window_means(timestamps: NDArray[np.int64], values: Floats, window: int) -> Floats:
    """The mean of the points in (t - window, t] at each t; NaN if fewer than half of them are present."""
    totals = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.arange(1, len(values) + 1)
    starts = np.searchsorted(timestamps, timestamps - window, side="right")
    means = (totals[ends] - totals[starts]) / (ends - starts)
    means[ends - starts < np.ceil(COVERAGE * window / STEP)] = np.nan
    return means


def combined(scores: Floats, positions: Sequence[int], divisors: NDArray[np.float32]) -> Floats:
    """The power mean of the windows there are, weighted 1:2:4, over the threshold of that subset, and held."""
    present = ~np.isnan(scores)
    weights = present * np.array([WEIGHTS[i] for i in positions])[:, None]
    mask = (1 << np.array(positions)) @ present
    with np.errstate(invalid="ignore"):
        powers = np.minimum(scores, MOST_SCORE) ** 4
        joint = (np.nansum(powers * weights, axis=0) / weights.sum(axis=0)) ** 0.25 / divisors[mask]
    joint = np.minimum(joint, MOST_SCORE)
    held, highest = np.empty(len(joint)), 0.0
    for at, score in enumerate(joint.tolist()):
        highest = max(highest * HOLD, min(score, MOST_HELD)) if score == score else highest * HOLD
        held[at] = (score + max(score, highest)) / 2
    return held


def score_columns(
    load: Load,
    labels: Sequence[Key],
    timestamps: NDArray[np.int64],
    values: Floats,
    windows: Sequence[str] = tuple(WINDOWS),
) -> dict[str, Floats]:
    """The columns of `score_series` for points of many series; each point has the labels of its series."""
    rows: dict[Key, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    columns: dict[str, Floats] = {}
    for key, positions in rows.items():
        for name, column in score_series(load, key, timestamps[positions], values[positions], windows).items():
            columns.setdefault(name, np.full(len(values), np.nan))[positions] = column
    return columns


def listed(values: Floats) -> list[Any]:
    """A column as a list with None in place of NaN."""
    return [None if value != value else value for value in values.tolist()]


def series_answer(timestamps: NDArray[np.int64], columns: dict[str, Floats]) -> dict[str, Any]:
    """The answer to a single-series request."""
    scores = {name: listed(column) for name, column in columns.items() if not name.startswith("expected_")}
    expected = {
        name.removeprefix("expected_"): listed(column) for name, column in columns.items() if name not in scores
    }
    return {"anomaly_scores": {"timestamp": timestamps.tolist(), **scores}, "expected": expected}


def tick_answer(columns: dict[str, Floats]) -> dict[str, Any]:
    """The answer to a tick: the scores of all its points."""
    return {name: listed(column) for name, column in columns.items() if not name.startswith("expected_")}
