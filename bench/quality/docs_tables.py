"""Tables of docs/quality.md and docs/decisions.md, made from the results."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.quality.evaluation import ALERTS, OURS
from bench.quality.host_scores import SERVED
from bench.quality.report import AT_EQUAL_FOUND

Results = Mapping[str, Any]
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
EVENTS = {
    "VUS-PR": "vus_pr",
    "Precision": "precision",
    "Recall": "recall",
    "F1": "f1",
    "False alarms a series-week": "false_alarms_a_week",
    "Normal points above 1, times the target": "over_target",
    "Delay": "median_delay_seconds",
}
HOSTS = {name: EVENTS[name] for name in ("Precision", "Recall", "F1")} | {
    "False alarms a host-week": "false_alarms_a_week"
}
DECIDING = {name: EVENTS[name] for name in ("VUS-PR", "F1", "Recall", "False alarms a series-week")}
DECIDING_HOSTS = {"Hosts, mean over metrics: F1": "f1", "False alarms a host-week": "false_alarms_a_week"}
COMPARED = ("constant z", "seasonal z", "rolling z")
FRONTIER = {"Recall": "recall", "False alarms a series-week": "false_alarms_a_week"}
MIN_THRESHOLD, MAX_THRESHOLD = 0.7, 4.5
"""Range of the thresholds shown."""
COMBINED = {
    "Recall": "recall",
    "F1": "f1",
    "False alarms a series-week": "false_alarms_a_week",
    "As many events found": AT_EQUAL_FOUND,
}


def update(page: Path, shown: str) -> None:
    """Replace what stands between the markers on a page."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{shown}\n{END}{after}")


def decision(results: Results, rhythm: Results) -> str:
    """The table of docs/decisions.md that compares the default with `rhythm` and with baselines, as Markdown."""
    methods = {
        "`blend`, as alerts": (results["overall"], ALERTS),
        "`rhythm`, as alerts": (rhythm["overall"], ALERTS),
        "`blend`": (results["overall"], OURS),
        "`rhythm`": (rhythm["overall"], OURS),
        **{name: (results["overall"], name) for name in COMPARED},
    }
    rows = {
        name: [*_cells(overall["methods"][of], DECIDING), *_cells(_of_hosts(overall, of), DECIDING_HOSTS)]
        for name, (overall, of) in methods.items()
    }
    return "\n".join(_lines("Mean over the sets", [*DECIDING, *DECIDING_HOSTS], rows))


def _of_hosts(overall: Results, method: str) -> Results:
    """The mean over a host's metrics, none for alerts, which are of series."""
    return dict(overall["hosts"]["mean"].get(method) or dict.fromkeys(DECIDING_HOSTS.values()))


def tables(results: Results) -> str:
    """All tables, as Markdown."""
    return "\n\n".join("\n".join(table) for table in _tables(results))


def _tables(results: Results) -> Iterator[Sequence[str]]:
    yield [f"Windows' adapters: {', '.join(results['effort']['adapters'])}. Target rate: {results['rate']:g} a point."]
    sets, overall = results["sets"], results["overall"]
    yield _table("Mean over the sets", overall["methods"], EVENTS)
    for name in (ALERTS, OURS):
        yield _table(f"Set, {name}", {of_set["title"]: of_set["methods"][name] for of_set in sets.values()}, EVENTS)
    yield _table("Alerts above", overall["alerts_above"], FRONTIER)
    yield _table("Set, best baseline by F1", dict(_best_baselines(sets)), EVENTS)
    yield [
        "| Difference in event F1 | Baseline | Difference | 95 % of resampled hosts |",
        "| --- | --- | --- | --- |",
        *(_difference(of_set["title"], of_set["against"]) for of_set in sets.values()),
        _difference("Mean over the sets", overall["against"]),
    ]
    for combination, methods in overall["hosts"].items():
        name = combination if combination == SERVED else f"{combination} over metrics"
        yield _table(f"Hosts, {name}", methods, HOSTS)
    yield _table("Windows combined", overall["combinations"], COMBINED)
    shown = {
        threshold: row
        for threshold, row in overall["frontier"].items()
        if MIN_THRESHOLD <= float(threshold) <= MAX_THRESHOLD
    }
    yield _table("Alarms above", shown, FRONTIER)


def _best_baselines(sets: Results) -> Iterator[tuple[str, Results]]:
    for of_set in sets.values():
        name = of_set["against"]["best"]
        yield f"{of_set['title']}: {name}", of_set["methods"][name]


def _difference(title: str, against: Results) -> str:
    low, high = against["low"], against["high"]
    return f"| {title} | {against['best']} | {against['difference']:+.3f} | {low:+.3f} to {high:+.3f} |"


def _table(corner: str, rows: Mapping[str, Results], columns: Mapping[str, str]) -> list[str]:
    return _lines(corner, list(columns), {name: _cells(row, columns) for name, row in rows.items()})


def _lines(corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    body = [f"| {' | '.join([name, *cells])} |" for name, cells in rows.items()]
    return [f"| {' | '.join([corner, *columns])} |", f"| {' | '.join(['---'] * (len(columns) + 1))} |", *body]


def _cells(row: Results, columns: Mapping[str, str]) -> list[str]:
    return [_cell(figure, row.get(figure)) for figure in columns.values()]


def _cell(figure: str, value: float | None) -> str:
    if value is None:
        return "-"
    if figure == "median_delay_seconds":
        return f"{value / 60:.0f} min"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"
