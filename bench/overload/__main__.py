"""Overload: how soon those are answered who are, and health probes, beside far more load than a worker can take.

A load of many connections, each asking again as soon as it is answered, stands for ten times the capacity and more. A
few clients beside it send a request on connections of their own a hundred times a second and look at those that were
taken on. Calm is the same probe beside as many connections as keep the worker busy.
"""

import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.shared import myriad_cli
from bench.shared.cpu_pinning import pinned
from bench.shared.fleet import Fleet
from bench.shared.fleet_service import open_all_shards, serving_fleet
from bench.shared.ports import free_ports
from bench.shared.report import Goal, Report, quantiles
from bench.shared.request_bodies import single_series_body
from bench.shared.service import Client, Service
from bench.shared.signals import exit_on_sigterm

ROOT = Path(__file__).parents[2]
SERIES = 10_000
CALM, OVERLOAD = 64, 2000
SECONDS = 20
TIMES = 3.0
ASKING = 8
"""Clients whose requests are timed: most of them are refused in overload."""


@click.command()
@click.option("--seconds", default=SECONDS, show_default=True, type=click.IntRange(2), help="Of each load.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(seconds: int, output: Path | None) -> None:
    """Measure answers and health probes in overload; needs h2load."""
    exit_on_sigterm()
    if shutil.which("h2load") is None:
        raise click.ClickException("h2load is not here: it is in the package nghttp2-client")
    report = Report("overload" if seconds >= SECONDS else "overload-quick")
    with tempfile.TemporaryDirectory(prefix="myriad-overload-") as directory:
        run(report, seconds, Path(directory))
    report.write(output or ROOT / "bench" / "results")


def run(report: Report, seconds: int, directory: Path) -> None:
    """Measure both loads."""
    store, (health_port,) = f"file://{directory}/store", free_ports(1)
    myriad_cli.synth(store, SERIES)
    myriad_cli.warm(store, directory / "local")
    fleet = Fleet.current(store, directory / "local")
    body = directory / "body.json"
    body.write_bytes(single_series_body(fleet.by_host[0]))
    with serving_fleet(fleet, directory, core=0, health_port=health_port) as service:
        open_all_shards(fleet, service, 1)
        figures = {}
        for name, connections in (("calm", CALM), ("overload", OVERLOAD)):
            figures[name] = _beside(service, health_port, body, connections, seconds)
            report.add(SERIES, name, figures[name])
    calm, over = figures["calm"], figures["overload"]
    report.add_goals(
        [
            Goal("p99 of accepted requests over calm", over["accepted_p99_ms"] / calm["accepted_p99_ms"], TIMES),
            Goal("p99 of health probes, own port, ms", over["health_p99_ms"], 1000),
            Goal("p99 of health probes, new connections, ms", over["main_health_p99_ms"], 1000),
            Goal("answers over calm", over["answers_a_second"] / calm["answers_a_second"], 0.5, at_least=True),
        ]
    )


def _beside(service: Service, health_port: int, body: Path, connections: int, seconds: int) -> dict[str, Any]:
    url = f"http://127.0.0.1:{service.port}/predict"
    options = [f"-c{connections}", f"-D{seconds}", "-t1", f"-d{body}", "-Hcontent-type: application/json"]
    with subprocess.Popen(pinned(["h2load", "--h1", *options, url], 1), stdout=subprocess.PIPE, text=True) as process:
        time.sleep(1)
        stop = threading.Event()
        accepted, refused = list[float](), Counter[int]()
        health: dict[int, list[float]] = {health_port: [], service.port: []}

        def ask() -> None:
            content = body.read_bytes()
            with service.client() as client:
                while not stop.wait(0.01):
                    started = time.perf_counter()
                    status, _ = client.post(content)
                    if status == 200:
                        accepted.append(time.perf_counter() - started)
                    else:
                        refused[status] += 1

        def probe(port: int) -> None:
            while not stop.wait(0.2):
                started, client = time.perf_counter(), Client(port)
                client.get_ok("/health/ready")
                health[port].append(time.perf_counter() - started)
                client.close()

        threads = [
            *(threading.Thread(target=ask) for _ in range(ASKING)),
            *(threading.Thread(target=probe, args=[port]) for port in health),
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds - 2)
        stop.set()
        for thread in threads:
            thread.join()
        printed = process.communicate()[0]
    done = next(line for line in printed.splitlines() if line.startswith("status codes"))
    good = int(done.split()[2])
    return {
        "answers_a_second": good / seconds,
        "refusals_a_second": int(done.split("4xx, ")[1].split()[0]) / seconds,
        **quantiles(accepted, "accepted"),
        "refused_probes": sum(refused.values()),
        **quantiles(health[health_port], "health"),
        **quantiles(health[service.port], "main_health"),
        "slowest_ms": float(np.max(accepted) * 1e3) if accepted else float("nan"),
    }


if __name__ == "__main__":
    main()
