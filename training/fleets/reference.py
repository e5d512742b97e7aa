"""The reference fleet: plausible fitted models of any number of series, drawn directly as arrays.

What real fitting leaves in a profile is imitated, so that sizes and times mean something: daily shapes of several
kinds, weekends, sizes and noise over orders of magnitude, hour-of-week effects only where they would have been
believed, and the estimation noise of three weeks' history in every number.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from myriad import adapters
from myriad.models.base import Model
from myriad.models.ensemble import COMBINES
from myriad.models.key import Series
from myriad.models.windows import DEFAULT_WINDOWS
from myriad.storage.shard import Entries
from myriad.training.plan import Plan

PLAN = Plan()
METRICS = (
    "cpu_util", "mem_util", "disk_util", "disk_io_ms", "net_rx_mb", "net_tx_mb", "load_1m", "req_rate",
    "req_latency_ms", "error_rate",
)  # fmt: skip
REGIONS = (
    "us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-south-1", "ap-northeast-1", "sa-east-1", "ca-central-1",
    "af-south-1", "me-south-1",
)  # fmt: skip
NAMES = ("ewma", "rhythm", "seasonal")
SHARES = (0.2, 0.4, 0.4)
"""Of the series, by adapter."""
WEEKLY_SHARE = 0.17
"""Of hour-of-week effects, those that are believed: as in models fitted to 16 days of the Server Machine Dataset."""
FITTED_AT, HISTORY = 1_767_571_200, 21 * 86400
HISTORY_DAYS, HOURS = 21, np.arange(24)


def fleet(series: int, seed: int) -> Iterator[tuple[str, Entries]]:
    """Regions of the same size with their entries, `series` in all, each host with the ten metrics."""
    hosts = max(1, series // (len(REGIONS) * len(METRICS)))
    for number, region in enumerate(REGIONS):
        yield region, entries(region, hosts, np.random.default_rng([seed, number]))


def entries(region: str, hosts: int, draw: np.random.Generator) -> Entries:
    """The entries of a region of `hosts` hosts."""
    n, w = hosts * len(METRICS), len(DEFAULT_WINDOWS)
    names = [Series(region, f"{_role(i)}-{i:05d}", metric) for i in range(hosts) for metric in METRICS]
    metric = np.tile(np.arange(len(METRICS)), hosts)
    of_series = draw.choice(len(NAMES), n, p=SHARES).astype(np.uint8)
    adapter = np.repeat(of_series[:, None], w, axis=1)
    row = sum(np.cumsum(adapter == code, axis=0) * (adapter == code) for code in range(len(NAMES))) - 1
    models: dict[tuple[int, int], Model] = {}
    traits = _Traits(metric, np.repeat(np.arange(hosts), len(METRICS)), draw)
    for window, seconds in enumerate(DEFAULT_WINDOWS):
        smooth = np.sqrt(seconds / 60) ** 0.7  # correlated noise averages out less
        for code, fitted in enumerate((_ewma, _rhythm, _seasonal)):
            models[window, code] = fitted(traits.take(of_series == code), smooth, draw)
    combined = np.ones((n, len(COMBINES), 1 << w), np.float16)
    joint = [mask for mask in range(1 << w) if mask.bit_count() > 1]
    combined[:, :, joint] = np.clip(draw.normal([[0.85], [0.7], [1.05]], 0.08, (n, 3, len(joint))), 0.2, 2)
    return Entries(
        series=names,
        step=np.full(n, 60, np.int64),
        points=np.full(n, HISTORY // 60, np.int64),
        fitted_at=np.full(n, FITTED_AT, np.int64),
        history=np.tile(np.array([FITTED_AT - HISTORY, FITTED_AT - 60], np.int64), (n, 1)),
        adapter=adapter,
        row=row,
        combined=combined,
        windows=DEFAULT_WINDOWS,
        adapters=NAMES,
        models=models,
    )


class _Traits:
    """What is peculiar to each series: size, rhythm and noise; arrays of one row each."""

    def __init__(self, metric: NDArray[np.int64], host: NDArray[np.int64], draw: np.random.Generator) -> None:
        n, hosts = len(metric), int(host.max()) + 1
        kind = draw.integers(0, 5, hosts)[host]  # of the host: office hours, evenings, nightly batches, flat, two peaks
        phase = draw.normal(0, 1, hosts)[host] + draw.normal(0, 0.3, n)
        hour = HOURS[None, :] - phase[:, None]
        shapes = np.stack(
            [
                np.clip(np.sin((hour - 6) * np.pi / 12), -0.3, 1),
                np.exp(-(((hour - 20) % 24 - 12) ** 2 - 144) / -30) - 1,
                np.where(np.abs(hour % 24 - 3) < 1.5, 1.0, 0.0),
                np.zeros_like(hour),
                np.sin(hour * np.pi / 12) + 0.6 * np.sin(hour * np.pi / 6),
            ]
        )
        self.level = 10 ** draw.uniform(-1, 4, len(METRICS))[metric] * draw.lognormal(0, 0.3, n)
        self.noise = self.level * draw.lognormal(-3, 0.6, n)
        strength = draw.lognormal(1.2, 0.7, n)[:, None]  # of the rhythm, in spreads
        self.hour = shapes[kind, np.arange(n)] * strength
        weekend = -draw.uniform(0, 0.6, hosts)[host][:, None] * strength * (draw.random(n) < 0.7)[:, None]
        self.day = np.concatenate([np.zeros((n, 5)), np.repeat(weekend, 2, axis=1)], axis=1)
        self.weekly = draw.random(n) < 0.15  # jobs at an hour of the week

    def take(self, chosen: NDArray[np.bool_]) -> "_Traits":
        """Those of some series."""
        some = object.__new__(_Traits)
        some.__dict__ = {name: values[chosen] for name, values in self.__dict__.items()}
        return some


def _seasonal(traits: _Traits, smooth: float, draw: np.random.Generator) -> Model:
    n, kind = len(traits.level), adapters.get("seasonal")
    spread = traits.noise / smooth
    error = smooth / np.sqrt(60)  # of an hour's mean, in spreads
    hour = traits.hour * smooth + draw.normal(0, error / np.sqrt(HISTORY_DAYS), (n, 24))
    day = traits.day * smooth + draw.normal(0, error / np.sqrt(24 * HISTORY_DAYS / 7), (n, 7))
    believed = draw.random((n, 168)) < WEEKLY_SHARE
    week = np.where(believed, draw.normal(0, 2 * error, (n, 168)), 0.0)
    jobs = traits.weekly[:, None] & (draw.random((n, 168)) < 0.02)
    week += np.where(jobs, draw.normal(0, 5, (n, 168)) * smooth, 0.0)
    arrays = {
        "center": traits.level,
        "unit": spread,
        "hour": np.round(hour * 32) / 32,
        "day": np.round(day * 32) / 32,
        "week": np.round(week * 32) / 32,
        "spread": np.clip(1 + draw.normal(0, 0.05, (n, 24)) + 0.3 * np.abs(traits.hour) / 5, 0.3, 5),
    }
    threshold = np.clip(draw.lognormal(1.5, 0.15, n), 3, 40)
    return kind.uncalibrated(arrays).calibrated(threshold, traits.level * 0.012)


def _rhythm(traits: _Traits, smooth: float, draw: np.random.Generator) -> Model:
    n, kind = len(traits.level), adapters.get("rhythm")
    error = smooth / np.sqrt(30 * HISTORY_DAYS)
    shape = np.repeat(traits.hour, 2, axis=1) * smooth + draw.normal(0, error, (n, 48))
    arrays = {
        "level": traits.level * (1 + draw.normal(0, 0.02, n)),
        "spread": traits.noise / smooth,
        "alpha": 1 - 0.5 ** (60 / draw.choice([30, 240, 900, 3600, 21_600, 86_400], n)),
        "uncertainty": draw.lognormal(1, 0.3, n),
        "widening": np.full(n, 1 - 0.5 ** (60 / 86_400)),
        "profile": np.where(draw.random((n, 1)) < 0.8, shape, 0.0),  # of some no rhythm is believed
    }
    threshold = np.clip(draw.lognormal(1.5, 0.15, n), 3, 40)
    return kind.uncalibrated(arrays).calibrated(threshold, traits.level * 0.012)


def _ewma(traits: _Traits, smooth: float, draw: np.random.Generator) -> Model:
    n, kind = len(traits.level), adapters.get("ewma")
    arrays = {
        "level": traits.level * (1 + draw.normal(0, 0.02, n)),
        "spread": traits.noise / smooth,
        "alpha": draw.choice([0.01, 0.03, 0.1, 0.3, 0.6, 0.9], n),
        "uncertainty": draw.lognormal(1, 0.3, n),
    }
    threshold = np.clip(draw.lognormal(1.5, 0.15, n), 3, 40)
    return kind.uncalibrated(arrays).calibrated(threshold, traits.level * 0.012)


def _role(host: int) -> str:
    return ("web", "api", "db", "cache", "batch")[host % 5]
