"""Hourly: histories as hourly means, which forecasting libraries can cope with, and profiles of hours of the week.

Forty thousand points a series are too many for a library that is to fit many of them, and the rhythms that matter are
those of the day and the week.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.models.base import Arrays, Fit, Model
from myriad.models.errors import HistoryUnusable, NotReducible
from myriad.models.points import Points, magnitudes

HOUR, HALF, DAY_HOURS, WEEK_HOURS = 3600, 1800, 24, 168
ROUNDING = 1e-9
"""Spreads below this share of the largest value are rounding errors."""
PROFILE_DIGITS = 1000
"""A unit is at least this part of a profile's range: a float16 has not many digits."""
SPREAD_PRIOR_DAYS = 3.0
"""The overall spread weighs as much as this many days of an hour's own."""

Vector = NDArray[np.float64]
K = TypeVar("K", bound=Model)


def hourly_means(points: Points) -> tuple[int, Vector]:
    """The first hour of the only series, counted from the epoch, and the mean of each from there on.

    Hours without points are interpolated between those around them.
    """
    hours = points.timestamps // HOUR
    counts = np.bincount(hours - hours[0])
    sums = np.bincount(hours - hours[0], points.values)
    there = np.flatnonzero(counts)
    return int(hours[0]), np.interp(np.arange(len(counts)), there, sums[there] / counts[there])


def fit_each(kind: type[K], history: Points, least_hours: int, row: Callable[[Points], Arrays]) -> Fit[K]:
    """A row for each history that covers `least_hours`, one after the other.

    Args:
        kind: the adapter.
        history: tidied points, values finite.
        least_hours: hours with points that are needed.
        row: one row from a single series whose largest value is 1; arrays called `level` and `unit` are in its unit,
            all others in none. It may raise `HistoryUnusable`.
    """
    rows: dict[int, Arrays] = {}
    refused: dict[int, HistoryUnusable] = {}
    size = magnitudes(history)
    for i in range(len(history)):
        one = history.take([i])
        try:
            _require_hours(one, least_hours, kind.name())
            arrays = dict(row(one.with_values(one.values / size[i])))
        except HistoryUnusable as why:
            refused[i] = why
        else:
            rows[i] = arrays | {name: arrays[name] * size[i] for name in ("level", "unit")}
    empty = {name: np.empty((0, *param.shape)) for name, param in kind.params.items()}
    together = {name: np.concatenate([none, *(one[name] for one in rows.values())]) for name, none in empty.items()}
    return Fit(kind.uncalibrated(together), np.array(list(rows), np.int64), refused)


def _require_hours(points: Points, least: int, name: str) -> None:
    hours = len(np.unique(points.timestamps // HOUR))
    if hours < least:
        raise HistoryUnusable(f"{hours} hours with points are too few for {name}; {least} are needed")


def step_of(observations: int, history: Points) -> tuple[int, int]:
    """The first time after what a library was fitted to, and the seconds between its observations.

    Raises:
        NotReducible: it was fitted neither to the hourly means of this history nor to its points.
    """
    first, means = hourly_means(history)
    if observations == len(means):
        return (first + observations) * HOUR, HOUR
    if observations == len(history.values):
        step = int(np.median(np.diff(history.timestamps)))
        return int(history.timestamps[-1]) + step, step
    raise NotReducible(
        f"it was fitted to {observations} observations, which are neither the {len(history.values)} points of the "
        f"history nor its {len(means)} hourly means; fit it to one of these"
    )


def week_profile(cycle: Vector, first: int, step: int) -> Vector:
    """What each hour of the week adds, (168,), from the values of one cycle that begins at time `first`.

    Raises:
        NotReducible: a week is not a number of whole cycles, or an hour not one of whole steps.
    """
    week = WEEK_HOURS * HOUR
    if HOUR % step or week % (len(cycle) * step):
        raise NotReducible(
            f"a season of {len(cycle)} steps of {step} s does not fit into a week; use a period of a day or a week"
        )
    times = first + step * np.arange(week // step)
    hours = times // HOUR % WEEK_HOURS
    return np.bincount(hours, np.resize(cycle, len(times))) / np.bincount(hours)


def at_times(profile: NDArray[np.floating], rows: NDArray[np.int64], timestamps: NDArray[np.int64]) -> Vector:
    """The profile (series, hours of a cycle) of each row at each time: linear between the middles of the hours."""
    cycle = profile.shape[1]
    hour, second = np.divmod(timestamps - HALF, HOUR)
    before = profile[rows, hour % cycle].astype(np.float64)
    after = profile[rows, (hour + 1) % cycle].astype(np.float64)
    return before + (after - before) * (second / HOUR)


def interpolated(first: int, hourly: Vector, timestamps: NDArray[np.int64]) -> Vector:
    """Hourly values from hour `first` on at other times, the outermost ones held."""
    return np.interp((timestamps - HALF) / HOUR - first, np.arange(len(hourly)), hourly)


def deviation(values: Vector) -> float:
    """A standard deviation from the mean absolute one, of values around 0; never 0 where the largest value is 1."""
    # For a normal distribution the standard deviation is sqrt(pi / 2) times the mean absolute deviation.
    return max(float(np.sqrt(np.pi / 2) * np.abs(values).mean()), ROUNDING)


def deviations_by_hour(points: Points, residuals: Vector) -> Vector:
    """The spread of each hour of the day, (24,), drawn towards that of the whole day."""
    hours = points.timestamps // HOUR % DAY_HOURS
    days = np.bincount(np.unique(points.timestamps // HOUR) % DAY_HOURS, minlength=DAY_HOURS)
    own = [deviation(residuals[hours == hour]) if days[hour] else 0.0 for hour in range(DAY_HOURS)]
    return (days * np.array(own) + SPREAD_PRIOR_DAYS * deviation(residuals)) / (days + SPREAD_PRIOR_DAYS)


def unit_of(profile: Vector, spread: float) -> float:
    """What a profile kept as a float16 is best measured in: the spread, if the profile is not far larger."""
    return max(spread, float(np.ptp(profile)) / PROFILE_DIGITS, ROUNDING)


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Without the warnings and the log of a library that means well."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
