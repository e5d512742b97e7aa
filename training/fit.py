"""Fitting: calibrated models of many series at every window, from their history."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

import adapters
from models import calibration
from models.base import Model
from models.ensemble import COMBINES, DEFAULT_WEIGHTS, combine, subsets
from models.errors import HistoryUnusable
from models.key import ANY, Series
from models.points import Points
from models.windows import DEFAULT_WINDOWS, MIN_COVERAGE, Window, aggregate, own_step
from storage.shard import NO_MODEL, Entries

LEAST_COMBINED, MOST_COMBINED = 1e-3, 1e4
"""A combination's threshold is kept as a float16; it is near 1 wherever scores mean something."""

MOST_SPREADS = 1e30
"""A threshold is kept as a float32; beyond this the effect-size floor decides."""

POOLED_ADAPTER = "seasonal"
"""Several hosts' points taken together have a rhythm, but no level that could be followed."""

POOLED_SERIES = 20
"""A region's or the global model of a metric is fitted to the history of at most this many hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fitted: an adapter and a weight a window, the target rate, and the minimum coverage."""

    windows: tuple[Window, ...] = DEFAULT_WINDOWS
    adapters: tuple[str, ...] = ("seasonal",) * len(DEFAULT_WINDOWS)
    weights: tuple[float, ...] = tuple(DEFAULT_WEIGHTS[w] for w in DEFAULT_WINDOWS)
    rate: float = calibration.DEFAULT_RATE
    coverage: float = MIN_COVERAGE

    @property
    def adapter_names(self) -> tuple[str, ...]:
        """Each adapter once, in alphabetical order."""
        return tuple(sorted(set(self.adapters)))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A series that has no model at a window, or at any where that is None, and why."""

    series: str
    window: Window | None
    why: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting gave: the series that have a model at some window, and the models that could not be fitted."""

    entries: Entries
    refusals: list[Refusal] = field(default_factory=list)


def fit(plan: Plan, series: Sequence[Series], history: Points) -> Fitted:
    """Calibrated models of every series at every window.

    Args:
        plan: what to fit.
        series: names, one a series of the history.
        history: tidied points, values finite.
    """
    steps = own_step(history)
    return _fit_values(plan, series, history, aggregate(history, plan.windows, steps, plan.coverage), steps)


def fit_pooled(plan: Plan, series: Series, history: Points) -> Fitted:
    """The models of a whole region or of everything for one metric, from the history of several of its series.

    Args:
        plan: what to fit.
        series: whose host is `*`.
        history: tidied points of the series to pool; the first `POOLED_SERIES` are.
    """
    some = history.take(np.arange(min(len(history), POOLED_SERIES)))
    steps = own_step(some)
    values = aggregate(some, plan.windows, steps, plan.coverage)
    order = np.argsort(some.timestamps, kind="stable")
    pool = Points.of((some.timestamps[order], some.values[order]))
    plan = replace(plan, adapters=(POOLED_ADAPTER,) * len(plan.windows))
    return _fit_values(plan, [series], pool, values[:, order], np.array([np.median(steps)], np.int64))


def pools(series: Sequence[Series], levels: Sequence[str]) -> dict[Series, NDArray[np.int64]]:
    """The series to pool for each fallback model; `levels` are of "region" and "global"."""
    members: dict[Series, list[int]] = {}
    for i, one in enumerate(series):
        if "region" in levels:
            members.setdefault(Series(one.region, ANY, one.metric), []).append(i)
        if "global" in levels:
            members.setdefault(Series(ANY, ANY, one.metric), []).append(i)
    return {pooled: np.array(chosen, np.int64) for pooled, chosen in members.items()}


def _fit_values(
    plan: Plan, series: Sequence[Series], history: Points, values: NDArray[np.float64], steps: NDArray[np.int64]
) -> Fitted:
    n, w = len(series), len(plan.windows)
    adapter, row = np.full((n, w), NO_MODEL, np.uint8), np.zeros((n, w), np.int64)
    scores, floors = np.full(values.shape, np.nan), np.full((w, n), np.nan)
    models: dict[tuple[int, int], Model] = {}
    refusals = []
    for at, (window, name) in enumerate(zip(plan.windows, plan.adapters, strict=True)):
        there = np.isfinite(values[at])
        one = _fit_window(adapters.get(name), history.with_values(values[at]).where(there), plan.rate)
        code = plan.adapter_names.index(name)
        models[at, code] = one.model
        adapter[one.kept, at] = code
        row[one.kept, at] = np.arange(len(one.kept))
        scores[at, np.flatnonzero(there)[one.held]] = one.scores
        floors[at, one.kept] = one.floors
        refusals += [Refusal(str(series[i]), window, why) for i, why in sorted(one.refused.items())]
    combined = _combined_thresholds(plan, history, scores, floors)
    some = np.flatnonzero((adapter != NO_MODEL).any(axis=1))
    first, last = history.offsets[:-1][some], history.offsets[1:][some] - 1
    entries = Entries(
        series=[series[i] for i in some.tolist()],
        step=steps[some],
        points=history.lengths[some],
        fitted_at=np.full(len(some), int(time.time()), np.int64),
        history=np.stack([history.timestamps[first], history.timestamps[last]], axis=1),
        adapter=adapter[some],
        row=row[some],
        combined=combined[some],
        windows=plan.windows,
        adapters=plan.adapter_names,
        models=models,
    )
    return Fitted(entries, refusals)


