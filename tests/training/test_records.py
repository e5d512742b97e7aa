"""Records: a row a model, kept beside the release and read by anything that reads Parquet."""

import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myriad.models.errors import ArtifactCorrupt, NotFound
from myriad.storage.memory import MemoryStore
from myriad.storage.release import Releases, records_name
from myriad.training import records
from tests.training.tables import fleet, refusals

ID = "20260101T000000Z-00000001"
ONE = {"region": ["r"], "host": ["a"], "metric": ["cpu"], "window": ["1m"]}
MODELS = st.tuples(
    *(st.sampled_from(part) for part in (["r", "ß", "*"], ["a", "b"], ["cpu", "mem"], ["1m", "1h", None]))
)
PARTS = st.lists(st.dictionaries(MODELS, st.floats(0, 10) | st.none(), max_size=8), max_size=5)
Key = tuple[str, ...]


@pytest.fixture
def releases() -> Releases:
    """The releases of an empty store."""
    return Releases(MemoryStore())


def part(errors: dict[Key, float | None]) -> pa.Table:
    """Records of models by key, each with an error or, where that is None, refused."""
    columns = {name: [key[i] for key in errors] for i, name in enumerate(records.KEY)}
    refused = ["no" if error is None else "" for error in errors.values()]
    return records.table({**columns, "error": list(errors.values()), "refused": refused})


def errors(table: pa.Table) -> dict[Key, float | None]:
    """The error of each model by key."""
    rows = table.to_pylist()
    found = {tuple(row[name] for name in records.KEY): row["error"] for row in rows}
    assert len(found) == len(rows)
    return found


def served(table: dict[Key, float | None]) -> dict[Key, float | None]:
    """Those that have a model."""
    return {key: error for key, error in table.items() if error is not None}


def test_a_table_has_every_column_whatever_is_given() -> None:
    table = records.table(ONE)
    assert table.schema == records.SCHEMA
    (row,) = table.to_pylist()
    assert {name for name, value in row.items() if value is None} == set(row) - set(ONE) - {"refused"}
    assert row["refused"] == ""


def test_mappings_become_json_without_nan() -> None:
    candidates = {"seasonal": np.float64(1.5), "ewma": float("nan"), "lags": np.array([1, 2])}
    table = records.table({**ONE, "candidates": [candidates], "versions": ['{"a": "1"}'], "parameters": [None]})
    (row,) = table.to_pylist()
    assert json.loads(row["candidates"]) == {"seasonal": 1.5, "ewma": None, "lags": [1, 2]}
    assert (row["versions"], row["parameters"]) == ('{"a": "1"}', None)


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError, match="module is not JSON"):
        records.table({**ONE, "parameters": [{"x": pytest}]})


