"""Scale: the cost to publish, store and serve a fleet, at one size after another.

It uses SeaweedFS on loopback and the fleets of `myriad synth`; `python -m bench.scale --help`.
"""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench.scale import cache_sweep, chart, latency, memory, release_swap, request_cost, stored_sizes, throughput
from bench.scale.seaweedfs import BUCKET, SeaweedFS, seaweedfs
from bench.shared import myriad_cli
from bench.shared.fleet import Fleet
from bench.shared.fleet_service import serving_fleet
from bench.shared.report import Goal, Report
from bench.shared.request_bodies import single_series_body
from bench.shared.signals import exit_on_sigterm

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.5
FULL_SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (2_000, 10_000)


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes:
        first_answers: cold and warm answers.
        requests: hot answers, and requests for the throughput.
        cost_requests: requests in a turn when the cost at two sizes is compared.
        accesses: of each kind of traffic through a small cache.
        seconds_before_swap: of requests before a release swap.
    """

    first_answers: int
    requests: int
    cost_requests: int
    accesses: int
    seconds_before_swap: float


FULL_EFFORT, QUICK_EFFORT = Effort(200, 5000, 500, 2000, 20), Effort(10, 200, 20, 20, 1)


@click.command()
@click.option("--quick", is_flag=True, help="2,000 and 10,000 series, few requests; nothing of it is to be kept.")
@click.option("--sizes", default=None, metavar="N,N...", help="These numbers of series instead.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON and the picture go.")
def main(sizes: str | None, output: Path | None, *, quick: bool) -> None:
    """Measure what a fleet costs at one size after another, on real S3 and real servers."""
    exit_on_sigterm()
    chosen = [int(size) for size in sizes.split(",")] if sizes else QUICK_SIZES if quick else FULL_SIZES
    complete = not quick and not sizes
    report = Report("scale" if complete else "scale-quick")
    with tempfile.TemporaryDirectory(prefix="myriad-bench-") as directory:
        run(report, chosen, QUICK_EFFORT if quick else FULL_EFFORT, Path(directory))
    path = report.write(output or ROOT / "bench" / "results")
    in_docs = complete and not output
    chart.draw(report.as_json(), ROOT / "docs" / "scale.svg" if in_docs else path.with_suffix(".svg"))


def run(report: Report, sizes: Sequence[int], effort: Effort, directory: Path) -> None:
    """Measure each size, then compare sizes, then measure with the S3 server stopped."""
    weed_directory = directory / "weed"
    weed_directory.mkdir()
    with seaweedfs(weed_directory) as server:
        fleets = [_measure_size(report, series, effort, directory) for series in sorted(sizes)]
        report.add_across_sizes(request_cost.compare(fleets[0], fleets[-1], directory, effort.cost_requests))
        _measure_without_s3(report, fleets, server, directory)
    report.add_goals(_goals(report))


def _measure_size(report: Report, series: int, effort: Effort, directory: Path) -> Fleet:
    store, local = f"s3://{BUCKET}/fleet-{series}", directory / f"local-{series}"
    published = myriad_cli.synth(store, series)
    report.add(series, "publish", published)
    report.add(series, "warm_up", myriad_cli.warm(store, local))
    fleet = Fleet.current(store, local)
    report.add(series, "stored", stored_sizes.measure(fleet, published["bytes_a_model"]))
    report.add(series, "cold", latency.cold(fleet, directory, effort.first_answers))
    report.add(series, "warm", latency.warm(fleet, directory, effort.first_answers))
    report.add(series, "warm", latency.reopen(fleet, effort.first_answers))
    for share in (0.5, 0.8):
        report.add(series, f"cache_of_{share:.0%}", cache_sweep.measure(fleet, share, effort.accesses))
    _measure_fully_open(report, series, fleet, effort, directory)
    return fleet


def _measure_fully_open(report: Report, series: int, fleet: Fleet, effort: Effort, directory: Path) -> None:
    """Measure services in which every shard is open."""
    with serving_fleet(fleet, directory, workers=2) as service:
        report.add(series, "memory_2_workers", memory.measure(fleet, service, 2))
        report.add(series, "throughput_2_workers", throughput.measure(fleet, service, effort.requests))
    targets = release_swap.publish_targets(fleet)
    with serving_fleet(fleet, directory, poll_seconds=POLL_SECONDS) as service:
        report.add(series, "memory_1_worker", memory.measure(fleet, service, 1))
        report.add(series, "hot", latency.hot(fleet, service, effort.requests))
        report.add(series, "throughput_1_worker", throughput.measure(fleet, service, effort.requests))
        for percent, target in targets.items():
            figures = release_swap.measure(fleet, service, target, effort.seconds_before_swap)
            report.add(series, f"swap_{percent}", figures)
            fleet.releases.rollback(fleet.manifest.id)
            release_swap.await_release(service, fleet.manifest.id)


def _measure_without_s3(report: Report, fleets: Sequence[Fleet], server: SeaweedFS, directory: Path) -> None:
    """Start a service of each fleet with only the local directory available."""
    server.stop()
    for fleet in fleets:
        with serving_fleet(fleet, directory) as service, service.client() as client:
            client.predict(single_series_body(fleet.sample(1, random.Random(11))[0]))
            answers = client.release == fleet.manifest.id
            figures = {"start_to_ready_seconds": service.ready_seconds, "answers": answers}
            report.add(fleet.series_count, "s3_stopped", figures)


def _goals(report: Report) -> Iterator[Goal]:
    for series, groups in report.sizes.items():
        yield from _portable_goals(f"{series:,} series: ", groups)
    largest = max(report.sizes)
    groups, prefix = report.sizes[largest], f"{largest:,} series: "
    cold, memory_of_two = groups["cold"], groups["memory_2_workers"]
    yield Goal(prefix + "publish seconds", groups["publish"]["seconds"], 180)
    yield Goal(prefix + "resident bytes a model, 2 workers", memory_of_two["pss_bytes_a_model"], 1000)
    yield Goal(prefix + "cold ms, with 1.5 GetObject + 5", cold["p50_ms"], 1.5 * cold["get_object_p50_ms"] + 5)
    yield Goal(prefix + "warm open ms", groups["warm"]["reopen_p50_ms"], 2)
    yield Goal(prefix + "ready seconds, warm directory", groups["warm"]["start_to_ready_seconds"], 0.7)
    yield Goal("cost of a request, largest to smallest", report.across["request_ratio"], 1.05)


def _portable_goals(prefix: str, groups: Mapping[str, Mapping[str, float]]) -> Iterator[Goal]:
    publish = groups["publish"]
    yield Goal(prefix + "bytes a model", publish["bytes_a_model"], 300, portable=True)
    yield Goal(prefix + "PUTs", publish["puts"], 10_000, portable=True)
    yield Goal(prefix + "manifest bytes", publish["manifest_bytes"], 1_000_000, portable=True)
    for percent in ("1%", "100%"):
        for figure in ("failed", "mixed"):
            value = groups[f"swap_{percent}"][figure]
            yield Goal(f"{prefix}{figure} in a swap of {percent}", value, 0, portable=True)


if __name__ == "__main__":
    main()
