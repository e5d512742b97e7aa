"""Speed: single requests and ticks, compared with the bare server and with no HTTP in the same run.

`python -m bench.speed --help`.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import click

from bench.shared import myriad_cli
from bench.shared.cpu_pinning import SERVER_CORE, running_on
from bench.shared.fleet import Fleet
from bench.shared.report import Goal, Report
from bench.shared.service import HEADERS
from bench.shared.signals import exit_on_sigterm
from bench.speed import chart, cpu_by_stage, latency_during_ticks, single_series, tick_latency
from bench.speed.tick_formats import FORMATS, TickSource
from bench.speed.tick_latency import Targets

ROOT = Path(__file__).parents[2]
MAX_CONCURRENT_TICK = 100_000
"""Most series in the ticks during which small requests are measured."""
PROFILED_TICKS = 10


class Requests(NamedTuple):
    """Bodies of requests, their headers, and how many to send in this process."""

    bodies: Sequence[bytes]
    headers: Mapping[str, str]
    times: int


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        series: in the fleet.
        ticks: series in the ticks of that fleet.
        largest: series in a second fleet, of which one tick has all; 0 for none.
        seconds: of each turn.
        rounds: of turns.
        bodies: number of different single requests.
        profiled: single requests timed in this process.
    """

    series: int
    ticks: tuple[int, ...]
    largest: int
    seconds: float
    rounds: int
    bodies: int
    profiled: int


FULL_EFFORT = Effort(100_000, (1_000, 100_000), 1_000_000, 8, 5, 500, 5_000)
QUICK_EFFORT = Effort(10_000, (1_000, 10_000), 0, 1, 1, 300, 500)
SMALLEST_EFFORT = Effort(0, (), 0, 0.3, 1, 50, 50)


@click.command()
@click.option("--quick", is_flag=True, help="10,000 series, short turns; nothing of it is to be kept.")
@click.option(
    "--series", default=None, type=click.IntRange(100), help="This many series instead, in ticks of all of them."
)
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON and the picture go.")
def main(series: int | None, output: Path | None, *, quick: bool) -> None:
    """Measure how fast series are scored: one a request and many, in every format, with the time by stage."""
    exit_on_sigterm()
    effort = QUICK_EFFORT if quick else FULL_EFFORT
    if series:
        effort = replace(SMALLEST_EFFORT if quick else effort, series=series, ticks=(series,), largest=0)
    complete = not quick and not series
    report = Report("speed" if complete else "speed-quick")
    with tempfile.TemporaryDirectory(prefix="myriad-bench-") as directory:
        run(report, effort, Path(directory))
    path = report.write(output or ROOT / "bench" / "results")
    in_docs = complete and not output
    chart.draw(report.as_json(), ROOT / "docs" / "speed.svg" if in_docs else path.with_suffix(".svg"))


def run(report: Report, effort: Effort, directory: Path) -> None:
    """Measure a fleet, then the largest tick on a fleet of its own."""
    fleet = _publish(effort.series, directory)
    size, turns = fleet.series_count, single_series.Turns(effort.seconds, effort.rounds)
    kinds = single_series.bodies_by_kind(fleet, effort.bodies)
    bodies = kinds["mix"]
    report.add(size, "single", single_series.measure(fleet, kinds, directory, turns))
    report.add(size, "workers", single_series.measure_workers(fleet, bodies, directory, turns))
    with tick_latency.running_targets(fleet, directory) as targets:
        for count in effort.ticks:
            _measure_ticks(report, fleet, targets, min(count, size), effort.rounds)
        count = min(MAX_CONCURRENT_TICK, size)
        for name, figures in latency_during_ticks.measure(fleet, targets.service, bodies, count, effort.seconds):
            report.add(size, f"beside_{name}", figures)
        for name, requests in _profiled_requests(fleet, bodies, count, effort.profiled).items():
            connections = single_series.BUSY_CONNECTIONS if name == "single" else 1
            cpu_ms = single_series.cpu_ms(targets.service, requests.bodies, requests.headers, connections=connections)
            with running_on(SERVER_CORE):
                report.add(size, f"stages_{name}", cpu_by_stage.measure(fleet, *requests, cpu_ms))
                report.add(size, f"profile_{name}", cpu_by_stage.profile(fleet, *requests))
    if effort.largest:
        largest = _publish(effort.largest, directory)
        with tick_latency.running_targets(largest, directory) as targets:
            _measure_ticks(report, largest, targets, largest.series_count, min(effort.rounds, 2))
    report.add_goals(_goals(report, size))


