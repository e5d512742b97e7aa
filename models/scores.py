"""Scores: what became of a query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.scoring import NO_MODEL
from myriad.models.status import STATUSES, Status
from myriad.models.windows import Window

REASONS = 3
"""Metrics that are named as the reason of a host's score."""


@dataclass(frozen=True, slots=True)
class HostScores:
    """A host's scores.

    Attributes:
        region: of the host.
        host: its name.
        status: "ok", "insufficient_data", "load_failed", or "no_model" for a host of which fewer than two metrics have
            models of their own.
        timestamps: epoch seconds, rising, int64 (n,).
        scores: float64 (n,), NaN where too few metrics have one; above 1 is rarer than the target rate.
        metrics: how many metrics have a score at each timestamp, int64 (n,).
        metrics_with_models: how many of the host's metrics have models.
        why: the metrics that have most part in the largest of the scores, at most `REASONS`, the first most.
    """

    region: str
    host: str
    status: Status
    timestamps: NDArray[np.int64]
    scores: NDArray[np.float64]
    metrics: NDArray[np.int64]
    metrics_with_models: int
    why: tuple[str, ...] = ()


class Scores(NamedTuple):
    """The scores of n points of some series at W windows.

    Attributes:
        release: that answered.
        windows: those asked for, in the release's order.
        block: rows of n: the calibrated combination, NaN where no window could be scored, each window's own score, each
            window's expected value, where bands were asked for the lower and then the upper edge, outside of which
            a window's score is above 1, of each, and where they were asked for the scores as alerts count them;
            float64 (1 + 2 or 4 x W, or one more, n).
        counts: how many points of each series have a score at each window, int64 (series, W).
        status: of each series, as positions in `STATUSES`, u1 (series,).
        level: 0 for a series' own models, above that for a fallback's, u1 (series,).
        adapter: of each series and window the position in `adapters`, or `NO_MODEL`, u1 (series, W); where asked for.
        adapters: names.
        failed: why the shard of a series could not be opened, by position.
        coverage: the share of its points that a window needs.
        hosts: where asked for, in the order in which they first occur.
    """

    release: str
    windows: tuple[Window, ...]
    block: NDArray[np.float64]
    counts: NDArray[np.int64]
    status: NDArray[np.uint8]
    level: NDArray[np.uint8]
    adapter: NDArray[np.uint8] | None
    adapters: tuple[str, ...]
    failed: Mapping[int, str]
    coverage: float
    hosts: Sequence[HostScores]

    @property
    def score(self) -> NDArray[np.float64]:
        """The calibrated combination, float64 (n,)."""
        return self.block[0]

    @property
    def by_window(self) -> NDArray[np.float64]:
        """Each window's own score, float64 (W, n)."""
        return self.block[1 : 1 + len(self.windows)]

    @property
    def expected(self) -> NDArray[np.float64]:
        """Each window's expected value, float64 (W, n)."""
        return self.block[1 + len(self.windows) : 1 + 2 * len(self.windows)]

    @property
    def bands(self) -> NDArray[np.float64] | None:
        """The lower and upper edges of each window, float64 (2, W, n); None where they were not asked for."""
        edges = self.block[1 + 2 * len(self.windows) : 1 + 4 * len(self.windows)]
        return edges.reshape(2, len(self.windows), -1) if len(edges) > 1 else None

    @property
    def alerts(self) -> NDArray[np.float64] | None:
        """The scores as alerts count them, float64 (n,); None where they were not asked for."""
        return None if len(self.block) % 2 else self.block[-1]

    def tally(self, bad: int = 0) -> dict[str, int]:
        """How many series have each status; `bad` are the series of the request that are not in the query."""
        counts = zip(STATUSES, np.bincount(self.status, minlength=len(STATUSES)).tolist(), strict=True)
        tally = {status.value: count for status, count in counts if count}
        return {**tally, Status.BAD_SERIES.value: bad} if bad else tally

    def missing(self, i: int) -> dict[Window, str]:
        """The windows at which no point of series i has a score, and why."""
        if self.adapter is None:
            raise ValueError("it was not asked for which models are used")
        scored = (self.counts[i] > 0).tolist()
        return missing_windows(self.windows, self.adapter[i].tolist(), scored, self.coverage, self.failed.get(i))


def missing_windows(
    windows: tuple[Window, ...],
    codes: Sequence[int],
    scored: Sequence[bool],
    coverage: float,
    failure: str | None = None,
) -> dict[Window, str]:
    """The windows at which no point of a series has a score, and why.

    Args:
        windows: asked for.
        codes: the code of the adapter at each, or `NO_MODEL`.
        scored: whether a point has a score at each.
        coverage: the share of its points that a window needs.
        failure: why the shard could not be opened, if it could not.
    """
    if all(code == NO_MODEL for code in codes):
        return dict.fromkeys(windows, failure or "there is no model")
    low = f"no point has {coverage:.0%} of the points before it in the window"
    return {
        window: "there is no model at this window" if code == NO_MODEL else low
        for window, code, has_scores in zip(windows, codes, scored, strict=True)
        if not has_scores
    }
