"""Report: the figures of a run: those that matter printed as a table, all of them written as JSON."""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("numpy", "zstandard", "boto3", "uvicorn", "uvloop", "httptools", "msgspec", "pyarrow")
SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class Goal:
    """A figure with its limit.

    Attributes:
        name: of the figure.
        value: measured.
        limit: the most it may be, or the least if `at_least`; None for a figure that is shown beside the goals.
        portable: whether it is independent of the machine's speed.
        at_least: whether `limit` is a lower bound.
    """

    name: str
    value: float
    limit: float | None = None
    portable: bool = False
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Report:
    """The figures and goals of a run.

    Attributes:
        name: of the run and its file.
        sizes: figures by size of the fleet in series, then group, then name.
        across: figures that compare sizes.
        goals: in the order they were added.
    """

    name: str
    sizes: dict[int, dict[str, dict[str, Any]]] = field(default_factory=dict)
    across: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, series: int, group: str, figures: Mapping[str, Any]) -> None:
        """Record figures of a fleet of so many series."""
        recorded = self.sizes.setdefault(series, {}).setdefault(group, {})
        for name, value in figures.items():
            recorded[name] = _rounded(value)
        print(f"measured {group}, {series:,} series", flush=True)

    def add_across_sizes(self, figures: Mapping[str, Any]) -> None:
        """Record figures that compare sizes."""
        self.across |= {name: _rounded(value) for name, value in figures.items()}

    def add_goals(self, goals: Iterable[Goal]) -> None:
        """Record goals, and figures to show beside them, and print them as a table."""
        new = list(goals)
        self.goals += new
        width = max((len(goal.name) for goal in new), default=0)
        print(f"\n{'':<{width}}{'measured':>12}{'goal':>14}")
        for goal in new:
            print(f"{goal.name:<{width}}{_rounded(goal.value):>12,}{_bound(goal)}", flush=True)

    def write(self, directory: Path) -> Path:
        """Write the JSON file `<name>.json` into a directory, and return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.name}.json"
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")
        return path

    def as_json(self) -> dict[str, Any]:
        """Everything, as it is written."""
        goals = [
            {
                "name": g.name,
                "value": _rounded(g.value),
                "at_least" if g.at_least else "limit": g.limit,
                "met": g.met,
                "portable": g.portable,
            }
            for g in self.goals
            if g.limit is not None
        ]
        sizes = {str(series): groups for series, groups in self.sizes.items()}
        return {"name": self.name, "machine": machine(), "sizes": sizes, "across": self.across, "goals": goals}


def _bound(goal: Goal) -> str:
    if goal.limit is None:
        return ""
    return f"{'>=' if goal.at_least else '<='} {goal.limit:,.6g}".rjust(14) + ("" if goal.met else "  MISSED")


def machine() -> dict[str, Any]:
    """Hardware and versions the figures depend on; nothing that identifies the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "memory_gb": round(memory / 1e9),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def quantiles(seconds: list[float], name: str = "") -> dict[str, float]:
    """Median and 99th percentile of durations, in milliseconds, and the number of samples."""
    prefix = f"{name}_" if name else ""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3 if seconds else (float("nan"), float("nan"))
    return {f"{prefix}p50_ms": float(p50), f"{prefix}p99_ms": float(p99), f"{prefix}samples": len(seconds)}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if abs(value) < 10**SIGNIFICANT_DIGITS else round(value)
    return value
