"""Fitting: calibrated models of many series at every window, from their history."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from myriad.kernels.profiles import period_maxima
from myriad.kernels.tails import joint_quantiles, joint_scores
from myriad.kernels.windows import held
from myriad.models import calibration
from myriad.models.base import Model
from myriad.models.ensemble import COMBINES, Combine, combine, subsets
from myriad.models.key import Series
from myriad.models.points import Points, ranges
from myriad.models.windows import Window, aggregate, regimes, usual_step
from myriad.storage.shard import LEAST_COMBINED, MOST_COMBINED, NO_MODEL, Entries
from myriad.training import records
from myriad.training.hierarchy import POOLED_SERIES
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.trial import fit_window, recorded

LEAST_JOINT = 0.5
"""The least threshold of a weighted combination: windows that are all far from 1 are no incident, however rare."""
MARGIN = 1.25
"""What recurs daily is seldom quite the same."""
POOLED_ADAPTER = "seasonal"
"""Several hosts' points taken together have a rhythm, but no level that could be followed."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A series that has no model at a window, or at any where that is None, and why."""

    series: str
    window: Window | None
    why: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """What fitting gave.

    Attributes:
        entries: the series that have a model at some window.
        refusals: what has none, and why.
        records: of each.
        held_out: the score of each held-out point, a series an entry; None where nobody is to ask.
    """

    entries: Entries
    refusals: list[Refusal] = field(default_factory=list)
    records: pa.Table = field(default_factory=records.SCHEMA.empty_table)
    held_out: Points | None = None


class _HeldOut(NamedTuple):
    """The held-out points of a window.

    Attributes:
        places: their positions in the history, ascending, int64 (held out,).
        counts: how many of each series, int64 (series,).
        scores: NaN where there is none, float64 (held out,).
    """

    places: NDArray[np.int64]
    counts: NDArray[np.int64]
    scores: NDArray[np.float64]


def fit(plan: Plan, series: Sequence[Series], history: Points, borrowed: NDArray[np.int64] | None = None) -> Fitted:
    """Calibrated models of every series at every window.

    Args:
        plan: what to fit.
        series: names, one a series of the history.
        history: tidied points, values finite.
        borrowed: how many of the first points of each series are another's, int64 (series,).
    """
    stretches = regimes(history)
    values = aggregate(history, plan.windows, stretches.steps, plan.coverage, stretches.of_points)
    return _fit_values(plan, series, history, values, usual_step(history), borrowed)


def fit_pooled(plan: Plan, series: Series, history: Points) -> Fitted:
    """The models of a whole region or of everything for one metric, from the history of several of its series.

    Args:
        plan: what to fit.
        series: whose host is `*`.
        history: tidied points of the series to pool; the first `POOLED_SERIES` are.
    """
    some = history.take(np.arange(min(len(history), POOLED_SERIES)))
    steps = usual_step(some)
    values = aggregate(some, plan.windows, steps, plan.coverage)
    order = np.argsort(some.timestamps, kind="stable")
    pool = Points.of((some.timestamps[order], some.values[order]))
    pool = pool if some.clock is None else pool.with_clock(some.clock[order])
    plan = replace(plan, candidates=only(*[POOLED_ADAPTER] * len(plan.windows)))
    step = np.array([np.median(steps)], np.int64)
    return _fit_values(plan, [series], pool, np.ascontiguousarray(values[:, order]), step)


def _fit_values(
    plan: Plan,
    series: Sequence[Series],
    history: Points,
    values: NDArray[np.float64],
    steps: NDArray[np.int64],
    borrowed: NDArray[np.int64] | None = None,
) -> Fitted:
    n, w = len(series), len(plan.windows)
    adapter, row = np.full((n, w), NO_MODEL, np.uint8), np.zeros((n, w), np.int64)
    floors = np.full((w, n), np.nan)
    models: dict[tuple[int, int], list[Model]] = {}
    refusals: list[Refusal] = []
    own = np.zeros(n, np.int64) if borrowed is None else borrowed
    rows, held = list[Mapping[str, records.Column]](), dict[int, _HeldOut]()
    for at, (window, several) in enumerate(zip(plan.windows, plan.candidates, strict=True)):
        if not several:
            continue
        there = np.isfinite(values[at])
        mine = history.with_values(values[at]).where(there)
        one = fit_window(plan, several, mine)
        for candidate, model, members in zip(several, one.models, one.members, strict=True):
            code = plan.adapter_names.index(candidate.adapter)
            stacked = models.setdefault((at, code), [])
            adapter[members, at] = code
            row[members, at] = sum(m.rows for m in stacked) + np.arange(len(members))
            stacked.append(model)
        places = ranges(one.first, one.held_out)
        places = places if len(mine.values) == len(there) else np.flatnonzero(there)[places]
        held[at] = _HeldOut(places, one.held_out, one.scores)
        floors[at] = one.floors
        refusals += [Refusal(str(series[i]), window, why) for i, why in sorted(one.refused.items())]
        rows.append(recorded(window, several, one, series, history, own))
    late, scores = _together(plan, history, held)
    combined = combined_thresholds(plan, late, scores, floors)
    held_out = _hold(plan, late, scores, combined, floors)
    some = np.flatnonzero((adapter != NO_MODEL).any(axis=1))
    first, last = (history.offsets[:-1] + own)[some], history.offsets[1:][some] - 1
    entries = Entries(
        series=[series[i] for i in some.tolist()],
        step=steps[some],
        points=(history.lengths - own)[some],
        fitted_at=np.full(len(some), int(time.time()), np.int64),
        history=np.stack([history.timestamps[first], history.timestamps[last]], axis=1),
        adapter=adapter[some],
        row=row[some],
        combined=combined[some],
        windows=plan.windows,
        adapters=plan.adapter_names,
        models={at: several[0].stack(several) for at, several in models.items()},
        limits=np.tile(plan.limits, (len(some), 1)) if plan.limits else None,
    )
    return Fitted(entries, refusals, records.table(_concatenated(rows)), held_out.take(some))


