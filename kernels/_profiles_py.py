"""Profiles: what repeats each day or week; the twin of `_profiles.pxi`.

Series are ragged: series i owns `offsets[i]:offsets[i + 1]` of the times and of the values. Times are those of a clock,
which may go back.
"""

import numpy as np

from myriad.kernels.arrays import Integers, Matrix, Vector


def period_means(
    times: Integers, values: Vector, offsets: Integers, sizes: Vector, apart: int, bins: int, most: int
) -> Matrix:
    """Means of the bins of each period over a size, (series, periods, bins), NaN where there are no points.

    The values of a bin that follow each other are added up in two sums, every other value in each.

    The last period of each series is that of its latest time; there are as many as the longest series has, `most` at
    most. Older points count as those of the first.

    Args:
        times: (n,).
        values: finite, (n,).
        offsets: (series + 1,).
        sizes: that the means are divided by, (series,).
        apart: seconds a bin lasts.
        bins: of a period, which begins where the time is a multiple of all its bins.
        most: periods.
    """
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    cell, periods = _cells(times, offsets, apart, bins, most)
    begins = np.flatnonzero(np.diff(owner * (1 << 40) + times // apart, prepend=-1))  # of runs in the same bin
    run = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(cell)))
    odd = (np.arange(len(cell)) - begins[run]) % 2
    even_sums, odd_sums = (np.bincount(run, np.where(odd == lane, values, 0.0), len(begins)) for lane in (0, 1))
    count = len(lengths) * periods * bins
    sums = np.bincount(cell[begins], even_sums + odd_sums, count)
    counts = np.bincount(cell, minlength=count)
    means = np.divide(sums, counts, out=np.full(count, np.nan), where=counts > 0)
    return means.reshape(len(lengths), periods, bins) / sizes[:, None, None]


def period_maxima(times: Integers, values: Vector, offsets: Integers, apart: int, bins: int, most: int) -> Matrix:
    """The largest value in the bins of each period, (series, periods, bins), NaN where there are none.

    Args:
        times: (n,).
        values: (n,); NaN is left out.
        offsets: as for `period_means`, as are all below.
        apart: likewise.
        bins: likewise.
        most: likewise.
    """
    cell, periods = _cells(times, offsets, apart, bins, most)
    maxima = np.full((len(offsets) - 1) * periods * bins, np.nan)
    np.fmax.at(maxima, cell, values)
    return maxima.reshape(-1, periods, bins)


def _cells(times: Integers, offsets: Integers, apart: int, bins: int, most: int) -> tuple[Integers, int]:
    """Which bin of all periods of all series each point is in, (n,), and how many periods each series has."""
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    period, place = np.divmod(times // apart, bins)
    last = np.full(len(lengths), np.iinfo(np.int64).min)
    np.maximum.at(last, owner, period)
    ago = np.minimum(last[owner] - period, most - 1)
    periods = int(ago.max(initial=0)) + 1
    return (owner * periods + periods - 1 - ago) * bins + place, periods


def less_profile(
    times: Integers,
    values: Vector,
    offsets: Integers,
    sizes: Vector,
    starts: Matrix,
    ends: Matrix,
    apart: int,
    first: int,
) -> Vector:
    """Values without what a periodic profile has at their time, (n,): value / size - profile.

    Args:
        times: (n,).
        values: (n,).
        offsets: (series + 1,).
        sizes: (series,).
        starts: the profile at the start of each bin, (series, bins).
        ends: just before its end, (series, bins); linear between.
        apart: seconds of a bin.
        first: seconds after the epoch at which a first bin begins.
    """
    owner = np.repeat(np.arange(len(sizes)), np.diff(offsets))
    place, since = np.divmod(times - first, apart)
    low = starts[owner, place % starts.shape[1]]
    rise = (ends[owner, place % starts.shape[1]] - low) / apart
    return values / sizes[owner] - (low + rise * since)
