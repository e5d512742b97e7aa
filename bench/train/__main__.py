"""Training: how many series a core fits, each adapter alone, and what `myriad train` makes of a history in files.

Alone, series are fitted in this process, some at a time as a worker does, on one core, with the kernels in use. The
whole is the command: it reads Parquet, sorts it by shard, fits in a worker a core and publishes.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow.parquet

from bench.shared import myriad_cli
from bench.shared.report import Goal, Report
from myriad import kernels
from myriad.models.points import Points
from myriad.training.fit import fit
from myriad.training.fleets.synthetic import DAY, fleet
from myriad.training.job.candidate import DEFAULT_ADAPTER, only
from myriad.training.plan import Plan
from myriad.training.task import SERIES_AT_ONCE

ROOT = Path(__file__).parents[2]
END = 1_767_571_200
DAYS = 14
ADAPTERS = {"rhythm": 350.0, "seasonal": 350.0, "ewma": 350.0, "mad": None, "blend": 150.0}
"""Series a second a core that are the goal for each, at three windows."""
ALONE, HOSTS = 64, 1250
WHOLE_GOAL = 200.0


@click.command()
@click.option(
    "--hosts",
    default=HOSTS,
    show_default=True,
    type=click.IntRange(2),
    help="In each of two regions, with four metrics.",
)
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(hosts: int, output: Path | None) -> None:
    """Measure fitting alone and `myriad train`."""
    report = Report("train" if hosts >= HOSTS else "train-quick")
    report.add_across_sizes({"kernels": kernels.in_use()})
    alone = {name: _alone(name, ALONE if hosts >= HOSTS else SERIES_AT_ONCE) for name in ADAPTERS}
    report.add(ALONE, "fit alone, series/s a core", alone)
    whole = _whole(hosts)
    report.add(8 * hosts, "myriad train", whole)
    report.add_goals(_goals(alone, whole))
    report.write(output or ROOT / "bench" / "results")


def _goals(alone: dict[str, float], whole: dict[str, float]) -> Iterator[Goal]:
    for name, goal in ADAPTERS.items():
        yield Goal(f"fit alone, {name}, series/s a core", alone[name], goal, at_least=True)
    cpu, wall = whole["series_a_cpu_second"], whole["series_a_second"]
    yield Goal("myriad train, series/s of CPU time", cpu, WHOLE_GOAL, at_least=True)
    yield Goal("myriad train, series/s", wall)


def _alone(adapter: str, count: int) -> float:
    """Series a second of CPU time at three windows, the best of three times."""
    made = fleet(end=END, days=DAYS, hosts=-(-count // 8))
    history = Points.of(*((made.timestamps, values) for values in made.values[:count]))
    plan = Plan(candidates=only(*[adapter] * 3))
    best = 0.0
    for _ in range(3):
        started = time.process_time()
        for first in range(0, count, SERIES_AT_ONCE):
            some = range(first, min(first + SERIES_AT_ONCE, count))
            fit(plan, made.series[first : first + len(some)], history.take(some))
        best = max(best, count / (time.process_time() - started))
    return best


def _whole(hosts: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="myriad-train-") as directory:
        made = fleet(end=END, days=DAYS, hosts=hosts, incidents=0)
        with pyarrow.parquet.ParquetWriter(f"{directory}/h.parquet", made.table(END - DAY, END - DAY).schema) as writer:
            for day in range(DAYS):
                writer.write_table(made.table(END - (DAYS - day) * DAY, END - (DAYS - day - 1) * DAY))
        points, before = made.values.size, _cpu_of_children()
        del made
        started = time.perf_counter()
        told = myriad_cli.run(
            "train", f"{directory}/h.parquet", "--store", f"file://{directory}/store", "--adapter", DEFAULT_ADAPTER,
            MYRIAD_WORK=f"{directory}/work",
        )  # fmt: skip
        seconds, cpu = time.perf_counter() - started, _cpu_of_children() - before
    return {
        "series": told["series"],
        "points": points,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "series_a_second": told["series"] / seconds,
        "series_a_cpu_second": told["series"] / cpu,
    }


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
