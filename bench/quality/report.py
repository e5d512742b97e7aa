"""Report: a line a figure on the terminal, goals, and all of it as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.quality.hosts import SERVED
from bench.quality.work import OURS
from bench.report import Goal

Results = Mapping[str, Any]
SHOWN = ("vus_pr", "precision", "recall", "f1", "false_alarms_a_week", "over_target", "median_delay_seconds")
EQUAL = "false_alarms_a_week_at_equal_found"


def judged(found: Results) -> list[dict[str, Any]]:
    """The goals, and whether they are met."""
    ours, goals = found["overall"]["methods"][OURS], []
    if against := found["overall"].get("against"):
        goals.append(Goal(f"event F1 over that of {against['best']}", against["difference"], 0, True, at_least=True))
    goals += [
        Goal("VUS-PR", ours["vus_pr"], 0.57, True, at_least=True),
        Goal("event F1", ours["f1"], 0.5, True, at_least=True),
        Goal("recall of events", ours["recall"], 0.48, True, at_least=True),
        Goal("false alarms a series-week", ours["false_alarms_a_week"], 1, portable=True),
        Goal("normal points above 1, times the target rate", ours["over_target"], 10, portable=True),
    ]
    if host := found["overall"]["hosts"].get(SERVED, {}).get(OURS):
        goals.append(Goal("event F1 of hosts", host["f1"], 0.58, True, at_least=True))
        goals.append(Goal("false alarms a host-week", host["false_alarms_a_week"], 0.8, portable=True))
    return [{**asdict(goal), "met": goal.met} for goal in goals]


def show(results: Results) -> None:
    """Print every figure."""
    for name, one in {**results["sets"], "overall": results["overall"]}.items():
        for method, figures in one["methods"].items():
            _line(name, method, figures, SHOWN)
        for how, methods in one["hosts"].items():
            for method, figures in methods.items():
                _line(f"{name}, host {how}", method, figures, SHOWN[1:])
        for variant, figures in one["combinations"].items():
            _line(f"{name}, combined", variant, figures, ("recall", "f1", "false_alarms_a_week", EQUAL))
        if against := one.get("against"):
            text = "event F1 {difference:+.3f}, 95 % of resampled hosts {low:+.3f} to {high:+.3f}"
            print(f"{name:<24} against {against['best']}: {text.format(**against)}")
    for goal in results["goals"]:
        bound = "at least" if goal["at_least"] else "at most"
        print(f"goal {'met' if goal['met'] else 'MISSED'}: {goal['name']} {goal['value']} ({bound} {goal['limit']})")
    print(f"{results['seconds']} seconds")


def write(results: Results, directory: Path) -> Path:
    """The JSON file, `<name>.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{results['name']}.json"
    path.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    return path


def _line(of: str, name: str, figures: Mapping[str, Any], shown: tuple[str, ...]) -> None:
    words = {"false_alarms_a_week": "false/week", "median_delay_seconds": "delay", EQUAL: "false/week at equal found"}
    text = "  ".join(f"{words.get(figure, figure)} {_number(figures[figure])}" for figure in shown)
    print(f"{of:<24} {name:<24} {text}", flush=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
