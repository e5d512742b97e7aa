"""Status: what became of a series that was posted."""

from enum import StrEnum


class Status(StrEnum):
    """The outcome of scoring a series."""

    OK = "ok"
    FALLBACK = "fallback"
    NO_MODEL = "no_model"
    INSUFFICIENT_DATA = "insufficient_data"
    LOAD_FAILED = "load_failed"
    BAD_SERIES = "bad_series"


STATUSES = tuple(Status)
