"""Plans: what is fitted to a metric, and how it is calibrated."""

import math
from dataclasses import dataclass, replace

from myriad.kernels.windows import POWER
from myriad.models import calibration
from myriad.models.ensemble import DEFAULT_WEIGHTS
from myriad.models.windows import DEFAULT_WINDOWS, MIN_COVERAGE, Window
from myriad.storage.shard import DIRECTIONS, UNLIMITED
from myriad.training.job.candidate import DEFAULT_ADAPTER, Candidate, only
from myriad.training.job.config import JobFile

ANY_VALUE = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fitted.

    Attributes:
        windows: shortest first.
        weights: of each in the combination.
        power: of their mean, see `models.ensemble.combine`.
        candidates: that compete at each window.
        rate: false alarms a point.
        coverage: the least share of a window's points.
        holdout: the last share of a history that is calibrated on and not fitted to.
        folds: forward-chained backtests that candidates are compared in.
        cost_per_kilobyte: what a kilobyte of model costs, as a share of its error.
        direction: 1 where only deviations up matter, -1 where only those down do, 0 for both.
        floor: the smallest deviation that may score 1, in the metric's unit.
        range: the least and the most that a value may be; outside of it the score is above 1.
    """

    windows: tuple[Window, ...] = DEFAULT_WINDOWS
    weights: tuple[float, ...] = tuple(DEFAULT_WEIGHTS[w] for w in DEFAULT_WINDOWS)
    power: int = POWER
    candidates: tuple[tuple[Candidate, ...], ...] = only(*[DEFAULT_ADAPTER] * len(DEFAULT_WINDOWS))
    rate: float = calibration.DEFAULT_RATE
    coverage: float = MIN_COVERAGE
    holdout: float = calibration.HOLDOUT
    folds: int = 3
    cost_per_kilobyte: float = 0.01
    direction: int = 0
    floor: float = 0.0
    range: tuple[float, float] = ANY_VALUE

    @property
    def limits(self) -> tuple[float, float, float] | None:
        """What a shard says of a series; None where there is nothing to say."""
        limits = (float(self.direction), *self.range)
        return None if limits == UNLIMITED else limits

    @property
    def adapter_names(self) -> tuple[str, ...]:
        """Each adapter once, in alphabetical order."""
        return tuple(sorted({candidate.adapter for several in self.candidates for candidate in several}))


def plan_for(job: JobFile, metric: str) -> Plan | None:
    """What is fitted to a metric; None where no rule of the job matches it."""
    rule, windows = job.rule(metric), tuple(job.windows)
    if rule is None:
        return None
    candidates = tuple(
        tuple(one for one in rule.candidates if window in (one.windows or windows))
        if window in (rule.windows or windows)
        else ()
        for window in windows
    )
    return replace(
        shared_plan(job),
        candidates=candidates,
        direction=next(sign for sign, name in DIRECTIONS.items() if name == rule.direction),
        floor=rule.floor,
        range=rule.range or ANY_VALUE,
    )


def shared_plan(job: JobFile) -> Plan:
    """What all the models of a job have in common."""
    return Plan(
        windows=tuple(job.windows),
        weights=tuple(job.windows.values()),
        power=job.power,
        candidates=((),) * len(job.windows),
        rate=job.calibration.rate,
        coverage=job.coverage,
        holdout=job.calibration.holdout,
        folds=job.selection.folds,
        cost_per_kilobyte=job.selection.cost_per_kilobyte,
    )
