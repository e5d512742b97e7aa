"""NDJSON: an object a line, which is a row."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from myriad.formats.base import Bounds
from myriad.formats.bodies import answer_size
from myriad.formats.bodies.base import (
    ROWS_PER_CHUNK,
    TableBody,
    TableRequest,
    check_column_count,
    check_column_name,
    table_of,
    values_of,
)
from myriad.formats.bodies.options import parse_options
from myriad.formats.bodies.reading import decode_json

_ROW = msgspec.json.Decoder(dict[str, int | float | str | None])


class Ndjson(TableBody):
    """A line a row."""

    media_type = "application/x-ndjson"

    def read(self, body: bytes, query: Mapping[str, str], bounds: Bounds) -> TableRequest:
        """As `TableBody.read`."""
        options = parse_options(query)
        bounds.check(0, body.count(b"\n"))
        lines = body.split(b"\n")  # as the parser divides them
        rows: list[dict[str, Any]] = []
        names: dict[str, None] = {}
        for first in range(0, len(lines), ROWS_PER_CHUNK):
            part = _decode_lines(lines[first : first + ROWS_PER_CHUNK], first)
            new = {name for row in part for name in row} - names.keys()
            for name in sorted(new):
                check_column_name(name, "$")
            names |= dict.fromkeys(new)
            check_column_count(len(names))
            rows += part
        table = table_of({name: [row.get(name) for row in rows] for name in names}, bounds)
        return TableRequest.of(table, options)

    def write(self, table: pa.Table, facts: dict[str, Any], digits: int) -> Iterator[bytes]:  # noqa: ARG002  see `TableBody`
        """As `TableBody.write`; why a series has no scores is said in its first row."""
        names, encoder = table.column_names, msgspec.json.Encoder()
        why = {one["row"]: {"detail": one["detail"]} for one in facts.get("bad_series", ())}
        rows = enumerate(zip(*(values_of(table[name]) for name in names), strict=True))
        while part := list(itertools.islice(rows, ROWS_PER_CHUNK)):
            yield encoder.encode_lines(dict(zip(names, row, strict=True)) | why.get(at, {}) for at, row in part)

    def most_bytes(self, table: pa.Table, numbers: int, *, hosts: bool) -> int:
        """As `TableBody.most_bytes`."""
        return answer_size.of_rows(table, 100 + 20 * numbers, numbers, hosts=hosts)


def _decode_lines(lines: list[bytes], first: int) -> list[dict[str, Any]]:
    """The object in each line, none for a blank one; `first` is how many lines come before these.

    Line by line: msgspec's `decode_lines` takes any blanks between objects for the end of a line, a carriage return
    too, and so would give more rows than there are lines.
    """
    decode = _ROW.decode
    try:
        return [decode(line) for line in lines if line]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        numbered = enumerate(lines, first + 1)
        return [decode_json(_ROW, line, f"line {number}: $") for number, line in numbered if line.strip()]
