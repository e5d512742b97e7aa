"""Report: the figures of a run, a line each on the terminal and all of them as JSON."""

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

MEASURED = ("numpy", "zstandard", "boto3", "uvicorn", "uvloop", "httptools", "msgspec", "pyarrow")
FEW_DIGITS = 4


@dataclass(frozen=True)
class Goal:
    """A figure and the most, or least, it may be; `portable` if it does not depend on the machine's speed."""

    name: str
    value: float
    limit: float
    portable: bool = False
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is no more, or no less, than that."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Report:
    """Figures by size of the fleet and group, and goals."""

    name: str
    sizes: dict[int, dict[str, dict[str, Any]]] = field(default_factory=dict)
    across: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, series: int, group: str, figures: Mapping[str, Any]) -> None:
        """Keep and print figures of a fleet."""
        there = self.sizes.setdefault(series, {}).setdefault(group, {})
        for name, value in figures.items():
            there[name] = _rounded(value)
            _line(f"{series:>9,} series", f"{group}.{name}", there[name])

    def compare(self, figures: Mapping[str, Any]) -> None:
        """Keep and print figures across sizes."""
        for name, value in figures.items():
            self.across[name] = _rounded(value)
            _line("across sizes", name, self.across[name])

    def judge(self, goals: Iterable[Goal]) -> None:
        """Keep and print goals."""
        for goal in goals:
            self.goals.append(goal)
            verdict = "met" if goal.met else "MISSED"
            bound = "at least" if goal.at_least else "at most"
            _line(f"goal {verdict}", goal.name, f"{_rounded(goal.value)} ({bound} {goal.limit:g})")

    def write(self, directory: Path) -> Path:
        """The JSON file, `<name>.json`."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.name}.json"
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")
        return path

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        goals = [
            {
                "name": g.name,
                "value": _rounded(g.value),
                "at_least" if g.at_least else "limit": g.limit,
                "met": g.met,
                "portable": g.portable,
            }
            for g in self.goals
        ]
        sizes = {str(series): groups for series, groups in self.sizes.items()}
        return {"name": self.name, "machine": machine(), "sizes": sizes, "across": self.across, "goals": goals}


def machine() -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "memory_gb": round(memory / 1e9),
        "python": platform.python_version(),
        **{name: version(name) for name in MEASURED},
    }


def quantiles(seconds: list[float], name: str = "") -> dict[str, float]:
    """Median and 99th percentile in milliseconds, and of how many."""
    prefix = f"{name}_" if name else ""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3 if seconds else (float("nan"), float("nan"))
    return {f"{prefix}p50_ms": float(p50), f"{prefix}p99_ms": float(p99), f"{prefix}samples": len(seconds)}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{FEW_DIGITS}g}") if abs(value) < 10**FEW_DIGITS else round(value)
    return value


def _line(of: str, name: str, value: Any) -> None:
    shown = f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    print(f"{of:<18} {name:<44} {shown:>16}", flush=True)
