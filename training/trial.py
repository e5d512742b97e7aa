"""Trial: candidates fitted to the first part of each history and held to what came after; the best is calibrated."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from myriad import adapters
from myriad.kernels.quantiles import medians
from myriad.models import calibration
from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Fit, Model
from myriad.models.key import Series
from myriad.models.points import Points, magnitudes
from myriad.models.robust import ROUNDING
from myriad.models.windows import Window
from myriad.training import records
from myriad.training.job.candidate import Candidate
from myriad.training.plan import Plan

MOST_STEPS = 100.0
"""No error of a backtest counts for more typical steps than this: an incident decides nothing."""
NONE = -1


@dataclass(frozen=True, slots=True)
class WindowFit:
    """What fitting S histories of n points at one window gave.

    Attributes:
        models: of each candidate the rows of the series it is best for, calibrated.
        members: those series, ascending.
        refused: why no candidate could be fitted, by series.
        errors: of each candidate in the backtest, in typical steps, float64 (candidates, S); infinite where refused.
        scores: of held-out points, float64 (n,), NaN elsewhere.
        floors: the score of a deviation as small as the effect-size floor, float64 (S,).
        thresholds: float64 (S,), as are the shares of held-out points above 1, `realised`.
        realised: see thresholds.
        held_out: points each series was calibrated on, int64 (S,).
        seconds: fitting took, a series.
    """

    models: list[Model]
    members: list[NDArray[np.int64]]
    refused: dict[int, str]
    errors: Vector
    scores: Vector
    floors: Vector
    thresholds: Vector
    realised: Vector
    held_out: NDArray[np.int64]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Trial:
    """What one candidate, fitted to the first part, made of the rest: NaN where it was not asked, float64 (rest,).

    Attributes:
        strayed: how far the values were from what was expected.
        half: the uncalibrated half of the band.
        error: in typical steps, float64 (S,).
        refused: why it has no model of a series.
        kept: the series it has a model of, ascending.
        tuned: the arrays of these that were tuned on the rest, a row each.
    """

    strayed: Vector
    half: Vector
    error: Vector
    refused: Mapping[int, str]
    kept: NDArray[np.int64]
    tuned: Arrays

    def tuned_of(self, series: NDArray[np.int64]) -> Arrays:
        """The rows of some of the series."""
        rows = np.searchsorted(self.kept, series)
        return {name: array[rows] for name, array in self.tuned.items()}


def fit_window(plan: Plan, candidates: Sequence[Candidate], history: Points) -> WindowFit:
    """The best candidate for each history, fitted to all of it and calibrated on its last part."""
    begun, held = time.perf_counter(), calibration.held_out(history, plan.holdout)
    typical = _typical_steps(history)
    trials = [_tried(one, history, ~held, held, typical, plan.rate) for one in candidates]
    errors = np.array([trial.error for trial in trials])
    if len(candidates) > 1:
        errors = _chained(plan, candidates, history, typical, errors)
    best = _cheapest(plan, candidates, errors)
    best[history.where(held).lengths < calibration.MIN_HOLDOUT] = NONE
    fits = [_fit(one, history.take(np.flatnonzero(best == at))) for at, one in enumerate(candidates)]
    members = [np.flatnonzero(best == at)[fit.kept] for at, fit in enumerate(fits)]
    fitted = np.full(len(history), NONE)
    for at, some in enumerate(members):
        fitted[some] = at
    thresholds, floors, realised, scores = _calibrated(plan, history, held, trials, fitted)
    return WindowFit(
        models=[
            fit.model.with_arrays(trial.tuned_of(some)).calibrated(*thresholds[:, some])
            for fit, trial, some in zip(fits, trials, members, strict=True)
        ],
        members=members,
        refused={i: _why(i, best, trials, fits) for i in np.flatnonzero(fitted == NONE).tolist()},
        errors=errors,
        scores=scores,
        floors=floors,
        thresholds=thresholds[0],
        realised=realised,
        held_out=history.where(held).lengths,
        seconds=(time.perf_counter() - begun) / max(len(history), 1),
    )


def recorded(
    window: Window,
    candidates: Sequence[Candidate],
    fit: WindowFit,
    series: Sequence[Series],
    history: Points,
    borrowed: NDArray[np.int64],
) -> pa.Table:
    """A row of records for each series at a window; of its history that many first points are another's."""
    chosen = np.full(len(series), NONE)
    for at, some in enumerate(fit.members):
        chosen[some] = at
    rows = [candidates[at] if at != NONE else None for at in chosen.tolist()]
    names = [_named(candidate) for candidate in candidates]
    weighed = [model.row_bytes() for model in fit.models]
    last = np.maximum(history.offsets[1:] - 1, 0)
    tried = [dict(zip(names, one, strict=True)) for one in np.round(fit.errors.T, 6).tolist()]
    return records.table(
        {
            **{part: [getattr(one, part) for one in series] for part in Series._fields},
            "window": [str(window)] * len(series),
            "adapter": [one.adapter if one else None for one in rows],
            "parameters": [one.parameters if one else None for one in rows],
            "history_from": history.timestamps[np.minimum(history.offsets[:-1] + borrowed, last)],
            "history_to": history.timestamps[last],
            "points": history.lengths - borrowed,
            "error": [errors[at] for errors, at in zip(fit.errors.T, chosen.tolist(), strict=True)],
            "candidates": tried,
            "threshold": fit.thresholds,
            "held_out": fit.held_out,
            "realised_rate": fit.realised,
            "bytes": [weighed[at] for at in chosen.tolist()],
            "fit_seconds": [fit.seconds] * len(series),
            "versions": [_versions(one.adapter) if one else None for one in rows],
            "refused": [fit.refused.get(i, "") for i in range(len(series))],
        }
    )


