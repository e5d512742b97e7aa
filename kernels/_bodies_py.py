"""Bodies: the usual request body as arrays; the twin of `_bodies.pxi`."""

import re
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from myriad.kernels.arrays import Integers, Vector

MAX_MAGNITUDE = 1e150
"""No larger value is scored, see `models.points`."""
LATEST = 7_258_118_400
"""The year 2200: nothing later is a time telemetry is from."""
MILLISECONDS_FROM = 100_000_000_000
"""A number this large is milliseconds; a thousand and a million times that, micro- and nanoseconds."""
MOST_CHARACTERS = 200
"""Of a name, which has none of these characters, see `models.key`."""
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
Parsed = tuple[str, str, str, Integers, Vector, list[str] | None, str, bool, int]


class _Point(Struct, gc=False, forbid_unknown_fields=True):
    timestamp: int | float
    value: float | None


class _Body(Struct, forbid_unknown_fields=True):
    region: str
    host: str
    metric: str
    datapoints: list[_Point]
    windows: list[str] | None = None
    combine: str = "weighted"
    bands: bool = False
    digits: Annotated[int, Meta(ge=0, le=17)] = 0


_DECODER = msgspec.json.Decoder(_Body)
_TEXTS = msgspec.json.Decoder(list[str])


def one_series(body: bytes, most: int) -> Parsed | None:
    """The usual request: datapoints of one series, as JSON.

    It has region, host, metric and datapoints, each with a timestamp, a number, and a value, and may have windows,
    combine, bands and digits. A datapoint whose value is null is left out.

    Args:
        body: of the request.
        most: datapoints there may be.

    Returns:
        Region, host, metric, times, int64 epoch seconds that rise, values, float64 and finite, windows, combine, bands
        and digits. None for any other request, and for one that is not tidy: times that do not rise or are none, values
        beyond 1e150, nothing with a value, a key twice, names that no series can have or that are a fallback's. Windows
        and combine are not checked.
    """
    try:
        parsed = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    points = parsed.datapoints
    if not points or len(points) > most:
        return None
    stamps = np.array([point.timestamp for point in points])
    values = np.array([point.value for point in points], np.float64)
    if stamps.dtype.kind not in "if" or stamps.min() < 0 or stamps.max() >= 1e18:
        return None
    fractions = [point.timestamp for point in points if isinstance(point.timestamp, float)]
    if fractions and (max(fractions) >= MILLISECONDS_FROM or stamps.max() > 1 << 53):
        return None
    times = (stamps // 1).astype(np.int64)
    for unit in (10**9, 10**6, 10**3):
        times = np.where(stamps >= MILLISECONDS_FROM * (unit // 1000), stamps // unit, times).astype(np.int64)
        stamps = np.where(stamps >= MILLISECONDS_FROM * (unit // 1000), 0, stamps)
    kept = ~np.isnan(values)
    known = times[kept]
    names = (parsed.region, parsed.host, parsed.metric)
    if parsed.region == "*" or not all(0 < len(one) <= MOST_CHARACTERS and not _FORBIDDEN.search(one) for one in names):
        return None
    untidy = times.max() > LATEST or not kept.any() or (np.diff(known) <= 0).any()
    if untidy or np.abs(values[kept]).max() > MAX_MAGNITUDE:
        return None
    options = (parsed.windows, parsed.combine, parsed.bands, parsed.digits)
    return (*names, known, values[kept], *options)


def _texts_of(raw: bytes) -> list[str] | None:
    """A list of texts in JSON; None where they are no UTF-8."""
    try:
        return _TEXTS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
