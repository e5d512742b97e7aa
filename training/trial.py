"""Trial: candidates fitted to the first part of each history and held to what came after; the best is calibrated."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad import adapters
from myriad.kernels.deviations import mean_steps, scored, strayed
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
        first: position of each series' first held-out point, int64 (S,).
        scores: of held-out points, float64 (held out,).
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
    first: NDArray[np.int64]
    scores: Vector
    floors: Vector
    thresholds: Vector
    realised: Vector
    held_out: NDArray[np.int64]
    seconds: float


class _Parts(NamedTuple):
    """The points of each history that candidates are fitted to, and later ones that they are asked about."""

    early: Points
    late: Points


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
        least: the least threshold the model can have.
    """

    strayed: Vector
    half: Vector
    error: Vector
    refused: Mapping[int, str]
    kept: NDArray[np.int64]
    tuned: Arrays
    least: float

    def tuned_of(self, series: NDArray[np.int64]) -> Arrays:
        """The rows of some of the series."""
        rows = np.searchsorted(self.kept, series)
        return {name: array[rows] for name, array in self.tuned.items()}


def fit_window(plan: Plan, candidates: Sequence[Candidate], history: Points) -> WindowFit:
    """The best candidate for each history, fitted to all of it and calibrated on its last part."""
    begun, first = time.perf_counter(), calibration.first_after(history, 1 - plan.holdout)
    typical, floor = _typical_steps(history), np.maximum(calibration.effect_floor(history), plan.floor)
    parts = _Parts(history.between(history.offsets[:-1], first), history.between(first, history.offsets[1:]))
    trials = [_tried(one, parts, typical, floor, plan) for one in candidates]
    errors = np.array([trial.error for trial in trials])
    if len(candidates) > 1:
        errors = _chained(plan, candidates, history, typical, floor, errors)
    best = _cheapest(plan, candidates, errors)
    best[parts.late.lengths < calibration.MIN_HOLDOUT] = NONE
    fits = [_fit(one, history.take(np.flatnonzero(best == at))) for at, one in enumerate(candidates)]
    members = [np.flatnonzero(best == at)[fit.kept] for at, fit in enumerate(fits)]
    fitted = np.full(len(history), NONE)
    for at, some in enumerate(members):
        fitted[some] = at
    thresholds, floors, realised, scores = _calibrated(plan, parts.late, floor, trials, fitted)
    return WindowFit(
        models=[
            fit.model.with_arrays(trial.tuned_of(some)).calibrated(*thresholds[:, some])
            for fit, trial, some in zip(fits, trials, members, strict=True)
        ],
        members=members,
        refused={i: _why(i, best, trials, fits) for i in np.flatnonzero(fitted == NONE).tolist()},
        errors=errors,
        first=first,
        scores=scores,
        floors=floors,
        thresholds=thresholds[0],
        realised=realised,
        held_out=parts.late.lengths,
        seconds=(time.perf_counter() - begun) / max(len(history), 1),
    )


def recorded(
    window: Window,
    candidates: Sequence[Candidate],
    fit: WindowFit,
    series: Sequence[Series],
    history: Points,
    borrowed: NDArray[np.int64],
) -> dict[str, records.Column]:
    """The columns of records of each series at a window; of its history that many first points are another's."""
    chosen = np.full(len(series), NONE)
    for at, some in enumerate(fit.members):
        chosen[some] = at
    rows = [candidates[at] if at != NONE else None for at in chosen.tolist()]
    names = [_named(candidate) for candidate in candidates]
    weighed = [model.row_bytes() for model in fit.models]
    last = np.maximum(history.offsets[1:] - 1, 0)
    tried = [dict(zip(names, one, strict=True)) for one in np.round(fit.errors.T, 6).tolist()]
    return {
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


def _fit(candidate: Candidate, history: Points) -> Fit[Model]:
    return adapters.get(candidate.adapter).fit(history, **candidate.parameters)


def _tried(candidate: Candidate, parts: _Parts, typical: Vector, floor: Vector, plan: Plan) -> _Trial:
    """A candidate fitted to some points of each history and asked about later ones."""
    fit, late = _fit(candidate, parts.early), parts.late
    kept, rest = fit.kept, late.take(fit.kept)
    tuned = fit.model.tuned_on_held_out(rest, floor[kept], plan.rate)
    prediction = fit.model.with_arrays(tuned).predict(np.arange(len(kept)), rest)
    expected, half = np.ascontiguousarray(prediction.expected), prediction.half_band
    distance, error = strayed(rest.values, expected, rest.offsets, typical[kept], MOST_STEPS)
    if plan.direction:
        distance = np.where(plan.direction * (rest.values - expected) < 0, 0.0, distance)
    refused = {i: str(why) for i, why in fit.refused.items()}
    if rest is late:
        return _Trial(distance, half, error, refused, kept, tuned, fit.model.least_threshold)
    distances, halves, errors = (np.full(n, at) for n, at in ((len(late.values), np.nan),) * 2 + ((len(late), np.inf),))
    asked = late.spans(kept)
    distances[asked], halves[asked], errors[kept] = distance, half, error
    return _Trial(distances, halves, errors, refused, kept, tuned, fit.model.least_threshold)


def _chained(
    plan: Plan, candidates: Sequence[Candidate], history: Points, typical: Vector, floor: Vector, last: Vector
) -> Vector:
    """Mean errors over the folds: each fitted to all points before those it is asked about.

    A candidate whom the start of a history is too short for is judged by the folds it has.
    """
    folds = [last]
    for back in range(1, plan.folds):
        begins, ends = 1 - plan.holdout * (back + 1), 1 - plan.holdout * back
        if begins > 0:
            first, end = (calibration.first_after(history, share) for share in (begins, ends))
            parts = _Parts(history.between(history.offsets[:-1], first), history.between(first, end))
            folds.append(np.array([_tried(one, parts, typical, floor, plan).error for one in candidates]))
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
    plan: Plan, late: Points, floor: Vector, trials: Sequence[_Trial], fitted: NDArray[np.int64]
) -> tuple[Vector, Vector, Vector, Vector]:
    """Thresholds and floors (2, S), scores of a floor's deviation (S,), shares above 1 (S,), scores (held out,)."""
    distance, half = trials[0].strayed, trials[0].half
    if len(trials) > 1:
        own, place = np.maximum(fitted, 0)[late.owner], np.arange(len(late.values))
        distance, half = (
            np.stack([getattr(trial, name) for trial in trials])[own, place] for name in ("strayed", "half")
        )
    if (fitted == NONE).any():
        distance = np.where((fitted == NONE)[late.owner], np.nan, distance)
    known = (fitted != NONE) & (late.lengths > 0)
    found = calibration.thresholds(distance / half, late.offsets, plan.rate)
    least = np.array([max(trial.least, np.finfo(np.float32).tiny) for trial in trials])[np.maximum(fitted, 0)]
    limits = np.clip(np.where(known, found, 1.0), least, calibration.MAX_THRESHOLD)
    scores, above, floors = scored(distance, half, late.offsets, limits, floor)
    return np.stack([limits, floor]), np.where(known, floors, np.nan), above, scores


def _typical_steps(history: Points) -> Vector:
    """The mean distance between a value and the next, (S,), and never less than rounding."""
    return np.maximum(mean_steps(history.values, history.offsets), ROUNDING * magnitudes(history))


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
