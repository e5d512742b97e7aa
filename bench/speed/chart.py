"""Chart of docs/performance.md: rates of single requests and ticks, and where their time goes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.shared.chart_style import COLOURS, STYLE
from bench.speed.cpu_by_stage import APP, STAGES
from bench.speed.tick_formats import FORMATS

PALETTE = (*COLOURS, "#e0a030", "#6b7a8f", "#b7c4d3", "#444444")
Groups = Mapping[str, Mapping[str, Any]]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Write the chart of a report's JSON to an SVG file."""
    sizes: dict[int, Groups] = {int(series): groups for series, groups in results["sizes"].items()}
    groups = sizes[min(sizes)]
    with plt.rc_context({**STYLE, "svg.hashsalt": "speed"}):
        figure, panels = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
        _plot_single_rates(panels[0, 0], groups["single"])
        _plot_tick_rates(panels[0, 1], sizes)
        _plot_stages(panels[1, 0], groups)
        _plot_latency_during_ticks(panels[1, 1], groups)
        figure.suptitle(f"One worker on one of {results['machine']['cores']} cores, the load on another")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _plot_single_rates(axes: Axes, single: Mapping[str, Any]) -> None:
    """Rates of single requests; without wrk only the rate in process is known."""
    figures = {"in process": "mix_in_process_a_second"}
    if "skipped" not in single:
        figures = {
            "bare server, 16 connections": "bare_16_requests_a_second",
            "any series, 16 connections": "mix_16_requests_a_second",
            "seasonal": "seasonal_16_requests_a_second",
            "rhythm": "rhythm_16_requests_a_second",
            "any series, 1 connection": "mix_1_requests_a_second",
            **figures,
        }
    _bars(axes, {label: single[name] for label, name in figures.items()}, "Single series, 60 points", "requests/s")


def _plot_tick_rates(axes: Axes, sizes: Mapping[int, Groups]) -> None:
    """Rates of the largest ticks."""
    groups = sizes[max(sizes)]
    count = max(int(name.split("_")[1]) for name in groups if name.startswith("tick_"))
    ticks = {name.replace("_", " "): groups.get(f"tick_{count}_{name}") for name in (*FORMATS, "in_process")}
    rates = {name: tick["following_series_a_second"] for name, tick in ticks.items() if tick}
    _bars(axes, rates, f"A point of each of {count:,} series", "series/s")


def _plot_stages(axes: Axes, groups: Groups) -> None:
    """Shares of the processor time by stage, one bar for each kind of request."""
    kinds = {"one series": "stages_single", "tick of points": "stages_arrow_points", "windows": "stages_arrow_windows"}
    left = [0.0] * len(kinds)
    for colour, stage in zip(PALETTE, (*STAGES, APP, "http"), strict=False):
        shares = [groups[group][f"{stage}_share"] * 100 for group in kinds.values()]
        axes.barh(list(kinds), shares, left=left, color=colour, label=stage)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set(title="Where the server's time goes", xlabel="% of processor time", xlim=(0, 100))
    axes.legend(frameon=False, ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15))


def _plot_latency_during_ticks(axes: Axes, groups: Groups) -> None:
    """Latency of health checks and single requests while ticks are scored."""
    names = ["calm", *FORMATS]
    places = range(len(names))
    for offset, colour, kind in ((-0.2, COLOURS[0], "health"), (0.2, COLOURS[1], "single")):
        values = [groups[f"beside_{name}"][f"{kind}_p99_ms"] for name in names]
        axes.barh([place + offset for place in places], values, height=0.38, color=colour, label=kind)
    axes.set_yticks(list(places), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set(title="Small requests while ticks are scored", xlabel="p99, ms")
    axes.legend(frameon=False)


def _bars(axes: Axes, values: Mapping[str, float], title: str, unit: str) -> None:
    bars = axes.barh(list(values), list(values.values()), color=COLOURS[0])
    axes.bar_label(bars, labels=[f"{value:,.0f}" for value in values.values()], padding=3)
    axes.invert_yaxis()
    axes.set(title=title, xlabel=unit, xlim=(0, max(values.values()) * 1.2))
