"""Local time: what the clocks of a release tell at the points of a query."""

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.groups import by_number
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.storage.release import Manifest


def local_times(manifest: Manifest, names: Names, points: Points) -> NDArray[np.int64] | None:
    """The local time of each point by its region's clock, seconds, int64 (n,); None where the release has no clocks.

    Args:
        manifest: the release.
        names: the series of the points, in their order.
        points: of these.
    """
    if not manifest.clocks:
        return None
    of_regions = [manifest.clock_of(region) for region in names.parts[0]]
    number = {clock: i for i, clock in enumerate(dict.fromkeys(of_regions))}
    of_points = np.repeat(np.array([number[one] for one in of_regions], np.int64)[names.codes[0]], points.lengths)
    order, offsets = by_number(of_points, len(number))
    local = points.timestamps.copy()
    for one, i in number.items():
        if one is not None:
            mine = order[offsets[i] : offsets[i + 1]]
            local[mine] = one.clock.local(points.timestamps[mine])
    return local
