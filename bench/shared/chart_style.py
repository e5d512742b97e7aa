"""Style that all charts share."""

from typing import Any

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Matplotlib settings; each chart adds an `svg.hashsalt` of its own."""
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8d6a9f")
