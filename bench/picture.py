"""Picture: how the figures change, or do not, with the size of the fleet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

Figure = tuple[str, str]
"""Of a figure: its group and its name."""

PANELS: Mapping[str, tuple[str, Mapping[str, Figure]]] = {
    "Stored": (
        "bytes a model",
        {
            "artifact": ("publish", "bytes_a_model"),
            "index, uncompressed": ("stored", "index_bytes_a_model"),
            "zstd-compressed pickle": ("stored", "zstd_pickle_bytes_a_model"),
        },
    ),
    "Resident, the whole fleet open": (
        "bytes a model",
        {
            "1 worker": ("memory_1_worker", "pss_bytes_a_model"),
            "2 workers together": ("memory_2_workers", "pss_bytes_a_model"),
        },
    ),
    "Latency of a request, median": (
        "ms",
        {
            "cold: from S3": ("cold", "p50_ms"),
            "a bare GetObject": ("cold", "get_object_p50_ms"),
            "warm: from the local tier": ("warm", "p50_ms"),
            "hot: from memory": ("hot", "p50_ms"),
        },
    ),
    "Single-series requests": (
        "requests a second",
        {
            "1 worker": ("throughput_1_worker", "requests_a_second"),
            "2 workers": ("throughput_2_workers", "requests_a_second"),
        },
    ),
}
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "scale",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8d6a9f")


def draw(results: Mapping[str, Any], path: Path) -> None:
    """The picture of a report's JSON."""
    sizes = {int(series): groups for series, groups in results["sizes"].items()}
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
        for axes, (title, (unit, lines)) in zip(panels.flat, PANELS.items(), strict=True):
            _panel(axes, sizes, title, unit, lines)
        machine = results["machine"]
        figure.suptitle(f"By size of the fleet, three models a series, on {machine['cores']} cores")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _panel(axes: Axes, sizes: Mapping[int, Any], title: str, unit: str, lines: Mapping[str, Figure]) -> None:
    across = sorted(sizes)
    every: list[float] = []
    for colour, (label, (group, name)) in zip(COLOURS, lines.items(), strict=False):
        values = [sizes[series][group][name] for series in across]
        axes.plot(across, values, marker="o", color=colour, label=label, linewidth=2)
        axes.annotate(f"{values[-1]:,.3g}" if values[-1] < 1000 else f"{values[-1]:,.0f}", (across[-1], values[-1]),
                      textcoords="offset points", xytext=(0, 7), ha="center", color=colour)  # fmt: skip
        every += values
    _scale(axes, across, every)
    axes.set(title=title, ylabel=unit, xlabel="series")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="upper center", ncols=2, fontsize=9)


def _scale(axes: Axes, across: Sequence[int], values: Sequence[float]) -> None:
    """Sizes as powers; values too, where they differ much."""
    axes.set_xscale("log")
    axes.set_xlim(across[0] / 1.6, across[-1] * 1.6)
    axes.set_xticks(across, [f"{series:,}" for series in across])
    axes.xaxis.set_minor_locator(NullLocator())
    if max(values) > 8 * min(values):
        axes.set_yscale("log")
        axes.set_ylim(min(values) / 2, max(values) * 10)
    else:
        axes.set_ylim(0, max(values) * 1.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
