"""Answer sizes: the most bytes an answer may have, known before it is scored.

The bounds are those of JSON, the longest of the formats: a float64 has at most 24 characters, a timestamp 11.
"""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from myriad.formats.columns.table import LABELS
from myriad.models.errors import TooLarge

NUMBER, TIMESTAMP, STATUS = 25, 12, 22
SERIES = 400
"""Of a series: names of fields, status, counts, a detail; without its labels."""
ESCAPED = 6
"""Characters of JSON that a character of text may become, `\\u001f`; percent-encoded UTF-8 has no more."""
TIMES_NAMED = 2
"""A series' labels stand in its answer, and in the keys of its models, once a window."""


def check(most: int, limit: int) -> None:
    """Raise `TooLarge` where an answer may have more than `limit` bytes."""
    if most > limit:
        raise TooLarge(f"the answer may have {most} bytes; at most {limit} are allowed: ask for fewer series at a time")


def of_series(labels: Iterable[Sequence[str]], points: int, windows: int, *, bands: bool) -> int:
    """The most bytes of an answer for each series by itself.

    Args:
        labels: region, host and metric of each series.
        points: of all series together.
        windows: that are scored.
        bands: whether the bands are wanted too.
    """
    texts = count = 0
    for one in labels:
        texts += sum(map(len, one))
        count += 1
    numbers = 1 + windows * (4 if bands else 2)
    named = ESCAPED * texts * (1 + windows) + count * (SERIES + 200 * windows)
    return named + points * (TIMESTAMP + numbers * NUMBER)


def of_table(table: pa.Table, windows: int, *, bands: bool) -> int:
    """The most bytes of an answer with a row for each of a table's, all its labels written out."""
    numbers = 1 + windows * (4 if bands else 1)
    texts = sum(_text_bytes(table.column(name)) for name in LABELS if name in table.column_names)
    names = 100 + 20 * numbers  # of NDJSON, in every row
    return ESCAPED * texts + table.num_rows * (names + TIMESTAMP + STATUS + numbers * NUMBER) + 1000


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Of all its rows' texts; none where it is not of text, which is refused later."""
    is_dictionary = pa.types.is_dictionary(column.type)
    kind = column.type.value_type if is_dictionary else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return 0
    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary if is_dictionary else chunk).cast(pa.int64())
        total += pc.sum(pc.take(lengths, chunk.indices) if is_dictionary else lengths).as_py() or 0
    return total
