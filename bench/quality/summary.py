"""Summary: figures over many hosts, by data set and over all sets."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.quality.bootstrap import difference
from bench.quality.datasets import SOURCES
from bench.quality.evaluation import ALERTS, METHODS, OURS, OURS_ON_SUBSET, PLAIN, Outcome
from bench.quality.events import Counts
from bench.quality.window_combinations import SERVED, Variant

Figures = dict[str, Any]
SIGNIFICANT_DIGITS = 4


def summary(outcomes: Sequence[Outcome], rate: float) -> Figures:
    """Figures by data set, their plain mean over sets, and the difference to the best baseline with its interval."""
    by_set: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda outcome: outcome.host):
        by_set[outcome.data_set].append(outcome)
    sets = {name: _of_set(by_set[name], rate) for name in SOURCES if name in by_set}
    names = [name for name in METHODS if all(name in of_set["methods"] for of_set in sets.values())]
    overall: Figures = {
        "methods": _pooled(_means(of_set["methods"] for of_set in sets.values())),
        "hosts": {
            combination: _means(of_set["hosts"][combination] for of_set in sets.values() if of_set["hosts"])
            for combination in _host_combinations(sets)
        },
        "alerts_above": _means(of_set["alerts_above"] for of_set in sets.values()),
        "combinations": _means(of_set["combinations"] for of_set in sets.values()),
        "frontier": _means(of_set["frontier"] for of_set in sets.values()),
    }
    if best := _best(overall["methods"], [name for name in names if _is_complete_baseline(name, sets)]):
        overall["against"] = {"best": best, **difference({name: _pairs(by_set[name], best) for name in sets})}
    return cleaned({"sets": sets, "overall": overall})


def cleaned(value: Any) -> Any:
    """A value with its numbers rounded, and None in place of those that are not finite."""
    if isinstance(value, Mapping):
        return {name: cleaned(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return value


def _of_set(outcomes: Sequence[Outcome], rate: float) -> Figures:
    figures: Figures = {
        "title": SOURCES[outcomes[0].data_set].title,
        "hosts_scored": len(outcomes),
        "points": sum(outcome.points for outcome in outcomes),
        "windows": sorted({" ".join(outcome.windows) for outcome in outcomes}),
        "methods": {},
        "hosts": {},
        "combinations": {},
    }
    for name in METHODS:
        if evaluated := [outcome for outcome in outcomes if name in outcome.counts]:
            counts = Counts.total(outcome.counts[name] for outcome in evaluated)
            volumes = [volume for outcome in evaluated for volume in outcome.vus[name]]
            figures["methods"][name] = {"vus_pr": _mean(volumes), **_figures(counts, rate)}
            if not SOURCES[outcomes[0].data_set].is_labelled:
                figures["methods"][name] |= dict.fromkeys(("precision", "recall", "f1"), float("nan"))
        for combination in {key for outcome in outcomes for key in outcome.host_counts}:
            by_method = [outcome.host_counts.get(combination, {}) for outcome in outcomes]
            counts = Counts.total(row[name] for row in by_method if name in row)
            if counts.series:
                figures["hosts"].setdefault(combination, {})[name] = _figures(counts, rate)
    figures["alerts_above"] = {
        threshold: _figures(Counts.total(outcome.alerts_above[threshold] for outcome in outcomes), rate)
        | ({} if SOURCES[outcomes[0].data_set].is_labelled else {"recall": float("nan")})
        for threshold in outcomes[0].alerts_above
    }
    figures["combinations"] = _variants(outcomes, rate)
    figures["frontier"] = _frontier(outcomes)
    eligible = [name for name in figures["methods"] if _is_complete_baseline(name, {"": figures})]
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
        "above": counts.above,
        "share_above": above,
        "over_target": above / rate,
        "median_delay_seconds": float(np.median(counts.delays)) if counts.delays else float("nan"),
    }


def _variants(outcomes: Sequence[Outcome], rate: float) -> Figures:
    if not all(outcome.variants for outcome in outcomes):
        return {}
    totals = {name: Variant.total(outcome.variants[name] for outcome in outcomes) for name in outcomes[0].variants}
    found = totals[SERVED].counts.found
    figures = {}
    for name, variant in totals.items():
        point = variant.at_equal_found(found)
        figures[name] = {
            **_figures(variant.counts, rate),
            "threshold_at_equal_found": point.threshold,
            "false_alarms_a_week_at_equal_found": point.false_alarms_a_week,
        }
    return figures


def _frontier(outcomes: Sequence[Outcome]) -> Figures:
    if not all(outcome.variants for outcome in outcomes):
        return {}
    return dict(Variant.total(outcome.variants[SERVED] for outcome in outcomes).frontier())


def _means(by_set: Iterable[Figures]) -> Figures:
    """By name the mean of each figure over the sets that have it; the sum if the figure is a count."""
    sets = list(by_set)
    means: Figures = {}
    for name in dict.fromkeys(name for of_set in sets for name in of_set):
        rows = [of_set[name] for of_set in sets if name in of_set]
        means[name] = {figure: _mean_or_sum([row[figure] for row in rows]) for figure in rows[0]}
    return means


def _pooled(methods: Figures) -> Figures:
    """With the share of normal points above 1 over all sets together."""
    for figures in methods.values():
        figures["share_above_pooled"] = figures["above"] / figures["normal"] if figures["normal"] else float("nan")
    return methods


def _mean_or_sum(values: Sequence[float]) -> float:
    return sum(values) if all(isinstance(value, int) for value in values) else _mean(values)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _host_combinations(sets: Mapping[str, Figures]) -> list[str]:
    return sorted({combination for of_set in sets.values() for combination in of_set["hosts"]})


def _is_complete_baseline(name: str, sets: Mapping[str, Figures]) -> bool:
    """Whether a method is a baseline that was evaluated on all series."""
    rows = [of_set["methods"] for of_set in sets.values()]
    return name not in (ALERTS, OURS, PLAIN, OURS_ON_SUBSET) and all(
        row[name]["series"] == row[OURS]["series"] for row in rows
    )


def _best(methods: Mapping[str, Figures], eligible: Sequence[str]) -> str | None:
    return max(eligible, key=lambda name: methods[name]["f1"], default=None)


def _pairs(outcomes: Sequence[Outcome], best: str) -> list[tuple[Counts, Counts]]:
    return [(outcome.counts[ALERTS], outcome.counts[best]) for outcome in outcomes]
