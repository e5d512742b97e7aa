"""Report: a release's records as one page, to be read before the release is trusted and kept beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from myriad.models.windows import Window
from myriad.storage.release import Manifest
from myriad.training import gates
from myriad.training.records import FIGURES, SERIES
from myriad.training.report import comparison
from myriad.training.report.histogram import Axis, histogram, spark
from myriad.training.report.markup import NOTHING, Markup, element, number, percent, table
from myriad.training.report.markup import page as html_page

COLUMNS = (*SERIES, "window", "adapter", *FIGURES, "versions", "job", "refused")
"""Of the records, those a report needs."""

WORST = 20
QUANTILES = (0.05, 0.5, 0.95, 1.0)
MOST_REASONS = 30
MOST_REGIONS, MOST_METRICS = 60, 40
_VARYING = re.compile(r"'[^']*'|\d[\d.,:]*(?:e[+-]?\d+)?")

MEANINGS: Mapping[str, tuple[str, str]] = {
    "error": ("Backtest error", "Of the adapter that won, in units of a series' typical step: below 1 is better."),
    "alarms": ("False alarms against the target", "Share of held-out points scoring above 1, divided by the rate."),
    "threshold": ("Thresholds", "The deviation that scores 1."),
    "bytes": ("Bytes of a model", "Of its row, before compression."),
    "fit_seconds": ("Time to fit", "Seconds a model."),
}
"""What is shown the distribution of: its heading and what it means."""


def page(
    records: pa.Table,
    manifest: Manifest,
    before: tuple[pa.Table, Manifest] | None = None,
    failures: Sequence[str] = (),
) -> str:
    """The page of a release.

    Args:
        records: with `COLUMNS`.
        manifest: of the release.
        before: records and manifest of a release to compare it with.
        failures: what `gates.check` found.
    """
    rows = _frame(records, manifest)
    fitted = rows[rows["refused"] == ""]
    failed = [element("p", f"Gate failed: {failure}", class_="bad") for failure in failures]
    parts = [_head(manifest), *failed, _totals(records, fitted, manifest)]
    if before:
        old = _frame(*before)
        parts.append(comparison.section(old, rows, before[1].id))
    parts += [_distribution(fitted, name) for name in MEANINGS]
    parts += [_coverage(rows), _worst(fitted), _refusals(rows), _made_by(rows, manifest)]
    return html_page(f"Release {manifest.id}", *parts)


def _frame(records: pa.Table, manifest: Manifest) -> pd.DataFrame:
    """Records with `alarms`, the realised rate against the target."""
    frame = records.select(COLUMNS).to_pandas()
    frame[list(FIGURES)] = frame[list(FIGURES)].astype(np.float64)
    return frame.assign(alarms=frame["realised_rate"] / manifest.rate)


def _head(manifest: Manifest) -> Markup:
    about = f"Made {manifest.created_at}. Windows {', '.join(manifest.windows)}."
    return element("header", element("h1", f"Release {manifest.id}"), element("p", about, class_="soft"))


def _totals(records: pa.Table, fitted: pd.DataFrame, manifest: Manifest) -> Markup:
    lacking, series = gates.refused_series(records)
    factor = gates.calibration_factor(records, manifest.rate)
    stored = sum(artifact.bytes for artifact in manifest.artifacts)
    cards = {
        "series": number(series),
        "models": number(len(fitted)),
        "series lacking a model": f"{percent(lacking / max(series, 1))} ({lacking:,})",
        "median backtest error": number(fitted["error"].median()),
        "target, false alarms a point": number(manifest.rate),
        "realised, times the target": number(factor) if factor is not None else "too few points to tell",
        "bytes in the store": number(stored),
        "bytes in the store a model": number(stored / max(sum(a.models for a in manifest.artifacts), 1)),
        "hours of fitting": number(fitted["fit_seconds"].sum() / 3600),
    }
    return element("div", *(element("div", element("b", value), name, class_="card") for name, value in cards.items()),
                   class_="cards")  # fmt: skip


def _distribution(fitted: pd.DataFrame, name: str) -> Markup:
    heading, meaning = MEANINGS[name]
    values = fitted[name].to_numpy()
    axis = Axis.of(values)
    rows = [
        (adapter, window, spark(some.to_numpy(), axis), len(some), some.mean(), *some.quantile(QUANTILES))
        for adapter, window, some in ((a, w, models[name]) for a, w, models in _groups(fitted))
    ]
    return _section(
        heading,
        element("p", meaning, class_="soft"),
        histogram(values, heading, mark=1.0 if name == "alarms" else None, marked="target"),
        table(["adapter", "window", "", "models", "mean", "5 %", "median", "95 %", "highest"], rows),
    )


def _groups(fitted: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The models of each adapter and window, shortest window first."""
    found = {(str(a), str(w)): some for (a, w), some in fitted.groupby(["adapter", "window"], observed=True)}
    for adapter, window in sorted(found, key=lambda pair: (pair[0], Window.parse(pair[1]))):
        yield adapter, window, found[adapter, window]


