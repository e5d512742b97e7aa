"""Numbers as text: the fewest digits that give the same number again, or so many."""

import importlib
import json
import math
import os
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

PATTERNS = int(os.environ.get("MYRIAD_TEST_PATTERNS", "100000"))
"""Random bit patterns that are written; the million of the kept run took a second."""
MODULES = ("_compiled", "_json_text_py")
SPECIAL = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.1, 1e15]
SPECIAL += [9007199254740993.0, 1e16, 1e17, 123456789012345680.0, 1e-4, 1e-5, 1.5e-5, 1e-6, 1.5e-6, 1e22, 1e23, 2.5e15]


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest) -> Any:
    """The compiled kernel, or its twin."""
    return importlib.import_module(f"myriad.kernels.{request.param}")


def patterns(count: int) -> NDArray[np.float64]:
    bits = np.random.default_rng(0).integers(0, 2**64, count, dtype=np.uint64, endpoint=False)
    return np.ascontiguousarray(bits.view(np.float64))


def texts(text: bytes) -> list[str]:
    return text[1:-1].decode().split(",")


def test_floats_have_the_fewest_digits_that_give_them_again(module: Any) -> None:
    powers = [2.0**e for e in range(-1074, 1024)] + [10.0**e for e in range(-323, 309)]
    values = np.concatenate([patterns(PATTERNS), powers, SPECIAL])
    text = module.written([values])
    assert text == msgspec.json.encode(values.tolist())
    for value, one in zip(values[-2000:].tolist(), texts(text)[-2000:], strict=True):
        assert one == "null" if not math.isfinite(value) else Decimal(one) == Decimal(repr(value))


@pytest.mark.parametrize("digits", [1, 2, 3, 6, 9, 12, 16, 17])
def test_rounded_floats_are_those_of_the_twin(digits: int) -> None:
    rng = np.random.default_rng(digits)
    values = np.concatenate([patterns(2000), rng.uniform(0, 3, 5000), np.round(rng.uniform(0, 100, 2000), 2), SPECIAL])
    compiled, twin = (importlib.import_module(f"myriad.kernels.{name}").written([values], digits) for name in MODULES)
    assert texts(compiled) == texts(twin)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.999999999, 6, "0.999999"),
        (-0.999999999, 6, "-0.999999"),
        (1.0000001, 6, "1.00001"),
        (-1.0000001, 6, "-1.00001"),
        (1.0, 6, "1.0"),
        (0.96, 1, "0.9"),
        (1.2, 1, "2.0"),
        (0.99999949, 6, "0.999999"),
        (123456.7, 6, "123457.0"),
        (999999.7, 6, "1000000.0"),
        (1.2345678e-7, 6, "1.23457e-7"),
        (-1.2345678e20, 3, "-1.23e20"),
    ],
)
def test_what_is_beside_1_never_reads_as_1(module: Any, value: float, digits: int, text: str) -> None:
    assert module.written([np.array([value])], digits) == f"[{text}]".encode()


@given(st.floats(0, 2), st.integers(1, 17))
@settings(max_examples=300, deadline=None)
def test_a_rounded_score_is_on_the_side_of_1_that_it_was_on(value: float, digits: int) -> None:
    for name in MODULES:
        (read,) = json.loads(importlib.import_module(f"myriad.kernels.{name}").written([np.array([value])], digits))
        assert (read > 1, read < 1) == (value > 1, value < 1)
        if 0.5 < value < 2:
            assert read == pytest.approx(value, abs=1.01 * 10.0 ** (1 - digits))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30))
def test_integers_are_written_whole(numbers: list[int]) -> None:
    for name in MODULES:
        written = importlib.import_module(f"myriad.kernels.{name}").written
        assert json.loads(written([np.array(numbers, np.int64)])) == numbers


def test_parts_follow_one_another(module: Any) -> None:
    parts = [b'{"a":', np.array([1.5, np.nan]), b',"b":', np.array([3]), b',"c":', np.empty(0), b"}"]
    assert module.written(parts) == b'{"a":[1.5,null],"b":[3],"c":[]}'
    assert module.written([]) == b""


def test_columns_are_the_times_and_rows_between_texts(module: Any) -> None:
    times, block = np.arange(5) * 60, np.arange(15, dtype=np.float64).reshape(3, 5)
    between = [b"t:", b"a:", b"b:", b"."]
    assert module.columns(times, block, 1, 3, between) == b"t:[60,120]a:[1.0,2.0]b:[6.0,7.0]."
    assert module.columns(times, block, 2, 2, between) == b"t:[]a:[]b:[]."
    assert module.columns(times, block, 0, 1, [b"", b""]) == b"[0]"


@pytest.mark.parametrize(("first", "end", "pieces"), [(-1, 2, 3), (3, 2, 3), (0, 6, 3), (0, 2, 6)])
def test_columns_that_there_are_not_are_refused(module: Any, first: int, end: int, pieces: int) -> None:
    with pytest.raises(ValueError, match="there are no such columns"):
        module.columns(np.arange(5), np.ones((3, 5)), first, end, [b""] * pieces)


@pytest.mark.parametrize("wrong", [np.ones(3, np.float32), np.ones((2, 2)), np.ones(6)[::2], np.ones(3, np.bool_)])
def test_other_arrays_are_refused(module: Any, wrong: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        module.written([wrong])


@pytest.mark.parametrize("digits", [-1, 18])
def test_numbers_of_digits_that_there_are_not_are_refused(module: Any, digits: int) -> None:
    with pytest.raises(ValueError, match="up to 17"):
        module.written([np.ones(1)], digits)
