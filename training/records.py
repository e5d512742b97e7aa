"""Records: what was fitted and how well, a row a model, kept as a Parquet file beside each release.

`error` is the winner's backtest error in units of the series' typical step. `held_out` counts the points its threshold
was calibrated on, and `realised_rate` is the share of those that score above 1. `bytes` are those of a model's row
before compression. A row with a refusal has no figures.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from myriad.models.errors import ArtifactCorrupt, NotFound
from myriad.storage.release import Releases, records_name

MAX_BYTES = 4 << 30
"""Of a release's Parquet file; a row takes 50 to 500."""

_NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    {
        "region": _NAME,
        "host": _NAME,
        "metric": _NAME,
        "window": _NAME,
        "adapter": _NAME,
        "parameters": pa.large_string(),
        "history_from": pa.int64(),
        "history_to": pa.int64(),
        "points": pa.int64(),
        "held_out": pa.int64(),
        "error": pa.float64(),
        "candidates": pa.large_string(),
        "threshold": pa.float64(),
        "realised_rate": pa.float64(),
        "bytes": pa.int64(),
        "fit_seconds": pa.float64(),
        "versions": _NAME,
        "job": _NAME,
        "refused": _NAME,
    }
)
"""Every column, in order. Texts that many rows share are dictionaries; `window` is null where no window was tried."""

SERIES = ("region", "host", "metric")
KEY = (*SERIES, "window")
JSON = ("parameters", "candidates", "versions")
FIGURES = (
    "history_from",
    "history_to",
    "points",
    "held_out",
    "error",
    "threshold",
    "realised_rate",
    "bytes",
    "fit_seconds",
)

Column = Sequence[object] | NDArray[Any]
NO_ROWS: Mapping[str, Column] = {name: [] for name in SERIES}
"""The columns of a table without rows."""


def table(columns: Mapping[str, Column]) -> pa.Table:
    """Records from columns of the same length.

    Args:
        columns: by name. `region`, `host` and `metric` are needed; others are null where they are not given, and
            `refused` is empty. Those of JSON may be mappings in place of text. NaN is null, and so is every figure
            of a row that says why it was refused.

    Raises:
        ValueError: a column is unknown or one that is needed is missing, or they differ in length.
    """
    if wrong := (columns.keys() - set(SCHEMA.names)) or (set(SERIES) - columns.keys()):
        raise ValueError(f"records have the columns {', '.join(SCHEMA.names)}: look at {', '.join(sorted(wrong))}")
    size = len(columns["region"])
    given = {**columns, "refused": [why or "" for why in columns.get("refused", [""] * size)]}
    kept = pa.array([not why for why in given["refused"]], pa.bool_())
    made = {field.name: _column(field, given.get(field.name, [None] * size)) for field in SCHEMA}
    made |= {name: pc.if_else(kept, made[name], None) for name in FIGURES}
    return pa.table(made, SCHEMA)


def merge(parts: Sequence[pa.Table]) -> pa.Table:
    """The records of a job's parts, in order of their key; of a model in several, that of the last."""
    rows = _concatenated(parts)
    keys = _numbers(rows, KEY)
    order = np.argsort(keys, kind="stable")
    last = np.append(np.diff(keys[order]) != 0, len(keys) > 0)[: len(keys)]
    return rows.take(pa.array(order[last]))


def updated(before: pa.Table, after: pa.Table) -> pa.Table:
    """The records of a release that keeps the rest of another, as `publish` does with a base.

    A series fitted again at some window has none of its former models. One that was refused at all keeps them, and
    so their records.
    """
    rows = _concatenated([before, after])
    series = _numbers(rows, SERIES)
    old, fitted = np.arange(len(series)) < before.num_rows, pc.equal(rows["refused"].cast(pa.string()), "").to_numpy()
    anew = np.isin(series, series[~old & fitted])
    known = np.isin(series, series[old & fitted])
    return merge([rows.filter(pa.array(np.where(old, ~anew, anew | ~known)))])


def write(releases: Releases, release: str, records: pa.Table) -> int:
    """Put a release's records in its store and give their bytes; to be done before its manifest is there."""
    buffer = io.BytesIO()
    pq.write_table(records.cast(SCHEMA), buffer, compression="zstd")
    releases.store.create(records_name(release), buffer.getvalue())
    return buffer.tell()


def read(releases: Releases, release: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A release's records, or some columns of them.

    Raises:
        NotFound: it has none.
        ArtifactCorrupt: they cannot be read, or are not of `SCHEMA`.
    """
    name = records_name(release)
    data = releases.store.get(name, MAX_BYTES).data
    wanted = SCHEMA.names if columns is None else list(columns)
    try:
        there = pq.read_table(io.BytesIO(data), columns=wanted)
        if "held_out" in wanted and "held_out" not in there.column_names:  # written before there was this column
            there = there.append_column("held_out", pa.nulls(there.num_rows, pa.int64()))
        there = there.select(wanted).cast(_part(wanted))
    except (pa.ArrowException, OSError, KeyError, ValueError) as exc:
        raise ArtifactCorrupt(name, f"not records: {exc}") from exc
    return there.unify_dictionaries().combine_chunks()


def read_or_empty(releases: Releases, release: str) -> pa.Table:
    """A release's records; no rows where it has none."""
    try:
        return read(releases, release)
    except NotFound:
        return SCHEMA.empty_table()


def _column(field: pa.Field, values: Column) -> pa.Array:
    if field.name in JSON:
        values = [value if value is None or isinstance(value, str) else _text(value) for value in values]
    return pa.array(values, field.type, from_pandas=True)


def _text(value: object) -> str:
    """As JSON; NaN and infinity, which it cannot have, are null."""
    return msgspec.json.encode(value, enc_hook=_plain, order="sorted").decode()


def _plain(value: Any) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _concatenated(parts: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables([SCHEMA.empty_table(), *parts]).unify_dictionaries().combine_chunks()


def _numbers(records: pa.Table, names: Sequence[str]) -> NDArray[np.int64]:
    """A number for each row, equal where all these columns are, and in the order of their texts, null first."""
    numbers = np.zeros(records.num_rows, np.int64)
    for name in names:
        column = records[name].combine_chunks()
        rank = np.append(pc.rank(column.dictionary, tiebreaker="dense").to_numpy().astype(np.int64), 0)
        numbers = numbers * len(rank) + rank[column.indices.fill_null(len(rank) - 1).to_numpy()]
    return numbers


def _part(names: Sequence[str]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in names])
