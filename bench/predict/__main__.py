"""Scoring files: points a second and core of `myriad predict`, for each in-house adapter, its start excluded.

Two weeks of 160 series in Parquet are scored by one process, with and without an output. The CPU time of scoring a file
of one row is taken off: it is what the command's start costs.
"""

import resource
import tempfile
from pathlib import Path

import click
import pyarrow.parquet

from bench.shared import myriad_cli
from bench.shared.report import Goal, Report
from myriad import kernels
from myriad.training.fleets.synthetic import DAY, fleet

ROOT = Path(__file__).parents[2]
END = 1_767_571_200
DAYS, HOSTS = 14, 60
ADAPTERS = ("rhythm", "seasonal", "ewma", "mad", "blend")
GOALS = {"no output": 5e6, "Parquet output": 3e6}
"""Points a second and core, for each adapter."""
REPEATS = 4
"""Of which the fastest counts."""
CLOCK = 0.01
"""Seconds that CPU time is told apart by."""


@click.command()
@click.option("--hosts", default=HOSTS, show_default=True, type=click.IntRange(1), help="In each of two regions.")
@click.option("--output", default=None, type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(hosts: int, output: Path | None) -> None:
    """Measure `myriad predict`."""
    report = Report("predict" if hosts >= HOSTS else "predict-quick")
    report.add_across_sizes({"kernels": kernels.in_use()})
    is_whole = hosts >= HOSTS
    adapters, times = (ADAPTERS, REPEATS) if is_whole else (ADAPTERS[:1], 1)
    with tempfile.TemporaryDirectory(prefix="myriad-predict-") as name:
        directory = Path(name)
        made = fleet(end=END, days=DAYS, hosts=hosts, incidents=0)
        table = made.table(END - DAYS * DAY, END)
        pyarrow.parquet.write_table(table, directory / "all.parquet")
        pyarrow.parquet.write_table(table.slice(0, 1), directory / "one.parquet")
        for adapter in adapters:
            store = f"file://{directory / adapter}"
            myriad_cli.run("train", f"{directory}/all.parquet", "--store", store, "--adapter", adapter,
                           MYRIAD_WORK=f"{directory}/work")  # fmt: skip
            start = min(_cpu_seconds(directory, "one.parquet", store) for _ in range(times))
            for how in GOALS:
                flags = ("--output", f"{directory}/scores.parquet") if how == "Parquet output" else ()
                best = min(_cpu_seconds(directory, "all.parquet", store, *flags) for _ in range(times))
                rate = table.num_rows / max(best - start, CLOCK)
                report.add(len(made.series), adapter, {f"{how}, points/s a core": rate})
            report.add(len(made.series), adapter, {"start, CPU seconds": start})
    rates = report.sizes[len(made.series)]
    shown = [
        Goal(f"{adapter}, {how}, points/s a core", rates[adapter][f"{how}, points/s a core"], goal, at_least=True)
        for how, goal in GOALS.items()
        for adapter in adapters
    ]
    report.add_goals(shown)
    report.write(output or ROOT / "bench" / "results")


def _cpu_seconds(directory: Path, file: str, store: str, *flags: str) -> float:
    """CPU time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    myriad_cli.run("predict", str(directory / file), "--store", store, "--processes", "1", *flags)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
