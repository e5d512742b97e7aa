"""Imported: models fitted elsewhere, taken into a release without fitting anything."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from myriad import adapters
from myriad.models.base import Model
from myriad.models.ensemble import COMBINES
from myriad.models.errors import InvalidKey, InvalidPoints
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.windows import aggregate
from myriad.storage.release import Artifact, Manifest, Releases, new_release_id
from myriad.storage.shard import NO_MODEL, Entries, Shard, concatenated, entries_of
from myriad.training import records
from myriad.training.export import Exported
from myriad.training.fit import combined_thresholds
from myriad.training.plan import Plan
from myriad.training.publish import by_region, commit, put_region

JOB = "import"
MOST_TIMES_APART = 2.0
"""Points of a series whose models were fitted to points further apart than this many times would not be enough."""


def imported(releases: Releases, exported: Sequence[Exported], plan: Plan) -> Manifest:
    """Take models into a new release on top of the current one, and make it the current one.

    A series' models at other windows stay, and so do all other series. A combination of windows is calibrated on the
    points its imported models were calibrated on; one that has none there to tell is divided by 1.

    Args:
        releases: where to.
        exported: at most one for each key.
        plan: of a release into an empty store; otherwise the current one's windows, weights, rate and coverage hold.

    Raises:
        InvalidKey: a window is none of the release's, or a key is there twice.
        InvalidPoints: a model is calibrated to another rate or coverage, or to points further apart.
        Conflict: another release became current since.
    """
    over = releases.head_or_none()
    base = releases.manifest(over.release) if over else None
    plan = _as(base) if base else plan
    _check(exported, plan)
    entries = _entries(plan, exported, _before(releases, base, exported))
    regions = dict(base.regions) if base else {}
    for region, members in by_region(entries).items():
        regions[region] = put_region(releases, entries.take(members), regions.get(region))
    release = new_release_id()
    before = [records.read_or_empty(releases, base.id)] if base else []
    records.write(releases, release, records.merge([*before, recorded(exported)]))
    names = sorted({*(one.adapter for one in exported), *(base.adapters if base else ())})
    provenance = {"job": JOB, "adapters": ", ".join(sorted({one.adapter for one in exported}))}
    return commit(releases, regions, plan, names, over, provenance, release)


def recorded(exported: Sequence[Exported]) -> pa.Table:
    """A row of records for each imported model; no backtest, so no error."""
    return records.table(
        {
            **{part: [getattr(one.key, part) for one in exported] for part in Series._fields},
            "window": [str(one.key.window) for one in exported],
            "adapter": [one.adapter for one in exported],
            "parameters": [{}] * len(exported),
            "history_from": [one.span[0] for one in exported],
            "history_to": [one.span[1] for one in exported],
            "points": [one.points for one in exported],
            "threshold": [float(one.model.arrays["threshold"][0]) for one in exported],
            "held_out": [len(one.calibration.values) for one in exported],
            "realised_rate": [one.realised_rate for one in exported],
            "bytes": [one.model.row_bytes() for one in exported],
            "versions": [one.versions for one in exported],
            "job": [JOB] * len(exported),
        }
    )


def _as(base: Manifest) -> Plan:
    windows = base.parsed_windows
    none = ((),) * len(windows)
    return Plan(
        windows=windows, weights=base.weights, power=base.power, candidates=none, rate=base.rate, coverage=base.coverage
    )


def _check(exported: Sequence[Exported], plan: Plan) -> None:
    keys = [one.key for one in exported]
    for one in exported:
        if one.key.window not in plan.windows:
            there = ", ".join(map(str, plan.windows))
            raise InvalidKey("window", str(one.key.window), f"of {one.key} is not one of the release's: {there}")
        if (one.rate, one.coverage) != (plan.rate, plan.coverage):
            raise InvalidPoints(
                f"{one.key} is calibrated to rate {one.rate:g} and coverage {one.coverage:g}, the release to "
                f"{plan.rate:g} and {plan.coverage:g}: export it with these"
            )
        if keys.count(one.key) > 1:
            raise InvalidKey("key", str(one.key), "is there twice")


def _before(releases: Releases, base: Manifest | None, exported: Sequence[Exported]) -> list[Entries]:
    """What the current release has of these series."""
    by_artifact: dict[Artifact, list[Series]] = {}
    for series in dict.fromkeys(one.key.series for one in exported):
        if base and (artifact := base.artifact(series.region, series.host_hash)):
            by_artifact.setdefault(artifact, []).append(series)
    found = []
    for artifact, some in by_artifact.items():
        shard = Shard(artifact.hash, releases.get_artifact(artifact), adapters.get)
        at = shard.find(Names.of(some))
        found.append(entries_of(shard).take(at[at >= 0]))
    return found


def _entries(plan: Plan, exported: Sequence[Exported], before: Sequence[Entries]) -> Entries:
    """The imported models, and those of the same series at the windows that are not imported."""
    new = _alone(plan, exported)
    merged, first = concatenated([*before, new]), sum(len(part.series) for part in before)
    old = {series: i for i, series in enumerate(merged.series[:first])}
    changed = replace(merged, adapter=merged.adapter.copy(), row=merged.row.copy(), combined=merged.combined.copy())
    for i, series in enumerate(new.series, start=first):
        mine = [one for one in exported if one.key.series == series]
        if series in old:
            _keep_other_windows(changed, i, old[series], mine)
        changed.combined[i] = _combined(plan, changed, i, mine)
    return changed.take(np.arange(first, len(merged.series)))


def _alone(plan: Plan, exported: Sequence[Exported]) -> Entries:
    """The imported models by themselves."""
    latest = {one.key.series: one for one in sorted(exported, key=lambda one: one.span[1])}
    series, names = list(latest), tuple(sorted({one.adapter for one in exported}))
    shape = len(series), len(plan.windows)
    adapter, row = np.full(shape, NO_MODEL, np.uint8), np.zeros(shape, np.int64)
    models: dict[tuple[int, int], list[Model]] = {}
    for one in exported:
        at = plan.windows.index(one.key.window), names.index(one.adapter)
        place, several = (series.index(one.key.series), at[0]), models.setdefault(at, [])
        adapter[place], row[place] = at[1], len(several)
        several.append(one.model)
    return Entries(
        series=series,
        step=np.array([one.step for one in latest.values()], np.int64),
        points=np.array([one.points for one in latest.values()], np.int64),
        fitted_at=np.full(len(series), int(time.time()), np.int64),
        history=np.array([one.span for one in latest.values()], np.int64),
        adapter=adapter,
        row=row,
        combined=np.ones((len(series), len(COMBINES), 1 << len(plan.windows)), np.float16),
        windows=plan.windows,
        adapters=names,
        models={at: several[0].stack(several) for at, several in models.items()},
    )


def _keep_other_windows(entries: Entries, new: int, old: int, mine: Sequence[Exported]) -> None:
    """Give a series its former models at the windows that are not imported, and what goes with them."""
    stays = (entries.adapter[new] == NO_MODEL) & (entries.adapter[old] != NO_MODEL)
    if not stays.any():
        return
    step = int(entries.step[old])
    for one in mine:
        if not 1 / MOST_TIMES_APART <= one.step / step <= MOST_TIMES_APART:
            raise InvalidPoints(
                f"{one.key} was fitted to points {one.step} s apart, its series' other models to points {step} s apart"
            )
    entries.adapter[new] = np.where(stays, entries.adapter[old], entries.adapter[new])
    entries.row[new] = np.where(stays, entries.row[old], entries.row[new])
    for part in (entries.step, entries.points, entries.history, entries.combined):
        part[new] = part[old]


def _combined(plan: Plan, entries: Entries, at: int, mine: Sequence[Exported]) -> NDArray[np.float16]:
    """The thresholds of one series' combinations, (modes, subsets): those with an imported window are made anew.

    On the calibration that begins last, all of which came after what any of the imported models was fitted to.
    """
    points = max((one.calibration for one in mine), key=lambda held: int(held.timestamps[0]))
    values = aggregate(points, plan.windows, entries.step[[at]], plan.coverage)
    scores, floors = np.full(values.shape, np.nan), np.full((len(plan.windows), 1), np.nan)
    for window, code in enumerate(entries.adapter[at].tolist()):
        there = np.isfinite(values[window])
        if code == NO_MODEL or not there.any():
            continue
        model, row = entries.models[window, code], entries.row[[at], window]
        prediction = model.predict(row, points.with_values(values[window]).where(there))
        scores[window, there] = prediction.score
        floors[window] = np.median(2 * model.arrays["floor"][row] / (prediction.upper - prediction.lower))
    anew = combined_thresholds(plan, points, scores, floors)[0]
    imported_bits = sum(1 << plan.windows.index(one.key.window) for one in mine)
    concerned = np.arange(1 << len(plan.windows)) & imported_bits != 0
    return np.where(concerned, anew, entries.combined[at])
