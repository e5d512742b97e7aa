"""Chart of docs/scale.md: figures by size of the fleet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.shared.chart_style import COLOURS, STYLE


class FigureKey(NamedTuple):
    """Where a figure is in the results of a size."""

    group: str
    name: str


class Panel(NamedTuple):
    """A plot: the unit of its y axis, and its lines by label."""

    unit: str
    lines: Mapping[str, FigureKey]


PANELS: Mapping[str, Panel] = {
    "Stored": Panel(
        "bytes a model",
        {
            "artifact": FigureKey("publish", "bytes_a_model"),
            "index, uncompressed": FigureKey("stored", "index_bytes_a_model"),
            "zstd-compressed pickle": FigureKey("stored", "zstd_pickle_bytes_a_model"),
        },
    ),
    "Resident, the whole fleet open": Panel(
        "bytes a model",
        {
            "1 worker": FigureKey("memory_1_worker", "pss_bytes_a_model"),
            "2 workers together": FigureKey("memory_2_workers", "pss_bytes_a_model"),
        },
    ),
    "Latency of a request, median": Panel(
        "ms",
        {
            "cold: from S3": FigureKey("cold", "p50_ms"),
            "a bare GetObject": FigureKey("cold", "get_object_p50_ms"),
            "warm: from the local tier": FigureKey("warm", "p50_ms"),
            "hot: from memory": FigureKey("hot", "p50_ms"),
        },
    ),
    "Single-series requests": Panel(
        "requests a second",
        {
            "1 worker": FigureKey("throughput_1_worker", "requests_a_second"),
            "2 workers": FigureKey("throughput_2_workers", "requests_a_second"),
        },
    ),
}


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Write the chart of a report's JSON to an SVG file."""
    sizes = {int(series): groups for series, groups in results["sizes"].items()}
    with plt.rc_context({**STYLE, "svg.hashsalt": "scale"}):
        figure, panels = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
        for axes, (title, panel) in zip(panels.flat, PANELS.items(), strict=True):
            _plot(axes, sizes, title, panel)
        machine = results["machine"]
        figure.suptitle(f"By size of the fleet, three models a series, on {machine['cores']} cores")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _plot(axes: Axes, sizes: Mapping[int, Any], title: str, panel: Panel) -> None:
    fleet_sizes = sorted(sizes)
    all_values: list[float] = []
    for colour, (label, (group, name)) in zip(COLOURS, panel.lines.items(), strict=False):
        values = [sizes[series][group][name] for series in fleet_sizes]
        axes.plot(fleet_sizes, values, marker="o", color=colour, label=label, linewidth=2)
        last = values[-1]
        axes.annotate(f"{last:,.3g}" if last < 1000 else f"{last:,.0f}", (fleet_sizes[-1], last),
                      textcoords="offset points", xytext=(0, 7), ha="center", color=colour)  # fmt: skip
        all_values += values
    _set_scales(axes, fleet_sizes, all_values)
    axes.set(title=title, ylabel=panel.unit, xlabel="series")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="upper center", ncols=2, fontsize=9)


def _set_scales(axes: Axes, fleet_sizes: Sequence[int], values: Sequence[float]) -> None:
    """A logarithmic x axis, and a logarithmic y axis if the values span more than a factor of 8."""
    axes.set_xscale("log")
    axes.set_xlim(fleet_sizes[0] / 1.6, fleet_sizes[-1] * 1.6)
    axes.set_xticks(fleet_sizes, [f"{series:,}" for series in fleet_sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    if max(values) > 8 * min(values):
        axes.set_yscale("log")
        axes.set_ylim(min(values) / 2, max(values) * 10)
    else:
        axes.set_ylim(0, max(values) * 1.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
