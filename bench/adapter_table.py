"""Adapters: what a row of each holds, how long it takes to fit and to score with, as a table of docs/adapters.md.

`python -m bench.adapter_table --help`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.report import Report
from myriad import adapters
from myriad.models.base import Model
from myriad.models.calibration import effect_floor
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY, fleet

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "adapters.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
DAYS, HOSTS = 14, 2
ALONE, BATCH = 60, 10_000
"""Points of the one series that is scored alone; series of a point each that are scored together."""
SECONDS, LEAST = 0.5, 3
"""Each is repeated for so long, and so often."""
HEADER = ("Adapter", "Fitted by", "A row", "Bytes", "Fit, ms", "Alone, µs", "In a batch, µs", "Needed to serve")
TIMES = ("fit_ms", "alone_us", "batch_us")
OWN = "Myriad"


@click.command()
@click.option(
    "--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes; no page is changed."
)
def main(output: Path | None) -> None:
    """Fit every adapter to the same history, and measure what a row takes in bytes and in time."""
    report = Report("adapters")
    past, new = telemetry()
    for name in adapters.names():
        report.add(BATCH, name, measured(adapters.get(name), past, new))
    report.write(output or ROOT / "bench" / "results")
    if not output:
        update(PAGE, report.as_json())


def telemetry() -> tuple[Points, Points]:
    """Two weeks of some series, a point a minute, and the last hour of the day after."""
    synthetic = fleet(end=20_000 * DAY, days=DAYS + 1, hosts=HOSTS, incidents=0)
    times = synthetic.timestamps
    stretches = times < times[-1] - DAY + 1, times > times[-1] - ALONE * 60
    past, new = (Points.of(*((times[which], one[which]) for one in synthetic.values)) for which in stretches)
    return past, new


def described(kind: type[Model]) -> dict[str, Any]:
    """What the code says of an adapter."""
    params = {**kind.params, **kind.common}.values()
    return {
        "library": kind.library,
        "row": (kind.__doc__ or "").partition("\n")[0],
        "bytes": sum(np.dtype(param.dtype).itemsize * int(np.prod(param.shape)) for param in params),
        "serving_library": kind.serving_library,
    }


def measured(kind: type[Model], past: Points, new: Points) -> dict[str, Any]:
    """That, and milliseconds to fit a series, microseconds to score a point of one series and of many."""
    kind.fit(past.take([0]))  # what it needs is imported
    begun = time.perf_counter()
    fit = kind.fit(past)
    seconds = (time.perf_counter() - begun) / len(past)
    if fit.refused:
        raise RuntimeError(f"{kind.name()}: {fit.refused}")
    model = fit.model.calibrated(np.full(len(past), 4.0), effect_floor(past))
    first = new.take([0])
    fleet_of = model.take(np.arange(BATCH) % len(past))
    each = new.where(np.isin(np.arange(len(new.values)), new.offsets[1:] - 1)).take(np.arange(BATCH) % len(past))
    return {
        **described(kind),
        "fit_ms": seconds * 1e3,
        "alone_us": _microseconds(lambda: model.predict(np.array([0]), first)) / ALONE,
        "batch_us": _microseconds(lambda: fleet_of.predict(np.arange(BATCH), each)) / BATCH,
    }


def _microseconds(call: Callable[[], object]) -> float:
    """The quickest repetition, without the first: what is made once is made then, and other work only takes longer."""
    taken = list[float]()
    call()
    while len(taken) < LEAST or sum(taken) < SECONDS:
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return min(taken) * 1e6


def update(page: Path, results: Mapping[str, Any]) -> None:
    """Put the table of these results in place of the one on the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    lines = ["| " + " | ".join(cells) + " |" for cells in _rows(results)]
    page.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]))


def _rows(results: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield HEADER
    yield ("---",) * len(HEADER)
    (of,) = results["sizes"].values()
    for name, one in of.items():
        times = tuple(f"{one[figure]:.2g}" if one[figure] < 10 else f"{one[figure]:,.0f}" for figure in TIMES)
        yield (f"`{name}`", *facts(one)[:3], *times, facts(one)[3])


def facts(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Cells that are not times: who fits it, what a row is, its bytes, and what is needed to serve it."""
    return one["library"] or OWN, one["row"], str(one["bytes"]), one["serving_library"] or "-"


if __name__ == "__main__":
    main()
