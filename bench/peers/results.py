"""Results: the figures of each peer by round, their medians, and the ratios to Myriad's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.catalogue import Peer
from bench.shared.report import machine

SIGNIFICANT_DIGITS = 4
COMPARED = {
    "requests_a_second_1": True,
    "requests_a_second_16": True,
    "p99_ms_16": False,
    "tick_seconds": False,
    "start_seconds": False,
    "cold_p50_ms": False,
    "resident_bytes_a_model": False,
}
"""Figures that are compared with Myriad's, and whether higher is better."""
NOTES = {
    "pinning": "the server with all it starts has one core, the load generator another",
    "cold": "the first request for a series in each artifact of Myriad's; files are in the page cache",
    "memory": "proportional set size of the whole process tree",
    "models_in_8_gb_extrapolated": "an extrapolation: 8 GB less the server at its start, over resident bytes a model",
    "tick": "one point a series at the window 1m, in one request, by each API's own bulk form",
    "generator_cpu_share": "near 1 the load generator is the limit",
    "artifacts": "what is published; of Myriad the store",
}


class Results:
    """The figures of each peer."""

    def __init__(self, name: str, series: int) -> None:
        self.name, self.series = name, series
        self._peers: dict[str, dict[str, Any]] = {}

    def describe(self, peer: Peer, facts: Mapping[str, Any]) -> None:
        """Record facts about a peer."""
        self._peers.setdefault(peer.name, {}).update(facts)

    def add(self, peer: Peer, figures: Mapping[str, float]) -> None:
        """Record the figures of a round."""
        rounds = self._peers.setdefault(peer.name, {}).setdefault("rounds", [])
        rounds.append({name: rounded(value) for name, value in figures.items()})
        print(f"{peer.name:<10} round {len(rounds)} done", flush=True)

    def fail(self, peer: Peer, reason: str) -> None:
        """Record why a peer could not be measured."""
        self._peers.setdefault(peer.name, {})["error"] = reason
        print(f"{peer.name:<10} FAILED: {reason}", flush=True)

    def conclude(self) -> None:
        """Compute and print the medians and their ratios to Myriad's."""
        for name, peer in self._peers.items():
            if rounds := peer.get("rounds"):
                peer["figures"] = {
                    figure: rounded(float(np.median([r[figure] for r in rounds]))) for figure in rounds[0]
                }
                for kind, value in peer.get("artifacts", {}).items():
                    peer["figures"][f"artifact_{kind}"] = value
                for figure, value in peer["figures"].items():
                    print(f"{name:<10} {figure:<32} {value:>16,}", flush=True)
        ours = self._peers.get("myriad", {}).get("figures")
        for name, peer in self._peers.items():
            if ours and name != "myriad" and "figures" in peer:
                peer["myriad_is_better_by"] = _ratios(ours, peer["figures"])
                for figure, ratio in peer["myriad_is_better_by"].items():
                    print(f"{name:<10} {'myriad is better by, ' + figure:<48} {ratio:>8,}", flush=True)

    def write(self, directory: Path) -> Path:
        """Write the JSON file `<name>.json` into a directory, and return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.name}.json"
        results = {
            "name": self.name,
            "machine": machine(),
            "series": self.series,
            "windows": 3,
            "notes": NOTES,
            "peers": self._peers,
        }
        path.write_text(json.dumps(results, indent=2) + "\n")
        return path


def rounded(value: float) -> float:
    """A figure with as many digits as are significant."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if abs(value) < 10**SIGNIFICANT_DIGITS else round(value)


def _ratios(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    ratios = {}
    for figure, higher_is_better in COMPARED.items():
        better, worse = (ours[figure], theirs[figure]) if higher_is_better else (theirs[figure], ours[figure])
        if better > 0 and worse > 0:
            ratios[figure] = rounded(better / worse)
    return ratios
