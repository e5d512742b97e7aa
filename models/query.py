"""Query: what to score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myriad.models.ensemble import Combine
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.windows import Window


@dataclass(frozen=True, slots=True)
class Query:
    """What to score.

    Attributes:
        names: the series of the points, in their order.
        points: tidied.
        windows: to score at; all of the release's where None.
        combine: how the windows' scores become one.
        values: the value of each window at each point, float64 (n,), where the points have been aggregated already.
        bands: whether the bands are wanted too.
        hosts: whether the scores of hosts are.
        models: whether it is wanted which models were used.
        alerts: whether the scores are wanted as alerts count them too.
    """

    names: Names
    points: Points
    windows: tuple[Window, ...] | None = None
    combine: Combine = "weighted"
    values: dict[Window, NDArray[np.float64]] | None = None
    bands: bool = False
    hosts: bool = False
    models: bool = False
    alerts: bool = False