def _together(plan: Plan, history: Points, held: Mapping[int, "_HeldOut"]) -> tuple[Points, NDArray[np.float64]]:
    """The points that are held out at some window, and their scores, float64 (windows, n), NaN where one has none."""
    begin = history.offsets[1:].copy()
    for one in held.values():
        some = one.counts > 0
        begin[some] = np.minimum(begin[some], one.places[(np.cumsum(one.counts) - one.counts)[some]])
    late = history.between(begin, history.offsets[1:])
    scores = np.full((len(plan.windows), len(late.timestamps)), np.nan)
    for at, one in held.items():
        scores[at, one.places - np.repeat(begin - late.offsets[:-1], one.counts)] = one.scores
    known = ~np.isnan(scores).all(axis=0)
    return (late, scores) if known.all() else (late.where(known), np.compress(known, scores, axis=1))


def _hold(
    plan: Plan, late: Points, scores: NDArray[np.float64], combined: NDArray[np.float16], floors: NDArray[np.float64]
) -> Points:
    """The held-out points with the score that all windows together would have given them.

    A held score exceeds more than the score it is made of. So `combined` gets the thresholds of held scores in place
    of those of scores: each times what held ones exceed at the target rate.
    """
    weighted = combined[:, COMBINES.index("weighted")]
    joint = joint_scores(
        scores, late.offsets, np.array(plan.weights, np.float64), plan.power, weighted.astype(np.float64)
    )
    lasting = held(joint, late.offsets)
    found = calibration.thresholds(lasting, late.offsets, plan.rate)
    by_day = period_maxima(late.local, lasting, late.offsets, calibration.DAY, 1, calibration.MOST_DAYS)
    usual = calibration.recurring(by_day, late, plan.rate)[:, 0]
    limit = np.maximum(np.where(usual > found, MARGIN * usual, found), LEAST_JOINT)
    factor = np.where((late.lengths >= calibration.MIN_HOLDOUT) & (found > 0), limit, 1.0)
    least = np.fmax(_of_floors(plan, floors, "weighted"), LEAST_COMBINED)
    weighted[:] = np.clip(weighted * factor[:, None], least, MOST_COMBINED)
    return late.with_values(lasting / factor[late.owner])


def _concatenated(rows: Sequence[Mapping[str, records.Column]]) -> Mapping[str, records.Column]:
    """The columns of all windows, one after the other."""
    return {name: [value for some in rows for value in some[name]] for name in rows[0]} if rows else records.NO_ROWS


def combined_thresholds(
    plan: Plan, history: Points, scores: NDArray[np.float64], floors: NDArray[np.float64]
) -> NDArray[np.float16]:
    """What each combination of held-out scores exceeds at the target rate, float16 (series, modes, subsets).

    Args:
        plan: its weights, power and rate.
        history: the points the scores are of.
        scores: float64 (windows, n), NaN where not held out.
        floors: float64 (windows, series), the score of a deviation as small as the effect-size floor. A combination
            of such scores is never above 1.
    """
    w = len(plan.windows)
    thresholds = np.ones((len(history), len(COMBINES), 1 << w), np.float16)
    weights = np.array(plan.weights, np.float64)
    found, counts = joint_quantiles(scores, history.offsets, weights, plan.power, calibration.tail_levels(plan.rate))
    for mode, how in enumerate(COMBINES):
        # The highest of scores calibrated on these same points looks calmer than it will be on others.
        min_ratio = 1.0 if how == "max" else calibration.MIN_HALVING_RATIO
        limits = calibration.of_quantiles(found[:, mode], counts, plan.rate, min_ratio)
        limits = np.maximum(np.where(limits > 0, limits, 1.0), _of_floors(plan, floors, how))
        for mask in subsets(w):
            members = [i for i in range(w) if mask >> i & 1]
            if len(members) > 1:
                enough = counts[:, mask] >= calibration.MIN_HOLDOUT
                least = LEAST_JOINT if how == "weighted" else LEAST_COMBINED
                thresholds[enough, mode, mask] = np.clip(limits[enough, mask], least, MOST_COMBINED)
    return thresholds


def _of_floors(plan: Plan, floors: NDArray[np.float64], how: Combine) -> NDArray[np.float64]:
    """What the scores of deviations as small as the effect-size floor combine to, float64 (series, subsets)."""
    w, found = len(plan.windows), np.full((floors.shape[1], 1 << len(plan.windows)), np.nan)
    for mask in subsets(w):
        if members := [i for i in range(w) if mask >> i & 1]:
            found[:, mask] = combine(floors[members], [plan.weights[i] for i in members], how, plan.power)
    return found
