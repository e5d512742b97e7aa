"""Termination of a benchmark."""

import signal
import sys
from types import FrameType


def exit_on_sigterm() -> None:
    """Make SIGTERM leave as Ctrl-C does, so that every context manager stops what it started."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
