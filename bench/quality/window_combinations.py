"""Combinations of the windows of a release, compared with each other and with each window alone."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bench.quality.datasets import Host
from bench.quality.events import Counts, alarms, count, peaks
from bench.quality.myriad_scores import Scorer, Weights, fit_release
from myriad.models.ensemble import COMBINES
from myriad.training.plan import Plan

THRESHOLDS = np.geomspace(0.2, 20, 41)
"""Thresholds at which variants are compared when they find equally many events."""

SERVED = "as served"
WEIGHTS: tuple[Weights, ...] = ((1, 2, 4), (1, 1, 1), (4, 2, 1))
ALONE = ("shortest window", "middle window", "longest window")


class OperatingPoint(NamedTuple):
    """A threshold, and the false alarms a week at it."""

    threshold: float
    false_alarms_a_week: float


@dataclass(frozen=True, slots=True)
class Variant:
    """The evaluation of one way to combine the windows.

    Attributes:
        counts: at the threshold 1.
        peaks: the highest score in each event.
        false: false alarms at each of `THRESHOLDS`, int64.
    """

    counts: Counts
    peaks: list[float]
    false: NDArray[np.int64]

    @classmethod
    def total(cls, variants: "Iterable[Variant]") -> Self:
        """The sum over series or hosts."""
        parts = list(variants)
        return cls(
            Counts.total(part.counts for part in parts),
            [peak for part in parts for peak in part.peaks],
            np.sum([part.false for part in parts], axis=0),
        )

    def frontier(self) -> dict[str, dict[str, float]]:
        """Recall and false alarms a week at each of `THRESHOLDS`."""
        recall = (
            (np.array(self.peaks)[:, None] > THRESHOLDS).mean(axis=0)
            if self.peaks
            else np.full(len(THRESHOLDS), np.nan)
        )
        weeks = self.counts.weeks or float("nan")
        rows = zip(THRESHOLDS.tolist(), recall.tolist(), (self.false / weeks).tolist(), strict=True)
        return {f"{threshold:.2f}": {"recall": share, "false_alarms_a_week": false} for threshold, share, false in rows}

    def at_equal_found(self, events: int) -> OperatingPoint:
        """The highest of `THRESHOLDS` that finds so many events; NaN if none does."""
        found = (np.array(self.peaks)[:, None] > THRESHOLDS).sum(axis=0)
        enough = np.flatnonzero(found >= events)
        if not len(enough) or not self.counts.weeks:
            return OperatingPoint(float("nan"), float("nan"))
        return OperatingPoint(float(THRESHOLDS[enough[-1]]), float(self.false[enough[-1]] / self.counts.weeks))


def evaluate(
    plan: Plan, scorer: Scorer, by_window: NDArray[np.float64], host: Host, step: int, points_per_request: int
) -> dict[str, Variant]:
    """Evaluate every way to combine the windows, by name.

    Args:
        plan: of the release.
        scorer: with that release.
        by_window: its combined scores and those of each window, (1 + windows, n).
        host: that was scored.
        step: seconds between points.
        points_per_request: of the scorer.
    """
    served, *alone = by_window
    scores = {SERVED: served, **dict(zip(ALONE, alone, strict=True))}
    for weights in WEIGHTS:
        name = ":".join(map(str, weights))
        scores[name] = (
            served if weights == plan.weights else scores_with(replace(plan, weights=weights), host, points_per_request)
        )
    scores |= {combine: scorer.scores(combine) for combine in COMBINES if combine != "weighted"}
    return {name: _variant(np.nan_to_num(values), host, step) for name, values in scores.items()}


def scores_with(plan: Plan, host: Host, points_per_request: int) -> NDArray[np.float64]:
    """The combined scores of a release that is fitted and calibrated by a plan, (n,)."""
    predictor = fit_release(plan, host.series, host.train)
    return Scorer(predictor, host.series, host.train, host.test, points_per_request).scores()


def _variant(scores: NDArray[np.float64], host: Host, step: int) -> Variant:
    return Variant.total(
        _series_variant(host.test.timestamps[span], scores[span], host.labels[span], host.blamed[span], step)
        for span in map(slice, host.test.offsets[:-1].tolist(), host.test.offsets[1:].tolist())
    )


def _series_variant(
    times: NDArray[np.int64],
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    blamed: NDArray[np.bool_],
    step: int,
) -> Variant:
    counts = count(times, scores > 1, labels, blamed, step)
    false = np.array([_false_alarms(times, scores > threshold, blamed) for threshold in THRESHOLDS])
    return Variant(counts, peaks(scores, labels), false)


def _false_alarms(times: NDArray[np.int64], above: NDArray[np.bool_], blamed: NDArray[np.bool_]) -> int:
    at, alarm = alarms(times, above)
    return len(np.unique(alarm)) - len(np.unique(alarm[blamed[at]]))
