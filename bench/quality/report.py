"""Report: the results printed, with their goals, and written as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.quality.evaluation import ALERTS, PLAIN
from bench.quality.host_scores import SERVED
from bench.shared.report import Goal

Results = Mapping[str, Any]
SHOWN = ("vus_pr", "precision", "recall", "f1", "false_alarms_a_week", "over_target", "median_delay_seconds")
RECALL = 0.52
AT_EQUAL_FOUND = "false_alarms_a_week_at_equal_found"


def goals_of(figures: Results) -> list[dict[str, Any]]:
    """The goals, and whether they are met."""
    methods, goals = figures["overall"]["methods"], []
    alerts, plain = methods[ALERTS], methods[PLAIN]
    if against := figures["overall"].get("against"):
        goals.append(Goal(f"event F1 over that of {against['best']}", against["difference"], 0, True, at_least=True))
    goals += [
        Goal("VUS-PR", alerts["vus_pr"], 0.545, True, at_least=True),
        Goal("event F1", alerts["f1"], 0.535, True, at_least=True),
        Goal("VUS-PR, 4:2:1 and a plain mean", plain["vus_pr"], 0.575, True, at_least=True),
        Goal("event F1, 4:2:1 and a plain mean", plain["f1"], 0.555, True, at_least=True),
        Goal(f"false alarms a series-week where alerts find {RECALL} of events", _at_recall(figures), 0.7, True),
        Goal("share of normal points above 1", alerts["share_above_pooled"], 0.002, portable=True),
    ]
    if host := figures["overall"]["hosts"].get(SERVED, {}).get(ALERTS):
        goals.append(Goal("event F1 of hosts", host["f1"], 0.6, True, at_least=True))
        goals.append(Goal("false alarms a host-week", host["false_alarms_a_week"], 0.6, portable=True))
    return [{**asdict(goal), "met": goal.met} for goal in goals]


def _at_recall(figures: Results) -> float:
    """The false alarms a series-week above the highest threshold that finds `RECALL` of the events."""
    found = (row for row in figures["overall"]["alerts_above"].values() if row["recall"] >= RECALL)
    return float(next(found, {"false_alarms_a_week": float("inf")})["false_alarms_a_week"])


def show(results: Results) -> None:
    """Print every figure."""
    for name, of_set in {**results["sets"], "overall": results["overall"]}.items():
        for method, figures in of_set["methods"].items():
            _print_line(name, method, figures, SHOWN)
        for combination, methods in of_set["hosts"].items():
            for method, figures in methods.items():
                _print_line(f"{name}, host {combination}", method, figures, SHOWN[1:])
        for variant, figures in of_set["combinations"].items():
            _print_line(f"{name}, combined", variant, figures, ("recall", "f1", "false_alarms_a_week", AT_EQUAL_FOUND))
        if against := of_set.get("against"):
            text = "event F1 {difference:+.3f}, 95 % of resampled hosts {low:+.3f} to {high:+.3f}"
            print(f"{name:<24} against {against['best']}: {text.format(**against)}")
    for goal in results["goals"]:
        bound = "at least" if goal["at_least"] else "at most"
        print(f"goal {'met' if goal['met'] else 'MISSED'}: {goal['name']} {goal['value']} ({bound} {goal['limit']})")
    print(f"{results['seconds']} seconds")


def write(results: Results, directory: Path) -> Path:
    """Write the JSON file `<name>.json` into a directory, and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{results['name']}.json"
    path.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    return path


def _print_line(scope: str, name: str, figures: Mapping[str, Any], shown: tuple[str, ...]) -> None:
    short_names = {
        "false_alarms_a_week": "false/week",
        "median_delay_seconds": "delay",
        AT_EQUAL_FOUND: "false/week at equal found",
    }
    text = "  ".join(f"{short_names.get(figure, figure)} {_number(figures[figure])}" for figure in shown)
    print(f"{scope:<24} {name:<24} {text}", flush=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
