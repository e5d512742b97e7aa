"""Groups: rows by a number they have, by counting; the twin of `_groups.pyx`."""

import numpy as np

from myriad.kernels.arrays import Integers


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
