"""Records made by hand, and the manifest of the release they are of."""

from typing import Any

import numpy as np
import pyarrow as pa

from myriad.storage.release import Artifact, Manifest
from myriad.training import records

RATE = 1e-3


def fleet(hosts: int = 10, *, seed: int = 0, **changed: Any) -> pa.Table:
    """Fitted models of two regions' hosts with two metrics at two windows; `changed` are columns to replace."""
    draw = np.random.default_rng(seed)
    keys = [(r, f"web-{h}", m, w) for r in "rs" for h in range(hosts) for m in ("cpu", "mem") for w in ("1m", "1h")]
    n = len(keys)
    columns: dict[str, Any] = dict(zip(records.KEY, map(list, zip(*keys, strict=True)), strict=True))
    columns |= {
        "adapter": ["seasonal" if w == "1h" else "ewma" for *_, w in keys],
        "parameters": [{"period": 86400}] * n,
        "history_from": [0] * n,
        "history_to": [86400] * n,
        "points": [100_000] * n,
        "held_out": [30_000] * n,
        "error": draw.lognormal(size=n),
        "candidates": [{"ewma": 1.0, "seasonal": 2.0}] * n,
        "threshold": draw.lognormal(size=n),
        "realised_rate": draw.poisson(30, n) / 30_000,
        "bytes": [100] * n,
        "fit_seconds": draw.lognormal(size=n),
        "versions": ['{"numpy": "2.1"}'] * n,
        "job": ["job-1"] * n,
        **changed,
    }
    return records.table(columns)


def refusals(*names: str, why: str = "too few points") -> pa.Table:
    """A row for each `region/host/metric/window` that was refused."""
    columns = zip(*(name.split("/") for name in names), strict=True)
    return records.table({**dict(zip(records.KEY, map(list, columns), strict=True)), "refused": [why] * len(names)})


def manifest(release: str = "20260101T000000Z-00000001", rate: float = RATE) -> Manifest:
    """A release's manifest."""
    return Manifest(
        id=release,
        created_at="2026-01-01T00:00:00Z",
        windows=("1m", "1h"),
        weights=(1.0, 4.0),
        coverage=0.5,
        rate=rate,
        adapters={"ewma": 1, "seasonal": 1},
        regions={"r": (Artifact("0" * 32, 5000, 9000, 20, 40), None)},
        provenance={"files": "a.parquet"},
    )
