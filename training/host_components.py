"""Fitting host components, and how far each host departs from them in the part of its history that is held out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myriad.models import calibration
from myriad.models.arrays import Vector
from myriad.models.host_components import MOST_METRICS, HostComponents, by_slot
from myriad.models.host_scores import MIN_METRICS, distinct, host_key
from myriad.models.key import ANY, Series
from myriad.models.points import Points
from myriad.models.windows import usual_step
from myriad.training.plan import Plan


class HostFit(NamedTuple):
    """The components of one host.

    Attributes:
        series: the metrics they are of.
        components: fitted to the whole history.
        step: seconds of a slot.
        slots: held out, rising, timestamps // step, int64 (n,).
        departures: in these, from components that were fitted to the slots before, float64 (n,).
    """

    series: Sequence[Series]
    components: HostComponents
    step: int
    slots: NDArray[np.int64]
    departures: Vector


def fit_hosts(plan: Plan, series: Sequence[Series], history: Points) -> dict[Series, HostFit]:
    """The components of each host of `MIN_METRICS` metrics or more, `MOST_METRICS` at most, by the host's series.

    Args:
        plan: what part of a history is held out.
        series: names, one a series of the history.
        history: tidied points, values finite.
    """
    members: dict[Series, list[int]] = {}
    for i, one in enumerate(series):
        if ANY not in one:
            members.setdefault(host_key(one), []).append(i)
    steps, found = usual_step(history), dict[Series, HostFit]()
    for host, some in members.items():
        if MIN_METRICS <= len(some) <= MOST_METRICS:
            step = int(np.median(steps[some]))
            if fit := _fit(plan, [series[i] for i in some], history.take(np.array(some)), step):
                found[host] = fit
    return found


def _fit(plan: Plan, series: Sequence[Series], points: Points, step: int) -> HostFit | None:
    """The components of these metrics; None where too little is held out, or a metric begins after the rest."""
    values = by_slot(points, step)
    slots, slot = distinct(points.timestamps // step)
    held_out = int(np.ceil(len(slots) * (1 - plan.holdout)))
    early, late = values[:held_out], slot >= held_out
    if len(slots) - held_out < calibration.MIN_HOLDOUT or not np.isfinite(early).any(axis=0).all():
        return None
    departures = HostComponents.fit(early, step).departures(
        points.timestamps[late], points.values[late], points.owner[late], step
    )
    return HostFit(series, HostComponents.fit(values, step), step, slots[held_out:], departures)
