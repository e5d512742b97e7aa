"""Schemas: what `/predict` is sent and what it answers."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from myriad.models.ensemble import Combine

Digits = Annotated[int, Meta(ge=0, le=17)]
"""Significant digits of an answer's numbers; 0 for as many as each has."""


class Datapoint(Struct, gc=False):
    """A value at a time: epoch seconds, epoch milliseconds or RFC 3339 text; of one of many series if it says which.

    A value that is null, NaN or infinite is none: the datapoint is left out.
    """

    timestamp: int | float | str
    value: float | None
    region: str | None = None
    host: str | None = None
    metric: str | None = None


class OneSeries(Struct, forbid_unknown_fields=True):
    """The datapoints of one series."""

    region: str
    host: str
    metric: str
    datapoints: list[Datapoint]


class PredictRequest(Struct, forbid_unknown_fields=True):
    """One series (`model_id`, or `region`, `host` and `metric`) with its `datapoints`, rows, or a list of `series`."""

    region: str | None = None
    host: str | None = None
    metric: str | None = None
    model_id: str | None = None
    datapoints: list[Datapoint] | UnsetType = UNSET
    series: list[OneSeries] | UnsetType = UNSET
    windows: list[str] | None = None
    combine: Combine = "weighted"
    bands: bool = False
    hosts: bool = False
    alerts: bool = False
    digits: Digits = 0


class ModelUsed(Struct):
    """A model that took part: its key, its adapter, the release it is of, and whether it stood in for another."""

    key: str
    adapter: str
    release: str
    fallback: bool


class WindowMissing(Struct):
    """A window that could not be scored at any point, and why."""

    window: str
    reason: str


class SeriesAnswer(Struct, omit_defaults=True):
    """The answer for one series; every list runs along `anomaly_scores.timestamp`, null where there is no value."""

    region: str
    host: str
    metric: str
    status: str
    anomaly_scores: dict[str, list[Any]] = {}
    expected: dict[str, list[float | None]] = {}
    lower: dict[str, list[float | None]] = {}
    upper: dict[str, list[float | None]] = {}
    alert_scores: list[float | None] = []
    models: list[ModelUsed] = []
    missing: list[WindowMissing] = []
    duplicates: int = 0
    detail: str = ""
    stale: bool = False


class HostAnswer(Struct):
    """The score of a host as a whole at each timestamp, null where too few of its metrics have one.

    `metrics` says how many have a score at each, `of` how many have models, and `why` which metrics have most part in
    the largest score.
    """

    region: str
    host: str
    status: str
    timestamp: list[int]
    score: list[float]
    metrics: list[int]
    of: int
    why: list[str]


class PredictAnswer(Struct, omit_defaults=True):
    """The answer for many series, in the order in which they were first posted, and for their hosts if asked for.

    It is stale where the store could not be asked lately whether the release is still the current one.
    """

    release: str
    series: list[SeriesAnswer]
    hosts: list[HostAnswer] = []
    stale: bool = False
