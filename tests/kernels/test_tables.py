"""Tables in JSON: read and written as by their twin, whatever is changed in them."""

import importlib
import json
import random
from typing import Any

import numpy as np
import pytest

from tests.kernels.mutations import mutated

MODULES = ("_compiled", "_tables_py")
ROWS = [
    {"region": "eu", "host": f"wéb-{i % 3}", "metric": "cpu", "timestamp": 60 * i, "value": [1.5, None, 0.1 * i][i % 3]}
    for i in range(7)
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ("region", "host", "metric", "timestamp", "value")}


def read(module: str, kind: str, body: bytes, most: int = 50) -> Any:
    """What a reader makes of a body, in lists."""
    found = getattr(importlib.import_module(f"myriad.kernels.{module}"), kind)(body, most)
    return found and {name: _plain(column) for name, column in found.items()}


def _plain(column: Any) -> Any:
    if isinstance(column, bytes):
        return column.strip()
    if isinstance(column, tuple):
        return [_plain(part) if isinstance(part, np.ndarray) else part for part in column]
    return (column.dtype.name, column.tobytes(), column.shape)


def both(kind: str, body: bytes, most: int = 50) -> Any:
    compiled, twin = (read(module, kind, body, most) for module in MODULES)
    assert compiled == twin
    return compiled


def text(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def test_columns_are_read_with_their_texts_once() -> None:
    found = importlib.import_module("myriad.kernels._compiled").columns_of(text({**COLUMNS, "windows": ["1m"]}), 50)
    assert found["host"][0] == ["wéb-0", "wéb-1", "wéb-2"]
    assert found["host"][1].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert found["timestamp"].tolist() == COLUMNS["timestamp"]
    assert np.isnan(found["value"]).tolist() == [value is None for value in COLUMNS["value"]]
    assert found["windows"] == b'["1m"]'
    assert both("columns_of", text({**COLUMNS, "1m": COLUMNS["value"], "bands": True, "combine": "max", "digits": 6}))
    assert both("columns_of", text({**COLUMNS, "host": [None, *COLUMNS["host"][1:]]}))["host"][0] == [
        "wéb-1",
        "wéb-2",
        "wéb-0",
    ]


def test_rows_are_read_into_columns() -> None:
    found = importlib.import_module("myriad.kernels._compiled").rows_of(text({"datapoints": ROWS, "bands": True}), 50)
    words, codes, times, values = found["datapoints"]
    assert words == [["eu"], ["wéb-0", "wéb-1", "wéb-2"], ["cpu"]]
    assert codes.tolist() == [[0] * 7, [0, 1, 2, 0, 1, 2, 0], [0] * 7]
    assert times.tolist() == COLUMNS["timestamp"]
    assert np.isnan(values).sum() == 2
    assert both("rows_of", text({"datapoints": ROWS, "windows": ["1m", "1h"]}))


@pytest.mark.parametrize("module", MODULES)
def test_what_is_not_tidy_is_left_to_others(module: str) -> None:
    row = ROWS[0]
    without = {name: label for name, label in row.items() if name != "host"}
    changes: list[dict[str, Any]] = [
        {"value": "1"}, {"timestamp": "x"}, {"x": 1}, {"value": 1e151}, {"timestamp": -1}, {"host": None},
    ]  # fmt: skip
    for wrong in ([], [without], *([{**row, **change}] for change in changes)):
        assert read(module, "rows_of", text({"datapoints": wrong})) is None
    assert read(module, "rows_of", text({"datapoints": ROWS}), 6) is None
    assert read(module, "rows_of", text({"datapoints": ROWS, "host": "a"})) is None
    for name, column in (
        ("timestamp", ["x"] * 7),
        ("timestamp", [None] * 7),
        ("value", [True] * 7),
        ("value", [1.0] * 6),
    ):
        assert read(module, "columns_of", text({**COLUMNS, name: column})) is None
    assert read(module, "columns_of", text(COLUMNS), 6) is None
    assert read(module, "columns_of", b"[]") is None


@pytest.mark.parametrize(("kind", "sound"), [("columns_of", COLUMNS), ("rows_of", {"datapoints": ROWS, "bands": True})])
def test_mutated_tables_are_read_as_their_twin_reads_them_or_left_to_it(kind: str, sound: Any) -> None:
    rng, accepted = random.Random(4), 0
    whole = [text(sound), json.dumps(sound, separators=(",", ":"), ensure_ascii=False).encode()]
    for _ in range(4000):
        body = mutated(rng.choice(whole), rng)
        found = read("_compiled", kind, body)
        accepted += found is not None
        assert found is None or found == read("_tables_py", kind, body), body
    assert accepted > 40


def test_many_different_texts_are_told_apart() -> None:
    hosts = [f"host-{i * 7919 % 5000}-{'x' * (i % 40)}" for i in range(6000)]
    body = text({**{name: ["a"] * 6000 for name in ("region", "metric")}, "host": hosts, "timestamp": [1] * 6000})
    words, codes = importlib.import_module("myriad.kernels._compiled").columns_of(body, 10_000)["host"]
    assert [words[code] for code in codes.tolist()] == hosts
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("module", MODULES)
def test_texts_are_written_by_their_positions(module: str) -> None:
    coded = importlib.import_module(f"myriad.kernels.{module}").coded
    assert coded(np.array([1, 0, 1]), [b'"a"', b"null"]) == b'[null,"a",null]'
    assert coded(np.empty(0, np.int64), []) == b"[]"
    for wrong in ([2], [-1]):
        with pytest.raises(IndexError, match="no such text"):
            coded(np.array(wrong), [b'"a"', b"null"])


def test_the_answers_of_series_are_those_of_the_twin() -> None:
    rng = np.random.default_rng(0)
    offsets = np.cumsum([0, 3, 0, 1, 4])
    times, block = np.arange(8) * 60, rng.normal(size=(5, 8))
    block[rng.random(block.shape) < 0.3] = np.nan
    labels = [[b'"eu"'], [b'"a"', b'"b c"'], [b'"cpu"', b'"mem"']]
    keys = [[b"eu"], [b"a", b"b%20c"], [b"cpu", b"mem"]]
    codes = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0]])
    between = [[b',"t":', b',"score":', b""], [b',"t":', *[b',"x":'] * 5, b""]]
    after = [[b""], [b',"models":["', b'/1m","', b'/1h"]']]
    status, level, kind = np.array([0, 1, 0, 1], np.uint8), np.array([0, 1, 2, 0], np.uint8), np.array([1, 1, 1, 0])
    around = ([b'"ok"', b'"fallback"'], status, level, kind, between, after, {2: b',"duplicates":1'})
    for digits in (0, 6):
        for first, end in ((0, 4), (1, 3), (2, 2)):
            compiled, twin = (
                importlib.import_module(f"myriad.kernels.{module}").series_texts(
                    times, block, offsets, first, end, codes, labels, keys, *around, digits
                )
                for module in MODULES
            )
            assert compiled == twin
            assert len(json.loads(b"[" + compiled + b"]")) == end - first
    for module in MODULES:
        with pytest.raises(ValueError, match="no such series"):
            importlib.import_module(f"myriad.kernels.{module}").series_texts(
                times, block, offsets, 0, 5, codes, labels, keys, *around
            )