def test_nan_is_null_and_a_refusal_has_no_figures() -> None:
    two = {name: values * 2 for name, values in ONE.items()}
    table = records.table({**two, "error": np.array([np.nan, 1.0]), "points": [7, 7], "refused": [None, "too few"]})
    assert table["error"].to_pylist() == [None, None]
    assert table["points"].to_pylist() == [7, None]
    assert table["refused"].to_pylist() == ["", "too few"]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"region": ["r"], "host": ["a"]}, "metric"),
        ({**ONE, "eror": [1.0]}, "eror"),
        ({**ONE, "error": [1.0, 2.0]}, "length"),
        ({**ONE, "refused": ["", ""]}, "length"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: dict[str, list[object]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        records.table(columns)


@given(PARTS)
def test_merged_parts_have_each_model_once_as_it_was_last_and_in_order(parts: list[dict[Key, float | None]]) -> None:
    merged = records.merge([part(one) for one in parts])
    expected = {key: error for one in parts for key, error in one.items()}
    assert errors(merged) == expected
    in_order = sorted(expected, key=lambda key: tuple("" if value is None else value for value in key))
    assert list(errors(merged)) == in_order
    assert merged.schema == records.SCHEMA
    assert records.merge([merged]).equals(merged)


@given(PARTS, st.integers(0, 5))
def test_parts_may_be_merged_in_any_grouping(parts: list[dict[Key, float | None]], at: int) -> None:
    tables = [part(one) for one in parts]
    grouped = records.merge([records.merge(tables[:at]), records.merge(tables[at:])])
    assert errors(grouped) == errors(records.merge(tables))


@given(PARTS)
def test_an_update_has_a_record_of_each_model_that_is_served(parts: list[dict[Key, float | None]]) -> None:
    before, after = [*parts, {}, {}][:2]
    anew = {key[:3] for key in served(after)}
    expected = {key: error for key, error in served(before).items() if key[:3] not in anew} | served(after)
    assert served(errors(records.updated(part(before), part(after)))) == expected


def test_an_update_keeps_the_record_of_what_it_could_not_fit_again() -> None:
    before = part({("r", "a", "cpu", "1m"): 1.0, ("r", "b", "cpu", "1m"): None})
    after = refusals("r/a/cpu/1m", "r/b/cpu/1m", "r/c/cpu/1m", why="this time too few")
    refused = {row["host"]: row["refused"] for row in records.updated(before, after).to_pylist()}
    assert refused == {"a": "", "b": "this time too few", "c": "this time too few"}


def test_what_is_written_is_read_back(releases: Releases) -> None:
    table = records.merge([fleet(3), refusals("r/new/cpu/1m")])
    size = records.write(releases, ID, table)
    (stored,) = releases.store.list("")
    assert (stored.name, stored.size) == (f"records/{ID}.parquet", size)
    assert records.read(releases, ID).equals(table)
    assert records.read(releases, ID, ["host", "error"]).equals(table.select(["host", "error"]))


def test_rows_of_several_row_groups_are_one_table(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pq, "write_table", functools.partial(pq.write_table, row_group_size=3))
    table = fleet(3)
    records.write(releases, ID, table)
    back = records.read(releases, ID)
    assert back["host"].num_chunks == 1
    assert records.merge([back]).equals(records.merge([table]))


def test_plain_text_columns_are_taken_too(releases: Releases) -> None:
    plain = pa.Table.from_pandas(fleet(2).to_pandas().astype({"region": str, "host": str}), preserve_index=False)
    records.write(releases, ID, plain)
    assert records.read(releases, ID).to_pylist() == fleet(2).to_pylist()


def test_records_are_zstd_and_read_with_pandas(releases: Releases, tmp_path: Path) -> None:
    table = fleet(2)
    records.write(releases, ID, table)
    path = tmp_path / "records.parquet"
    path.write_bytes(releases.store.get(records_name(ID), 1 << 20).data)
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    frame = pd.read_parquet(path)
    assert frame["error"].tolist() == table["error"].to_pylist()
    assert json.loads(frame["parameters"][0]) == {"period": 86400}


@pytest.mark.skipif(importlib.util.find_spec("duckdb") is None, reason="duckdb is not installed")
def test_records_are_read_with_duckdb(releases: Releases, tmp_path: Path) -> None:
    duckdb = importlib.import_module("duckdb")
    records.write(releases, ID, fleet(2))
    path = tmp_path / "records.parquet"
    path.write_bytes(releases.store.get(records_name(ID), 1 << 20).data)
    found = duckdb.sql(f"SELECT window, count(*), max(error) FROM '{path}' GROUP BY 1 ORDER BY 1").fetchall()
    assert [row[:2] for row in found] == [("1h", 8), ("1m", 8)]


def test_a_release_without_records_is_said_to_have_none(releases: Releases) -> None:
    with pytest.raises(NotFound, match=ID):
        records.read(releases, ID)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"{}", None])
def test_what_is_no_table_of_records_is_corrupt(releases: Releases, data: bytes | None) -> None:
    other = pa.BufferOutputStream()
    pq.write_table(pa.table({"region": ["r"]}), other)
    releases.store.create(records_name(ID), other.getvalue().to_pybytes() if data is None else data)
    with pytest.raises(ArtifactCorrupt, match=ID):
        records.read(releases, ID)
