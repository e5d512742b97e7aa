"""Tasks done on a Ray cluster of two machines: `python -m tests.training.cluster DIRECTORY`, in a network of its own.

One machine has the driver and no core to fit on; on the other, two cores and nothing of what is in DIRECTORY, where
`tasks.pickle` is: a list of tasks. `found.pickle` is written there: a `Found`.
"""

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from myriad.training.engine import run_tasks
from myriad.training.task import ShardResult, Task

APART = ("unshare", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""In namespaces that end, with all that runs in them, when their first process does."""
UP = 'ip link set lo up && exec "$@"'
ADDRESS = "127.0.0.1:6379"
ENVIRONMENT = {"RAY_ADDRESS": ADDRESS, "RAY_AUTH_MODE": "disabled"}
"""Whatever there is in the home directory: nobody else is in the network."""
WITHOUT = 'mount -t tmpfs none "$0" && exec "$@"'


class Found(NamedTuple):
    """What became of the tasks, and how.

    Attributes:
        done: of all of them.
        put: objects that had been put into the object store when the first task was done.
        killed: workers that were killed with a task.
        raised: by a task whose store cannot be opened.
        again: the tasks done when the caller went away after the first one.
    """

    done: list[ShardResult]
    put: int
    killed: int
    raised: Exception | None
    again: list[ShardResult]


def apart(*command: str) -> list[str]:
    """A command in a network of its own, with loopback and nothing else, in which it is root."""
    return [*APART, "sh", "-c", UP, "sh", *command]


def not_permitted() -> str:
    """Why there can be no such network; empty where there can."""
    try:
        tried = subprocess.run(apart("true"), capture_output=True, text=True, check=False)
    except OSError as exc:
        return f"unshare cannot be run: {exc.strerror}"
    return tried.stderr.strip() or "unshare failed" if tried.returncode else ""


def main(directory: Path) -> None:
    """Do the tasks."""
    import ray  # what it warns of is an error where tests run

    from myriad.training import on_ray

    tasks: list[Task] = pickle.loads((directory / "tasks.pickle").read_bytes())
    with machines(directory), on_ray.connected():
        with killing(f"ray::{tasks[0].job.job}:") as killed, mock.patch.object(ray, "put", wraps=ray.put) as put:
            all_of_them = run_tasks("ray", tasks, None)
            results = [next(all_of_them)]
            before = put.call_count
            results += all_of_them
        error = raised(tasks[0])
        again = list(itertools.islice(run_tasks("ray", tasks, 1), 1))
    (directory / "found.pickle").write_bytes(pickle.dumps(Found(results, before, len(killed), error, again)))


def raised(task: Task) -> Exception | None:
    """What a task raises whose store cannot be opened."""
    try:
        list(run_tasks("ray", [task._replace(job=task.job.model_copy(update={"store": "ftp://nowhere"}))], None))
    except Exception as exc:  # noqa: BLE001  any would be told
        return exc
    return None


@contextlib.contextmanager
def machines(directory: Path) -> Iterator[None]:
    """A cluster that RAY_ADDRESS names."""
    start = [str(Path(sys.executable).with_name("ray")), "start", "--node-ip-address=127.0.0.1"]
    small = ["--object-store-memory=100000000", "--disable-usage-stats"]
    with tempfile.TemporaryDirectory(prefix="ray") as temporary, mock.patch.dict(os.environ, ENVIRONMENT):
        head = ["--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={temporary}"]
        _run(*start, *small, *head)
        hidden = ["unshare", "--mount", "sh", "-c", WITHOUT, str(directory)]
        _run(*hidden, *start, *small, f"--address={ADDRESS}", "--num-cpus=2")
        yield


@contextlib.contextmanager
def killing(title: str) -> Iterator[list[int]]:
    """The first process whose title starts so is killed."""
    over, killed = threading.Event(), list[int]()

    def look() -> None:
        while not killed and not over.wait(0.005):
            for pid in (int(entry.name) for entry in Path("/proc").glob("[0-9]*")):
                with contextlib.suppress(OSError):
                    if not killed and Path(f"/proc/{pid}/cmdline").read_text().startswith(title):
                        os.kill(pid, 9)
                        killed.append(pid)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _run(*command: str) -> None:
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        raise RuntimeError(tried.stdout + tried.stderr)


if __name__ == "__main__":
    from tests.training import cluster  # so that what is pickled has a name it can be imported by

    cluster.main(Path(sys.argv[1]))