def _fit(candidate: Candidate, history: Points) -> Fit[Model]:
    return adapters.get(candidate.adapter).fit(history, **candidate.parameters)


def _tried(
    candidate: Candidate,
    history: Points,
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    typical: Vector,
    rate: float,
) -> _Trial:
    """A candidate fitted to some points of each history and asked about later ones."""
    fit, late = _fit(candidate, history.where(before)), history.where(after)
    asked, rest = np.isin(late.owner, fit.kept), late.take(fit.kept)
    tuned = fit.model.tuned_on_held_out(rest, calibration.effect_floor(history)[fit.kept], rate)
    prediction = fit.model.with_arrays(tuned).predict(np.arange(len(fit.kept)), rest)
    strayed, half = np.full((2, len(late.values)), np.nan)
    strayed[asked] = np.abs(rest.values - prediction.expected)
    half[asked] = prediction.half_band
    steps = np.minimum(strayed[asked] / typical[fit.kept][rest.owner], MOST_STEPS)
    error = np.full(len(history), np.inf)
    error[fit.kept] = np.bincount(rest.owner, steps, len(fit.kept)) / np.maximum(rest.lengths, 1)
    refused = {i: str(why) for i, why in fit.refused.items()}
    return _Trial(strayed, half, error, refused, fit.kept, tuned)


def _chained(plan: Plan, candidates: Sequence[Candidate], history: Points, typical: Vector, last: Vector) -> Vector:
    """Mean errors over the folds: each fitted to all points before those it is asked about.

    A candidate whom the start of a history is too short for is judged by the folds it has.
    """
    position = (np.arange(len(history.values)) - history.offsets[:-1][history.owner]) / history.lengths[history.owner]
    folds = [last]
    for back in range(1, plan.folds):
        begins, ends = 1 - plan.holdout * (back + 1), 1 - plan.holdout * back
        if begins > 0:
            after = (position >= begins) & (position < ends)
            tried = [_tried(one, history, position < begins, after, typical, plan.rate) for one in candidates]
            folds.append(np.array([trial.error for trial in tried]))
    known = np.isfinite(folds)
    total, count = np.where(known, folds, 0.0).sum(axis=0), known.sum(axis=0)
    errors = np.divide(total, count, out=np.full(last.shape, np.inf), where=count > 0)
    return np.where(np.isfinite(last), errors, np.inf)


