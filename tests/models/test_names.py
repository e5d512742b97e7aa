"""Names: series in columns say the same as series by themselves."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from myriad.models.key import Series
from myriad.models.names import Names

PARTS = st.sampled_from(["a", "b", "c d", "é", "*"])
SERIES = st.lists(st.builds(Series, PARTS, PARTS, PARTS), max_size=8)


def texts(names: Names) -> list[str]:
    """What the packed parts say of each series."""
    packed, ends = names.packed
    return [
        b"/".join(
            part[some[code] : some[code + 1]].tobytes() for part, some, code in zip(packed, ends, codes, strict=True)
        ).decode()
        for codes in names.codes.T.tolist()
    ]


@given(SERIES)
def test_columns_give_the_series_and_its_hashes(series: list[Series]) -> None:
    names = Names.of(series)
    assert [names[i] for i in range(len(names))] == series
    assert names.hashes.tolist() == [one.hash for one in series]
    assert names.host_hashes.tolist() == [one.host_hash for one in series]
    assert texts(names) == [str(one) for one in series]


@given(SERIES, st.randoms())
def test_some_of_them_are_those_in_that_order(series: list[Series], chance: object) -> None:
    some = list(range(len(series)))
    chance.shuffle(some)  # type: ignore[attr-defined]
    names = Names.of(series)
    assert len(names.packed) == 2  # from now on known to what is taken from them
    taken = names.take(np.array(some, np.int64))
    assert [taken[i] for i in range(len(taken))] == [series[i] for i in some]
    assert texts(taken) == [str(series[i]) for i in some]
    assert taken.hashes.tolist() == [series[i].hash for i in some]


def test_the_region_stands_in_for_a_host_and_everything_for_the_region() -> None:
    names = Names.of([Series("eu", "web", "cpu"), Series("us", "db", "mem")])
    assert names.fallback(0) is names
    assert [str(names.fallback(1)[i]) for i in range(2)] == ["eu/*/cpu", "us/*/mem"]
    assert [str(names.fallback(2)[i]) for i in range(2)] == ["*/*/cpu", "*/*/mem"]


def test_those_that_cannot_be_series_are_named() -> None:
    names = Names(
        (["eu", "*"], ["web", "a\nb", "*"], ["cpu", ""]),
        np.array([[0, 0, 0, 1, 1], [0, 1, 0, 0, 2], [0, 0, 1, 0, 0]]),
    )
    assert {i: why.part for i, why in names.invalid().items()} == {1: "host", 2: "metric", 3: "host"}


@given(SERIES)
def test_compacting_leaves_the_series_as_they_are(series: list[Series]) -> None:
    some = Names.of(series).take(np.arange(0, len(series), 2))
    compact = some.compact()
    assert [compact[i] for i in range(len(compact))] == series[::2]
    assert all(len(parts) == len(set(parts)) for parts in compact.parts)
    assert set(compact.parts[1]) == {one.host for one in series[::2]}
