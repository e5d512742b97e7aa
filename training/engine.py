"""Engine: where the shards of a job are fitted - in processes of this machine, or on a Ray cluster."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Literal

from myriad.models.errors import InvalidJob
from myriad.training.task import ShardResult, Task, fit_shard

Engine = Literal["local", "ray"]


def run_tasks(engine: Engine, tasks: Sequence[Task], workers: int | None) -> Iterator[ShardResult]:
    """The result of each task, in the order in which they end.

    Args:
        engine: where to.
        tasks: what to fit.
        workers: at once; as many as there are cores where None.

    Raises:
        InvalidJob: the engine's library is not installed.
        ClusterFailed: see `on_ray`.
        StoreError: of a worker.
    """
    if engine == "ray":
        yield from _on_ray(tasks, workers)
    else:
        yield from _in_processes(tasks, workers or os.cpu_count() or 1)


def _in_processes(tasks: Sequence[Task], workers: int) -> Iterator[ShardResult]:
    if workers == 1 or len(tasks) == 1:
        yield from map(fit_shard, tasks)
        return
    # Threads of Arrow's may hold locks at a fork: the workers start afresh.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(fit_shard, task) for task in tasks]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_ray(tasks: Sequence[Task], workers: int | None) -> Iterator[ShardResult]:
    try:
        from myriad.training import on_ray
    except ModuleNotFoundError as exc:
        raise InvalidJob(f"engine: ray needs a library; the extra `ray` installs it: {exc}") from exc
    yield from on_ray.run_tasks(tasks, workers)
