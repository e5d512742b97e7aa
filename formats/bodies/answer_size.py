"""Answer sizes: the most bytes an answer may have, known before it is scored."""

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from myriad.formats.columns.cells import LABELS
from myriad.models.errors import TooLarge
from myriad.models.key import MAX_PART_LENGTH
from myriad.models.names import Names

NUMBER, TIME, STATUS, NULL = 25, 12, 22, 5
"""As JSON with a comma: a float64, epoch seconds, a status, no label."""
ESCAPED = 6
"""Bytes that a byte of text may become: `\\u001f` in JSON; percent-encoded it is 3."""
SERIES, WINDOW = 400, 200
"""Of a series, and of each of its windows: names of fields, status, counts, a detail; without its labels."""
HOST_POINT = TIME + NUMBER + TIME
"""Of a host at a time: when, its score, of how many metrics."""
REASON = 600 + ESCAPED * 4 * MAX_PART_LENGTH * 3
"""Of a series that cannot be scored: why, with its labels."""
REASONS = 20
"""Series whose reason for having no scores is answered."""
PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
"""Text that stays as it is, in JSON and percent-encoded."""


def check(most: int, limit: int) -> None:
    """Raise `TooLarge` where an answer may have more than `limit` bytes."""
    if most > limit:
        raise TooLarge(f"the answer may have {most} bytes; at most {limit} are allowed: ask for fewer series at a time")


def of_series(
    labels: Sequence[Sequence[str]] | Names,
    points: int,
    windows: int,
    *,
    bands: bool,
    hosts: bool = False,
    alerts: bool = False,
) -> int:
    """The most bytes of an answer for each series by itself: its labels, and once a window the key of its model.

    Args:
        labels: region, host and metric of each series.
        points: of all series together.
        windows: that are scored.
        bands: whether the bands are wanted too.
        hosts: whether the hosts' scores are.
        alerts: whether the scores as alerts count them are.
    """
    if isinstance(labels, Names):
        sizes = [np.array([0, *map(_text_size, parts)])[1:] for parts in labels.parts]
        texts, count = sum(int(size[codes].sum()) for size, codes in zip(sizes, labels.codes, strict=True)), len(labels)
    else:
        texts, count = sum(_text_size("".join(one)) for one in labels), len(labels)
    numbers = 1 + windows * (4 if bands else 2) + alerts
    most = texts * (1 + windows) + count * (SERIES + WINDOW * windows) + points * (TIME + numbers * NUMBER)
    return most + (texts + SERIES * count + HOST_POINT * points if hosts else 0)


def _text_size(text: str) -> int:
    return len(text) if PLAIN.fullmatch(text) else ESCAPED * len(text.encode(errors="replace"))


def of_rows(table: pa.Table, names: int, numbers: int, *, hosts: bool) -> int:
    """The most bytes of an answer in JSON with a row for each of a table's.

    Args:
        table: that was posted.
        names: bytes that each row has beside its values.
        numbers: that each row has.
        hosts: whether the hosts' scores are wanted.
    """
    labels = labels_in(table)
    texts = sum(map(_text_bytes, labels))
    row = names + len(LABELS) * NULL + TIME + STATUS + numbers * NUMBER
    most = texts + table.num_rows * row + 1000 + REASONS * REASON
    return most + (texts + (SERIES + HOST_POINT) * table.num_rows if hosts else 0)


def labels_in(table: pa.Table) -> list[pa.ChunkedArray]:
    """The columns of labels that a table has."""
    return [table.column(name) for name in LABELS if name in table.column_names]


def _text_bytes(column: pa.ChunkedArray) -> int:
    """As JSON, of all its rows' texts; none where it is not of text, which is refused later."""
    total = 0
    for chunk in column.chunks:
        texts = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
            # What is too long for a label is cut before it is repeated.
            lengths = pc.min_element_wise(pc.binary_length(texts).cast(pa.int64()), 4 * MAX_PART_LENGTH)
            lengths = pc.take(lengths, chunk.indices) if texts is not chunk else lengths
            total += (pc.sum(lengths).as_py() or 0) * (ESCAPED if _has_special(texts) else 1)
    return total


def _has_special(texts: pa.Array) -> bool:
    """Whether there may be a character in the texts that JSON escapes."""
    data = texts.buffers()[2]
    if not data:
        return False
    ends = np.frombuffer(texts.buffers()[1], np.int64 if pa.types.is_large_string(texts.type) else np.int32)
    first, last = ends[texts.offset], ends[texts.offset + len(texts)]
    array = np.frombuffer(data, np.uint8)[first:last]  # a buffer may end in zeros
    return bool(((array < ord(" ")) | (array == ord('"')) | (array == ord("\\"))).any())
