"""Hourly: histories as hourly means for forecasting libraries, and profiles of the hours of the week.

The libraries are too slow for forty thousand points a series, and the seasons that matter are the day and the week.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Fit, Model
from myriad.models.errors import HistoryUnusable, NotReducible
from myriad.models.points import Points, magnitudes
from myriad.models.robust import MEAN_DEVIATION_TO_STD, ROUNDING

HOUR, HALF, DAY_HOURS, WEEK_HOURS = 3600, 1800, 24, 168
PROFILE_DIGITS = 1000
"""A unit is at least 1/1000 of the profile's range, because a float16 has three decimal digits."""
SPREAD_PRIOR_DAYS = 3.0
"""The spread of an hour is averaged with the overall one, which weighs as much as this many days."""

K = TypeVar("K", bound=Model)


def hourly_means(points: Points) -> tuple[int, Vector]:
    """The first local hour of a single series, in hours since the epoch, and the mean of each hour from there on.

    Hours without points are interpolated linearly.
    """
    hours = _in_order(points) // HOUR
    first = int(hours.min())
    counts = np.bincount(hours - first)
    sums = np.bincount(hours - first, points.values)
    filled = np.flatnonzero(counts)
    return first, np.interp(np.arange(len(counts)), filled, sums[filled] / counts[filled])


def _in_order(points: Points) -> NDArray[np.int64]:
    """Local times without the whole days by which holidays are shifted: in a row of hours each day is there once."""
    if points.clock is None or not len(points.clock):
        return points.local
    shift = points.clock - points.timestamps
    days = np.round((shift - np.median(shift)) / (DAY_HOURS * HOUR)).astype(np.int64)
    return points.clock - DAY_HOURS * HOUR * days


def fit_each(kind: type[K], history: Points, min_hours: int, row: Callable[[Points], Arrays]) -> Fit[K]:
    """A row for each history that has points in at least `min_hours` hours, one after the other.

    Args:
        kind: the adapter.
        history: tidied points, values finite.
        min_hours: hours with points that are needed.
        row: makes the arrays of one row, (1, ...), from a single series whose largest absolute value is 1. Its `level`
            and `unit` are multiplied by the series' magnitude afterwards. It may raise `HistoryUnusable`.
    """
    rows: dict[int, Arrays] = {}
    refused: dict[int, HistoryUnusable] = {}
    size = magnitudes(history)
    for i in range(len(history)):
        series = history.take([i])
        try:
            _require_hours(series, min_hours, kind.name())
            arrays = dict(row(series.with_values(series.values / size[i])))
        except HistoryUnusable as error:
            refused[i] = error
        else:
            rows[i] = arrays | {name: arrays[name] * size[i] for name in ("level", "unit")}
    empty = {name: np.empty((0, *param.shape)) for name, param in kind.params.items()}
    stacked = {name: np.concatenate([none, *(row[name] for row in rows.values())]) for name, none in empty.items()}
    return Fit(kind.uncalibrated(stacked), np.array(list(rows), np.int64), refused)


def _require_hours(points: Points, min_hours: int, name: str) -> None:
    hours = len(np.unique(_in_order(points) // HOUR))
    if hours < min_hours:
        raise HistoryUnusable(f"{hours} hours with points are too few for {name}; {min_hours} are needed")


def step_of(observations: int, history: Points) -> tuple[int, int]:
    """The local time of the first step after the fitted observations, and the seconds between observations.

    Args:
        observations: how many the library's object was fitted to.
        history: the one series.

    Raises:
        NotReducible: these are neither the hourly means of the history nor its points.
    """
    first, means = hourly_means(history)
    if observations == len(means):
        return (first + observations) * HOUR, HOUR
    if observations == len(history.values):
        step = int(np.median(np.diff(history.timestamps)))
        return int(_in_order(history)[-1]) + step, step
    raise NotReducible(
        f"it was fitted to {observations} observations, which are neither the {len(history.values)} points of the "
        f"history nor its {len(means)} hourly means; fit it to one of these"
    )


def week_profile(cycle: Vector, first: int, step: int) -> Vector:
    """A season as a profile of the hours of the week, (168,).

    Args:
        cycle: the season's values in one period.
        first: the time of the first value, epoch seconds.
        step: seconds between values.

    Raises:
        NotReducible: a week is not a whole number of periods, or an hour not a whole number of steps.
    """
    week = WEEK_HOURS * HOUR
    if HOUR % step or week % (len(cycle) * step):
        raise NotReducible(
            f"a season of {len(cycle)} steps of {step} s does not fit into a week; use a period of a day or a week"
        )
    times = first + step * np.arange(week // step)
    hours = times // HOUR % WEEK_HOURS
    return np.bincount(hours, np.resize(cycle, len(times))) / np.bincount(hours)


def at_times(profile: NDArray[np.floating], rows: NDArray[np.int64], local: NDArray[np.int64]) -> Vector:
    """The profile at each time, (n,), linear between the middles of the hours.

    Args:
        profile: (series, 24) or (series, 168).
        rows: the profile of each point, (n,).
        local: local times, seconds, (n,).
    """
    cycle = profile.shape[1]
    hour, second = np.divmod(local - HALF, HOUR)
    before = profile[rows, hour % cycle].astype(np.float64)
    after = profile[rows, (hour + 1) % cycle].astype(np.float64)
    return before + (after - before) * (second / HOUR)


def interpolated(first: int, hourly: Vector, local: NDArray[np.int64]) -> Vector:
    """Hourly values from local hour `first` on, at other local times: linear between them, constant outside."""
    return np.interp((local - HALF) / HOUR - first, np.arange(len(hourly)), hourly)


def residual_std(residuals: Vector) -> float:
    """The standard deviation of residuals around 0, from their mean absolute value; at least `ROUNDING`."""
    return max(float(MEAN_DEVIATION_TO_STD * np.abs(residuals).mean()), ROUNDING)


def residual_std_by_hour(points: Points, residuals: Vector) -> Vector:
    """The spread of each hour of the day, (24,): a weighted mean of its own and the overall one."""
    hours = points.local // HOUR % DAY_HOURS
    days = np.bincount(np.unique(points.local // HOUR) % DAY_HOURS, minlength=DAY_HOURS)
    own = [residual_std(residuals[hours == hour]) if days[hour] else 0.0 for hour in range(DAY_HOURS)]
    return (days * np.array(own) + SPREAD_PRIOR_DAYS * residual_std(residuals)) / (days + SPREAD_PRIOR_DAYS)


def unit_of(profile: Vector, spread: float) -> float:
    """The unit in which a profile is kept as float16: the spread, unless the profile is far larger."""
    return max(spread, float(np.ptp(profile)) / PROFILE_DIGITS, ROUNDING)


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """A context without warnings and without the messages of these loggers, whatever levels they give themselves."""
    before = {name: logging.getLogger(name).disabled for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).disabled = True
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, disabled in before.items():
            logging.getLogger(name).disabled = disabled
