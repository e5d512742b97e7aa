"""Groups: rows by a number they have, by counting; the twin of `_groups.pxi`."""

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.arrays import Integers, Vector


def by_number(numbers: Integers, size: int) -> tuple[Integers, Integers]:
    """The rows of each number, in their order.

    Args:
        numbers: from 0 to size - 1, (n,).
        size: how many numbers there may be.

    Returns:
        The rows, (n,), number after number; and where those of each begin and end, (size + 1,).

    Raises:
        ValueError: a number is another.
    """
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < size):
        raise ValueError(f"a number is not between 0 and {size - 1}")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=size))]).astype(np.int64)
    return np.argsort(numbers, kind="stable"), offsets


def placed(numbers: Integers, starts: Integers, times: Integers, values: Vector) -> tuple[Integers, Vector]:
    """The points by the number they have, those of each in their order: times and values, both (n,).

    Args:
        numbers: from 0 to size - 1, (n,).
        starts: where the points of each number begin, (size,): there is room for them up to where others do.
        times: (n,).
        values: (n,).

    Raises:
        ValueError: a number is another, or there is no room.
    """
    order, offsets = by_number(numbers, len(starts))
    places = np.arange(len(numbers)) - np.repeat(offsets[:-1] - starts, np.diff(offsets))
    if len(times) != len(numbers) or len(values) != len(numbers) or not ((places >= 0) & (places < len(times))).all():
        raise ValueError("a row has no place")
    placed_times, placed_values = np.empty_like(times), np.empty_like(values)
    placed_times[places], placed_values[places] = times[order], values[order]
    return placed_times, placed_values


def numbered(
    regions: NDArray[np.int32], hosts: NDArray[np.int32], metrics: NDArray[np.int32], of_hosts: int, of_metrics: int
) -> Integers:
    """A number for each row, the same where all its labels are, (n,): (region * hosts + host) * metrics + metric.

    Args:
        regions: (n,), as are the two below.
        hosts: from 0 to of_hosts - 1.
        metrics: from 0 to of_metrics - 1.
        of_hosts: how many hosts there are.
        of_metrics: how many metrics.

    Raises:
        ValueError: they differ in length.
    """
    if not len(regions) == len(hosts) == len(metrics):
        raise ValueError("rows lack a label")
    return (regions.astype(np.int64) * of_hosts + hosts) * of_metrics + metrics
