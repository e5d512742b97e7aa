"""Alert scores: the scores of a query as alerts count them, in the light of each host and tired of what pages often."""

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.alerting import tired
from myriad.models.arrays import Vector
from myriad.models.host_scores import with_host
from myriad.models.names import Names
from myriad.models.points import Points


def alert_scores(names: Names, points: Points, score: Vector, steps: NDArray[np.int64]) -> Vector:
    """The scores as alerts count them, (n,); NaN where there is no score.

    A series' tiredness starts with its first point in the query.

    Args:
        names: the series.
        points: of these.
        score: of each point, (n,), NaN where there is none.
        steps: seconds between the points of each series, (series,).
    """
    regions, hosts, _ = names.codes.astype(np.int64)
    _, host = np.unique(regions * len(names.parts[1]) + hosts, return_inverse=True)
    slot = np.full(host.max() + 1 if len(host) else 0, np.iinfo(np.int64).max)
    np.minimum.at(slot, host, steps)
    owner = points.owner
    counted = with_host(points.timestamps, score, host[owner], slot[host[owner]])
    times = np.ascontiguousarray(points.timestamps)
    return np.where(np.isnan(score), np.nan, tired(times, counted, points.offsets))
