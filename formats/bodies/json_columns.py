"""JSON columns: an object with a list for each column, and the options beside them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

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
from myriad.formats.bodies.options import Options, parse_options
from myriad.formats.bodies.reading import decode_json
from myriad.formats.columns.cells import LABELS
from myriad.kernels.json_text import written
from myriad.kernels.tables import coded, columns_of
from myriad.models.errors import BadRequest


class JsonColumns(TableBody):
    """A list a column."""

    media_type = "application/json"

    def read(self, body: bytes, query: Mapping[str, str], bounds: Bounds) -> TableRequest:  # noqa: ARG002  see `TableBody`
        """As `TableBody.read`; the options are in the body."""
        if found := columns_of(body, bounds.points):
            given = {name: Raw(found.pop(name)) for name in Options.__struct_fields__ if name in found}
            check_column_count(len(found))
            for name in found:
                check_column_name(name, f"$.{name}")
            return TableRequest.of(
                pa.table({name: _arrow(column) for name, column in found.items()}), parse_options(given)
            )
        fields = decode_json(msgspec.json.Decoder(dict[str, Raw]), body)
        check_column_count(len(fields) - len(fields.keys() & {*Options.__struct_fields__}))
        options = parse_options({name: fields.pop(name) for name in Options.__struct_fields__ if name in fields})
        columns = {}
        for name, raw in fields.items():
            check_column_name(name, f"$.{name}")
            kind = str | None if name in LABELS else int | float | str | None if name == "timestamp" else float | None
            columns[name] = decode_json(msgspec.json.Decoder(list[kind]), raw, f"$.{name}")  # type: ignore[valid-type]
        if len({len(column) for column in columns.values()}) > 1:
            raise BadRequest("the columns are not of the same length")
        return TableRequest.of(table_of(columns, bounds), options)

    def write(self, table: pa.Table, facts: dict[str, Any], digits: int) -> Iterator[bytes]:
        """As `TableBody.write`."""
        yield msgspec.json.encode(facts)[:-1]
        for name in table.column_names:
            yield b"," + msgspec.json.encode(name) + b":["
            write = _writer(table[name], digits)
            for first in range(0, table.num_rows, ROWS_PER_CHUNK):
                yield (b"," if first else b"") + write(slice(first, first + ROWS_PER_CHUNK))[1:-1]
            yield b"]"
        yield b"}"

    def most_bytes(self, table: pa.Table, numbers: int, *, hosts: bool) -> int:
        """As `TableBody.most_bytes`."""
        return answer_size.of_rows(table, 0, numbers, hosts=hosts)


def _arrow(column: Any) -> pa.Array:
    """A column of a tidy table: texts and the position of each row's, or numbers."""
    if isinstance(column, tuple):
        texts, codes = column
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(texts, pa.string()))
    return pa.array(column, from_pandas=True)


def _writer(column: pa.ChunkedArray, digits: int) -> Callable[[slice], bytes]:
    """Writes a part of a column as a list in JSON."""
    kind = column.type
    if pa.types.is_floating(kind) or (pa.types.is_int64(kind) and not column.null_count):
        numbers = np.ascontiguousarray(column, np.float64 if pa.types.is_floating(kind) else np.int64)
        return lambda rows: written([numbers[rows]], digits)
    if pa.types.is_dictionary(kind) and column.num_chunks == 1:
        (chunk,) = column.chunks
        texts = [*map(msgspec.json.encode, chunk.dictionary.to_pylist()), b"null"]
        codes = np.asarray(pc.fill_null(chunk.indices.cast(pa.int64()), len(texts) - 1))
        return lambda rows: coded(codes[rows], texts)
    values = values_of(column)
    return lambda rows: msgspec.json.encode(values[rows])
