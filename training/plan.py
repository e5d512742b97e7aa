"""Plans: what is fitted to a metric, and how it is calibrated."""

from dataclasses import dataclass, replace

from myriad.models import calibration
from myriad.models.ensemble import DEFAULT_WEIGHTS
from myriad.models.windows import DEFAULT_WINDOWS, MIN_COVERAGE, Window
from myriad.training.job.candidate import DEFAULT_ADAPTER, Candidate, only
from myriad.training.job.config import JobFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fitted.

    Attributes:
        windows: shortest first.
        weights: of each in the combination.
        candidates: that compete at each window.
        rate: false alarms a point.
        coverage: the least share of a window's points.
        holdout: the last share of a history that is calibrated on and not fitted to.
        folds: forward-chained backtests that candidates are compared in.
        cost_per_kilobyte: what a kilobyte of model costs, as a share of its error.
    """

    windows: tuple[Window, ...] = DEFAULT_WINDOWS
    weights: tuple[float, ...] = tuple(DEFAULT_WEIGHTS[w] for w in DEFAULT_WINDOWS)
    candidates: tuple[tuple[Candidate, ...], ...] = only(*[DEFAULT_ADAPTER] * len(DEFAULT_WINDOWS))
    rate: float = calibration.DEFAULT_RATE
    coverage: float = MIN_COVERAGE
    holdout: float = calibration.HOLDOUT
    folds: int = 3
    cost_per_kilobyte: float = 0.01

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
    return replace(shared_plan(job), candidates=candidates)


def shared_plan(job: JobFile) -> Plan:
    """What all the models of a job have in common."""
    return Plan(
        windows=tuple(job.windows),
        weights=tuple(job.windows.values()),
        candidates=((),) * len(job.windows),
        rate=job.calibration.rate,
        coverage=job.coverage,
        holdout=job.calibration.holdout,
        folds=job.selection.folds,
        cost_per_kilobyte=job.selection.cost_per_kilobyte,
    )
