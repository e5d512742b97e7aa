"""History: telemetry read from Parquet and CSV files."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from models.errors import InvalidPoints
from models.table import COLUMNS, LABELS

PARQUET = (".parquet", ".pq")
_LABELS_ARE_TEXT = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(LABELS, pa.string()))
BYTES_A_ROW = 80
"""What a row of a CSV file takes, about."""


def read(paths: Sequence[str | Path]) -> pa.Table:
    """The columns region, host, metric, timestamp and value of all the files, one after the other.

    Raises:
        InvalidPoints: a file is not Parquet or CSV, cannot be read, or lacks a column; it says which.
    """
    tables = [_read(Path(path)) for path in paths]
    try:
        return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    except pa.ArrowException as exc:
        raise InvalidPoints(f"the files do not go together: {exc}") from exc


def batches(path: str | Path, rows: int) -> Iterator[pa.Table]:
    """A file's columns region, host, metric, timestamp, value and all others, some `rows` at a time, in its order.

    Raises:
        InvalidPoints: as `read` does, at the first batch.
    """
    path = Path(path)
    with _readable(path):
        if path.suffix == ".csv":
            blocks = pyarrow.csv.ReadOptions(block_size=rows * BYTES_A_ROW)
            parts = pyarrow.csv.open_csv(path, read_options=blocks, convert_options=_LABELS_ARE_TEXT)
        else:
            parts = pyarrow.parquet.ParquetFile(path, memory_map=True).iter_batches(rows)
        for part in parts:
            yield pa.Table.from_batches([part])


def _read(path: Path) -> pa.Table:
    with _readable(path):
        if path.suffix == ".csv":
            table = pyarrow.csv.read_csv(path, convert_options=_LABELS_ARE_TEXT)
        else:
            table = pyarrow.parquet.read_table(path, memory_map=True)
        if missing := [name for name in COLUMNS if name not in table.column_names]:
            raise InvalidPoints(
                f"{path}: column {missing[0]!r} is missing; the columns {', '.join(COLUMNS)} are needed"
            )
        return table.select(COLUMNS)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Refuse a file of another kind, and say of one that cannot be read which it is."""
    if path.suffix not in (".csv", *PARQUET):
        raise InvalidPoints(f"{path}: only .parquet and .csv files can be read")
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise InvalidPoints(f"{path}: cannot be read: {exc}") from exc