@dataclass(frozen=True, slots=True)
class _WindowFit:
    """One window's models: `kept` and `floors` by row, `held` the positions of held-out points and their `scores`."""

    model: Model
    kept: NDArray[np.int64]
    refused: dict[int, str]
    held: NDArray[np.int64]
    scores: NDArray[np.float64]
    floors: NDArray[np.float64]


def _fit_window(kind: type[Model], history: Points, rate: float) -> _WindowFit:
    """Fit to the first part of each history, calibrate on the rest, then fit to all of it."""
    held = calibration.held_out(history)
    first = kind.fit(history.where(~held))
    full = kind.fit(history)
    refused = {**first.refused, **full.refused}
    held_lengths = history.where(held).lengths
    few = np.flatnonzero(held_lengths < calibration.MIN_HOLDOUT)
    why = f"fewer than {calibration.MIN_HOLDOUT} held-out points to calibrate on"
    refused |= {i: HistoryUnusable(why) for i in few.tolist() if i not in refused}
    kept = np.setdiff1d(np.arange(len(history)), list(refused))
    trial = first.model.take(np.searchsorted(first.kept, kept))
    final = full.model.take(np.searchsorted(full.kept, kept))
    mine = held & np.isin(history.owner, kept)
    rest = history.where(mine).take(kept)
    rows = np.arange(len(kept))
    deviations = trial.predict(rows, rest).score
    limit = np.array([calibration.threshold(one, rate) for one in _split(deviations, rest)])
    floor = calibration.effect_floor(history.take(kept))
    limit = np.clip(limit, np.finfo(np.float32).tiny, MOST_SPREADS)
    prediction = trial.calibrated(limit, floor).predict(rows, rest)
    half = (prediction.upper - prediction.lower) / 2
    floors = np.array([np.median(one) for one in _split(floor[rest.owner] / half, rest)])
    held_at = np.flatnonzero(mine)
    reasons = {i: str(error) for i, error in refused.items()}
    return _WindowFit(final.calibrated(limit, floor), kept, reasons, held_at, prediction.score, floors)


def _combined_thresholds(
    plan: Plan, history: Points, scores: NDArray[np.float64], floors: NDArray[np.float64]
) -> NDArray[np.float16]:
    """What each combination of held-out scores exceeds at the target rate, float16 (series, modes, subsets).

    Args:
        plan: its weights and rate.
        history: the points the scores are of.
        scores: float64 (windows, n), NaN where not held out.
        floors: float64 (windows, series), the score of a deviation as small as the effect-size floor. A combination
            of such scores is never above 1.
    """
    w = len(plan.windows)
    thresholds = np.ones((len(history), len(COMBINES), 1 << w), np.float16)
    for mask in subsets(w):
        members = [i for i in range(w) if mask >> i & 1]
        if len(members) < 2:
            continue
        weights = [plan.weights[i] for i in members]
        there = np.atleast_1d(np.isfinite(scores[members]).all(axis=0))
        together, held = scores[members][:, there], history.where(there)
        for mode, how in enumerate(COMBINES):
            least = combine(floors[members], weights, how)
            joint = combine(together, weights, how)
            for i, one in enumerate(_split(joint, held)):
                if len(one) >= calibration.MIN_HOLDOUT:
                    limit = max(calibration.threshold(one, plan.rate), least[i])
                    thresholds[i, mode, mask] = np.clip(limit, LEAST_COMBINED, MOST_COMBINED)
    return thresholds


def _split(values: NDArray[np.float64], points: Points) -> list[NDArray[np.float64]]:
    """The values of each series."""
    return [values[a:b] for a, b in zip(points.offsets[:-1].tolist(), points.offsets[1:].tolist(), strict=True)]
