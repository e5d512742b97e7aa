"""Chart of docs/quality.md: the methods on each data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.quality.baselines import BASELINES
from bench.quality.evaluation import OURS
from bench.shared.chart_style import COLOURS, STYLE

PALETTE = (COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3], "#e0a030", "#6b7a8f", "#b7c4d3")
SHOWN = (OURS, *BASELINES)
PANELS = {
    "Ranking": ("vus_pr", "VUS-PR"),
    "Events, at the fixed threshold": ("f1", "event F1"),
    "False alarms, at the fixed threshold": ("false_alarms_a_week", "per series and week"),
    "Normal points above 1": ("over_target", "times the target rate"),
}


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Write the chart of the results to an SVG file."""
    with plt.rc_context({**STYLE, "svg.hashsalt": "quality"}):
        figure, panels = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
        for axes, (title, (name, unit)) in zip(panels.flat, PANELS.items(), strict=True):
            _plot(axes, results, name)
            axes.set(title=title, ylabel=unit)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _plot(axes: Axes, results: Mapping[str, Any], name: str) -> None:
    groups = {**{key: of_set["methods"] for key, of_set in results["sets"].items()},
              "mean": results["overall"]["methods"]}  # fmt: skip
    width = 0.8 / len(SHOWN)
    for i, (method, colour) in enumerate(zip(SHOWN, PALETTE, strict=True)):
        values = [methods.get(method, {}).get(name) or 0 for methods in groups.values()]
        places = [place + (i - len(SHOWN) / 2) * width for place in range(len(groups))]
        axes.bar(places, values, width, color=colour, label=method)
    axes.set_xticks(range(len(groups)), list(groups), fontsize=9)
    if name in ("false_alarms_a_week", "over_target"):
        axes.set_yscale("symlog", linthresh=0.1 if name == "false_alarms_a_week" else 1)
    if name == "over_target":
        axes.axhline(1, color="#444444", linewidth=1)
    axes.grid(axis="y", alpha=0.3)
