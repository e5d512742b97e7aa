"""Bounds: what a request at each of them costs a worker, in seconds and bytes; `python -m bench.bounds --help`."""

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click

from bench.bounds.requests import AtBound, requests
from bench.shared import myriad_cli
from bench.shared.fleet import Fleet
from bench.shared.fleet_service import open_all_shards, serving_fleet
from bench.shared.report import Goal, Report
from bench.shared.service import Client, Service
from bench.shared.signals import exit_on_sigterm

ROOT = Path(__file__).parents[2]
SERIES = 100_000
MOST_SECONDS = 5.0


@click.command()
@click.option("--series", default=SERIES, show_default=True, type=click.IntRange(1000), help="Of the fleet.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(series: int, output: Path | None) -> None:
    """Send one worker the largest requests it takes on, and measure its time, its memory and a probe beside them."""
    exit_on_sigterm()
    report = Report("bounds" if series >= SERIES else "bounds-quick")
    with tempfile.TemporaryDirectory(prefix="myriad-bounds-") as directory:
        run(report, series, Path(directory))
    report.write(output or ROOT / "bench" / "results")


def run(report: Report, series: int, directory: Path) -> None:
    """Measure each request once, after one of its kind."""
    store = f"file://{directory}/store"
    myriad_cli.synth(store, series)
    myriad_cli.warm(store, directory / "local")
    fleet = Fleet.current(store, directory / "local")
    slowest, wrong = 0.0, 0
    with serving_fleet(fleet, directory, core=0, cache_bytes=1 << 30) as service:
        open_all_shards(fleet, service, 1)
        for one in requests(fleet.by_host):
            figures = measure(service, one)
            report.add(series, one.name, figures)
            slowest = max(slowest, figures["seconds"])
            wrong += figures["status"] != one.status
    report.add_goals(
        [
            Goal("slowest request at a bound, seconds", slowest, MOST_SECONDS),
            Goal("answers of another status", wrong, 0, portable=True),
        ]
    )


def measure(service: Service, one: AtBound) -> dict[str, Any]:
    """Seconds, peak resident bytes above those before, and how long a health check beside it took at most."""
    (worker,) = service.workers
    before, stop, longest = service.resident_bytes[0], threading.Event(), [0.0]
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # the peak starts anew: see proc(5)

    def probe() -> None:
        while not stop.wait(0.02):
            started, client = time.perf_counter(), Client(service.port)
            client.get_ok("/health/live")
            longest[0] = max(longest[0], time.perf_counter() - started)
            client.close()

    thread = threading.Thread(target=probe)
    thread.start()
    with service.client() as client:
        started = time.perf_counter()
        status, answer = client.post(one.body, one.headers)
        seconds = time.perf_counter() - started
    stop.set()
    thread.join()
    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return {
        "status": status,
        "sent_bytes": len(one.body),
        "answer_bytes": len(answer),
        "seconds": seconds,
        "peak_bytes": max(0, peak - before),
        "probe_seconds": longest[0],
    }


if __name__ == "__main__":
    main()
