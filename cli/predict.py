"""`myriad predict`: score a file without a service."""

import contextlib
import glob
import itertools
import multiprocessing
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from myriad import formats
from myriad.cli.common import json_option, show, store_option
from myriad.cli.layout import history_of, layout_options, told, validated, with_flags
from myriad.formats.columns.cells import SCHEMA
from myriad.formats.columns.table import Grouping, labels_of
from myriad.formats.columns.timestamps import LATEST
from myriad.formats.layout import Layout
from myriad.formats.left_out import LeftOut
from myriad.models.ensemble import COMBINES, Combine
from myriad.models.errors import InvalidPoints
from myriad.serving.predictor import Predictor
from myriad.serving.resolution import KnownTable
from myriad.training.files import batches, matching
from myriad.training.job.config import History, JobFile

ROWS_AT_ONCE = 500_000

LOOK_BACK = 4
"""Longest windows that a part of a file is read behind: models that follow what they see need more than one."""


class Part(NamedTuple):
    """A part of a file: its rows behind those it looks back on, how they fall into series, and how many those are."""

    table: pa.Table
    known: KnownTable
    back: int


Score = Callable[[Part], pa.Table]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@store_option
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Scores, in the format its name says.")
@click.option("--windows", help="Of the release's, as in 1m,15m; all where not given.")
@click.option("--combine", type=click.Choice(COMBINES), default="weighted", show_default=True)
@click.option("--processes", default=os.cpu_count(), type=click.IntRange(1), show_default=True)
@click.option("--job", type=click.Path(exists=True, dir_okay=False), help="Whose history says what is in which column.")
@layout_options
@json_option
def predict(
    file: str,
    store: str,
    output: Path | None,
    windows: str | None,
    combine: Combine,
    processes: int,
    job: str | None,
    *,
    as_json: bool,
    **flags: Any,
) -> None:
    """Score the telemetry in FILE with the current release of a store, and say what came of it.

    FILE is a table, Parquet or CSV for example, with the columns region, host, metric, timestamp and value, and is read
    as `myriad train` reads it: rows that cannot be read are left out and told. It is read in parts, each with the
    points that its series' longest window looks back on: the rows of a series are to be in order of time.
    """
    if output is not None:
        try:
            formats.of_file(str(output))
        except InvalidPoints as exc:
            raise click.BadParameter(str(exc), param_hint="--output") from exc
        if not output.absolute().parent.is_dir():
            raise click.BadParameter(f"there is no directory {output.parent}", param_hint="--output")
    history = _history(file, job, flags)
    started, left_out = time.perf_counter(), LeftOut()
    manifest = Predictor.open(store).manifest
    parts = _parts(file, history.layout, left_out, LOOK_BACK * max(manifest.parsed_windows))
    options = (store, windows.split(",") if windows else None, combine)
    total, above, statuses = Counter[str](), 0, Counter[str]()
    with tqdm(desc="scoring", unit=" points", unit_scale=True, disable=None) as bar, _whole(output) as aside:
        for scored in _written(_scored(parts, options, processes), aside):
            score = np.asarray(scored["score"])
            total["points"] += scored.num_rows
            total["scored"] += int(np.count_nonzero(np.isfinite(score)))
            above += int(np.count_nonzero(score > 1))
            counted = scored["status"].combine_chunks().value_counts().to_pylist()
            statuses.update({entry["values"]: entry["counts"] for entry in counted})
            bar.update(scored.num_rows)
        left_out.check(history.left_out)
        if not total["points"]:
            raise InvalidPoints(f"{file}: there are no rows")
    result = {
        "release": manifest.id,
        **total,
        "above_1": above,
        "points_by_status": ", ".join(f"{status} {count}" for status, count in statuses.items()),
        **told(left_out, as_json=as_json),
        "seconds": round(time.perf_counter() - started, 2),
    }
    show(result, as_json=as_json)


def _history(file: str, job: str | None, flags: dict[str, Any]) -> History:
    """Where the file has what, from a job or from flags."""
    if job is None:
        return validated(History, history_of([file], flags))
    return with_flags(JobFile.load(job).history, flags, "the job")


