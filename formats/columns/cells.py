"""Cells: columns as other tools write them, in the types of `SCHEMA`; what a single cell has is never an error.

A cell that cannot be read is null. `why_unreadable` says why, in words that go after the cell.
"""

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from numpy.typing import NDArray

from myriad.formats.columns import timestamps
from myriad.formats.columns.timestamps import LATEST, MAX_LENGTH, seconds_of, why_none
from myriad.models.errors import InvalidPoints
from myriad.models.points import MAX_MAGNITUDE

LABELS = ("region", "host", "metric")
COLUMNS = (*LABELS, "timestamp", "value")
LABEL = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema([*((name, LABEL) for name in LABELS), ("timestamp", pa.int64()), ("value", pa.float64())])
"""Of telemetry while it is read: epoch seconds. A value is NaN where none was given."""

NOTHING = (
    *("", "-", "--", "na", "n/a", "#n/a", "nan", "-nan", "nil", "none", "null"),
    *("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"),
)
"""Words for no value, in lower case."""
NO_TEXT = "\x1a"
"""What stands for a byte that is no UTF-8, where it had to be replaced: the control character `substitute`."""
EMPTY, NOT_UTF_8 = "is empty", "is not UTF-8 text"
EARLIEST_YEAR, LATEST_YEAR = 1970, 2200
NAME_ZONE = "name its time zone: --timezone, or timezone in a job's history"
MAX_NUMBER_LENGTH = 400
"""Characters of a number in text: `repr(1e-308)` written out has 310."""

_WHOLE = r"^[0-8]?[0-9]{1,18}$"
"""What an int64 surely holds."""
_NUMBER = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?$"
_THOUSANDS = r"^[-+]?[0-9]{1,3}((,[0-9]{3})+\.[0-9]+|(,[0-9]{3}){2,})$"
"""Commas that can be nothing but thousands': before a point, or several. `1,003` alone may be 1.003 as well."""


def labels(array: pa.Array, name: str) -> pa.Array:
    """A column of labels as `LABEL`; numbers are their text, and each distinct label is looked at once.

    Raises:
        InvalidPoints: the column is of a type that labels cannot be.
    """
    if kinds.is_null(array.type):
        return pa.nulls(len(array), LABEL)
    if not kinds.is_dictionary(array.type):
        array = array.dictionary_encode()
    given = array.dictionary
    if not (_is_text(given.type) or kinds.is_integer(given.type)):
        raise InvalidPoints(f"column {name!r} is {given.type}, not text")
    texts = _text(given) if _is_text(given.type) else given.cast(pa.string())
    if texts.null_count:  # whatever the dictionary has, or bytes that are no UTF-8
        codes = pc.if_else(texts.is_null(), pa.scalar(None, pa.int32()), pa.array(range(len(texts)), pa.int32()))
        return pa.DictionaryArray.from_arrays(codes.take(array.indices), texts.fill_null(""))
    return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), texts)


def times(array: pa.Array, name: str, zone: str | None = None) -> pa.Array:
    """A column of times as epoch seconds, int64.

    Args:
        array: numbers, text, or timestamps of any unit.
        name: of the column, for messages.
        zone: an IANA name, for times without an offset.

    Raises:
        InvalidPoints: the column is of a type that times cannot be.
    """
    kind = _value_type(array.type)
    if _is_text(kind):
        return _by_distinct(array, lambda distinct: _times_of_text(distinct, zone))
    array = _decoded(array)
    if kinds.is_date(kind):
        array, kind = array.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if kinds.is_timestamp(kind):
        return _whole_seconds(array, zone)
    if kinds.is_decimal(kind):
        array = array.cast(pa.float64())
    elif not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_null(kind)):
        raise InvalidPoints(f"column {name!r} is {array.type}, not a time")
    if kind == pa.int64() and not array.null_count and timestamps.are_seconds(array.to_numpy()):
        return array
    if kinds.is_integer(kind) and array.null_count:  # which NumPy's integers cannot have, and floats have fewer digits
        array = array.cast(pa.int64(), safe=False).fill_null(-1)
    seconds = seconds_of(_floats(array) if array.null_count else array.to_numpy(zero_copy_only=False))
    return pa.array(seconds, mask=seconds < 0)


def values(array: pa.Array, name: str) -> pa.Array:
    """A column of values as float64: NaN where none is given, null where what is given is no number.

    Raises:
        InvalidPoints: the column is of a type that numbers cannot be.
    """
    kind = _value_type(array.type)
    if _is_text(kind):
        return pc.if_else(array.is_null(), pa.scalar(np.nan), _by_distinct(array, _numbers))
    array = _decoded(array)
    if not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_null(kind)):
        raise InvalidPoints(f"column {name!r} is {array.type}, not a number")
    floats = _floats(array)
    if kind == pa.float64() and not array.null_count and _all_possible(floats):
        return array
    if not np.isfinite(floats).all():
        floats = np.where(np.isfinite(floats), floats, np.nan)
    too_large = np.abs(floats) > MAX_MAGNITUDE
    return pa.array(floats, mask=too_large if too_large.any() else None)


def _all_possible(floats: NDArray[np.float64]) -> bool:
    return not len(floats) or bool(floats.min() >= -MAX_MAGNITUDE and floats.max() <= MAX_MAGNITUDE)


