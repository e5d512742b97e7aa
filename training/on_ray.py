"""On Ray: shards fitted on the machines of a cluster, where Myriad is installed too and the same store can be reached.

The driver's files are not there: the history of a shard travels through Ray's object store, some shards at a time.
"""

import contextlib
import copy
import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import ray
from ray.exceptions import RayError, RayTaskError

from myriad.models.errors import ClusterFailed
from myriad.training.hierarchy import Reference
from myriad.training.task import ShardResult, Task, fit_shard

CONNECT_SECONDS = 10.0
AHEAD = 2
"""Tasks a core has been given, so that the history of its next one arrives while it fits the first."""
RETRIES = 3
"""How often a task whose worker died is tried again."""
LOOK_SECONDS = 5.0
"""How often it is looked whether the cluster has grown."""
SHARE = 0.5
"""Of the object store of the driver's machine, for the history of tasks that are not done."""


class _Submitted(NamedTuple):
    """A task the cluster is working on; the history it refers to is kept until it ends."""

    result: Any
    task: Task
    history: list[Any]
    bytes: int


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """With the cluster that RAY_ADDRESS names, or else a local one; where the caller is with one already, with that.

    Raises:
        ClusterFailed: it cannot be used.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS") or "local"
    try:
        _listening(address)
        # What workers print would come out among what the command prints.
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as exc:
        raise ClusterFailed(f"the Ray cluster {address!r} cannot be used: {exc}") from exc
    try:
        yield
    finally:
        ray.shutdown()


def _listening(address: str) -> None:
    """Raise if nobody is there: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def run_tasks(tasks: Sequence[Task], workers: int | None) -> Iterator[ShardResult]:
    """The result of each task, in the order in which they end on a cluster; see `connected`.

    Args:
        tasks: what to fit.
        workers: at once; as many as the cluster has cores where None.

    Raises:
        ClusterFailed: it cannot be used, or could not do a task.
        StoreError: of a worker, as it was raised there.
    """
    with connected():
        yield from _run(tasks, workers)


def _run(tasks: Sequence[Task], workers: int | None) -> Iterator[ShardResult]:
    waiting, under_way = deque(tasks), dict[Any, _Submitted]()
    references: dict[int, Any] = {}
    room = SHARE * _object_store()
    try:
        while waiting or under_way:
            while waiting and _has_room_for(waiting[0], under_way, workers, room):
                submitted = _submit(waiting.popleft(), references)
                under_way[submitted.result] = submitted
            for result in ray.wait(list(under_way), timeout=LOOK_SECONDS)[0]:
                yield _result(result, under_way.pop(result).task)
    finally:
        for result in under_way:
            ray.cancel(result, force=True)


def _has_room_for(task: Task, under_way: Mapping[Any, _Submitted], workers: int | None, room: float) -> bool:
    """Whether the cluster, which may have grown, is to be given a task beside those it has."""
    if not under_way:
        return True
    limit = workers or AHEAD * max(1, int(ray.cluster_resources().get("CPU", 0)))  # type: ignore[no-untyped-call]
    return len(under_way) < limit and sum(one.bytes for one in under_way.values()) + _bytes(task) <= room


def _submit(task: Task, references: dict[int, Any]) -> _Submitted:
    """Give the cluster a task; what many tasks refer to is sent once."""
    shared, history = id(task.references), []
    if shared not in references:
        references[shared] = ray.put(task.references)
    for part in task.parts:
        with pa.memory_map(str(part.path)) as file:
            history.append(ray.put(file.read_buffer()))
    sent = _fit_remotely.options(name=f"{task.job.job}:{task.region}/{task.shard}")
    result = sent.remote(task._replace(references={}), references[shared], *history)
    return _Submitted(result, task, history, _bytes(task))


@ray.remote(num_cpus=1, max_retries=RETRIES, retry_exceptions=False)
def _fit_remotely(task: Task, references: Mapping[tuple[str, str], Reference], *history: pa.Buffer) -> ShardResult:
    """Runs in a worker of the cluster; Ray replaces references to its object store by what they refer to."""
    parts = tuple(part._replace(content=content) for part, content in zip(task.parts, history, strict=True))
    return fit_shard(task._replace(parts=parts, references=references))


def _result(result: Any, task: Task) -> ShardResult:
    try:
        fitted: ShardResult = ray.get(result)
    except RayTaskError as exc:
        raise exc.cause from exc
    except RayError as exc:
        raise ClusterFailed(f"shard {task.shard} of {task.region!r} could not be done: {exc}") from exc
    # Its memory is the object store's, which is for what is under way.
    return fitted._replace(records=copy.deepcopy(fitted.records))


def _bytes(task: Task) -> int:
    return sum(part.path.stat().st_size for part in task.parts)


def _object_store() -> int:
    """Bytes of it on the driver's machine, where Ray keeps what the driver puts into it."""
    here = ray.get_runtime_context().get_node_id()
    nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes()}  # type: ignore[no-untyped-call]
    return int(nodes[here]["object_store_memory"])
