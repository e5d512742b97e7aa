"""Adapters: size, fit time and prediction time of each, as a table of docs/adapters.md.

`python -m bench.adapter_table --help`.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.shared.report import Report
from myriad import adapters
from myriad.models.base import Model
from myriad.models.calibration import effect_floor
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY, fleet

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "adapters.md"
RESULTS = ROOT / "bench" / "results"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
DAYS, HOSTS = 14, 2
ALONE_POINTS, BATCH_SERIES = 60, 10_000
"""Points of the series that is scored alone; series, with one point each, that are scored in a batch."""
MIN_SECONDS, MIN_REPEATS = 0.5, 3
"""Each call is repeated at least so long and so often."""
HEADER = ("Adapter", "Fitted by", "A row", "Bytes", "Fit, ms", "Alone, µs", "In a batch, µs", "Needed to serve")
TIMES = ("fit_ms", "alone_us", "batch_us")
OWN = "Myriad"


@click.command()
@click.option(
    "--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes; no page is changed."
)
@click.option("--only", multiple=True, metavar="NAME", help="Measure this one; of the others the results are kept.")
def main(output: Path | None, only: tuple[str, ...]) -> None:
    """Fit every adapter to the same history, and measure what a row takes in bytes and in time."""
    report = Report("adapters")
    past, new = telemetry()
    (kept,) = json.loads((RESULTS / "adapters.json").read_text())["sizes"].values() if only else ({},)
    for name in adapters.names():
        known = name in kept and name not in only
        report.add(BATCH_SERIES, name, kept[name] if known else measure(adapters.get(name), past, new))
    report.write(output or RESULTS)
    if not output:
        update(PAGE, report.as_json())


def telemetry() -> tuple[Points, Points]:
    """Two weeks of several series with a point a minute, and the last hour of the day after."""
    synthetic = fleet(end=20_000 * DAY, days=DAYS + 1, hosts=HOSTS, incidents=0)
    times = synthetic.timestamps
    parts = times < times[-1] - DAY + 1, times > times[-1] - ALONE_POINTS * 60
    past, new = (Points.of(*((times[part], values[part]) for values in synthetic.values)) for part in parts)
    return past, new


def description(kind: type[Model]) -> dict[str, Any]:
    """Library, row, bytes and serving library of an adapter, from its class."""
    params = {**kind.params, **kind.common}.values()
    return {
        "library": kind.library,
        "row": (kind.__doc__ or "").partition("\n")[0],
        "bytes": sum(np.dtype(param.dtype).itemsize * int(np.prod(param.shape)) for param in params),
        "serving_library": kind.serving_library,
    }


def measure(kind: type[Model], past: Points, new: Points) -> dict[str, Any]:
    """The description, milliseconds to fit a series, and microseconds to score a point alone and in a batch."""
    kind.fit(past.take([0]))  # imports its library
    started = time.perf_counter()
    fit = kind.fit(past)
    seconds = (time.perf_counter() - started) / len(past)
    if fit.refused:
        raise RuntimeError(f"{kind.name()}: {fit.refused}")
    model = fit.model.calibrated(np.full(len(past), 4.0), effect_floor(past))
    first = new.take([0])
    batch_model = model.take(np.arange(BATCH_SERIES) % len(past))
    is_last = np.isin(np.arange(len(new.values)), new.offsets[1:] - 1)
    last_points = new.where(is_last).take(np.arange(BATCH_SERIES) % len(past))
    return {
        **description(kind),
        "fit_ms": seconds * 1e3,
        "alone_us": _microseconds(lambda: model.predict(np.array([0]), first)) / ALONE_POINTS,
        "batch_us": _microseconds(lambda: batch_model.predict(np.arange(BATCH_SERIES), last_points)) / BATCH_SERIES,
    }


def _microseconds(call: Callable[[], object]) -> float:
    """The fastest repetition: other work on the machine only makes a call slower. The first call is not timed."""
    seconds = list[float]()
    call()
    while len(seconds) < MIN_REPEATS or sum(seconds) < MIN_SECONDS:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds) * 1e6


def update(page: Path, results: Mapping[str, Any]) -> None:
    """Replace the table on the page by that of these results."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    lines = ["| " + " | ".join(cells) + " |" for cells in _rows(results)]
    page.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]))


def _rows(results: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield HEADER
    yield ("---",) * len(HEADER)
    (by_adapter,) = results["sizes"].values()
    for name, figures in by_adapter.items():
        times = (f"{figures[key]:.2g}" if figures[key] < 10 else f"{figures[key]:,.0f}" for key in TIMES)
        fitted_by, serving = figures["library"] or OWN, figures["serving_library"] or "-"
        yield (f"`{name}`", fitted_by, figures["row"], str(figures["bytes"]), *times, serving)


if __name__ == "__main__":
    main()
