"""Sources: a job's history, read in bounded memory and sorted into the partitions that are fitted one by one."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from myriad.formats.columns.cells import SCHEMA
from myriad.formats.columns.table import grouped_by, labels_of
from myriad.formats.left_out import LeftOut
from myriad.models.key import shard_of
from myriad.models.points import ranges
from myriad.training import files, prometheus
from myriad.training.job.config import History

ROWS = 1 << 22
"""Rows kept in memory; to sort and write so many takes about 550 MB altogether."""
BATCHES = 128
"""Batches kept in memory, however short: each has a dictionary of its labels."""
DAY = 86400
FOOTERS_AT_ONCE = 16

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

    def table(self) -> pa.Table:
        """All of it, with the columns of `cells.SCHEMA`, in the order it was read in."""
        tables = [SCHEMA.empty_table()]
        with pa.memory_map(str(self.path)) if self.content is None else pa.BufferReader(self.content) as source:
            while source.tell() < source.size():
                with pa.ipc.open_stream(source) as stream:
                    tables.append(stream.read_all())
        table = pa.concat_tables(tables).unify_dictionaries()
        return table.filter(_since(table["timestamp"], self.since))


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
        labels = labels_of(table)
        dictionaries = [pa.array(parts, pa.string()) for parts in labels.parts]
        values = [table.column(name).to_numpy() for name in ("timestamp", "value")]
        regions, hosts, _ = labels.parts
        order, ends = grouped_by(labels.codes[0] * len(hosts) + labels.codes[1], len(regions) * len(hosts))
        used = np.flatnonzero(np.diff(ends))
        starts, lengths = ends[used], ends[used + 1] - ends[used]
        first = order[starts]  # a row of each host
        hashes, region = labels.take(first).host_hashes, labels.codes[0][first]
        shard = np.empty(len(first), np.int64)
        for code in np.unique(region).tolist():
            shard[region == code] = self._shard(regions[code], hashes[region == code])
        for code, number in sorted(set(zip(region.tolist(), shard.tolist(), strict=True))):
            mine = (region == code) & (shard == number)
            rows = np.sort(order[ranges(starts[mine], lengths[mine])])
            texts = [_coded(one, codes[rows]) for one, codes in zip(dictionaries, labels.codes, strict=True)]
            self._append(regions[code], number, pa.table([*texts, *(one[rows] for one in values)], schema=SCHEMA))

    def _shard(self, region: str, hashes: Hashes) -> NDArray[np.int64]:
        if callable(self._shards):
            return self._shards(region, hashes)
        return shard_of(hashes, self._shards).astype(np.int64)

    def _append(self, region: str, shard: int, table: pa.Table) -> None:
        path, count = self.written.get((region, shard), (self._directory / f"{len(self.written):06}.arrows", 0))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with path.open("ab" if count else "wb") as file, pa.ipc.new_stream(file, SCHEMA, options=options) as stream:
            stream.write_table(table)
        self.written[region, shard] = path, count + table.num_rows


def _coded(texts: pa.Array, codes: NDArray[np.int64]) -> pa.Array:
    """Labels, with no more in their dictionary than they need."""
    used = np.bincount(codes, minlength=len(texts)) > 0
    short = np.cumsum(used, dtype=np.int32) - 1
    return pa.DictionaryArray.from_arrays(short[codes], texts.filter(pa.array(used)))


def _since(times: Any, since: int) -> Any:
    return pc.greater_equal(times, since)
