"""JSON text: numbers in JSON, as few digits as they need or so many; the twin of `_json_text.pxi`."""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

MOST_DIGITS = 17
"""More no float64 has."""


def written(parts: Sequence[bytes | NDArray[Any]], digits: int = 0) -> bytes:
    """One text of the parts, one after the other: bytes as they are, arrays as lists; NaN and infinities as null.

    Rounded, a value below 1 never reads as 1, nor does one above: a score above 1 is an alert.

    Args:
        parts: arrays are float64 or int64, (n,), contiguous.
        digits: significant digits of floats, from 1 to 17; 0 for as few as give the same float64 when they are read.

    Raises:
        ValueError: an array is of another kind, or so many digits there are not.
    """
    if not 0 <= digits <= MOST_DIGITS:
        raise ValueError(f"a number has up to {MOST_DIGITS} digits")
    return b"".join(part if isinstance(part, bytes) else _list(part, digits) for part in parts)


def columns(
    times: NDArray[np.int64],
    block: NDArray[np.float64],
    first: int,
    end: int,
    between: Sequence[bytes],
    digits: int = 0,
) -> bytes:
    """The text of times and of the first rows of a block, each of the columns from `first` to `end` as a list.

    Args:
        times: (n,).
        block: (rows, n).
        first: of the columns.
        end: of the columns.
        between: the text before the times, before each row that is wanted, and after the last.
        digits: as in `written`.

    Raises:
        ValueError: there are no such columns.
    """
    if not 0 <= first <= end <= len(times) or end > block.shape[1] or not 1 <= len(between) <= len(block) + 2:
        raise ValueError("there are no such columns")
    parts: list[bytes | NDArray[Any]] = [between[0]]
    for array, after in zip([times, *block], between[1:], strict=False):
        parts += (array[first:end], after)
    return written(parts, digits)


def _list(array: NDArray[Any], digits: int) -> bytes:
    if array.ndim != 1 or array.dtype not in (np.float64, np.int64) or not array.flags.c_contiguous:
        raise ValueError("an array is not a contiguous row of float64 or int64")
    if digits and array.dtype == np.float64:
        return b"[" + b",".join(_rounded(value, digits) for value in array.tolist()) + b"]"
    return msgspec.json.encode(array.tolist())


def _rounded(value: float, digits: int) -> bytes:
    if not math.isfinite(value):
        return b"null"
    exact = Decimal(repr(value))
    rounded = exact.normalize(Context(prec=digits, rounding=ROUND_HALF_UP))
    if abs(exact) < 1 <= abs(rounded):
        rounded = (1 - Decimal(10) ** -digits).copy_sign(exact)
    elif abs(exact) > 1 >= abs(rounded):
        rounded = (1 + Decimal(10) ** (1 - digits)).copy_sign(exact)
    sign, figures, exponent = rounded.as_tuple()
    return _decimal(bool(sign), "".join(map(str, figures)), int(exponent)).encode()


def _decimal(negative: bool, figures: str, exponent: int) -> str:
    """Figures times ten to the exponent, as msgspec writes them."""
    kept = figures.rstrip("0")
    exponent, point, sign = exponent + len(figures) - len(kept), len(figures) + exponent, "-" if negative else ""
    if not kept:
        return f"{sign}0.0"
    if 0 < point <= 16:
        text = f"{kept}{'0' * exponent}.0" if exponent >= 0 else f"{kept[:point]}.{kept[point:]}"
    elif -5 < point <= 0:
        text = f"0.{'0' * -point}{kept}"
    else:
        text = f"{kept[0]}{'.' if kept[1:] else ''}{kept[1:]}e{point - 1}"
    return sign + text
