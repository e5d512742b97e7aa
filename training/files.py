"""Files: Parquet and CSV of any size, a piece at a time, from directories and from S3."""

import contextlib
import glob
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet

from models.errors import InvalidPoints, Unavailable
from training.columns import moment
from training.history import PARQUET

ROWS = 1 << 16
"""In a piece, about."""
CSV_BYTES = 4 << 20
"""In a piece of a CSV file."""
READ_BYTES = 1 << 20
"""Read ahead in each column of a Parquet file."""

_log = logging.getLogger(__name__)


class File(NamedTuple):
    """A file, and the columns that the names of the directories it lies in stand for."""

    system: pyarrow.fs.FileSystem
    path: str
    url: str
    constants: dict[str, str | None]


def matching(globs: Sequence[str]) -> list[File]:
    """The files that match the globs, each once, in order of their names.

    Raises:
        InvalidPoints: none matches one of the globs, or one is neither Parquet nor CSV.
    """
    found: set[str] = set()
    for pattern in globs:
        some = {path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()}  # noqa: PTH207  may be absolute
        if not some:
            raise InvalidPoints(f"{pattern}: there is no such file")
        found |= some
    local = pyarrow.fs.LocalFileSystem()
    for path in sorted(found):
        if Path(path).suffix not in (".csv", *PARQUET):
            raise InvalidPoints(f"{path}: only .parquet and .csv files can be read")
    return [File(local, path, path, {}) for path in sorted(found)]


def below(url: str) -> list[File]:
    """The Parquet files of a dataset, in order of their names; `key=value` directories are columns.

    Raises:
        InvalidPoints: there are none.
        Unavailable: S3 is out of reach, or refuses.
    """
    scheme, _, root = url.partition("://")
    root = root.rstrip("/")
    with _readable(url):
        system = _s3() if scheme == "s3" else pyarrow.fs.LocalFileSystem()
        there = system.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
    paths = sorted(one.path for one in there if one.is_file and one.path.endswith(PARQUET) and _is_data(one.path, root))
    if not paths:
        raise InvalidPoints(f"{url}: there are no Parquet files")
    return [File(system, path, f"{scheme}://{path}", _constants(path[len(root) :])) for path in paths]


def pieces(
    file: File, columns: Sequence[str], time_column: str, wanted: Callable[[int], bool]
) -> Iterator[pa.RecordBatch]:
    """A file's columns in this order, some rows at a time.

    A Parquet file is read a stretch of pages at a time, never a row group whole as a dataset's scanner would.

    Args:
        file: what to read.
        columns: their names in the file.
        time_column: the one of timestamps.
        wanted: says whether a row group has to be read, from its latest timestamp, -1 where that is not known.

    Raises:
        InvalidPoints: the file cannot be read, or lacks a column; it says which.
        Unavailable: S3 is out of reach, or refuses.
    """
    with _readable(file.url):
        if file.path.endswith(".csv"):
            yield from _csv(file, columns)
        else:
            yield from _parquet(file, columns, time_column, wanted)


def latest(file: File, time_column: str) -> int:
    """The latest timestamp in a file as far as its footer says, -1 where it does not.

    Raises:
        InvalidPoints, Unavailable: as `pieces` does.
    """
    if file.path.endswith(".csv"):
        return -1
    with _readable(file.url), file.system.open_input_file(file.path) as source:
        footer = pyarrow.parquet.read_metadata(source)
        return max((_latest(footer.row_group(i), time_column) for i in range(footer.num_row_groups)), default=-1)


def _latest(group: pyarrow.parquet.RowGroupMetaData, time_column: str) -> int:
    columns = (group.column(i) for i in range(group.num_columns))
    known = (one.statistics for one in columns if one.path_in_schema == time_column and one.statistics)
    return next((moment(one.max) for one in known if one.has_min_max), -1)


def _parquet(
    file: File, columns: Sequence[str], time_column: str, wanted: Callable[[int], bool]
) -> Iterator[pa.RecordBatch]:
    stored = [name for name in columns if name not in file.constants]
    with file.system.open_input_file(file.path) as source:
        opened = pyarrow.parquet.ParquetFile(source, buffer_size=READ_BYTES, pre_buffer=False, read_dictionary=stored)
        _demand(file, stored, opened.schema_arrow.names)
        groups = [i for i in range(opened.num_row_groups) if wanted(_latest(opened.metadata.row_group(i), time_column))]
        for batch in opened.iter_batches(ROWS, row_groups=groups, columns=stored, use_threads=False):
            yield _completed(file, batch, columns)


def _csv(file: File, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All columns are read as text: what one row has must not decide what others may have."""
    broken = 0

    def leave(_: object) -> str:
        nonlocal broken
        broken += 1
        return "skip"

    read = pyarrow.csv.ReadOptions(block_size=CSV_BYTES)
    parse = pyarrow.csv.ParseOptions(invalid_row_handler=leave)
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=False,
        null_values=[""],
    )  # fmt: skip
    with file.system.open_input_stream(file.path, compression=None) as source:
        opened = pyarrow.csv.open_csv(source, read_options=read, parse_options=parse, convert_options=convert)
        _demand(file, columns, opened.schema.names)
        for batch in opened:
            yield batch.select(columns)
    if broken:
        _log.warning("%s: %d rows without as many cells as there are columns are left out", file.url, broken)


def _completed(file: File, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    zeros = np.zeros(batch.num_rows, np.int32)
    arrays = [
        pa.DictionaryArray.from_arrays(zeros, pa.array([file.constants[name]], pa.string()))
        if name in file.constants
        else batch.column(name)
        for name in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


def _demand(file: File, columns: Sequence[str], there: Sequence[str]) -> None:
    for name in columns:
        if (count := list(there).count(name)) != 1:
            what = "is missing" if count == 0 else "is there several times"
            names = ", ".join([*there, *file.constants][:30])
            raise InvalidPoints(f"{file.url}: column {name!r} {what}; the columns are {names}")


def _constants(path: str) -> dict[str, str | None]:
    """The columns of a path like `/region=eu/date=2026-01-01/x.parquet`, as Hive writes it."""
    pairs = [part.partition("=") for part in PurePosixPath(path).parent.parts if "=" in part]
    return {name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for name, _, value in pairs}


def _is_data(path: str, root: str) -> bool:
    """What starts with a dot or an underscore is some tool's own."""
    return not any(part.startswith((".", "_")) for part in PurePosixPath(path[len(root) :]).parts)


def _s3() -> pyarrow.fs.FileSystem:
    """With credentials, region and endpoint from the environment, as `storage.s3` has them."""
    from storage.s3 import ATTEMPTS, CONNECT_SECONDS, READ_SECONDS  # its library takes a while to import

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return pyarrow.fs.S3FileSystem(
        endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        region=region,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=READ_SECONDS,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


@contextlib.contextmanager
def _readable(url: str) -> Iterator[None]:
    """Say of a file that cannot be read which it is, and whether it may be read later."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        if url.startswith("s3://") and isinstance(exc, OSError) and not isinstance(exc, FileNotFoundError):
            directory, _, name = url.rpartition("/")
            raise Unavailable(directory, name, str(exc)) from exc
        raise InvalidPoints(f"{url}: cannot be read: {exc}") from exc
