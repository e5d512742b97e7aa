"""Files: those of a history, of any format and size, from directories and from S3."""

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
import pyarrow.fs

from myriad import formats
from myriad.formats.base import readable
from myriad.models.errors import InvalidPoints, Unavailable

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
        InvalidPoints: none matches one of the globs, or one is of no format that can be read.
    """
    found: set[str] = set()
    for pattern in globs:
        some = {path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()}  # noqa: PTH207  may be absolute
        if not some:
            raise InvalidPoints(f"{pattern}: there is no such file")
        found |= some
    local = pyarrow.fs.LocalFileSystem()
    for path in sorted(found):
        formats.of_file(path)
    return [File(local, path, path, {}) for path in sorted(found)]


def below(url: str) -> list[File]:
    """The Parquet files of a dataset, in order of their names; `key=value` directories are columns.

    Raises:
        InvalidPoints: there are none.
        Unavailable: S3 is out of reach, or refuses.
    """
    scheme, _, root = url.partition("://")
    root = root.rstrip("/")
    with _reachable(url):
        system = _s3() if scheme == "s3" else pyarrow.fs.LocalFileSystem()
        there = system.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
    files = (one.path for one in there if one.is_file and one.path.endswith(formats.get("parquet").suffixes))
    paths = sorted(path for path in files if _is_data(path, root))
    if not paths:
        raise InvalidPoints(f"{url}: there are no Parquet files")
    return [File(system, path, f"{scheme}://{path}", _constants(path[len(root) :])) for path in paths]


def pieces(
    file: File, columns: Sequence[str], time_column: str, wanted: Callable[[int], bool]
) -> Iterator[pa.RecordBatch]:
    """A file's columns in this order, some rows at a time.

    Args:
        file: what to read.
        columns: their names in the file.
        time_column: the one of timestamps.
        wanted: says whether a row group has to be read, from its latest timestamp, -1 where that is not known.

    Raises:
        InvalidPoints: the file cannot be read, or lacks a column; it says which.
        Unavailable: S3 is out of reach, or refuses.
    """
    stored = [name for name in columns if name not in file.constants]

    def left_out(rows: int, why: str) -> None:
        _log.warning("%s: %d %s are left out", file.url, rows, why)

    with _reachable(file.url), file.system.open_input_file(file.path) as source:
        parts = formats.of_file(file.path).batches(
            source, stored, left_out=left_out, time_column=time_column, wanted=wanted
        )
        for batch in parts:
            yield _completed(file, batch, columns)


def latest(file: File, time_column: str) -> int:
    """The latest timestamp in a file as far as it says itself, -1 where it does not.

    Raises:
        InvalidPoints, Unavailable: as `pieces` does.
    """
    with _reachable(file.url), file.system.open_input_file(file.path) as source:
        return formats.of_file(file.path).latest(source, time_column)


def _completed(file: File, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    zeros = np.zeros(batch.num_rows, np.int32)
    arrays = [
        pa.DictionaryArray.from_arrays(zeros, pa.array([file.constants[name]], pa.string()))
        if name in file.constants
        else batch.column(name)
        for name in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


def _constants(path: str) -> dict[str, str | None]:
    """The columns of a path like `/region=eu/date=2026-01-01/x.parquet`, as Hive writes it."""
    pairs = [part.partition("=") for part in PurePosixPath(path).parent.parts if "=" in part]
    return {name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for name, _, value in pairs}


def _is_data(path: str, root: str) -> bool:
    """What starts with a dot or an underscore is some tool's own."""
    return not any(part.startswith((".", "_")) for part in PurePosixPath(path[len(root) :]).parts)


def _s3() -> pyarrow.fs.FileSystem:
    """With credentials, region and endpoint from the environment, as `storage.s3` has them."""
    from myriad.storage.s3 import ATTEMPTS, CONNECT_SECONDS, READ_SECONDS  # its library takes a while to import

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return pyarrow.fs.S3FileSystem(
        endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        region=region,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=READ_SECONDS,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


@contextlib.contextmanager
def _reachable(url: str) -> Iterator[None]:
    """Say of a file that cannot be read which it is, and whether it may be read later."""
    with readable(url):
        try:
            yield
        except OSError as exc:
            if not url.startswith("s3://") or isinstance(exc, FileNotFoundError):
                raise
            directory, _, name = url.rpartition("/")
            raise Unavailable(directory, name, str(exc)) from exc