def _publish(series: int, directory: Path) -> Fleet:
    store, local = f"file://{directory}/store-{series}", directory / f"local-{series}"
    myriad_cli.synth(store, series)
    myriad_cli.warm(store, local)
    return Fleet.current(store, local)


def _measure_ticks(report: Report, fleet: Fleet, targets: Targets, count: int, rounds: int) -> None:
    for name, figures in tick_latency.measure(fleet, targets, count, rounds).items():
        report.add(fleet.series_count, f"tick_{count}_{name}", figures)


def _profiled_requests(fleet: Fleet, bodies: Sequence[bytes], count: int, times: int) -> dict[str, Requests]:
    """The requests whose processor time is analysed: single ones, and Arrow ticks of points and of windows."""
    source, arrow = TickSource(fleet.by_host[:count]), FORMATS["arrow"]
    requests = {"single": Requests(bodies, HEADERS, times)}
    for name in ("points", "windows"):
        tables = (source.table(minute, aggregated=name == "windows") for minute in range(PROFILED_TICKS))
        requests[f"arrow_{name}"] = Requests([arrow.body(table) for table in tables], arrow.headers, PROFILED_TICKS)
    return requests


def _goals(report: Report, size: int) -> Iterator[Goal]:
    groups = report.sizes[size]
    single, workers = groups["single"], groups["workers"]
    if "skipped" not in single:
        yield Goal("bare, 16 connections, requests/s", single["bare_16_requests_a_second"])
        for connections, goal in ((16, 0.6), (1, 0.65)):
            for kind in ("mix", *single_series.ADAPTERS):
                share = single[f"{kind}_{connections}_share_of_bare"]
                yield Goal(f"{kind}, {connections} connections: share of bare's rate", share, goal, at_least=True)
        yield Goal("mix: bare's CPU over ours", single["bare_cpu_ms"] / single["mix_cpu_ms"])
        yield Goal("mix, 16 connections: p99 over bare's", single["mix_16_p99_over_bare"], 1.5)
        yield Goal("two workers over one, by rate", workers["requests_ratio"])
        yield Goal("two workers over one, by CPU a request", workers["cpu_ratio"], 1.85, at_least=True)
    worst = max(FORMATS, key=lambda name: groups[f"beside_{name}"]["health_max_ms"])
    yield Goal(f"health check beside ticks ({worst}), longest ms", groups[f"beside_{worst}"]["health_max_ms"], 50)
    count = max((int(name.split("_")[1]) for name in groups if name.startswith("tick_")), default=0)
    if count >= 100_000:
        yield Goal("100,000 series, JSON rows, s", groups[f"tick_{count}_json_rows"]["following_seconds"], 0.4)
    largest = max(report.sizes)
    if largest >= 1_000_000:
        arrow, columns = (report.sizes[largest][f"tick_{largest}_{name}_windows"] for name in ("arrow", "json_columns"))
        yield Goal("1 M series, three windows, Arrow, known order, s", arrow["following_seconds"], 0.35)
        yield Goal("the same, once in a quarter of an hour, s", arrow["second_seconds"])
        yield Goal("1 M series, three windows, Arrow, first time, s", arrow["first_seconds"], 1.2)
        yield Goal("1 M series, three windows, JSON columns, s", columns["following_seconds"], 1)
        yield Goal("the same, once in a quarter of an hour, s", columns["second_seconds"])
    for figure in ("wrong", "failed"):
        all_groups = [group for by_name in report.sizes.values() for group in by_name.values()]
        yield Goal(f"{figure} answers", sum(group.get(figure, 0) for group in all_groups), 0, portable=True)


if __name__ == "__main__":
    main()
