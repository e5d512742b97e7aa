"""Quality: how well scores tell incidents from ordinary days; `python -m bench.quality --help`."""

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench.quality import chart, datasets, docs_tables
from bench.quality.baselines import BASELINES
from bench.quality.evaluation import Effort, Outcome, evaluate_file
from bench.quality.myriad_scores import adapters_of
from bench.quality.report import goals_of, show, write
from bench.quality.summary import cleaned, summary
from bench.shared.report import machine
from myriad.training.plan import Plan

ROOT = Path(__file__).parents[2]
QUICK_HOSTS = 3


@click.command()
@click.option("--quick", is_flag=True, help=f"{QUICK_HOSTS} hosts of each set; nothing of it is to be kept.")
@click.option("--hosts", type=click.IntRange(1), help="This many hosts of each set instead.")
@click.option("--only", help=f"Sets, of {','.join(datasets.SOURCES)}.")
@click.option("--adapters", help="One a window in place of the plan's default, as in ewma,seasonal,seasonal.")
@click.option("--following", default=0, type=click.IntRange(0), help="Post this many new points a request; 0: all.")
@click.option("--baselines/--no-baselines", default=True, help="Whether to run those as well.")
@click.option("--combinations/--no-combinations", default=True, help="Whether to compare ways to combine windows.")
@click.option("--processes", default=os.cpu_count(), type=click.IntRange(1), show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Where the JSON and the picture go.")
def main(
    hosts: int | None,
    only: str | None,
    adapters: str | None,
    following: int,
    processes: int,
    output: Path | None,
    *,
    quick: bool,
    baselines: bool,
    combinations: bool,
) -> None:
    """Measure how well scores tell incidents from ordinary days, compared with simple baselines."""
    data, limit = datasets.folder(), hosts or (QUICK_HOSTS if quick else None)
    names = [name for name in _chosen(only) if datasets.is_present(data, name)]
    for name in sorted(set(_chosen(only)) - set(names)):
        print(f"{name}: skipped, its files are not in the data folder (the environment variable MYRIAD_DATA)")
    if not names:
        return
    chosen = tuple(adapters.split(",")) if adapters else None
    effort = Effort(chosen, following, combinations, tuple(BASELINES) if baselines else ())
    started = time.perf_counter()
    files = [file for name in names for file in datasets.hosts(data, name, limit)]
    outcomes = list(_evaluate_all(files, effort, processes))
    all_hosts = limit is None and set(names) == set(datasets.SOURCES)
    complete = all_hosts and effort == Effort()
    results = _results(_name_of(effort, all_hosts=all_hosts), outcomes, effort)
    results["seconds"] = round(time.perf_counter() - started)
    show(results)
    path = write(results, output or ROOT / "bench" / "results")
    in_docs = complete and not output
    chart.draw(results, ROOT / "docs" / "quality.svg" if in_docs else path.with_suffix(".svg"))
    if in_docs:
        docs_tables.update(ROOT / "docs" / "quality.md", docs_tables.tables(results))
    if all_hosts and not output:
        _compare_in_docs()


def _name_of(effort: Effort, *, all_hosts: bool) -> str:
    """The name of a run: `quality`, or what it was about."""
    if all_hosts and effort == Effort():
        return "quality"
    if all_hosts and effort.adapters and not effort.following:
        return f"quality-{'-'.join(dict.fromkeys(effort.adapters))}"
    return "quality-quick"


def _compare_in_docs() -> None:
    """Show the default beside `rhythm` in docs/decisions.md, once both were measured."""
    paths = [ROOT / "bench" / "results" / f"{name}.json" for name in ("quality", "quality-rhythm")]
    if all(path.exists() for path in paths):
        measured = [json.loads(path.read_text()) for path in paths]
        docs_tables.update(ROOT / "docs" / "decisions.md", docs_tables.decision(*measured))


def _chosen(only: str | None) -> list[str]:
    names = only.split(",") if only else list(datasets.SOURCES)
    if unknown := set(names) - datasets.SOURCES.keys():
        raise click.BadParameter(f"there is no set {min(unknown)}", param_hint="--only")
    return names


def _evaluate_all(files: Sequence[datasets.HostFile], effort: Effort, processes: int) -> Iterator[Outcome]:
    """Evaluate all hosts, the largest first, and print a line when a set is finished."""
    remaining = Counter(file.data_set for file in files)
    for library in ("OMP", "OPENBLAS"):  # a thread each: the processes use all cores
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        by_size = sorted(files, key=lambda file: -file.points)
        for future in as_completed([pool.submit(evaluate_file, file, effort) for file in by_size]):
            outcome = future.result()
            remaining[outcome.data_set] -= 1
            if not remaining[outcome.data_set]:
                print(f"{outcome.data_set}: scored", flush=True)
            yield outcome


def _results(name: str, outcomes: Sequence[Outcome], effort: Effort) -> dict[str, Any]:
    seconds = Counter[str]()
    for outcome in outcomes:
        seconds.update(outcome.seconds)
    plan = Plan()
    figures = summary(outcomes, plan.rate)
    return {
        "name": name,
        "machine": machine(),
        "effort": {**asdict(effort), "adapters": effort.adapters or adapters_of(plan)},
        "weights": plan.weights,
        "rate": plan.rate,
        "seconds_by_part": cleaned(dict(seconds)),
        **figures,
        "goals": goals_of(figures),
    }


if __name__ == "__main__":
    main()
