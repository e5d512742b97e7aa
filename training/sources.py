"""Sources: a job's history, read in bounded memory and sorted into the partitions that are fitted one by one.

A partition's file has Arrow streams of `RUNS`, one after the other: of each series the points that were read together,
in the order they were read in.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from myriad.formats.columns.cells import LABEL, LABELS, SCHEMA
from myriad.formats.columns.table import MANY, SPARSE, grouping_of, labels_of
from myriad.formats.left_out import LeftOut
from myriad.kernels import spans
from myriad.kernels.groups import numbered, placed
from myriad.models.key import shard_of
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.training import files, prometheus
from myriad.training.job.config import History

ROWS = 1 << 22
"""Rows kept in memory; to sort and write so many takes about 300 MB altogether."""
BATCHES = 128
"""Batches kept in memory, however short: each has a dictionary of its labels."""
DAY = 86400
FOOTERS_AT_ONCE = 16
RUNS = pa.schema(
    [
        *((name, LABEL) for name in LABELS),
        ("timestamps", pa.list_(pa.field("item", pa.int64(), nullable=False))),
        ("values", pa.list_(pa.field("item", pa.float64(), nullable=False))),
    ]
)
"""Of a partition's file, a row for the points of a series that were read together."""

Hashes = NDArray[np.uint64]
Shards = int | Callable[[str, Hashes], NDArray[np.int64]]
"""How many shards each region has; or which shard each host of a region is in, from `Names.host_hashes`."""


class Partition(NamedTuple):
    """The telemetry of one shard of a region, in a local file or, far from it, in memory.

    Attributes:
        region: its name.
        shard: its number.
        path: of a file of Arrow streams, one after the other.
        rows: in the file.
        since: what is earlier is not wanted, in epoch seconds.
        content: of the file, where that is not to be read.
    """

    region: str
    shard: int
    path: Path
    rows: int
    since: int
    content: pa.Buffer | None = None

    def series(self) -> tuple[Names, Points]:
        """Its series, in order of their first rows, and their points in the order they were read in."""
        tables = [RUNS.empty_table()]
        with pa.memory_map(str(self.path)) if self.content is None else pa.BufferReader(self.content) as source:
            while source.tell() < source.size():
                with pa.ipc.open_stream(source) as stream:
                    tables.append(stream.read_all())
        runs = pa.concat_tables(tables).unify_dictionaries()
        by_series = grouping_of(labels_of(runs))
        streams = [*zip(*(runs.column(name).chunks for name in ("timestamps", "values")), strict=True)]
        parts = [
            (_flat(times), _flat(values), np.diff(times.offsets.to_numpy()).astype(np.int64))
            for times, values in streams
        ]
        lengths = np.concatenate([np.empty(0, np.int64), *(one for _, _, one in parts)])[by_series.order]
        ends, places = np.append(0, np.cumsum(lengths)), np.empty(len(lengths), np.int64)
        places[by_series.order] = ends[:-1]
        points = Points(*spans.joined(parts, places), ends[by_series.offsets])
        if self.since:
            points = points.where(points.timestamps >= self.since)
        some = np.flatnonzero(points.lengths)
        return by_series.names.take(some), points.take(some)


def _flat(lists: pa.ListArray) -> NDArray[Any]:
    return np.asarray(lists.flatten().to_numpy())


def partitions(
    history: History, shards: Shards, directory: Path, *, now: float | None = None, rows: int = ROWS
) -> tuple[list[Partition], LeftOut]:
    """Read a history once, and sort its rows into a file for each shard that has any; and what cannot be read of it.

    A row lies in the shard that its host's models will be in. Where the number of shards is not known yet, take some
    multiple of what it may be: shard s of m * n holds what is in shard s // m of n.

    Args:
        history: what to read.
        shards: which shard a host is in.
        directory: an empty one, for the files.
        now: epoch seconds; Prometheus is asked for what is up to now, and files may not be of a later day.
        rows: to keep in memory.

    Raises:
        InvalidJob, InvalidPoints, StoreError, Unavailable: the history cannot be read, or too many of its rows; see
            `files`, `formats.left_out` and `prometheus`.
    """
    latest = _Latest(history.days, time.time() if now is None else now)
    files_of, left_out = _Files(shards, directory), LeftOut()
    waiting: list[pa.RecordBatch] = []
    for batch in _batches(history, latest, left_out):
        waiting += [batch] if batch.num_rows else []
        if sum(one.num_rows for one in waiting) >= rows or len(waiting) == BATCHES:
            files_of.append(waiting)
            waiting = []
    files_of.append(waiting)
    left_out.check(history.left_out)
    parts = [
        Partition(region, shard, path, count, latest.since)
        for (region, shard), (path, count) in sorted(files_of.written.items())
    ]
    return parts, left_out


def _batches(history: History, latest: "_Latest", left_out: LeftOut) -> Iterator[pa.RecordBatch]:
    """Batches of `cells.SCHEMA`."""
    if history.prometheus:
        span = int(latest.now - (history.days or 0) * DAY), int(latest.now)
        yield from prometheus.batches(history.prometheus, *span, left_out)
        return
    layout = history.layout
    found = files.below(history.dataset) if history.dataset else files.matching(history.files or ())
    if history.days is not None:
        with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
            for last in pool.map(lambda file: files.latest(file, layout.timestamp), found):
                latest.see(last)
    for file in found:
        for batch in files.batches(file, layout, left_out, lambda last: last < 0 or last >= latest.since):
            yield latest.of(batch)


