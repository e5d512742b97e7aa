"""Names: series in columns say the same as series by themselves."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from myriad.models.key import Series
from myriad.models.names import Names

PARTS = st.sampled_from(["a", "b", "c d", "é", "*"])
SERIES = st.lists(st.builds(Series, PARTS, PARTS, PARTS), max_size=8)


@given(SERIES)
def test_columns_give_the_series_and_its_hashes(series: list[Series]) -> None:
    names = Names.of(series)
    assert [names[i] for i in range(len(names))] == series
    assert names.hashes.tolist() == [one.hash for one in series]
    assert names.host_hashes.tolist() == [one.host_hash for one in series]
    assert names.texts == [str(one) for one in series]


@given(SERIES, st.randoms())
def test_some_of_them_are_those_in_that_order(series: list[Series], chance: object) -> None:
    some = list(range(len(series)))
    chance.shuffle(some)  # type: ignore[attr-defined]
    names = Names.of(series)
    assert len(names.quoted) == 3  # from now on known to what is taken from them
    taken = names.take(np.array(some, np.int64))
    assert [taken[i] for i in range(len(taken))] == [series[i] for i in some]
    assert taken.texts == [str(series[i]) for i in some]
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


def test_a_digest_tells_different_series_and_orders_apart() -> None:
    series = [Series("eu", "web", "cpu"), Series("us", "db", "mem")]
    assert Names.of(series).digest() == Names.of(list(series)).digest()
    assert Names.of(series).digest() != Names.of(series[::-1]).digest()
    assert Names.of(series).digest() != Names.of([Series("eu", "web", "mem"), Series("us", "db", "cpu")]).digest()
    regions = ["eu"], ["eu", ""]
    shifted = [Names((region, hosts, ["cpu"]), np.array([[0], [1], [0]])) for region, hosts in
               ((regions[0], ["", "a", "b"]), (regions[1], ["a", "b"]))]  # fmt: skip
    assert shifted[0].digest() != shifted[1].digest()
    assert Names.of([Series("ab", "c", "d")]).digest() != Names.of([Series("a", "bc", "d")]).digest()


@given(SERIES)
def test_compacting_leaves_the_series_as_they_are(series: list[Series]) -> None:
    some = Names.of(series).take(np.arange(0, len(series), 2))
    compact = some.compact()
    assert [compact[i] for i in range(len(compact))] == series[::2]
    assert all(len(parts) == len(set(parts)) for parts in compact.parts)
    assert set(compact.parts[1]) == {one.host for one in series[::2]}
