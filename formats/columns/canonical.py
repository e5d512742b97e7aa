"""Columns: telemetry as other tools write it, in the types ours has."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from numpy.typing import NDArray

from myriad.formats.columns.table import LABELS
from myriad.formats.columns.timestamps import LATEST, seconds_of
from myriad.models.errors import InvalidPoints

LABEL = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema([*((name, LABEL) for name in LABELS), ("timestamp", pa.int64()), ("value", pa.float64())])
"""Of telemetry while it is read: epoch seconds; a label, timestamp or value that is none is null."""

_NUMBER = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$"


def canonical(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """A batch in the types of `SCHEMA`.

    Args:
        batch: its columns stand for region, host, metric, timestamp and value, in this order.
        names: what to call them in messages.

    Raises:
        InvalidPoints: a column is of a type it cannot be. What single rows have is never an error.
    """
    casts = (*([_label] * len(LABELS)), _timestamp, _value)
    arrays = []
    for cast, array, name in zip(casts, batch.columns, names, strict=True):
        try:
            arrays.append(cast(array, name))
        except (pa.ArrowException, UnicodeDecodeError) as exc:  # text that is not UTF-8 is found out late
            raise InvalidPoints(f"column {name!r} cannot be read: {exc}") from exc
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def moment(value: object) -> int:
    """Epoch seconds of a value of a column of timestamps; -1 where it is none, or is text, which has no order."""
    if isinstance(value, datetime):
        return int(value.timestamp()) if value.tzinfo else -1
    return int(seconds_of([value])[0]) if isinstance(value, int | float) else -1


def _label(array: pa.Array, name: str) -> pa.Array:
    if not kinds.is_dictionary(array.type) or array.dictionary.null_count:
        array = _plain(array).dictionary_encode() if not kinds.is_null(array.type) else pa.nulls(len(array), LABEL)
    given = array.dictionary
    if not (_is_text(given) or kinds.is_integer(given.type) or kinds.is_binary(given.type)):
        raise InvalidPoints(f"column {name!r} is {given.type}, not text")
    texts = given.cast(pa.string())
    texts.validate(full=True)
    return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), texts)


def _timestamp(array: pa.Array, name: str) -> pa.Array:
    array = _plain(array)
    if kinds.is_timestamp(array.type):
        if array.type.tz is None:
            raise InvalidPoints(f"column {name!r} has no time zone; make it UTC")
        whole = array.cast(pa.timestamp("s", array.type.tz), safe=False).cast(pa.int64())
        possible = pc.and_(pc.greater_equal(whole, 0), pc.less_equal(whole, LATEST))
        return pc.if_else(possible, whole, pa.scalar(None, pa.int64()))
    if _is_text(array):
        seconds = _read(array)
    elif kinds.is_integer(array.type) or kinds.is_floating(array.type) or kinds.is_null(array.type):
        seconds = seconds_of(_floats(array) if array.null_count else array.to_numpy(zero_copy_only=False))
    else:
        raise InvalidPoints(f"column {name!r} is {array.type}, not a time")
    return pa.array(seconds, mask=seconds < 0)


def _value(array: pa.Array, name: str) -> pa.Array:
    array = _plain(array)
    if _is_text(array):
        return _numbers(array)
    if kinds.is_boolean(array.type) or kinds.is_temporal(array.type) or kinds.is_nested(array.type):
        raise InvalidPoints(f"column {name!r} is {array.type}, not a number")
    return array.cast(pa.float64(), safe=False)


def _read(texts: pa.Array) -> NDArray[np.int64]:
    """Epoch seconds from texts, -1 where one is no time; the same text is read once."""
    encoded = pc.utf8_trim_whitespace(texts).dictionary_encode()
    distinct = encoded.dictionary
    seconds = seconds_of(_floats(_numbers(distinct)))
    others = np.flatnonzero(_numbers(distinct).is_null().to_numpy(zero_copy_only=False))
    seconds[others] = seconds_of(np.array(distinct.take(pa.array(others)).to_pylist(), object))
    return np.append(seconds, -1)[pc.fill_null(encoded.indices, len(seconds)).to_numpy(zero_copy_only=False)]


def _numbers(texts: pa.Array) -> pa.Array:
    """The numbers that texts are, null where one is none."""
    trimmed = pc.utf8_trim_whitespace(texts)
    is_number = pc.match_substring_regex(trimmed, _NUMBER)
    numbers = pc.if_else(is_number, pc.utf8_ltrim(trimmed, characters="+"), pa.scalar(None, trimmed.type))
    return numbers.cast(pa.float64())


def _floats(array: pa.Array) -> NDArray[np.float64]:
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if kinds.is_dictionary(array.type) else array


def _is_text(array: pa.Array) -> bool:
    return bool(kinds.is_string(array.type) or kinds.is_large_string(array.type) or kinds.is_string_view(array.type))
