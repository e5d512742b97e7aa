"""Scale: what a fleet costs to publish, keep and serve, at one size after another.

Against SeaweedFS on loopback, with `myriad synth`'s fleets; `python -m bench.scale --help`.
"""

import random
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from bench import latency, load, publishing, sweep
from bench.fleet import Fleet, single
from bench.picture import draw
from bench.report import Goal, Report
from bench.swap import await_release, swap
from bench.weed import BUCKET, Weed, weed

ROOT = Path(__file__).parent.parent
POLL_SECONDS = 0.5
FULL, QUICK = (10_000, 100_000, 1_000_000), (2_000, 10_000)


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        firsts: cold and warm answers.
        requests: hot ones, and those of the throughput.
        block: requests a turn where two sizes are compared.
        accesses: of each traffic through a small cache.
        calm: seconds of requests before a hot swap.
    """

    firsts: int
    requests: int
    block: int
    accesses: int
    calm: float


THOROUGH, BRIEF = Effort(200, 5000, 500, 2000, 20), Effort(10, 200, 20, 20, 1)


@click.command()
@click.option("--quick", is_flag=True, help="2,000 and 10,000 series, few requests; nothing of it is to be kept.")
@click.option("--sizes", default=None, metavar="N,N...", help="These numbers of series instead.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON and the picture go.")
def main(sizes: str | None, output: Path | None, *, quick: bool) -> None:
    """Measure what a fleet costs at one size after another, on real S3 and real servers."""
    signal.signal(signal.SIGTERM, _end)
    chosen = [int(size) for size in sizes.split(",")] if sizes else QUICK if quick else FULL
    whole = not quick and not sizes
    report = Report("scale" if whole else "scale-quick")
    with tempfile.TemporaryDirectory(prefix="myriad-bench-") as directory:
        run(report, chosen, BRIEF if quick else THOROUGH, Path(directory))
    kept = report.write(output or ROOT / "bench" / "results")
    draw(report.as_json(), ROOT / "docs" / "scale.svg" if whole and not output else kept.with_suffix(".svg"))


def run(report: Report, sizes: Sequence[int], effort: Effort, directory: Path) -> None:
    """Measure every size, then across sizes, then with the store stopped."""
    with weed(_made(directory / "weed")) as server:
        fleets = [_measured(report, series, effort, directory) for series in sorted(sizes)]
        report.compare(load.costs((fleets[0], fleets[-1]), directory, effort.block))
        _without_store(report, fleets, server, directory)
    report.judge(_goals(report))


def _measured(report: Report, series: int, effort: Effort, directory: Path) -> Fleet:
    store, local = f"s3://{BUCKET}/fleet-{series}", directory / f"local-{series}"
    published = publishing.synthesised(store, series)
    report.add(series, "publish", published)
    report.add(series, "warm_up", publishing.warmed(store, local))
    fleet = Fleet.of(store, local)
    report.add(series, "stored", publishing.stored(fleet, published["bytes_a_model"]))
    report.add(series, "cold", latency.cold(fleet, directory, effort.firsts))
    report.add(series, "warm", latency.warm(fleet, directory, effort.firsts))
    report.add(series, "warm", sweep.reopening(fleet, effort.firsts))
    for share in (0.5, 0.8):
        report.add(series, f"cache_of_{share:.0%}", sweep.figures(fleet, share, effort.accesses))
    _open(report, series, fleet, effort, directory)
    return fleet


def _open(report: Report, series: int, fleet: Fleet, effort: Effort, directory: Path) -> None:
    """With the whole fleet open."""
    with latency.started(fleet, directory, workers=2) as service:
        report.add(series, "memory_2_workers", load.memory(fleet, service, 2))
        report.add(series, "throughput_2_workers", load.throughput(fleet, service, effort.requests))
    successors = _successors(fleet, series)
    with latency.started(fleet, directory, poll_seconds=POLL_SECONDS) as service:
        report.add(series, "memory_1_worker", load.memory(fleet, service, 1))
        report.add(series, "hot", latency.hot(fleet, service, effort.requests))
        report.add(series, "throughput_1_worker", load.throughput(fleet, service, effort.requests))
        for share, (release, changed) in successors.items():
            report.add(series, f"swap_{share}", swap(fleet, service, release, changed, effort.calm))
            fleet.releases.rollback(fleet.manifest.id)
            await_release(service, fleet.manifest.id)


def _successors(fleet: Fleet, series: int) -> dict[str, tuple[str, Sequence[int]]]:
    """Publish two more releases, one with a hundredth of the shards changed and one with all; the pointer stays."""
    little, changed = publishing.republished(fleet, 0.01)
    publishing.synthesised(fleet.store, series, seed=8)
    everything = fleet.releases.head().release
    fleet.releases.rollback(fleet.manifest.id)
    return {"1%": (little.id, changed), "100%": (everything, range(len(fleet.artifacts)))}


def _without_store(report: Report, fleets: Sequence[Fleet], server: Weed, directory: Path) -> None:
    """Start with the local directory only."""
    server.stop()
    for fleet in fleets:
        with latency.started(fleet, directory) as service, service.client() as client:
            latency.posted(client, single(fleet.drawn(1, random.Random(11))[0]))
            answering = client.release == fleet.manifest.id
            figures = {"start_to_ready_seconds": service.ready_seconds, "answers": answering}
            report.add(sum(map(len, fleet.series)), "s3_stopped", figures)


def _goals(report: Report) -> Iterator[Goal]:
    for series, groups in report.sizes.items():
        yield from _portable(f"{series:,} series: ", groups)
    largest = max(report.sizes)
    groups, of = report.sizes[largest], f"{largest:,} series: "
    cold, memory = groups["cold"], groups["memory_2_workers"]
    yield Goal(of + "publish seconds", groups["publish"]["seconds"], 180)
    yield Goal(of + "resident bytes a model, 2 workers", memory["pss_bytes_a_model"], 1000)
    yield Goal(of + "cold ms, with 1.5 GetObject + 5", cold["p50_ms"], 1.5 * cold["get_object_p50_ms"] + 5)
    yield Goal(of + "warm open ms", groups["warm"]["reopen_p50_ms"], 2)
    yield Goal(of + "ready seconds, warm directory", groups["warm"]["start_to_ready_seconds"], 1)
    yield Goal("cost of a request, largest to smallest", report.across["request_ratio"], 1.1)


def _portable(of: str, groups: dict[str, dict[str, float]]) -> Iterator[Goal]:
    publish = groups["publish"]
    yield Goal(of + "bytes a model", publish["bytes_a_model"], 300, portable=True)
    yield Goal(of + "PUTs", publish["puts"], 10_000, portable=True)
    yield Goal(of + "manifest bytes", publish["manifest_bytes"], 1_000_000, portable=True)
    for percent in ("1%", "100%"):
        swapped = groups[f"swap_{percent}"]
        for trouble in ("failed", "mixed"):
            yield Goal(f"{of}{trouble} in a swap of {percent}", swapped[trouble], 0, portable=True)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _end(number: int, _: FrameType | None) -> None:
    """Leave as on Ctrl-C, so that everything started is stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
