"""Soak: whether workers stay within the memory they are given, under mixed traffic; `python -m bench.soak --help`.

The goals: no worker is ever larger than `MYRIAD_WORKER_BYTES`, and none is larger in the last quarter of the run than
in the third.
"""

import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import numpy as np

from bench.shared import myriad_cli
from bench.shared.chart_style import COLOURS, STYLE
from bench.shared.fleet import Fleet
from bench.shared.fleet_service import serving_fleet
from bench.shared.report import Goal, Report
from bench.shared.service import Service
from bench.shared.signals import exit_on_sigterm
from bench.soak.traffic import Traffic

ROOT = Path(__file__).parents[2]
FULL_SECONDS, SERIES, WORKERS = 600, 100_000, 2
WORKER_BYTES, CACHE_BYTES = 2 << 30, 128 << 20
CLIENTS = 4
SAMPLE_SECONDS = 1.0
GROWTH = 1.05
"""The last quarter's median over the third's, at most."""


@click.command()
@click.option("--seconds", default=FULL_SECONDS, show_default=True, type=click.IntRange(8))
@click.option("--series", default=SERIES, show_default=True, help="Of the fleet.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON and the picture go.")
def main(seconds: int, series: int, output: Path | None) -> None:
    """Send mixed traffic to two workers and watch their memory."""
    exit_on_sigterm()
    complete = seconds >= FULL_SECONDS and series >= SERIES
    report = Report("soak" if complete else "soak-quick")
    with tempfile.TemporaryDirectory(prefix="myriad-soak-") as directory:
        samples = run(report, series, seconds, Path(directory))
    path = report.write(output or ROOT / "bench" / "results")
    in_docs = complete and not output
    draw(samples, ROOT / "docs" / "soak.svg" if in_docs else path.with_suffix(".svg"))


def run(report: Report, series: int, seconds: int, directory: Path) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Measure, and give the samples: seconds since the start and each worker's resident bytes."""
    store = f"file://{directory}/store"
    myriad_cli.synth(store, series)
    myriad_cli.warm(store, directory / "local")
    fleet = Fleet.current(store, directory / "local")
    settings: dict[str, Any] = {
        "workers": WORKERS,
        "worker_bytes": WORKER_BYTES,
        "cache_bytes": CACHE_BYTES,
        "poll_seconds": 5,
    }
    traffic = Traffic(fleet.by_host)
    with serving_fleet(fleet, directory, **settings) as service:
        samples, answers, slowest = _soak(service, traffic, seconds)
    held = samples[:, 1:].max(axis=1)
    third, last = (
        np.median(held[int(len(held) * start) : int(len(held) * end)]) for start, end in ((0.5, 0.75), (0.75, 1))
    )
    answered = Counter({f"answers_{status}": count for status, count in answers.items()})
    report.add(
        series, "memory", {"start": held[0], "largest": held.max(), "third_quarter": third, "last_quarter": last}
    )
    report.add(series, "traffic", {**answered, "slowest_seconds": slowest, "seconds": seconds})
    failed = sum(count for status, count in answers.items() if status >= 500 and status != 503)
    report.add_goals(
        [
            Goal("largest worker over MYRIAD_WORKER_BYTES", float(held.max()) / WORKER_BYTES, 1.0, portable=True),
            Goal("last quarter over third quarter", float(last / third), GROWTH, portable=True),
            Goal("answers of 5xx but 503", failed, 0, portable=True),
        ]
    )
    return samples


def _soak(service: Service, traffic: Traffic, seconds: int) -> Any:
    answers, slowest, stop = Counter[int](), [0.0], threading.Event()

    def send(number: int) -> None:
        rng = np.random.default_rng(number)
        with service.client() as client:
            while not stop.is_set():
                body, headers = traffic.next(rng)
                started = time.perf_counter()
                status, _ = client.post(body, headers)
                answers[status] += 1
                slowest[0] = max(slowest[0], time.perf_counter() - started)

    threads = [threading.Thread(target=send, args=[number], daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    samples, began = [], time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        samples.append([elapsed, *service.resident_bytes])
        time.sleep(SAMPLE_SECONDS)
    stop.set()
    for thread in threads:
        thread.join()
    return np.array(samples, np.float64), answers, slowest[0]


def draw(samples: "np.ndarray[Any, np.dtype[np.float64]]", path: Path) -> None:
    """Draw each worker's memory over time."""
    mpl.use("svg")
    from matplotlib import pyplot

    with mpl.rc_context({**STYLE, "svg.hashsalt": "soak"}):
        figure, axes = pyplot.subplots(figsize=(8, 3))
        for worker in range(1, samples.shape[1]):
            axes.plot(
                samples[:, 0] / 60, samples[:, worker] / (1 << 20), color=COLOURS[worker - 1], label=f"worker {worker}"
            )
        axes.axhline(WORKER_BYTES / (1 << 20), color="0.5", linestyle="--", label="MYRIAD_WORKER_BYTES")
        axes.set(xlabel="minutes", ylabel="resident, MB", ylim=(0, None))
        axes.legend(frameon=False)
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)


if __name__ == "__main__":
    main()
