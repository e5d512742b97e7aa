"""Comparison: what became of a release's models since an earlier one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from myriad.training.records import KEY, SERIES
from myriad.training.report.histogram import histogram
from myriad.training.report.markup import Markup, element, number, table

WORST = 20
MOST_CHANGES = 30


def section(old: pd.DataFrame, new: pd.DataFrame, release: str) -> Markup:
    """The part of a page that compares two releases' records; `release` is the old one's id."""
    then, now = (rows[rows["refused"] == ""] for rows in (old, new))
    models = _beside(then, now, KEY)
    both = models[models["_merge"] == "both"]
    both = both.assign(ratio=(both["error_now"] / both["error_then"]).replace([np.inf, -np.inf], np.nan))
    ratio = both["ratio"].to_numpy()
    heading = f"Error now / error then: median {number(float(both['ratio'].median()))}"
    counts = [("series", *_counts(_beside(then, now, SERIES))), ("models", *_counts(models))]
    return element(
        "section",
        element("h2", f"Against release {release}"),
        table(["", "then", "now", "gained", "lost"], counts),
        element("h3", heading),
        histogram(ratio, heading, mark=1.0, marked="as before"),
        element("h3", "Adapters changed"),
        _changes(both),
        element("h3", "Grown worse most"),
        _worse(both),
    )


def _beside(then: pd.DataFrame, now: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """The rows of a key in either release, with whose they are in `_merge`."""
    # Categories of two releases are not the same ones: as texts they can be told apart.
    sides = [rows[[*key, "adapter", "error"]].astype(dict.fromkeys([*key, "adapter"], object)) for rows in (then, now)]
    once = [side.drop_duplicates(list(key)) for side in sides]
    return once[0].merge(once[1], on=list(key), how="outer", suffixes=("_then", "_now"), indicator=True)


def _counts(beside: pd.DataFrame) -> tuple[int, int, int, int]:
    side = beside["_merge"]
    gained, lost = int((side == "right_only").sum()), int((side == "left_only").sum())
    return len(side) - gained, len(side) - lost, gained, lost


def _changes(both: pd.DataFrame) -> Markup:
    changed = both[both["adapter_then"] != both["adapter_now"]]
    if changed.empty:
        return element("p", "None.")
    found = changed.groupby(["adapter_then", "adapter_now"])["ratio"].agg(["size", "median"])
    most = found.sort_values("size", ascending=False).head(MOST_CHANGES)
    rows = [(then, now, size, ratio) for (then, now), size, ratio in most.itertuples(name=None)]
    return table(["then", "now", "models", "median error ratio"], rows)


def _worse(both: pd.DataFrame) -> Markup:
    grown = both[both["ratio"] > 1].nlargest(WORST, "ratio")
    if grown.empty:
        return element("p", "None.")
    rows = [
        ("/".join(row[part] for part in SERIES), row["window"], f"{row['adapter_then']} → {row['adapter_now']}",
         row["error_then"], row["error_now"], row["ratio"])
        for row in grown.to_dict("records")
    ]  # fmt: skip
    return table(["series", "window", "adapter", "error then", "error now", "ratio"], rows)
