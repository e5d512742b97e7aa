"""Files: those of a history, of any format and size, from directories and from S3."""

import contextlib
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs

from myriad import formats
from myriad.formats.base import ROWS, readable
from myriad.formats.layout import Layout
from myriad.formats.left_out import Example, LeftOut
from myriad.models.errors import InvalidPoints, MissingColumn, Unavailable

HOW_TO_NAME = (
    "Say what it is called (--columns, or columns in a job's history), or, of a label, what it is in every row "
    "(--region, --host, --metric, or constants)"
)


class File(NamedTuple):
    """A file, and the columns that the names of the directories it lies in stand for, with the one label of each."""

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


def batches(
    file: File, layout: Layout, left_out: LeftOut, wanted: Callable[[int], bool] | None = None, rows: int = ROWS
) -> Iterator[pa.RecordBatch]:
    """A file's telemetry, of `cells.SCHEMA`, some rows at a time.

    Args:
        file: what to read.
        layout: where it has what.
        left_out: told of the rows that cannot be read.
        wanted: says whether a row group has to be read, from its latest timestamp, -1 where that is not known.
        rows: at a time, about.

    Raises:
        InvalidPoints: the file cannot be read, or lacks a column; it says which.
        Unavailable: S3 is out of reach, or refuses.
    """
    kind = formats.of_file(file.path)

    def skip(row: int, text: str, why: str) -> None:
        left_out.read += 1
        left_out.add(Example(file.url, row, "", repr(text), why))

    with _reachable(file.url), file.system.open_input_file(file.path) as source:
        columns = layout.demanded(file.constants)
        if layout.wide:
            valued = layout.values_of(kind.column_names(source), file.constants)
            columns, rows = [*columns, *valued], max(rows // max(len(valued), 1), 1)
        parts = kind.batches(source, columns, rows=rows, skipped=skip, time_column=layout.timestamp, wanted=wanted)
        try:
            for part in parts:
                yield from layout.read(file.url, part, file.constants, left_out)
        except MissingColumn as exc:
            raise InvalidPoints(f"{exc}. {HOW_TO_NAME}") from exc


def latest(file: File, time_column: str) -> int:
    """The latest timestamp in a file as far as it says itself, -1 where it does not.

    Raises:
        InvalidPoints, Unavailable: as `pieces` does.
    """
    with _reachable(file.url), file.system.open_input_file(file.path) as source:
        return formats.of_file(file.path).latest(source, time_column)


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