class _Latest:
    """The latest timestamp seen, and since when rows are wanted because of it."""

    def __init__(self, days: float | None, now: float) -> None:
        self.now = now
        self._days = days
        self._latest = -1

    @property
    def since(self) -> int:
        """Where the latest `days` start, in epoch seconds."""
        return 0 if self._days is None or self._latest < 0 else int(self._latest - self._days * DAY) + 1

    def see(self, timestamp: int) -> None:
        """Take note of a timestamp, unless a wrong clock wrote it: it would leave nothing of the others."""
        if timestamp <= self.now + DAY:
            self._latest = max(self._latest, timestamp)

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that may be wanted."""
        if self._days is None:
            return batch
        times = batch.column("timestamp")
        self.see(pc.max(times.filter(pc.less_equal(times, int(self.now) + DAY))).as_py() or -1)
        return batch.filter(_since(times, self.since))


class _Files:
    """The file of each shard that has rows, written to its end; none is kept open, as there may be thousands."""

    def __init__(self, shards: Shards, directory: Path) -> None:
        self._shards, self._directory = shards, directory
        self.written: dict[tuple[str, int], tuple[Path, int]] = {}

    def append(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Sort the rows of some batches into the files."""
        table = pa.Table.from_batches(batches, SCHEMA).unify_dictionaries()
        names, codes, counts = _named(table)
        hashes, region = names.host_hashes, names.codes[0]
        shard = np.empty(len(names), np.int64)
        for code in np.unique(region).tolist():
            shard[region == code] = self._shard(names.parts[0][code], hashes[region == code])
        order, used = np.lexsort((shard, region)), np.flatnonzero(counts)
        ends = np.concatenate([[0], np.cumsum(counts[used[order]])]).astype(np.int64)
        starts = np.zeros(len(counts), np.int64)
        starts[used[order]] = ends[:-1]
        times, values = placed(codes, starts, *(table.column(name).to_numpy() for name in ("timestamp", "value")))
        names, region, shard = names.take(order), region[order], shard[order]
        new = np.flatnonzero(np.diff(region, prepend=-1) | np.diff(shard, prepend=-1)).tolist()
        for first, end in pairwise([*new, len(names)]):
            rows = slice(ends[first], ends[end])
            points = Points(times[rows], values[rows], ends[first : end + 1] - ends[first])
            part = names.take(np.arange(first, end))
            self._append(names.parts[0][region[first]], int(shard[first]), part, points)

    def _shard(self, region: str, hashes: Hashes) -> NDArray[np.int64]:
        if callable(self._shards):
            return self._shards(region, hashes)
        return shard_of(hashes, self._shards).astype(np.int64)

    def _append(self, region: str, shard: int, names: Names, points: Points) -> None:
        offsets = pa.array(points.offsets, pa.int32())
        lists = [
            pa.ListArray.from_arrays(offsets, pa.array(getattr(points, name)), type=RUNS.field(name).type)
            for name in ("timestamps", "values")
        ]
        labels = [_coded(parts, codes) for parts, codes in zip(names.parts, names.codes, strict=True)]
        path, count = self.written.get((region, shard), (self._directory / f"{len(self.written):06}.arrows", 0))
        with path.open("ab" if count else "wb") as file, pa.ipc.new_stream(file, RUNS) as stream:
            stream.write_batch(pa.RecordBatch.from_arrays([*labels, *lists], schema=RUNS))
        self.written[region, shard] = path, count + len(points.timestamps)


def _named(table: pa.Table) -> tuple[Names, NDArray[np.int64], NDArray[np.int64]]:
    """The series of a table whose labels have one dictionary each, each row's number, and how many rows have each.

    The series are those of the numbers that some row has, in their order.
    """
    labels = [_parts_and_codes(table.column(name)) for name in LABELS]
    shape = [max(len(parts), 1) for parts, _ in labels]
    of_region, of_host, of_metric = (codes for _, codes in labels)
    numbers = numbered(of_region, of_host, of_metric, *shape[1:])
    if math.prod(shape) > SPARSE * len(numbers) + MANY:
        used, numbers, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    else:
        counts = np.bincount(numbers, minlength=math.prod(shape))
        used = np.flatnonzero(counts)
    regions, hosts, metrics = (parts for parts, _ in labels)
    return Names((regions, hosts, metrics), np.array(np.unravel_index(used, shape), np.int64)), numbers, counts


def _parts_and_codes(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    """The words of a dictionary, each once, and each row's position among them; no row is without one."""
    parts = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    codes = np.concatenate([np.empty(0, np.int32), *(one.indices.to_numpy() for one in column.chunks)])
    distinct = {part: at for at, part in enumerate(dict.fromkeys(parts))}
    if len(distinct) < len(parts):  # whoever wrote the dictionary was careless
        codes = np.array([distinct[part] for part in parts], np.int32)[codes]
    return [*distinct], codes


def _coded(parts: Sequence[str], codes: NDArray[np.int64]) -> pa.Array:
    """Labels, with no more in their dictionary than they need."""
    place: dict[int, int] = {}
    short = [place.setdefault(code, len(place)) for code in codes.tolist()]
    return pa.DictionaryArray.from_arrays(pa.array(short, pa.int32()), pa.array([parts[i] for i in place], pa.string()))


def _since(times: Any, since: int) -> Any:
    return pc.greater_equal(times, since)