def _coverage(rows: pd.DataFrame) -> Markup:
    there = rows.assign(there=rows["refused"] == "").groupby(["region", "metric"], observed=True)["there"]
    counted = there.agg(["sum", "size"])
    regions = sorted(map(str, rows["region"].unique()))[:MOST_REGIONS]
    metrics = sorted(map(str, rows["metric"].unique()))[:MOST_METRICS]
    counts = {key: (int(fit), int(size)) for key, fit, size in counted.itertuples(name=None)}
    body = [(region, *(_cell(counts.get((region, metric))) for metric in metrics)) for region in regions]
    shown = f"The first {len(regions)} regions and {len(metrics)} metrics. " if _cut(rows) else ""
    meaning = f"{shown}Share of models that could be fitted, of those tried; the darker, the more are lacking."
    return _section("Coverage", element("p", meaning, class_="soft"), table(["region", *metrics], body, "heat"))


def _cut(rows: pd.DataFrame) -> bool:
    return rows["region"].nunique() > MOST_REGIONS or rows["metric"].nunique() > MOST_METRICS


def _cell(counted: tuple[int, int] | None) -> Markup:
    if counted is None:
        return element("td", NOTHING, class_="h0")
    fit, size = counted
    lacking = 1 - fit / size
    step = int(np.searchsorted([0, 0.01, 0.1, 0.5], lacking))
    return element("td", percent(fit / size), class_=f"h{step}", title=f"{fit:,} of {size:,}")


def _worst(fitted: pd.DataFrame) -> Markup:
    held = fitted["held_out"]
    alarms = fitted.assign(count=(fitted["realised_rate"] * held).round())
    by_error = fitted.nlargest(WORST, "error")
    by_alarms = alarms[alarms["count"] > 0].nlargest(WORST, "count")
    return _section(
        "Worst series",
        element("h3", "Highest backtest error"),
        table([*_NAMED, "error", "threshold", "points"], _named(by_error, ["error", "threshold", "points"])),
        element("h3", "Most false alarms"),
        element("p", "On held-out points; about how many, and times the target.", class_="soft"),
        table([*_NAMED, "alarms", "times target", "points"], _named(by_alarms, ["count", "alarms", "points"])),
    )


_NAMED = ["series", "window", "adapter"]


def _named(rows: pd.DataFrame, figures: Sequence[str]) -> list[tuple[object, ...]]:
    return [
        (
            "/".join(str(row[part]) for part in SERIES),
            str(row["window"]),
            str(row["adapter"]),
            *(row[f] for f in figures),
        )
        for row in rows.to_dict("records")
    ]


def _refusals(rows: pd.DataFrame) -> Markup:
    refused = rows[rows["refused"] != ""]
    if refused.empty:
        return _section("Refusals", element("p", "None."))
    refused = refused.assign(reason=refused["refused"].astype(str).map(_reason))
    body = []
    for reason, some in refused.groupby("reason"):
        first = some.iloc[0]
        example = "/".join(str(first[part]) for part in SERIES)
        windows = ", ".join(sorted({str(w) for w in some["window"].dropna()}, key=Window.parse)) or "any"
        body.append((str(reason), windows, len(some), example, str(first["refused"])))
    body.sort(key=lambda row: -row[2])
    summary = f"{len(refused):,} for {len(body):,} reasons; where they differ in a name or a number it stands as …"
    headings = ["reason", "windows", "refusals", "for example", "in full"]
    return _section("Refusals", element("p", summary, class_="soft"), table(headings, body[:MOST_REASONS]))


def _reason(why: str) -> str:
    return _VARYING.sub("…", why)


def _made_by(rows: pd.DataFrame, manifest: Manifest) -> Markup:
    body = [
        *((f"from {name}", value) for name, value in manifest.provenance.items()),
        *(("job", str(job)) for job in rows["job"].dropna().unique()[:WORST]),
        *(("libraries", str(versions)) for versions in rows["versions"].dropna().unique()[:WORST]),
        *(("adapter", f"{name} v{version}") for name, version in manifest.adapters.items()),
    ]
    return _section("Where it came from", table(["what", "which"], body))


def _section(heading: str, *children: str) -> Markup:
    return element("section", element("h2", heading), *children)
