"""Engines: the same artifacts and records wherever the tasks are done."""

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Sequence

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from myriad.models.errors import InvalidJob, StoreError
from myriad.models.key import ANY, Series
from myriad.storage.artifact import views
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from myriad.training.engine import run_tasks
from myriad.training.fleets.synthetic import DAY, fleet
from myriad.training.hierarchy import references
from myriad.training.job.config import JobFile
from myriad.training.sources import partitions
from myriad.training.task import ShardResult, Task, usable
from tests.conftest import END
from tests.training import cluster

SHARDS, PARTS = 4, 2
JOB = {
    "job": "small",
    "windows": {"5m": 1, "1h": 2},
    "metrics": [{"match": "cpu*", "candidates": ["rhythm"]}, {"match": "mem*", "candidates": ["seasonal"]}],
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    """A job of two regions, four shards of two files each, with a fallback model and hosts of little history."""
    directory = tmp_path_factory.mktemp("driver")
    table = fleet(end=END, days=4, hosts=12, incidents=0).table(END - 4 * DAY, END)
    short = pc.and_(pc.equal(table["host"], table["host"][0]), pc.less(table["timestamp"], END - DAY))
    pq.write_table(table.filter(pc.invert(short)), directory / "h.parquet")
    stored = {"store": f"file://{directory}.store", "history": {"files": [f"{directory}/h.parquet"]}}
    job = JobFile.model_validate(JOB | stored)
    (directory / "parts").mkdir()
    parts, _ = partitions(job.history, SHARDS * PARTS, directory / "parts")
    found = usable(job, parts[0])
    pooled = Series(ANY, ANY, found.series[0].metric), found.points.take([0])
    given = references(dict([pooled]))
    assert given
    return [
        Task(
            job=job,
            region=region,
            shard=shard,
            shards=SHARDS,
            parts=tuple(part for part in parts if (part.region, part.shard // PARTS) == (region, shard)),
            before=None,
            pooled=() if i else (pooled,),
            references=given,
        )
        for i, (region, shard) in enumerate(sorted({(part.region, part.shard // PARTS) for part in parts}))
    ]


@pytest.fixture(scope="module")
def expected(tasks: list[Task]) -> dict[tuple[str, int], str]:
    """What one process makes of them."""
    return contents(run_tasks("local", tasks, 1), tasks)


def test_several_processes_make_what_one_does(tasks: list[Task], expected: dict[tuple[str, int], str]) -> None:
    assert len(expected) == 2 * SHARDS
    assert contents(run_tasks("local", tasks, 2), tasks) == expected


@pytest.mark.timeout(300)
def test_a_cluster_without_the_drivers_files_makes_the_same(
    tasks: list[Task], expected: dict[tuple[str, int], str]
) -> None:
    """Though one of its workers dies."""
    found = on_cluster(tasks)
    assert contents(found.done, tasks) == expected
    assert found.killed == 1
    # Given at once are two tasks for each of two cores: their files, and what they all refer to.
    assert found.put == 1 + sum(len(task.parts) for task in tasks[:4])
    assert len(found.again) == 1
    assert type(found.raised) is StoreError
    assert str(found.raised).startswith("ftp://nowhere/: is not a store")


def test_without_its_library_the_engine_says_what_is_missing(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidJob, match=r"engine: ray needs a library; the extra `ray` installs it: .*ray"):
        list(run_tasks("ray", tasks, 1))


def test_an_address_where_no_cluster_is_is_an_error_that_names_it() -> None:
    """In a process of its own, as it is Ray's to be imported."""
    program = "from myriad.training.on_ray import *; [*run_tasks([], None)]"
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert "ClusterFailed: the Ray cluster '127.0.0.1:1' cannot be used: " in ended.stderr


def on_cluster(tasks: list[Task]) -> cluster.Found:
    """What a cluster makes of them."""
    if why := cluster.not_permitted():
        pytest.skip(f"no network can be set apart for Ray, which listens on all of them: {why}")
    directory = tasks[0].parts[0].path.parents[1]
    (directory / "tasks.pickle").write_bytes(pickle.dumps(tasks))
    command = cluster.apart(sys.executable, "-m", "tests.training.cluster", str(directory))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: cluster.Found = pickle.loads((directory / "found.pickle").read_bytes())
    return found


def contents(found: Iterable[ShardResult], tasks: Sequence[Task]) -> dict[tuple[str, int], str]:
    """For each shard, a hash of all that was fitted and told of it, but for when, and how long it took."""
    releases = Releases(open_store(tasks[0].job.store))
    hashes = {}
    for one in found:
        assert one.artifact
        arrays, metadata = views("x", releases.get_artifact(one.artifact))
        kept = {name: array.tobytes() for name, array in arrays.items() if name != "index/fitted_at"}
        rows = one.records.drop_columns(["fit_seconds"]).to_pylist()
        told = repr((sorted(kept.items()), metadata, rows, one.adapters, one.shards))
        hashes[one.region, one.shard] = hashlib.sha256(told.encode()).hexdigest()
    return hashes
