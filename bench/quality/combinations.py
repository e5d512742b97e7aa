"""Combinations: the windows of a release together, in several ways, and each alone."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bench.quality.datasets import Host
from bench.quality.events import Counts, alarms, count, peaks
from bench.quality.ours import Scorer, Weights, released
from myriad.models.ensemble import COMBINES
from myriad.training.plan import Plan

GRID = np.geomspace(0.2, 20, 41)
"""Thresholds, for comparing variants where they find as many events."""

SERVED = "as served"
WEIGHTS: tuple[Weights, ...] = ((1, 2, 4), (1, 1, 1), (4, 2, 1))
ALONE = ("shortest window", "middle window", "longest window")


@dataclass(frozen=True, slots=True)
class Variant:
    """What a variant's scores came to.

    Attributes:
        counts: at the threshold 1.
        peaks: the highest score in each event.
        false: false alarms at each threshold of the grid, int64.
    """

    counts: Counts
    peaks: list[float]
    false: NDArray[np.int64]

    @classmethod
    def total(cls, several: "Iterable[Variant]") -> Self:
        """Of all of them."""
        some = list(several)
        return cls(
            Counts.total(one.counts for one in some),
            [peak for one in some for peak in one.peaks],
            np.sum([one.false for one in some], axis=0),
        )

    def frontier(self) -> dict[str, dict[str, float]]:
        """What would be found, and false alarms a week, were the threshold another one."""
        found = (np.array(self.peaks)[:, None] > GRID).mean(axis=0) if self.peaks else np.full(len(GRID), np.nan)
        weeks = self.counts.weeks or float("nan")
        rows = zip(GRID.tolist(), found.tolist(), (self.false / weeks).tolist(), strict=True)
        return {f"{limit:.2f}": {"recall": share, "false_alarms_a_week": false} for limit, share, false in rows}

    def at_found(self, events: int) -> tuple[float, float]:
        """The highest threshold of the grid that finds so many events, and false alarms a week there; else NaN."""
        found = (np.array(self.peaks)[:, None] > GRID).sum(axis=0)
        enough = np.flatnonzero(found >= events)
        if not len(enough) or not self.counts.weeks:
            return float("nan"), float("nan")
        return float(GRID[enough[-1]]), float(self.false[enough[-1]] / self.counts.weeks)


def of(
    plan: Plan, scorer: Scorer, by_window: NDArray[np.float64], host: Host, step: int, following: int
) -> dict[str, Variant]:
    """Every variant of a host's scores.

    Args:
        plan: what was fitted.
        scorer: with that release.
        by_window: its combined and single scores.
        host: what was scored.
        step: seconds between points.
        following: as for `scorer`.
    """
    served, *alone = by_window
    scores = {SERVED: served, **dict(zip(ALONE, alone, strict=True))}
    for weights in WEIGHTS:
        name = ":".join(map(str, weights))
        scores[name] = served if weights == plan.weights else _weighted(plan, weights, host, following)
    scores |= {how: scorer.scores(how) for how in COMBINES if how != "weighted"}
    return {name: _variant(np.nan_to_num(values), host, step) for name, values in scores.items()}


def _weighted(plan: Plan, weights: Weights, host: Host, following: int) -> NDArray[np.float64]:
    """Of a release with other weights, its combination calibrated for them."""
    predictor = released(replace(plan, weights=weights), host.series, host.train)
    return Scorer(predictor, host.series, host.train, host.test, following).scores()


def _variant(scores: NDArray[np.float64], host: Host, step: int) -> Variant:
    return Variant.total(
        _of_series(host.test.timestamps[span], scores[span], host.labels[span], host.blamed[span], step)
        for span in map(slice, host.test.offsets[:-1].tolist(), host.test.offsets[1:].tolist())
    )


def _of_series(
    times: NDArray[np.int64],
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    blamed: NDArray[np.bool_],
    step: int,
) -> Variant:
    counts = count(times, scores > 1, labels, blamed, step)
    false = np.array([_false(times, scores > limit, blamed) for limit in GRID])
    return Variant(counts, peaks(scores, labels), false)


def _false(times: NDArray[np.int64], above: NDArray[np.bool_], blamed: NDArray[np.bool_]) -> int:
    at, alarm = alarms(times, above)
    return len(np.unique(alarm)) - len(np.unique(alarm[blamed[at]]))
