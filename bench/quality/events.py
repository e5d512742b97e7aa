"""Events: alarms at a fixed threshold, counted against labelled events."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

HOUR, WEEK = 3600, 7 * 86400
REPEAT_INTERVAL = 4 * HOUR
"""A lasting alarm is raised again after this interval, the default of Prometheus' Alertmanager. If it counted as one
alarm, an alarm that never ends would find every event and never be false."""

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts over several series.

    Attributes:
        series: number of series.
        events: runs of labelled points.
        found: events with an alarm.
        true: alarms in an event.
        false: alarms while neither the series nor its host has an event.
        unjudged: alarms in an event of the host for which this metric was not named.
        normal: points at which neither the series nor its host has an event.
        above: normal points with an alarm.
        weeks: duration of the normal points.
        delays: seconds from the start of each found event to its first alarm.
    """

    series: int = 0
    events: int = 0
    found: int = 0
    true: int = 0
    false: int = 0
    unjudged: int = 0
    normal: int = 0
    above: int = 0
    weeks: float = 0.0
    delays: list[int] = field(default_factory=list)

    @classmethod
    def total(cls, counts: "Iterable[Counts]") -> Self:
        """The sum of several counts."""
        names = cls.__dataclass_fields__
        rows = [[getattr(one, name) for name in names] for one in counts]
        return cls(*(sum(column, type(column[0])()) for column in zip(*rows, strict=True))) if rows else cls()

    @property
    def precision(self) -> float:
        """The share of true alarms among true and false ones; 0 if there are none."""
        return self.true / max(self.true + self.false, 1)

    @property
    def recall(self) -> float:
        """The share of events found."""
        return self.found / max(self.events, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return harmonic(self.precision, self.recall)


def harmonic(precision: float, recall: float) -> float:
    """The harmonic mean of precision and recall."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def runs(labels: NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """The start and the end (exclusive) of each run of labelled points."""
    edges = np.diff(labels.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def alarms(times: NDArray[np.int64], above: NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """The positions of points above the threshold, and the number of the alarm each is part of.

    Runs less than an hour apart are one alarm, which is raised again every `REPEAT_INTERVAL`.
    """
    at = np.flatnonzero(above)
    new = np.ones(len(at), bool)
    new[1:] = (np.diff(at) > 1) & (np.diff(times[at]) >= HOUR)
    began = times[at[new]][np.cumsum(new) - 1]
    repeat = (times[at] - began) // REPEAT_INTERVAL
    new[1:] |= np.diff(repeat) > 0
    return at, np.cumsum(new) - 1


def count(
    times: NDArray[np.int64],
    above: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    blamed: NDArray[np.bool_],
    step: int,
) -> Counts:
    """Count the alarms and events of one series.

    Args:
        times: epoch seconds, rising.
        above: whether each point is above the threshold; a point without a score is not.
        labels: whether the series has an event at each point.
        blamed: whether the series' host has an event at each point.
        step: seconds between points.
    """
    at, alarm = alarms(times, above)
    n_alarms = int(alarm[-1]) + 1 if len(at) else 0
    true, excused = np.zeros(n_alarms, bool), np.zeros(n_alarms, bool)
    true[alarm[labels[at]]] = True
    excused[alarm[blamed[at]]] = True
    starts, ends = runs(labels)
    first = np.append(at, len(times))[np.searchsorted(at, starts)]
    found = first < ends
    normal = ~(labels | blamed)
    return Counts(
        series=1,
        events=len(starts),
        found=int(found.sum()),
        true=int(true.sum()),
        false=int((~true & ~excused).sum()),
        unjudged=int((~true & excused).sum()),
        normal=int(normal.sum()),
        above=int((normal & above).sum()),
        weeks=float(normal.sum() * step / WEEK),
        delays=(times[first[found]] - times[starts[found]]).tolist(),
    )


def peaks(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> list[float]:
    """The highest score in each event."""
    return [float(scores[start:end].max()) for start, end in zip(*runs(labels), strict=True)]
