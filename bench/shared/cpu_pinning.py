"""CPU pinning: the server on one core and the load on another, so that neither takes time from the other."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence

_CORES = sorted(os.sched_getaffinity(0))
SEPARATE_CORES = len(_CORES) > 1 and shutil.which("taskset") is not None
"""Whether server and load can have a core each on this machine."""
SERVER_CORE: int | None = _CORES[0] if SEPARATE_CORES else None
LOAD_CORE: int | None = _CORES[1] if SEPARATE_CORES else None


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command, pinned to a core unless that is None."""
    return list(command) if core is None else ["taskset", "--cpu-list", str(core), *command]


@contextlib.contextmanager
def running_on(core: int | None) -> Iterator[None]:
    """Pin this thread, and threads it starts, to a core for the duration of the block; no pinning if None."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