def _cheapest(plan: Plan, candidates: Sequence[Candidate], errors: Vector) -> NDArray[np.int64]:
    """The candidate with the smallest error for each history, larger models weighing more; int64 (S,)."""
    kilobytes = np.array([adapters.get(one.adapter).row_bytes() / 1024 for one in candidates])
    weighed = np.maximum(errors, ROUNDING) * (1 + plan.cost_per_kilobyte * kilobytes)[:, None]
    return np.where(np.isfinite(errors).any(axis=0), weighed.argmin(axis=0), NONE)


def _calibrated(
    plan: Plan, history: Points, held: NDArray[np.bool_], trials: Sequence[_Trial], fitted: NDArray[np.int64]
) -> tuple[Vector, Vector, Vector, Vector]:
    """Thresholds and floors (2, S), scores of a floor's deviation (S,), shares above 1 (S,), scores (n,)."""
    rest = history.where(held)
    own, place = np.maximum(fitted, 0)[rest.owner], np.arange(len(rest.values))
    strayed, half = (
        np.stack([getattr(trial, name) for trial in trials])[own, place]
        if len(trials) > 1
        else getattr(trials[0], name).copy()
        for name in ("strayed", "half")
    )
    strayed[(fitted == NONE)[rest.owner]] = np.nan
    known = (fitted != NONE) & (rest.lengths > 0)
    found = calibration.thresholds(strayed / half, rest.offsets, plan.rate)
    limits = np.clip(np.where(known, found, 1.0), np.finfo(np.float32).tiny, calibration.MAX_THRESHOLD)
    floor = calibration.effect_floor(history)
    wide = np.maximum(half * limits[rest.owner], floor[rest.owner])
    scores = np.full(len(history.values), np.nan)
    scores[held] = strayed / wide
    floors = np.where(known, medians(floor[rest.owner] / wide, rest.offsets), np.nan)
    above = np.bincount(rest.owner, scores[held] > 1, len(history)) / np.maximum(rest.lengths, 1)
    return np.stack([limits, floor]), floors, above, scores


def _typical_steps(history: Points) -> Vector:
    """The mean distance between a value and the next, (S,), and never less than rounding."""
    distance = np.abs(np.diff(history.values, prepend=0.0))
    starts = history.offsets[:-1]
    distance[starts[starts < len(distance)]] = 0.0
    size = np.zeros(len(history))
    if (some := np.flatnonzero(history.lengths)).size:
        size[some] = np.add.reduceat(distance, starts[some])
    steps = size / np.maximum(history.lengths - 1, 1)
    return np.maximum(steps, ROUNDING * magnitudes(history))


def _why(i: int, best: NDArray[np.int64], trials: Sequence[_Trial], fits: Sequence[Fit[Model]]) -> str:
    if best[i] != NONE:  # what came after the first part made it impossible
        mine = np.flatnonzero(best == best[i]).tolist().index(i)
        return str(fits[best[i]].refused[mine])
    if all(i in trial.refused for trial in trials):
        return trials[0].refused[i]
    return f"fewer than {calibration.MIN_HOLDOUT} held-out points to calibrate on"


def _named(candidate: Candidate) -> str:
    given = ", ".join(f"{name}={value}" for name, value in candidate.parameters.items())
    return f"{candidate.adapter}({given})" if given else candidate.adapter


def _versions(adapter: str) -> dict[str, str]:
    """Of NumPy and of the library that has just fitted."""
    library = adapters.get(adapter).library
    modules: dict[str, Any] = {name: sys.modules[name] for name in ("numpy", library) if name in sys.modules}
    return {name: str(getattr(module, "__version__", "")) for name, module in modules.items()}
