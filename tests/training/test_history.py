"""History: Parquet and CSV files, and clear words about those that are neither."""

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from models.errors import InvalidPoints
from training import history

ROWS = pd.DataFrame(
    {"region": "r", "host": ["1", "2"], "metric": "NA", "timestamp": [1_764_547_140, 1_764_547_200], "value": [1.5, 2]}
)


def written(path: Path, rows: pd.DataFrame = ROWS) -> Path:
    """A file of rows, of the kind its suffix says."""
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("name", ["h.csv", "h.parquet", "h.pq"])
def test_a_file_is_read_whatever_its_kind(tmp_path: Path, name: str) -> None:
    table = history.read([written(tmp_path / name)])
    assert table.to_pylist() == ROWS.to_dict("records")


def test_several_files_of_different_kinds_follow_one_another(tmp_path: Path) -> None:
    table = history.read([written(tmp_path / "1.parquet"), str(written(tmp_path / "2.csv"))])
    assert table["host"].to_pylist() == ["1", "2", "1", "2"]


def test_columns_may_be_in_any_order_and_others_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "h.csv", ROWS[ROWS.columns[::-1]].assign(note="x"))
    assert history.read([path]).column_names == ["region", "host", "metric", "timestamp", "value"]


def test_dictionaries_of_several_files_become_one(tmp_path: Path) -> None:
    for part, host in enumerate("ab"):
        table = pa.Table.from_pandas(ROWS.assign(host=pd.Categorical([host] * 2)))
        pyarrow.parquet.write_table(table, tmp_path / f"{part}.parquet")
    table = history.read([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    assert table["host"].to_pylist() == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("h.parquet", b"not parquet", "cannot be read"),
        ("h.parquet", b"", "cannot be read"),
        ("h.csv", b"", "cannot be read"),
        ("h.csv", b"region,host,metric,timestamp,value\nr,h\n", "cannot be read"),
        ("h.csv", b"region,host,metric,timestamp\nr,h,m,1\n", "column 'value' is missing"),
        ("h.csv", b"\xff\xfe,x", "h.csv"),
        ("h.csv", gzip.compress(b"region", mtime=0), "h.csv"),
        ("h.json", b"{}", "only .parquet and .csv"),
        ("h", b"", "only .parquet and .csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidPoints, match=why) as refused:
        history.read([written(tmp_path / "good.csv"), path])
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidPoints, match=r"nowhere\.csv"):
        history.read([tmp_path / "nowhere.csv"])


def test_files_whose_columns_do_not_go_together_are_refused(tmp_path: Path) -> None:
    texts = ROWS.assign(timestamp=["2025-12-01T00:00:00Z", "2025-12-01T00:01:00Z"])
    with pytest.raises(InvalidPoints, match="timestamp"):
        history.read([written(tmp_path / "1.csv"), written(tmp_path / "2.csv", texts)])
