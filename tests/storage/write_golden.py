"""Writes the golden shard of all adapters: `python -m tests.storage.write_golden`.

What is in it already stays as it was first written: an adapter that is new is added, one of another version written
anew. Where a row has other arrays now, the file cannot be read any more, and all of it is written anew. After `FORMAT`
of shards was raised it writes another file: that of the format before stays for as long as that is read.
"""

import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np

from myriad import adapters
from myriad.kernels.scoring import NO_MODEL
from myriad.models.errors import ArtifactCorrupt
from myriad.models.key import Series
from myriad.models.windows import Window
from myriad.storage.shard import FORMAT, Entries, Shard, concatenated, entries_of, pack_shard
from myriad.training.fit import fit
from myriad.training.fleets.synthetic import DAY
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from tests.conftest import END, history

FOLDER = Path(__file__).parent / "golden"
SHARD = FOLDER / f"adapters-format-{FORMAT}.safetensors"
SCORES = FOLDER / f"adapters-format-{FORMAT}-scores.json"
STEP = 900
WINDOWS = (Window(STEP), Window(3600))
FITTED_AT = 1_767_571_200


def name_of(adapter: str) -> Series:
    """The series whose model is of an adapter; its version is in the name."""
    return Series("golden", adapter, f"v{adapters.get(adapter).version}")


def entries(names: tuple[str, ...]) -> Entries:
    """A series for each adapter, with a model at one of the windows: at the first for every other one."""
    parts = []
    for adapter in names:
        at = adapters.names().index(adapter) % len(WINDOWS)
        candidates = tuple(only(adapter)[0] if i == at else () for i in range(len(WINDOWS)))
        plan = Plan(windows=WINDOWS, candidates=candidates, weights=(1.0, 2.0))
        done = fit(plan, [name_of(adapter)], history(10, step=STEP))
        if not done.entries.series:
            raise RuntimeError(f"{adapter} has no model: {done.refusals}")
        parts.append(dataclasses.replace(done.entries, fitted_at=np.array([FITTED_AT], np.int64)))
    return concatenated(parts)


def scores(shard: Shard) -> dict[str, list[float]]:
    """What each model says of eight hours of the day after, by series and window."""
    found = {}
    points = history(1 / 3, step=STEP, seed=9, until=END + DAY // 3)
    for position in range(len(shard)):
        for window, code in enumerate(shard.adapter[position].tolist()):
            if code != NO_MODEL:
                row = shard.row[[position], window].astype(np.int64)
                said = shard.models[window, code].predict(row, points)
                found[f"{shard.name_of(position)}/{shard.windows[window]}"] = said.score.tolist()
    return found


def opened() -> Shard:
    """The golden shard."""
    return Shard(SHARD.name, SHARD.read_bytes(), adapters.get)


def write() -> None:
    """Bring the golden files up to date."""
    wanted, parts = {name_of(name): name for name in adapters.names()}, list[Entries]()
    with contextlib.suppress(FileNotFoundError, ArtifactCorrupt):  # it is not read any more
        old = opened()
        parts.append(entries_of(old).take(np.array([i for i in range(len(old)) if old.name_of(i) in wanted], np.int64)))
    kept = {series for part in parts for series in part.series}
    if new := tuple(name for series, name in wanted.items() if series not in kept):
        parts.append(entries(new))
    told = json.loads(SCORES.read_text()) if kept else {}
    SHARD.write_bytes(pack_shard(concatenated(parts)))
    told = {key: told.get(key, numbers) for key, numbers in scores(opened()).items()}
    SCORES.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    write()
