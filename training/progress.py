"""Progress: what a job has done already, in a directory, so that one that was interrupted goes on where it stopped."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.feather

from myriad.formats.left_out import LeftOut
from myriad.storage.release import Artifact
from myriad.training.job.config import JobFile
from myriad.training.sources import Partition
from myriad.training.task import ShardResult, Task

FORM = 2
"""Of the files that are kept: those of another form are not gone on with."""


class _Part(msgspec.Struct):
    region: str
    shard: int
    file: str
    rows: int
    since: int


class _Sorted(msgspec.Struct):
    parts: list[_Part]
    read: int
    left_out: dict[str, Any]


class _Result(msgspec.Struct):
    artifact: Artifact | None
    adapters: tuple[str, ...]
    counters: tuple[str, ...]


class Progress:
    """What is done of one job; another job, or the same over another release, starts from nothing."""

    def __init__(self, directory: Path, job: JobFile, over: str) -> None:
        """Where to keep it.

        Args:
            directory: of jobs.
            job: which.
            over: the release whose other series are to stay, "" where none are.
        """
        name = hashlib.blake2b(f"{FORM} {job.model_dump_json()} {over}".encode(), digest_size=12).hexdigest()
        self._directory = directory / name

    def partitions(self, sort: Callable[[Path], tuple[list[Partition], LeftOut]]) -> tuple[list[Partition], LeftOut]:
        """The sorted history and what cannot be read of it: as before, or by `sort` into an empty directory."""
        known = self._directory / "partitions.json"
        if known.exists():
            kept = msgspec.json.decode(known.read_bytes(), type=_Sorted)
            parts = [Partition(p.region, p.shard, self._directory / p.file, p.rows, p.since) for p in kept.parts]
            return parts, LeftOut.of(kept.left_out, kept.read)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        found, left_out = sort(self._directory)
        parts_kept = [_Part(p.region, p.shard, p.path.name, p.rows, p.since) for p in found]
        _write(known, msgspec.json.encode(_Sorted(parts_kept, left_out.read, left_out.as_dict())))
        return found, left_out

    def result(self, task: Task) -> ShardResult | None:
        """The result of a task, None where it has not been kept."""
        kept, records = self._files(task)
        if not kept.exists():
            return None
        one = msgspec.json.decode(kept.read_bytes(), type=_Result)
        table = pyarrow.feather.read_table(records, memory_map=False)
        return ShardResult(task.region, task.shard, task.shards, one.artifact, one.adapters, table, one.counters)

    def keep(self, result: ShardResult) -> None:
        """Keep the result of a task."""
        kept, records = self._files(result)
        pyarrow.feather.write_feather(result.records, str(records))
        _write(kept, msgspec.json.encode(_Result(result.artifact, result.adapters, result.counters)))

    def forget(self) -> None:
        """The job is done, or what is kept of it is wanted no more."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _files(self, of: Task | ShardResult) -> tuple[Path, Path]:
        name = hashlib.blake2b(f"{of.region}/{of.shard}".encode(), digest_size=12).hexdigest()
        return self._directory / f"{name}.json", self._directory / f"{name}.feather"


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    aside = path.with_suffix(".new")
    aside.write_bytes(data)
    aside.replace(path)
