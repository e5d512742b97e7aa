"""Cores: the server on one and the load on another, so that neither takes time from the other."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence

_CORES = sorted(os.sched_getaffinity(0))
APART = len(_CORES) > 1 and shutil.which("taskset") is not None
"""Whether server and load can be kept apart here."""
SERVER: int | None = _CORES[0] if APART else None
LOAD: int | None = _CORES[1] if APART else None


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command, on one core where one is given."""
    return list(command) if core is None else ["taskset", "--cpu-list", str(core), *command]


@contextlib.contextmanager
def on(core: int | None) -> Iterator[None]:
    """This thread, and those it starts, on one core as long as the block lasts."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