def why_unreadable(column: str, cell: object, zone: str | None = None) -> str:
    """Why a cell, as it was read from a file, is no time or no number; for labels `models.key` says it."""
    if isinstance(cell, bytes):
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            return NOT_UTF_8
    if cell is None or cell == "":
        return EMPTY
    if isinstance(cell, str) and NO_TEXT in cell:
        return NOT_UTF_8
    if column == "timestamp":
        if not isinstance(cell, date):  # of which a datetime is one
            why = timestamps.NO_TIME if isinstance(cell, str) and _is_number(cell.strip()) else why_none(cell, zone)
            return f"{why}, or {NAME_ZONE}" if why == timestamps.NO_OFFSET else why
        if getattr(cell, "tzinfo", None) is not None or not EARLIEST_YEAR <= cell.year < LATEST_YEAR:
            return timestamps.NO_TIME
        return f"has no offset from UTC; {NAME_ZONE}" if zone is None else timestamps.TWICE
    return _why_no_number(cell)


def _why_no_number(cell: object) -> str:
    text = str(cell).strip()
    if not isinstance(cell, str) or len(_numbers(pa.array([text])).drop_null()) or _is_number(text):
        return f"is beyond {MAX_MAGNITUDE:g}"
    number = text.replace(",", "").rstrip("%").rstrip()
    if text.endswith("%") and _is_number(number):
        return "is a per cent; write the number alone"
    if _is_number(text.replace(",", ".", 1)) or _is_number(text.replace(".", "").replace(",", ".", 1)):
        return "has a comma that may stand for thousands or for the decimal point; write a point"
    start = number[: len(number) - len(number.lstrip("+-.0123456789"))]
    return "has a unit; write the number alone" if _is_number(start) else "is not a number"


def _is_number(text: str) -> bool:
    return bool(pc.match_substring_regex(pa.array([text[:MAX_NUMBER_LENGTH]]), _NUMBER)[0].as_py())


def _by_distinct(array: pa.Array, read: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Read each distinct text once: a dictionary's are never written out row by row."""
    if not kinds.is_dictionary(array.type):
        array = array.dictionary_encode()
    found = read(_text(array.dictionary))
    return found.take(array.indices)


def _times_of_text(texts: pa.Array, zone: str | None) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(texts)
    seconds = np.full(len(texts), -1, np.int64)
    # Nanoseconds have more digits than a float64: whole numbers are read as such.
    is_whole, is_number = _matching(trimmed, _WHOLE), _matching(trimmed, _NUMBER)
    seconds[is_whole] = seconds_of(trimmed.filter(pa.array(is_whole)).cast(pa.int64()).to_numpy())
    numbers, others = (trimmed.filter(pa.array(one)).to_pylist() for one in (is_number & ~is_whole, ~is_number))
    seconds[is_number & ~is_whole] = seconds_of(
        np.array([int(one) if one.isdigit() else float(one) for one in numbers], object)
    )
    seconds[~is_number] = seconds_of(np.array(others, object), zone)
    return pa.array(seconds, mask=seconds < 0)


def _matching(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    """Which texts are short enough for a time and match."""
    found = pc.and_(pc.match_substring_regex(texts, pattern), pc.less_equal(pc.utf8_length(texts), MAX_LENGTH))
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), np.bool_)


def _whole_seconds(array: pa.Array, zone: str | None) -> pa.Array:
    if array.type.tz is None:
        if zone is None:
            return pa.nulls(len(array), pa.int64())
        timestamps.time_zone(zone)
        array = array.cast(pa.timestamp("s"), safe=False)
        first, last = (pc.assume_timezone(array, zone, ambiguous=at, nonexistent=at) for at in ("earliest", "latest"))
        array = pc.if_else(pc.equal(first, last), first, pa.scalar(None, first.type))
    whole = array.cast(pa.timestamp("s", array.type.tz), safe=False).cast(pa.int64())
    possible = pc.and_(pc.greater_equal(array.cast(pa.int64()), 0), pc.less_equal(whole, LATEST))
    return pc.if_else(possible, whole, pa.scalar(None, pa.int64()))


def _numbers(texts: pa.Array) -> pa.Array:
    """The numbers that distinct texts are, NaN for those that say there is none, null for others."""
    trimmed = pc.utf8_trim_whitespace(texts)
    short = pc.if_else(pc.less_equal(pc.utf8_length(trimmed), MAX_NUMBER_LENGTH), trimmed, pa.scalar("x"))
    plain = pc.if_else(pc.match_substring_regex(short, _THOUSANDS), pc.replace_substring(short, ",", ""), short)
    is_number = pc.match_substring_regex(plain, _NUMBER)
    numbers = pc.if_else(is_number, pc.utf8_ltrim(plain, characters="+"), pa.scalar(None, pa.string()))
    floats = numbers.cast(pa.float64())
    floats = pc.if_else(pc.less_equal(pc.abs(floats), MAX_MAGNITUDE), floats, pa.scalar(None, pa.float64()))
    is_nothing = pc.fill_null(pc.is_in(pc.utf8_lower(short), pa.array(NOTHING)), True)
    return pc.if_else(is_nothing, pa.scalar(np.nan), floats)


def _text(array: pa.Array) -> pa.Array:
    """Text or bytes as text, null where these are not UTF-8."""
    if kinds.is_string(array.type) or kinds.is_string_view(array.type) or kinds.is_large_string(array.type):
        texts = array.cast(pa.string())
    elif kinds.is_null(array.type):
        return array.cast(pa.string())
    else:
        texts = array.cast(pa.binary()).view(pa.string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array([_utf8_or_none(one) for one in texts.view(pa.binary()).to_pylist()], pa.string())
    return texts


def _utf8_or_none(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None


def _floats(array: pa.Array) -> NDArray[np.float64]:
    return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _decoded(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if kinds.is_dictionary(array.type) else array


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if kinds.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    tests: Sequence[Callable[[pa.DataType], bool]] = (
        kinds.is_string,
        kinds.is_large_string,
        kinds.is_string_view,
        kinds.is_binary,
        kinds.is_large_binary,
        kinds.is_binary_view,
        kinds.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)
