"""Gates: limits on the records of a release that are to hold before it is trusted."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from myriad.models.key import Series
from myriad.training.records import SERIES

ENOUGH_ALARMS = 5
"""A realised rate tells something where at least this many false alarms are expected among the held-out points."""

LACKING_NAMED = 3

Gate = Callable[[pa.Table, float, float], str | None]


def check(table: pa.Table, rate: float, gates: Mapping[str, float]) -> list[str]:
    """A sentence for each gate that fails, with the figure and the limit.

    Args:
        table: the records of the release.
        rate: of false alarms, the target.
        gates: limits by name, of `GATES`.
    """
    found = (GATES[name](table, rate, limit) for name, limit in gates.items())
    return [failure for failure in found if failure]


def refused_series(table: pa.Table) -> tuple[int, int]:
    """How many series lack a model at some window, and how many there are."""
    by_series = table.select([*SERIES, "refused"]).group_by(list(SERIES))
    lacking = table.filter(pc.not_equal(table["refused"].cast(pa.string()), "")).group_by(list(SERIES)).aggregate([])
    return lacking.num_rows, by_series.aggregate([]).num_rows


class Lacking(NamedTuple):
    """Series that lack a model at some window for the same reason: how many, and the names of the first few."""

    series: int
    first: list[str]


def reasons(table: pa.Table) -> dict[str, Lacking]:
    """The series that lack a model at some window, by reason, the most frequent first."""
    lacking = table.filter(pc.not_equal(table["refused"].cast(pa.string()), "")).select([*SERIES, "refused"])
    by_series = lacking.group_by([*SERIES, "refused"], use_threads=False).aggregate([])
    why = by_series["refused"].to_pylist()
    first: dict[str, list[str]] = {}
    for i, reason in enumerate(why):
        if len(named := first.setdefault(reason, [])) < LACKING_NAMED:
            named.append(str(Series(*(by_series[part][i].as_py() for part in SERIES))))
    return {reason: Lacking(count, first[reason]) for reason, count in Counter(why).most_common()}


def calibration_factor(table: pa.Table, rate: float) -> float | None:
    """How many times the target the realised rate is; None where all held-out points together are too few to tell.

    The median over the models that can tell by themselves, which a few bad series do not move; where none can, that
    of all held-out points together.
    """
    realised, held = realised_rates(table)
    expected = held * rate
    if (expected >= ENOUGH_ALARMS).any():
        return float(np.median(realised[expected >= ENOUGH_ALARMS])) / rate
    if expected.sum() >= ENOUGH_ALARMS:
        return float(np.average(realised, weights=held)) / rate
    return None


def realised_rates(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The realised rate of each model that has one, and how many held-out points it is of."""
    known = table.select(["realised_rate", "held_out"]).drop_null()
    return known["realised_rate"].to_numpy(), known["held_out"].to_numpy()


def _failed(table: pa.Table, _: float, limit: float) -> str | None:
    lacking, there = refused_series(table)
    share = lacking / max(there, 1)
    if share <= limit:
        return None
    return f"failed: {lacking:,} of {there:,} series ({share:.2%}) lack a model, more than the {limit:.2%} allowed"


def _calibrated(table: pa.Table, rate: float, limit: float) -> str | None:
    factor = calibration_factor(table, rate)
    if factor is None or factor <= limit:
        return None
    return (
        f"calibration_factor: false alarms on held-out points are {factor:.3g} times the target of {rate:g}, "
        f"more than the {limit:g} times allowed"
    )


def _small(table: pa.Table, _: float, limit: float) -> str | None:
    mean = pc.mean(table["bytes"]).as_py()
    if mean is None or mean <= limit:
        return None
    return f"bytes: a model takes {mean:,.1f} bytes on average, more than the {limit:,g} allowed"


GATES: Mapping[str, Gate] = {"failed": _failed, "calibration_factor": _calibrated, "bytes": _small}
"""`failed`: the largest share of series that lack a model at some window; `calibration_factor`: the largest ratio of
the realised rate to the target; `bytes`: the largest mean of a row's bytes, before compression."""
