"""Synthetic telemetry: a small fleet with daily and weekly rhythm, noise and a few incidents, from a seed."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from myriad.models.key import Series

DAY, WEEK, STEP = 86400, 7 * 86400, 60
REGIONS = ("us-east-1", "eu-west-1")

METRICS = {"cpu_util": (35.0, 20.0, 3.0), "mem_util": (55.0, 6.0, 0.8), "net_rx_mb": (120.0, 70.0, 9.0),
           "req_latency_ms": (80.0, 25.0, 5.0)}  # fmt: skip
"""Of each metric: the usual level, the size of its daily rhythm, and the noise around it."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A stretch of time, in epoch seconds, in which a host's metrics were not as usual."""

    series: Series
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Telemetry as float64 (series, times), with what was injected into it."""

    series: list[Series]
    timestamps: NDArray[np.int64]
    values: NDArray[np.float64]
    incidents: list[Incident]

    def table(self, start: int, end: int) -> pa.Table:
        """The datapoints of all series with start <= timestamp < end, a row each."""
        chosen = (self.timestamps >= start) & (self.timestamps < end)
        times = self.timestamps[chosen]
        labels = {
            label: _repeated(pa.array(names).dictionary_encode(), len(times))
            for label, names in zip(Series._fields, zip(*self.series, strict=True), strict=True)
        }
        values = self.values[:, chosen].ravel()
        return pa.table({**labels, "timestamp": np.tile(times, len(self.series)), "value": values})


def _repeated(labels: pa.DictionaryArray, times: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.repeat(np.asarray(labels.indices), times), labels.dictionary)


def fleet(*, end: int, days: int = 15, hosts: int = 20, incidents: int = 3, seed: int = 7) -> Fleet:
    """A fleet's telemetry for the `days` before `end`, a point a minute.

    The incidents are hour-long and lie in the last day, so that what comes before is an ordinary history.
    """
    draw = np.random.default_rng(seed)
    times = np.arange(end - days * DAY, end, STEP, dtype=np.int64)
    series, rows = [], []
    for region in REGIONS:
        for host in range(hosts):
            phase = draw.normal(0, 0.15)  # the hosts of a fleet are busy at about the same time
            for metric, usual in METRICS.items():
                series.append(Series(region, f"web-{host:03d}", metric))
                rows.append(_telemetry(draw, times, phase, *usual))
    values: NDArray[np.float64] = np.stack(rows)
    happened = [_incident(draw, series, times, values) for _ in range(incidents)]
    return Fleet(series, times, np.maximum(values, 0.0).round(3), happened)


def _telemetry(
    draw: np.random.Generator, times: NDArray[np.int64], phase: float, level: float, rhythm: float, noise: float
) -> NDArray[np.float64]:
    level, rhythm = level * draw.uniform(0.8, 1.2), rhythm * draw.uniform(0.6, 1.2)
    day, week = 2 * np.pi * (times / DAY + phase / 24), 2 * np.pi * times / WEEK
    shape = np.sin(day) + 0.3 * np.sin(2 * day + draw.uniform(0, 6)) + 0.35 * np.sin(week + 1)
    slow = np.convolve(draw.normal(size=len(times) + 9), np.ones(10) / np.sqrt(10), "valid")  # busy for some minutes
    noisy = noise * (0.8 * draw.normal(size=len(times)) + 0.6 * slow)
    return level + 0.5 * rhythm * shape + noisy


def _incident(
    draw: np.random.Generator, series: list[Series], times: NDArray[np.int64], values: NDArray[np.float64]
) -> Incident:
    """Push one host's metric well above its usual for an hour, with a quarter of an hour to get there."""
    which = int(draw.integers(len(series)))
    start = int(draw.integers(len(times) - 20 * 60, len(times) - 2 * 60))
    noise = METRICS[series[which].metric][2]
    values[which, start : start + 60] += 10 * noise * np.minimum(np.arange(60) / 15, 1.0)
    return Incident(series[which], int(times[start]), int(times[start]) + 3600)
