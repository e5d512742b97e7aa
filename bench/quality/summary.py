"""Summary: the outcomes of many hosts as figures by data set and over all."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.quality.bootstrap import difference
from bench.quality.combinations import SERVED, Variant
from bench.quality.datasets import SOURCES
from bench.quality.events import Counts
from bench.quality.work import METHODS, OURS, OURS_THERE, Outcome

Figures = dict[str, Any]
FEW_DIGITS = 4


def summary(outcomes: Sequence[Outcome], rate: float) -> Figures:
    """Figures by data set, their plain mean over sets, and how sure the difference to the best baseline is."""
    by_set: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda one: one.host):
        by_set[outcome.data_set].append(outcome)
    sets = {name: _of_set(by_set[name], rate) for name in SOURCES if name in by_set}
    names = [name for name in METHODS if all(name in one["methods"] for one in sets.values())]
    overall: Figures = {
        "methods": _means(one["methods"] for one in sets.values()),
        "hosts": {how: _means(one["hosts"][how] for one in sets.values() if one["hosts"]) for how in _hows(sets)},
        "combinations": _means(one["combinations"] for one in sets.values()),
        "frontier": _means(one["frontier"] for one in sets.values()),
    }
    if best := _best(overall["methods"], [name for name in names if _as_many(name, sets)]):
        overall["against"] = {"best": best, **difference({name: _pairs(by_set[name], best) for name in sets})}
    return cleaned({"sets": sets, "overall": overall})


def cleaned(value: Any) -> Any:
    """Rounded, and None for what is not a number."""
    if isinstance(value, Mapping):
        return {name: cleaned(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{FEW_DIGITS}g}") if math.isfinite(value) else None
    return value


def _of_set(outcomes: Sequence[Outcome], rate: float) -> Figures:
    figures: Figures = {
        "title": SOURCES[outcomes[0].data_set].title,
        "hosts_scored": len(outcomes),
        "points": sum(one.points for one in outcomes),
        "windows": sorted({" ".join(one.windows) for one in outcomes}),
        "methods": {},
        "hosts": {},
        "combinations": {},
    }
    for name in METHODS:
        if some := [one for one in outcomes if name in one.counts]:
            counts = Counts.total(one.counts[name] for one in some)
            volumes = [volume for one in some for volume in one.vus[name]]
            figures["methods"][name] = {"vus_pr": _mean(volumes), **_figures(counts, rate)}
        for how in {how for one in outcomes for how in one.whole}:
            whole = Counts.total(one.whole[how][name] for one in outcomes if name in one.whole.get(how, {}))
            if whole.series:
                figures["hosts"].setdefault(how, {})[name] = _figures(whole, rate)
    figures["combinations"] = _variants(outcomes, rate)
    figures["frontier"] = _frontier(outcomes)
    eligible = [name for name in figures["methods"] if _as_many(name, {"": figures})]
    if best := _best(figures["methods"], eligible):
        figures["against"] = {"best": best, **difference({"": _pairs(outcomes, best)})}
    return figures


def _figures(counts: Counts, rate: float) -> Figures:
    above = counts.above / counts.normal if counts.normal else float("nan")
    return {
        "series": counts.series,
        "events": counts.events,
        "found": counts.found,
        "alarms_true": counts.true,
        "alarms_false": counts.false,
        "alarms_unjudged": counts.unjudged,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "false_alarms_a_week": counts.false / counts.weeks if counts.weeks else float("nan"),
        "normal": counts.normal,
        "share_above": above,
        "over_target": above / rate,
        "median_delay_seconds": float(np.median(counts.delays)) if counts.delays else float("nan"),
    }


def _variants(outcomes: Sequence[Outcome], rate: float) -> Figures:
    if not all(one.variants for one in outcomes):
        return {}
    totals = {name: Variant.total(one.variants[name] for one in outcomes) for name in outcomes[0].variants}
    found = totals[SERVED].counts.found
    figures = {}
    for name, variant in totals.items():
        threshold, false = variant.at_found(found)
        equal = {"threshold_at_equal_found": threshold, "false_alarms_a_week_at_equal_found": false}
        figures[name] = {**_figures(variant.counts, rate), **equal}
    return figures


def _frontier(outcomes: Sequence[Outcome]) -> Figures:
    if not all(one.variants for one in outcomes):
        return {}
    return dict(Variant.total(one.variants[SERVED] for one in outcomes).frontier())


def _means(several: Iterable[Figures]) -> Figures:
    """Of each figure over the sets that have it; of counts the sum."""
    some = list(several)
    found: Figures = {}
    for name in dict.fromkeys(name for one in some for name in one):
        rows = [one[name] for one in some if name in one]
        found[name] = {figure: _mean_or_sum([row[figure] for row in rows]) for figure in rows[0]}
    return found


def _mean_or_sum(values: Sequence[float]) -> float:
    return sum(values) if all(isinstance(value, int) for value in values) else _mean(values)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _hows(sets: Mapping[str, Figures]) -> list[str]:
    return sorted({how for one in sets.values() for how in one["hosts"]})


def _as_many(name: str, sets: Mapping[str, Figures]) -> bool:
    """Whether a baseline was given all the series."""
    rows = [one["methods"] for one in sets.values()]
    return name not in (OURS, OURS_THERE) and all(row[name]["series"] == row[OURS]["series"] for row in rows)


def _best(methods: Mapping[str, Figures], eligible: Sequence[str]) -> str | None:
    return max(eligible, key=lambda name: methods[name]["f1"], default=None)


def _pairs(outcomes: Sequence[Outcome], best: str) -> list[tuple[Counts, Counts]]:
    return [(one.counts[OURS], one.counts[best]) for one in outcomes]
