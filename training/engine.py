"""Engine: where the shards of a job are fitted - in processes of this machine, or on a Ray cluster."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Literal

from myriad.models.errors import InvalidJob
from myriad.training.task import Done, Task, carried_out

Engine = Literal["local", "ray"]


def done(engine: Engine, tasks: Sequence[Task], workers: int | None) -> Iterator[Done]:
    """What became of each task, as they get done.

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
        yield from _here(tasks, workers or os.cpu_count() or 1)


def _here(tasks: Sequence[Task], workers: int) -> Iterator[Done]:
    if workers == 1 or len(tasks) == 1:
        yield from map(carried_out, tasks)
        return
    # Threads of Arrow's may hold locks at a fork: the workers start afresh.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(carried_out, task) for task in tasks]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_ray(tasks: Sequence[Task], workers: int | None) -> Iterator[Done]:
    try:
        from myriad.training import on_ray
    except ModuleNotFoundError as exc:
        raise InvalidJob(f"engine: ray needs a library that is not installed, myriad[ray] does: {exc}") from exc
    yield from on_ray.done(tasks, workers)