def _parts(file: str, layout: Layout, left_out: LeftOut, seconds: int) -> Iterator[Part]:
    """Parts of a file, each behind the rows of earlier parts that its windows look back on."""
    before, order = SCHEMA.empty_table(), _InOrder(file)
    (found,) = matching([glob.escape(file)])
    for batch in batches(found, layout, left_out, rows=ROWS_AT_ONCE):
        table = pa.concat_tables([before, pa.Table.from_batches([batch])]).unify_dictionaries()
        known, back = KnownTable(labels_of(table)), before.num_rows
        rows = known.grouping
        times = rows.in_order(table["timestamp"].to_numpy())
        order.check(rows, times, back)
        yield Part(table, known, back)
        before = _look_back(table, rows, times, back, seconds)


class _InOrder:
    """Makes sure that no part of a file has rows of a series earlier than those of parts before it.

    Within a part they are sorted.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._hashes, self._latest = np.empty(0, np.uint64), np.empty(0, np.int64)

    def check(self, rows: Grouping, times: NDArray[np.int64], back: int) -> None:
        """Take note of a part; raise `InvalidPoints` where it goes back in time.

        Args:
            rows: the series of its rows.
            times: of these, in order of series.
            back: how many rows at its beginning are of parts before.
        """
        if not len(rows.names):
            return
        hashes, starts = rows.names.hashes, rows.offsets[:-1]
        first = np.minimum.reduceat(np.where(rows.order >= back, times, LATEST + 1), starts)
        last = np.maximum.reduceat(times, starts)
        known = np.isin(hashes, self._hashes)
        before = np.full(len(hashes), -1, np.int64)
        before[known] = self._latest[np.searchsorted(self._hashes, hashes[known])]
        if (early := np.flatnonzero(first < before)).size:
            i = int(early[0])
            raise InvalidPoints(
                f"{self._file}: {rows.names[i]} has {_written_out(first[i])} after {_written_out(before[i])}, too far "
                f"apart to be put in order while a file is read; sort its rows by time"
            )
        both = np.concatenate([self._hashes, hashes]), np.concatenate([self._latest, np.maximum(last, before)])
        order = np.argsort(both[0], kind="stable")
        newest = np.append(np.diff(both[0][order]) != 0, True)
        self._hashes, self._latest = both[0][order][newest], both[1][order][newest]


def _written_out(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds)))


@contextlib.contextmanager
def _whole(output: Path | None) -> Iterator[Path | None]:
    """Where to write a file that is to be there whole or not at all."""
    if output is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix=".myriad-", dir=output.parent) as directory:
        aside = Path(directory) / output.name
        yield aside
        aside.replace(output)


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


def _look_back(table: pa.Table, rows: Grouping, times: NDArray[np.int64], back: int, seconds: int) -> pa.Table:
    """The rows so many seconds before the last of their series, for series that may go on."""
    if not len(rows.names):
        return table
    last = np.maximum.reduceat(times, rows.offsets[:-1])
    going_on = (rows.order[rows.offsets[1:] - 1] >= back) | (last > last.max() - seconds)
    after = np.repeat(np.where(going_on, last - seconds, LATEST), np.diff(rows.offsets))
    return table.take(np.sort(rows.order[times > after]))


def _scored(
    parts: Iterator[Part], options: tuple[str, list[str] | None, Combine], processes: int
) -> Iterator[pa.Table]:
    """The parts with their scores, in order; in memory are never more than a few."""
    first = list(itertools.islice(parts, 2))
    parts = itertools.chain(first, parts)
    if processes == 1 or len(first) < 2:
        score = _scorer(*options)
        yield from map(score, parts)
        return
    waiting: deque[Future[pa.Table]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_start, initargs=options) as pool:
        for part in parts:
            waiting.append(pool.submit(_in_process, part))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _scorer(store: str, windows: list[str] | None, combine: Combine) -> Score:
    predictor = Predictor.open(store)

    def score(part: Part) -> pa.Table:
        scores = predictor.predict_table(part.table, windows, combine, part.known)
        columns = {name: table[name].slice(part.back) for table in (part.table, scores) for name in table.column_names}
        columns["timestamp"] = columns["timestamp"].cast(pa.timestamp("s")).cast(pa.timestamp("s", "UTC"))
        # No cell is null, which formats need not look for where it is said.
        return pa.table(columns, pa.schema([pa.field(name, columns[name].type, nullable=False) for name in columns]))

    return score


_process_score: list[Score] = []
"""Of a worker process: what `_start` made."""


def _start(store: str, windows: list[str] | None, combine: Combine) -> None:
    _process_score.append(_scorer(store, windows, combine))


def _in_process(part: Part) -> pa.Table:
    return _process_score[0](part)
