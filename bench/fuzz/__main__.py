"""Fuzz: `python -m bench.fuzz` sends a real service whatever it may be sent, and fails on what it must never answer.

That is: a 5xx other than 503, an answer that takes too long or is too large, a worker that dies or takes too much
memory, a connection dropped on a well-formed request, or another answer to a valid request than before.
"""

import contextlib
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from bench.fuzz import generator
from bench.fuzz.judge import Limits, Workers
from bench.fuzz.run import Run, reproduction
from bench.fuzz.service import fleet_of, started, telemetry
from bench.shared.report import machine
from bench.shared.signals import exit_on_sigterm

RESULTS = Path(__file__).parent.parent / "results" / "fuzz.json"
BODIES = Path(tempfile.gettempdir()) / "myriad-fuzz"
FULL_SECONDS = 600
"""A run this long is kept."""


@click.command()
@click.option("--seconds", default=60.0, help="How long to go on.")
@click.option("--seed", type=int, default=None, help="Of the cases; another each time if not given.")
@click.option("--case", "only", type=int, default=None, help="Send the case of this number alone.")
@click.option("--first", default=0, help="Number of the first case.")
@click.option("--url", default=None, help="A service that runs already; its memory is not watched.")
@click.option("--memory", default=1.5, help="GB that a worker may take.")
@click.option("--answer-bytes", default=64 << 20, help="Bytes that an answer may have.")
@click.option("--answer-seconds", default=5.0, help="Seconds that an answer may take.")
@click.option("--every", default=50, help="After so many cases the valid requests are sent again.")
@click.option("--output", type=click.Path(path_type=Path), default=None, help="Where the JSON goes.")
@click.option("--failures", type=click.Path(path_type=Path), default=BODIES, help="Where bodies go.")
def main(
    seconds: float, seed: int | None, only: int | None, first: int, url: str | None, memory: float, answer_bytes: int,
    answer_seconds: float, every: int, output: Path | None, failures: Path,
) -> None:  # fmt: skip
    """Send a service what it may be sent, for some time, and say what it must not have answered."""
    exit_on_sigterm()
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    limits, fleet = Limits(answer_seconds, answer_bytes, int(memory * 1e9)), fleet_of(telemetry())
    with _service(url) as (port, workers):
        run = Run(port, generator.canonical(fleet), limits, workers)
        deadline = time.monotonic() + seconds
        for number in itertools.count(first) if only is None else [only]:
            case = generator.case(seed, number, fleet)
            for fault in run.one(number, case):
                print(f"case {number}: {fault}: {case.recipe}, {len(case.raw):,} bytes", flush=True)
                if workers is not None and fault == "a worker died":
                    print(f"its log ends:\n{workers.last_words}", flush=True)
            if number % every == every - 1 or only is not None:
                run.check(number, case)
            if time.monotonic() > deadline or run.gone:
                run.check(number, case)
                break
        figures = {"seed": seed, "seconds": round(seconds), **run.outcome.figures(workers)}
    _print_table(figures)
    for failure in sorted(run.outcome.failures.values(), key=lambda failure: failure.group):
        print(
            f"\nFAILED {failure.fault}: {failure.case.recipe}, {failure.times} times, {len(failure.case.raw):,} bytes"
        )
        print(f"  {reproduction(failure, seed, failures)}")
    if path := output or (RESULTS if seconds >= FULL_SECONDS and not url and only is None else None):
        path.write_text(json.dumps({"name": "fuzz", "machine": machine(), **figures}, indent=2) + "\n")
    sys.exit(bool(run.outcome.failures))


@contextlib.contextmanager
def _service(url: str | None) -> Iterator[tuple[int, Workers | None]]:
    """The port of a service, and its workers where they can be watched."""
    if url is not None:
        yield urlsplit(url).port or 80, None
        return
    with tempfile.TemporaryDirectory(prefix="myriad-fuzz-") as directory, started(Path(directory)) as service:
        yield service.port, Workers(lambda: service.workers, Path(directory) / "serve.log")


def _print_table(figures: dict[str, object]) -> None:
    print()
    for name, value in figures.items():
        shown = ", ".join(f"{key} {count:,}" for key, count in value.items()) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' '):<24} {shown}")


if __name__ == "__main__":
    main()
