"""Speed: single requests and ticks, beside the ceiling and beside no HTTP in the same run.

`python -m bench.speed --help`.
"""

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import click

from bench import beside, publishing, single, stages, ticking
from bench.bars import draw
from bench.cores import SERVER, on
from bench.fleet import Fleet, predictor
from bench.report import Goal, Report
from bench.service import HEADERS
from bench.ticks import FORMATS, Source

ROOT = Path(__file__).parent.parent
BESIDE = 100_000
"""Most series of the ticks that small requests are measured beside."""
TICKS_TIMED = 10
Requests = tuple[Sequence[bytes], Mapping[str, str], int]
"""Bodies, their headers, and how many to send in process."""


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        series: of the fleet.
        ticks: series of the ticks of it.
        largest: series of a fleet of its own that is sent whole, 0 for none.
        seconds: of each turn.
        rounds: of turns.
        bodies: different single requests.
        stages: single requests timed in process.
    """

    series: int
    ticks: tuple[int, ...]
    largest: int
    seconds: float
    rounds: int
    bodies: int
    stages: int


THOROUGH = Effort(100_000, (1_000, 100_000), 1_000_000, 8, 5, 500, 5_000)
BRIEF = Effort(10_000, (1_000, 10_000), 0, 1, 1, 300, 500)
LEAST = Effort(0, (), 0, 0.3, 1, 50, 50)


@click.command()
@click.option("--quick", is_flag=True, help="10,000 series, short turns; nothing of it is to be kept.")
@click.option(
    "--series", default=None, type=click.IntRange(100), help="This many series instead, in ticks of all of them."
)
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON and the picture go.")
def main(series: int | None, output: Path | None, *, quick: bool) -> None:
    """Measure how fast series are scored: one a request and many, in every format, with the time by stage."""
    signal.signal(signal.SIGTERM, _end)
    effort = BRIEF if quick else THOROUGH
    if series:
        effort = replace(LEAST if quick else effort, series=series, ticks=(series,), largest=0)
    whole = not quick and not series
    report = Report("speed" if whole else "speed-quick")
    with tempfile.TemporaryDirectory(prefix="myriad-bench-") as directory:
        run(report, effort, Path(directory))
    kept = report.write(output or ROOT / "bench" / "results")
    draw(report.as_json(), ROOT / "docs" / "speed.svg" if whole and not output else kept.with_suffix(".svg"))


def run(report: Report, effort: Effort, directory: Path) -> None:
    """Measure a fleet, then the largest tick on a fleet of its own."""
    fleet = _published(effort.series, directory)
    size, turns = _size(fleet), single.Turns(effort.seconds, effort.rounds)
    kinds = single.bodies_of(fleet, effort.bodies)
    bodies = kinds["mix"]
    report.add(size, "single", single.figures(fleet, predictor(fleet), kinds, directory, turns))
    report.add(size, "workers", single.workers(fleet, bodies, directory, turns))
    with ticking.arms(fleet, directory) as arms:
        for count in effort.ticks:
            _ticks(report, fleet, arms, min(count, size), effort.rounds)
        most = min(BESIDE, size)
        for name, figures in beside.figures(fleet, arms.service, bodies, most, effort.seconds):
            report.add(size, f"beside_{name}", figures)
        for name, requests in _requests(fleet, bodies, most, effort.stages).items():
            cpu_ms = single.cpu_ms(arms.service, *requests[:2], connections=single.BUSY if name == "single" else 1)
            with on(SERVER):
                report.add(size, f"stages_{name}", stages.figures(fleet, *requests, cpu_ms))
                report.add(size, f"profile_{name}", stages.top(fleet, *requests))
    if effort.largest:
        largest = _published(effort.largest, directory)
        with ticking.arms(largest, directory) as arms:
            _ticks(report, largest, arms, _size(largest), min(effort.rounds, 2))
    report.judge(_goals(report, size))


def _published(series: int, directory: Path) -> Fleet:
    store, local = f"file://{directory}/store-{series}", directory / f"local-{series}"
    publishing.synthesised(store, series)
    publishing.warmed(store, local)
    return Fleet.of(store, local)


def _size(fleet: Fleet) -> int:
    return sum(map(len, fleet.series))


def _ticks(report: Report, fleet: Fleet, arms: ticking.Arms, count: int, rounds: int) -> None:
    for name, figures in ticking.figures(fleet, arms, count, rounds).items():
        report.add(_size(fleet), f"tick_{count}_{name}", figures)


def _requests(fleet: Fleet, bodies: Sequence[bytes], count: int, times: int) -> dict[str, Requests]:
    """Those whose time is looked into: single ones, and ticks of points and of windows in Arrow."""
    source, arrow = Source(fleet.by_host[:count]), FORMATS["arrow"]
    found: dict[str, Requests] = {"single": (bodies, HEADERS, times)}
    for name in ("points", "windows"):
        ticks = [arrow.body(source.table(minute, aggregated=name == "windows")) for minute in range(TICKS_TIMED)]
        found[f"arrow_{name}"] = (ticks, arrow.headers, TICKS_TIMED)
    return found


def _goals(report: Report, size: int) -> Iterator[Goal]:
    groups = report.sizes[size]
    alone, pair = groups["single"], groups["workers"]
    if "skipped" not in alone:
        yield Goal("single: share of bare's rate", alone["mix_16_share_of_bare"], 0.5, at_least=True)
        yield Goal("single: p99 over bare's", alone["mix_16_p99_over_bare"], 2)
        yield Goal("two workers over one", pair["requests_ratio"], 1.8, at_least=True)
    for name in FORMATS:
        yield Goal(f"health check beside {name}: longest ms", groups[f"beside_{name}"]["health_max_ms"], 50)
    largest = max(report.sizes)
    if largest >= 1_000_000:
        arrow, columns = (report.sizes[largest][f"tick_{largest}_{name}_windows"] for name in ("arrow", "json_columns"))
        yield Goal("1 M series, three windows, Arrow: seconds", arrow["following_seconds"], 1)
        yield Goal("1 M series, three windows, JSON columns: seconds", columns["following_seconds"], 4)
        yield Goal("1 M series, Arrow: share of the kernel's rate", arrow["share_of_kernel"], 0.3, at_least=True)
    for trouble in ("wrong", "failed"):
        every = [group for of in report.sizes.values() for group in of.values()]
        yield Goal(f"{trouble} answers", sum(group.get(trouble, 0) for group in every), 0, portable=True)


def _end(number: int, _: FrameType | None) -> None:
    """Leave as on Ctrl-C, so that everything started is stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
