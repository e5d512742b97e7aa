"""Events: what alarms find, miss and make up, at a threshold that was not chosen for them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

HOUR, WEEK = 3600, 7 * 86400
AGAIN = 4 * HOUR
"""An alarm that lasts is raised again after that long, which is what Prometheus' Alertmanager does if nothing else is
said. Were it one alarm however long it lasts, one that never ends would find every event and never be false."""

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in some series.

    Attributes:
        series: how many.
        events: stretches of labelled points.
        found: those of them with an alarm.
        true: alarms in an event.
        false: alarms where neither the series nor its host has an event.
        unjudged: alarms in an event of the host that this metric was not named for.
        normal: points where neither has one.
        above: those of them with an alarm.
        weeks: how long the normal points last.
        delays: seconds from the start of each event found to its first alarm.
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
    def total(cls, several: "Iterable[Counts]") -> Self:
        """Of all the series."""
        sums = cls.__dataclass_fields__
        rows = [[getattr(one, name) for name in sums] for one in several]
        return cls(*(sum(column, type(column[0])()) for column in zip(*rows, strict=True))) if rows else cls()

    @property
    def precision(self) -> float:
        """The share of alarms that are true; 0 where there is none."""
        return self.true / max(self.true + self.false, 1)

    @property
    def recall(self) -> float:
        """The share of events found."""
        return self.found / max(self.events, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return harmonic(self.precision, self.recall)


def harmonic(precision: float, recall: float) -> float:
    """F1."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def runs(labels: NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """Where each stretch of true begins, and where it has ended."""
    edges = np.diff(labels.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def alarms(times: NDArray[np.int64], above: NDArray[np.bool_]) -> tuple[Positions, Positions]:
    """The points that alarm, and the alarm each is part of: runs closer than an hour are one, for four hours."""
    at = np.flatnonzero(above)
    new = np.ones(len(at), bool)
    new[1:] = (np.diff(at) > 1) & (np.diff(times[at]) >= HOUR)
    began = times[at[new]][np.cumsum(new) - 1]
    again = (times[at] - began) // AGAIN
    new[1:] |= np.diff(again) > 0
    return at, np.cumsum(new) - 1


def count(
    times: NDArray[np.int64],
    above: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    blamed: NDArray[np.bool_],
    step: int,
) -> Counts:
    """What one series' alarms came to.

    Args:
        times: epoch seconds, rising.
        above: where there is an alarm; a point without a score has none.
        labels: of the series.
        blamed: where the series' host has an event.
        step: seconds between points.
    """
    at, alarm = alarms(times, above)
    several = int(alarm[-1]) + 1 if len(at) else 0
    true, excused = np.zeros(several, bool), np.zeros(several, bool)
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
