"""Tables: bodies of many datapoints as columns, and columns as text; the twin of `_tables.pxi`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from myriad.kernels._bodies_py import LATEST, MAX_MAGNITUDE, MILLISECONDS_FROM
from myriad.kernels._json_text_py import columns
from myriad.kernels.arrays import Integers, Matrix

_OPTIONS = ("windows", "combine", "bands", "hosts", "alerts", "digits")
_LABELS = ("region", "host", "metric")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXTS = msgspec.json.Decoder(list[str | None])
_STAMPS = msgspec.json.Decoder(list[int | float])


class _Row(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    region: str
    host: str
    metric: str
    timestamp: int | float
    value: float | None


_ROWS = msgspec.json.Decoder(list[_Row])
_NUMBERS = msgspec.json.Decoder(list[float | None])


def columns_of(body: bytes, most: int) -> dict[str, Any] | None:
    """A table in JSON, a list a column.

    Args:
        body: one object: lists of labels, of timestamps and of numbers, all of the same length, and options.
        most: rows there may be.

    Returns:
        By name: of region, host and metric the distinct texts and the position of each row's among them, int64, -1
        where it has none; of timestamp epoch seconds, int64; of any other column float64, NaN where there is none;
        options as they stand. None for a body that is not tidy: times that are text or none, nothing at all.
    """
    found: dict[str, Any] = {}
    try:
        for name, raw in _FIELDS.decode(body).items():
            if name in _OPTIONS:
                found[name] = bytes(raw)
            elif name in _LABELS:
                texts = _TEXTS.decode(raw)
                words = [*dict.fromkeys(text for text in texts if text is not None)]
                place: dict[str | None, int] = {None: -1, **{text: at for at, text in enumerate(words)}}
                found[name] = words, np.array([place[text] for text in texts], np.int64)
            elif name == "timestamp":
                found[name] = _seconds(_STAMPS.decode(raw))
            else:
                found[name] = np.array(_NUMBERS.decode(raw), np.float64)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    columns = [column[1] if isinstance(column, tuple) else column for column in found.values()]
    lengths = {len(column) for column in columns if not isinstance(column, bytes)}
    return found if len(lengths) <= 1 and 0 < max(lengths, default=1) <= most else None


def rows_of(body: bytes, most: int) -> dict[str, Any] | None:
    """Datapoints in JSON, each with its labels.

    Args:
        body: one object: `datapoints`, each with region, host, metric, timestamp and value, and options.
        most: datapoints there may be.

    Returns:
        Options as they stand, and under `datapoints` the distinct regions, hosts and metrics, the positions of each
        row's among them, int64 (3, rows), epoch seconds, int64, and values, float64, NaN for null. None for any other
        body, and for one that is not tidy.
    """
    found: dict[str, Any] = {}
    try:
        for name, raw in _FIELDS.decode(body).items():
            if name in _OPTIONS:
                found[name] = bytes(raw)
            elif name == "datapoints":
                rows = _ROWS.decode(raw)
                labels = [[getattr(row, kind) for row in rows] for kind in _LABELS]
                words = [[*dict.fromkeys(texts)] for texts in labels]
                places = [{text: at for at, text in enumerate(distinct)} for distinct in words]
                codes = [[place[text] for text in texts] for place, texts in zip(places, labels, strict=True)]
                times, values = _seconds([row.timestamp for row in rows]), np.array([row.value for row in rows], float)
                if not 0 < len(rows) <= most or np.nanmax(np.abs(values), initial=0.0) > MAX_MAGNITUDE:
                    return None
                found[name] = words, np.array(codes, np.int64), times, values
            else:
                return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return found if "datapoints" in found else None


def series_texts(
    times: Integers,
    block: Matrix,
    offsets: Integers,
    first: int,
    end: int,
    codes: Integers,
    labels: Sequence[Sequence[bytes]],
    keys: Sequence[Sequence[bytes]],
    statuses: Sequence[bytes],
    status: NDArray[np.uint8],
    level: NDArray[np.uint8],
    kind: Integers,
    between: Sequence[Sequence[bytes]],
    after: Sequence[Sequence[bytes]],
    extras: Mapping[int, bytes],
    digits: int = 0,
) -> bytes:
    """The answers for the series from `first` to `end`, as objects in JSON with commas between them.

    Args:
        times: of the points of all series, (n,).
        block: their scores, as `scoring.score` gives them.
        offsets: series i owns `offsets[i]:offsets[i + 1]`.
        first: of the series.
        end: of the series.
        codes: of each series the position of its region, host and metric, (3, series).
        labels: regions, hosts and metrics in JSON.
        keys: the same as they stand in the keys of models.
        statuses: in JSON.
        status: position of each series' among these, (series,).
        level: whose models they are: 0 its own, 1 its region's, 2 everybody's, (series,).
        kind: of each series, (series,); all of a kind have the same texts around what is their own.
        between: of each kind the text before the times, before each row of the block, and after the last.
        after: of each kind what follows, in pieces between which the key of the series' models is put.
        extras: what else follows, by series.
        digits: as in `json_text.written`.

    Raises:
        ValueError: there are no such series or rows.
    """
    if not 0 <= first <= end <= len(offsets) - 1 or offsets[end] > len(times) or len(times) != block.shape[1]:
        raise ValueError("there are no such series")
    texts = []
    for i in range(first, end):
        region, host, metric = (part[code] for part, code in zip(labels, codes[:, i].tolist(), strict=True))
        own = [part[code] for part, code in zip(keys, codes[:, i].tolist(), strict=True)]
        key = b"/".join((own[0] if level[i] < 2 else b"*", own[1] if level[i] == 0 else b"*", own[2]))
        if len(between[kind[i]]) - 2 > len(block):
            raise ValueError("there are no such rows")
        head = b'{"region":%b,"host":%b,"metric":%b,"status":%b' % (region, host, metric, statuses[status[i]])
        middle = columns(times, block, int(offsets[i]), int(offsets[i + 1]), between[kind[i]], digits)
        texts.append(b"".join((head, middle, key.join(after[kind[i]]), extras.get(i, b""), b"}")))
    return b",".join(texts)


def _seconds(stamps: Sequence[float]) -> Integers:
    """Epoch seconds; raises ValueError for what is no time."""
    fractions = [stamp for stamp in stamps if isinstance(stamp, float)]
    if fractions and (max(fractions) >= MILLISECONDS_FROM or max(stamps) > 1 << 53):
        raise ValueError("fractions of milliseconds")
    if stamps and (min(stamps) < 0 or max(stamps) >= 10**18):
        raise ValueError("a time is none")
    given = np.array(stamps, np.float64 if fractions else np.int64)
    times = (given // 1).astype(np.int64)
    for unit in (10**9, 10**6, 10**3):
        large = given >= MILLISECONDS_FROM * (unit // 1000)
        times, given = np.where(large, given // unit, times).astype(np.int64), np.where(large, 0, given)
    if len(times) and times.max() > LATEST:
        raise ValueError("a time is none")
    return times


def coded(codes: Integers, texts: Sequence[bytes]) -> bytes:
    """A list in JSON of texts that are JSON already, by their positions.

    Args:
        codes: positions, (n,).
        texts: in JSON.

    Raises:
        IndexError: there is no such text.
    """
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(texts):
        raise IndexError("there is no such text")
    return b"[" + b",".join([texts[code] for code in codes.tolist()]) + b"]"
