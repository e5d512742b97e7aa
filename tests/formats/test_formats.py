"""Formats: found by the names of their files."""

import re
from pathlib import Path

import pytest

from myriad import formats
from myriad.models.errors import InvalidPoints


def test_every_file_is_a_format_but_for_what_they_share() -> None:
    files = {file.stem for file in Path(formats.__file__).parent.glob("*.py")}
    assert formats.names() == tuple(sorted(files - {"__init__", "base", "layout", "left_out"}))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.csv", "csv"),
        ("a/b.csv.gz", "csv"),
        ("b.tsv.zst", "csv"),
        ("H.CSV", "csv"),
        ("b.parquet", "parquet"),
        ("s3://x/b.pq", "parquet"),
    ],
)
def test_the_end_of_a_files_name_says_its_format(path: str, name: str) -> None:
    assert formats.of_file(path) is formats.get(name)


@pytest.mark.parametrize("path", ["h.json", "h", "csv", "h.csv.bak", "h.gz", "h.parquet.gz"])
def test_other_files_are_refused_with_the_names_there_are(path: str) -> None:
    known = [suffix for name in formats.names() for suffix in formats.get(name).suffixes]
    with pytest.raises(InvalidPoints, match=f"^{path}: .* {re.escape(', '.join(known))}"):
        formats.of_file(path)


def test_no_two_formats_have_files_of_the_same_name() -> None:
    suffixes = [suffix for name in formats.names() for suffix in formats.get(name).suffixes]
    assert len(suffixes) == len(set(suffixes))
