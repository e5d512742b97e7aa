"""Maintenance: stretches of time whose telemetry says nothing about what is usual."""

import csv
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator, ValidationError, model_validator

from myriad.formats.columns.timestamps import epoch_seconds
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.training.job.fields import Part, Text, explained, wrong


def _instant(given: object) -> int:
    if not isinstance(given, str):
        raise wrong("must be RFC 3339 text such as 2026-01-01T00:00:00Z")
    return int(epoch_seconds([given])[0])


Instant = Annotated[int, PlainValidator(_instant)]
"""Epoch seconds, written as RFC 3339 text."""


class Maintenance(Part):
    """From `start` until before `end`, of the series whose region, host and metric match the globs."""

    start: Instant = Field(alias="from")
    end: Instant = Field(alias="to")
    region: Text = "*"
    host: Text = "*"
    metric: Text = "*"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start >= self.end:
            raise wrong("must be later than from", "to")
        return self


def left_out(rules: Sequence[Maintenance], names: Names, timestamps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which datapoints lie in maintenance of their series, bool (n,).

    Args:
        rules: the stretches of time.
        names: the series of each datapoint, (n,): `labels_of(table)`, or `names.take(points.owner)`.
        timestamps: epoch seconds, int64 (n,).
    """
    out = np.zeros(len(timestamps), bool)
    order = np.argsort(timestamps, kind="stable") if rules else np.empty(0, np.int64)
    times = timestamps[order]

    @cache
    def matching(kind: int, pattern: str) -> NDArray[np.bool_]:
        return np.array([isinstance(part, str) and fnmatchcase(part, pattern) for part in names.parts[kind]], bool)

    for rule in rules:
        first, last = np.searchsorted(times, [rule.start, rule.end])
        rows = order[first:last]
        for kind, field in enumerate(Series._fields):
            pattern = getattr(rule, field)
            rows = rows if pattern == "*" else rows[matching(kind, pattern)[names.codes[kind, rows]]]
        out[rows] = True
    return out


def calendar(path: Path) -> Iterator[Maintenance]:
    """The rows of a CSV file with the columns from, to and, where wanted, region, host and metric.

    Raises:
        ValueError: it cannot be read, or a row is none; it says which.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restkey="more", strict=True)
            for row in rows:
                yield _rule(f"{path}:{rows.line_num}", row)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise ValueError(f"{path}: cannot be read: {exc}") from exc


def _rule(where: str, row: dict[str, Any]) -> Maintenance:
    try:
        return Maintenance.model_validate({name: cell for name, cell in row.items() if cell})
    except ValidationError as exc:
        (field, *_), why = explained(exc.errors()[0])
        raise ValueError(f"{where}: {field}: {why}") from exc
