"""`myriad predict`: score a file without a service."""

import itertools
import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
from tqdm import tqdm

from myriad import formats
from myriad.cli.common import json_option, show, store_option
from myriad.formats.base import readable
from myriad.formats.columns.table import grouping_of, labels_of, timestamps
from myriad.models.ensemble import COMBINES, Combine
from myriad.models.errors import InvalidPoints
from myriad.serving.predictor import Predictor

ROWS_AT_ONCE = 500_000

LOOK_BACK = 4
"""Longest windows that a part of a file is read behind: models that follow what they see need more than one."""
Score = Callable[[pa.Table, int], pa.Table]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@store_option
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Scores, in the format its name says.")
@click.option("--windows", help="Of the release's, as in 1m,15m; all where not given.")
@click.option("--combine", type=click.Choice(COMBINES), default="weighted", show_default=True)
@click.option("--processes", default=os.cpu_count(), type=click.IntRange(1), show_default=True)
@json_option
def predict(
    file: Path,
    store: str,
    output: Path | None,
    windows: str | None,
    combine: Combine,
    processes: int,
    *,
    as_json: bool,
) -> None:
    """Score the telemetry in FILE with the current release of a store, and say what came of it.

    FILE is a table, Parquet or CSV for example, with the columns region, host, metric, timestamp and value. It is read
    in parts, each with the points that its series' longest window looks back on: the rows of a series are to be in
    order of time.
    """
    if output is not None:
        try:
            formats.of_file(str(output))
        except InvalidPoints as exc:
            raise click.BadParameter(str(exc), param_hint="--output") from exc
    started = time.perf_counter()
    manifest = Predictor.open(store).manifest
    looked_back = LOOK_BACK * max(manifest.parsed_windows)
    options = (store, windows.split(",") if windows else None, combine)
    total, above, statuses = Counter[str](), 0, Counter[str]()
    with tqdm(desc="scoring", unit=" points", unit_scale=True, disable=None) as bar:
        for scored in _written(_scored(_parts(file, looked_back), options, processes), output):
            score = np.asarray(scored["score"])
            total["points"] += scored.num_rows
            total["scored"] += int(np.isfinite(score).sum())
            above += int((score > 1).sum())
            counted = scored["status"].combine_chunks().value_counts().to_pylist()
            statuses.update({entry["values"]: entry["counts"] for entry in counted})
            bar.update(scored.num_rows)
    if not total["points"]:
        raise InvalidPoints(f"{file}: there are no rows")
    result = {
        "release": manifest.id,
        **total,
        "above_1": above,
        "points_by_status": ", ".join(f"{status} {count}" for status, count in statuses.items()),
        "seconds": round(time.perf_counter() - started, 2),
    }
    show(result, as_json=as_json)


def _parts(file: Path, seconds: int) -> Iterator[tuple[pa.Table, int]]:
    """Parts of a file, each behind the rows of earlier parts its windows look back on, and how many those are."""
    before: pa.Table | None = None
    for part in _read(file):
        table = part if before is None else pa.concat_tables([before, part], promote_options="permissive")
        table = table.unify_dictionaries()
        back = table.num_rows - part.num_rows
        yield table, back
        before = _look_back(table, back, seconds)


def _read(file: Path) -> Iterator[pa.Table]:
    """The rows of a file with all their columns, some at a time."""
    with readable(str(file)):
        kind = formats.of_file(str(file))
        with pa.memory_map(str(file)) as source:
            for batch in kind.batches(source, rows=ROWS_AT_ONCE):
                yield pa.Table.from_batches([batch])


def _written(scored: Iterator[pa.Table], output: Path | None) -> Iterator[pa.Table]:
    """Tables as they come, each written to the file first, where there is one."""
    if output is None:
        yield from scored
        return
    for first in scored:  # its columns are those of all
        writer = formats.of_file(str(output)).writer(str(output), first.schema)
        try:
            for table in itertools.chain([first], scored):
                writer.write_table(table.cast(first.schema))
                yield table
        finally:
            writer.close()


def _look_back(table: pa.Table, back: int, seconds: int) -> pa.Table:
    """The rows so many seconds before the last of their series, for series that may go on."""
    rows = grouping_of(labels_of(table))
    times = timestamps(table)[rows.order]
    owner = np.repeat(np.arange(len(rows.names)), np.diff(rows.offsets))
    last, going_on = np.zeros(len(rows.names), np.int64), np.zeros(len(rows.names), bool)
    np.maximum.at(last, owner, times)
    going_on[owner[rows.order >= back]] = True
    going_on |= last > times.max(initial=0) - seconds
    return table.take(np.sort(rows.order[going_on[owner] & (times > last[owner] - seconds)]))


def _scored(
    parts: Iterator[tuple[pa.Table, int]], options: tuple[str, list[str] | None, Combine], processes: int
) -> Iterator[pa.Table]:
    """The parts with their scores, in order; in memory are never more than a few."""
    first = list(itertools.islice(parts, 2))
    parts = itertools.chain(first, parts)
    if processes == 1 or len(first) < 2:
        score = _scorer(*options)
        yield from (score(*part) for part in parts)
        return
    waiting: deque[Future[pa.Table]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_start, initargs=options) as pool:
        for part in parts:
            waiting.append(pool.submit(_in_process, *part))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _scorer(store: str, windows: list[str] | None, combine: Combine) -> Score:
    predictor = Predictor.open(store)

    def score(table: pa.Table, back: int) -> pa.Table:
        scores = predictor.predict_table(table, windows, combine)
        for name in scores.column_names:
            table = table.append_column(name, scores[name])
        return table.slice(back)

    return score


_process_score: list[Score] = []
"""Of a worker process: what `_start` made."""


def _start(store: str, windows: list[str] | None, combine: Combine) -> None:
    _process_score.append(_scorer(store, windows, combine))


def _in_process(table: pa.Table, back: int) -> pa.Table:
    return _process_score[0](table, back)
