"""Shards: what was fitted comes back, looked up by name, and nothing else is taken for a shard."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad import adapters
from myriad.models.base import Arrays, Model
from myriad.models.errors import ArtifactCorrupt, InvalidKey
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.windows import Window
from myriad.storage.artifact import pack, views
from myriad.storage.shard import (
    HOST_COLUMNS,
    LEAST_COMBINED,
    MOST_COMBINED,
    NO_MODEL,
    UNLIMITED,
    Entries,
    Shard,
    concatenated,
    entries_of,
    pack_shard,
)
from myriad.training.fit import fit
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from tests.conftest import history
from tests.training.small import NAMES, PLAN, fitted

GOLDEN_SCORES = Path(__file__).parent / "golden" / "shard-format-1-scores.json"
GOLDEN = Path(__file__).parent / "golden" / "shard-format-1.safetensors"
"""Written with `GOLDEN.write_bytes(pack_shard(golden_entries()))`, and `GOLDEN_SCORES` with `golden_scores`.

Every later version has to read it: a new format's file is to lie beside it, not to take its place.
"""

ENTRIES = fitted()
"""Four series, two windows with an adapter each."""


def opened(raw: bytes) -> Shard:
    """The shard in a file."""
    return Shard("x", raw, adapters.get)


def found(shard: Shard, names: Sequence[str]) -> list[int]:
    """The positions of the series of these names."""
    return shard.find(Names.of([Series.parse(name) for name in names])).tolist()


def parameters(models: Mapping[tuple[int, int], Model], adapter: Any, row: Any, i: int) -> list[dict[str, list[Any]]]:
    """What model a series has at each window, by parameter."""
    windows = range(adapter.shape[1])
    return [
        {name: array[row[i, w]].tolist() for name, array in models[w, int(adapter[i, w])].arrays.items()}
        for w in windows
    ]


def arrays_of(order: Sequence[int]) -> dict[str, bytes]:
    """The arrays of the shard of the entries in some order."""
    arrays, _ = views("x", pack_shard(ENTRIES.take(np.array(order))))
    return {name: array.tobytes() for name, array in arrays.items()}


def forged(**changed: NDArray[Any]) -> bytes:
    """The shard of the entries with other arrays, named with `__` for a slash."""
    arrays, metadata = views("x", pack_shard(ENTRIES))
    return pack({**arrays, **{name.replace("__", "/"): array for name, array in changed.items()}}, metadata)


RAW = pack_shard(ENTRIES)
TENSORS, METADATA = views("x", RAW)


def test_what_was_fitted_is_found_by_name() -> None:
    shard = opened(RAW)
    assert (len(shard), shard.windows, shard.adapters) == (4, PLAN.windows, ("ewma", "seasonal"))
    assert (shard.name, shard.nbytes) == ("x", len(RAW))
    for i, (name, at) in enumerate(zip(NAMES, found(shard, NAMES), strict=True)):
        assert str(shard.name_of(at)) == name
        for index in ("step", "points", "fitted_at", "history", "combined"):
            np.testing.assert_array_equal(getattr(shard, index)[at], getattr(ENTRIES, index)[i])
        assert parameters(shard.models, shard.adapter, shard.row, at) == parameters(
            ENTRIES.models, ENTRIES.adapter, ENTRIES.row, i
        )


def test_what_is_not_there_is_at_no_position() -> None:
    assert found(opened(RAW), ["r/a/disk", "r/a/mem", "q/a/cpu", "r/*/cpu"]) == [
        -1,
        found(opened(RAW), NAMES)[1],
        -1,
        -1,
    ]
    assert found(opened(RAW), []) == []


def test_a_shard_may_be_empty() -> None:
    shard = opened(pack_shard(ENTRIES.take(np.empty(0, np.int64))))
    assert (len(shard), found(shard, NAMES)) == (0, [-1] * 4)


def test_the_order_of_the_entries_makes_no_difference() -> None:
    assert arrays_of([2, 0, 3, 1]) == arrays_of([1, 3, 0, 2])


def test_series_of_one_hash_are_told_apart_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Series, "hash", property(lambda _: 2**63 + 1))
    monkeypatch.setattr(Names, "hashes", property(lambda names: np.full(len(names), 2**63 + 1, np.uint64)))
    shard = opened(pack_shard(ENTRIES))
    assert len(set(shard.hashes.tolist())) == 1
    at = found(shard, [*NAMES, "r/a/disk"])
    assert [str(shard.name_of(position)) for position in at[:-1]] == list(NAMES)
    assert at[-1] == -1
    for i, position in enumerate(at[:-1]):
        assert parameters(shard.models, shard.adapter, shard.row, position) == parameters(
            ENTRIES.models, ENTRIES.adapter, ENTRIES.row, i
        )


def test_a_series_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InvalidKey, match="r/a/cpu' is there twice"):
        pack_shard(ENTRIES.take(np.array([0, 1, 0])))


def test_a_series_may_have_any_name_a_key_can_have() -> None:
    names = ["r/h%20%C3%A9%F0%9F%92%BE/m", "r/*/m", f"{'x' * 200}/h/m"]
    shard = opened(pack_shard(fitted(*names)))
    assert [str(shard.name_of(at)) for at in found(shard, names)] == names


def test_a_window_may_have_models_of_several_adapters_and_none() -> None:
    turned = dataclasses.replace(PLAN, candidates=only("seasonal", "ewma"))
    other = fitted("q/a/cpu", seed=5, plan=turned)
    mixed = concatenated([ENTRIES, other])
    mixed.adapter[0, 1] = NO_MODEL
    shard = opened(pack_shard(mixed))
    at = found(shard, [*NAMES, "q/a/cpu"])
    assert [shard.adapter[position].tolist() for position in at] == [[0, NO_MODEL], [0, 1], [0, 1], [0, 1], [1, 0]]
    assert parameters(shard.models, shard.adapter, shard.row, at[-1]) == parameters(
        other.models, other.adapter, other.row, 0
    )


def test_entries_put_together_keep_every_series_own_parameters() -> None:
    parts = [fitted("a/a/a", "a/b/a", seed=1), fitted("b/a/a", seed=2), fitted("c/a/a", "c/b/a", "c/c/a", seed=3)]
    whole, at = concatenated(parts), 0
    for part in parts:
        for i, series in enumerate(part.series):
            assert whole.series[at] == series
            assert parameters(whole.models, whole.adapter, whole.row, at) == parameters(
                part.models, part.adapter, part.row, i
            )
            at += 1
    assert at == len(whole.series)


def test_entries_of_different_adapters_can_be_put_together() -> None:
    one = fitted("a/a/a", plan=dataclasses.replace(PLAN, candidates=only("seasonal", "seasonal")))
    both = concatenated([one, ENTRIES])
    shard = opened(pack_shard(both))
    assert both.adapters == ("ewma", "seasonal")
    assert [[shard.adapters[code] for code in shard.adapter[at]] for at in found(shard, ["a/a/a", "r/a/cpu"])] == [
        ["seasonal", "seasonal"],
        ["ewma", "seasonal"],
    ]


def test_an_open_shard_can_be_packed_anew() -> None:
    again, _ = views("x", pack_shard(entries_of(opened(RAW))))
    assert {name: array.tolist() for name, array in again.items()} == {k: v.tolist() for k, v in TENSORS.items()}


def test_models_are_views_of_the_file() -> None:
    buffer = np.frombuffer(RAW, "u1")
    for model in opened(RAW).models.values():
        assert all(np.shares_memory(array, buffer) for array in model.arrays.values())


_ROW: NDArray[Any] = TENSORS["index/row"]
_DAMAGE: dict[str, Callable[[], bytes]] = {
    "rows beyond the models": lambda: forged(index__row=_ROW + np.uint32(4)),
    "an adapter that has no models": lambda: forged(index__adapter=1 - TENSORS["index/adapter"]),
    "an adapter beyond the list": lambda: forged(index__adapter=TENSORS["index/adapter"] + np.uint8(2)),
    "another type": lambda: forged(index__hash=TENSORS["index/hash"].astype("<i8")),
    "another length": lambda: forged(index__step=TENSORS["index/step"][:-1]),
    "another width": lambda: forged(index__row=_ROW[:, :1]),
    "too many combinations": lambda: forged(index__combined=np.ones((4, 3, 8), "<f2")),
    "names cut short": lambda: forged(index__names=TENSORS["index/names"][:-1]),
    "no offsets": lambda: forged(index__name_offsets=np.empty(0, "<u4")),
    "an offset without a dimension": lambda: forged(index__name_offsets=np.array(0, "<u4")),
    "offsets that go back": lambda: forged(index__name_offsets=np.array([0, 20, 10, 5, 28], "<u4")),
    "hashes out of order": lambda: forged(index__hash=TENSORS["index/hash"][::-1]),
    "an unknown array": lambda: forged(index__more=np.empty(4)),
    "an unknown window": lambda: forged(**{f"9m__ewma__{name}": np.empty(4) for name in ("threshold", "floor")}),
    "an unknown parameter": lambda: forged(**{"1m__ewma__more": np.empty(4)}),
    "a missing array": lambda: pack({k: v for k, v in TENSORS.items() if k != "index/hash"}, METADATA),
    "a missing parameter": lambda: pack({k: v for k, v in TENSORS.items() if k != "1m/ewma/threshold"}, METADATA),
    "parameters without rows": lambda: forged(**{"1m__ewma__threshold": np.array(1, "<f4")}),
    "another format": lambda: pack(TENSORS, {**METADATA, "format": "2"}),
    "no metadata": lambda: pack(TENSORS, {}),
    "windows that are none": lambda: pack(TENSORS, {**METADATA, "windows": '["1m", "soon"]'}),
    "fewer windows": lambda: pack(TENSORS, {**METADATA, "windows": '["1m"]'}),
    "windows that are no list": lambda: pack(TENSORS, {**METADATA, "windows": "1m"}),
    "an adapter nobody has": lambda: pack(TENSORS, {**METADATA, "adapters": '["ewma", "oracle"]'}),
    "fewer adapters": lambda: pack(TENSORS, {**METADATA, "adapters": '["ewma"]'}),
}


@pytest.mark.parametrize("damage", _DAMAGE)
def test_what_is_not_a_consistent_shard_is_corrupt_by_name(damage: str) -> None:
    raw = _DAMAGE[damage]()
    with pytest.raises(ArtifactCorrupt, match="artifact x is corrupt"):
        opened(raw)


def spoilt(name: str, value: float) -> bytes:
    """The shard with one value of an array replaced."""
    array = TENSORS[name].copy()
    array.flat[-1] = value
    return pack({**TENSORS, name: array}, METADATA)


_NONSENSE: dict[str, tuple[str, float, str]] = {
    "no combination": ("index/combined", np.nan, "index/combined has the value nan"),
    "an infinite combination": ("index/combined", np.inf, "index/combined has the value inf"),
    "a combination of zero": ("index/combined", 0, "index/combined has the value 0; it has to be from 0.001 to 10000"),
    "a negative combination": ("index/combined", -1, "index/combined has the value -1"),
    "a huge combination": ("index/combined", 3e4, "index/combined has the value 30000"),
    "no step": ("index/step", 0, "index/step has the value 0"),
    "a step of a century": ("index/step", 100 * 365 * 86400, "index/step has the value"),
    "no points": ("index/points", 0, "index/points has the value 0"),
    "a history before 1970": ("index/history", -1, "index/history has the value -1"),
    "a history after 2200": ("index/history", 1 << 40, "index/history has the value"),
    "a history that ends first": ("index/history", 5, "index/history has a history that ends before it begins"),
    "a fit after 2200": ("index/fitted_at", 1 << 62, "index/fitted_at has the value"),
    "a huge threshold": ("1m/ewma/threshold", 3e38, "1m/ewma: .*array threshold has the value 3e.38"),
    "a floor of nothing": ("1m/ewma/floor", 1e-300, "1m/ewma/floor has a value below 1e-09"),
    "a huge spread": ("1m/ewma/spread", 1e300, "1m/ewma: .*array spread has the value 1e.300"),
}


@pytest.mark.parametrize("nonsense", _NONSENSE)
def test_a_value_that_training_cannot_give_is_found_by_name_when_a_shard_is_checked(nonsense: str) -> None:
    name, value, why = _NONSENSE[nonsense]
    shard = opened(spoilt(name, value))
    with pytest.raises(ArtifactCorrupt, match=f"artifact x is corrupt: {why}"):
        shard.check()


@pytest.mark.parametrize("raw", [RAW, GOLDEN.read_bytes(), pack_shard(ENTRIES.take(np.empty(0, np.int64)))])
def test_what_was_fitted_passes_the_check(raw: bytes) -> None:
    opened(raw).check()


def test_the_bounds_of_combinations_are_numbers_a_float16_keeps() -> None:
    kept = np.array([LEAST_COMBINED, MOST_COMBINED], np.float16).astype(float)
    assert LEAST_COMBINED <= kept[0] < kept[1] <= MOST_COMBINED


def test_a_scalar_where_rows_belong_is_corrupt() -> None:
    arrays = {name: array for name, array in TENSORS.items() if not name.startswith("1m/")}
    scalars: Arrays = {f"1m/ewma/{name}": np.array(1.0) for name in adapters.get("ewma").params}
    common: Arrays = {"1m/ewma/threshold": np.array(1, "<f4"), "1m/ewma/floor": np.array(1.0)}
    with pytest.raises(ArtifactCorrupt):
        opened(pack({**arrays, **scalars, **common}, METADATA))


@given(st.integers(0, len(RAW)), st.integers(0, len(RAW)), st.binary(max_size=16))
def test_a_damaged_file_is_corrupt_or_still_a_shard(start: int, stop: int, put: bytes) -> None:
    only_opens_or_is_corrupt(RAW[:start] + put + RAW[stop:])


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_a_file_with_a_byte_changed_is_corrupt_or_still_a_shard(at: int, change: int) -> None:
    damaged = bytearray(RAW)
    damaged[at] ^= change
    only_opens_or_is_corrupt(bytes(damaged))


@given(st.sampled_from(sorted(TENSORS)), st.data())
def test_a_file_with_another_array_is_corrupt_or_still_a_shard(name: str, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(0, 5), max_size=3))
    size = int(np.prod(shape, dtype=int))
    values = data.draw(st.lists(st.integers(0, 255), min_size=size, max_size=size))
    dtype = data.draw(st.sampled_from([TENSORS[name].dtype, np.dtype("<i2")]))
    other = np.array(values).astype(dtype).reshape(shape)
    only_opens_or_is_corrupt(pack({**TENSORS, name: other}, METADATA))


def only_opens_or_is_corrupt(raw: bytes) -> None:
    """Open and search a file that may be damaged; any error but `ArtifactCorrupt` is one of the test."""
    try:
        shard = opened(raw)
        shard.check()
    except ArtifactCorrupt:
        return
    found(shard, NAMES)


def golden_entries() -> Entries:
    """Two series of made-up history; the time of fitting fixed, a model missing."""
    plan = Plan(windows=(Window(60), Window(300)), candidates=only("ewma", "seasonal"), weights=(1.0, 2.0))
    names = [Series("us-east-1", "web-000", "cpu_util"), Series("us-east-1", "*", "cpu_util")]
    entries = fit(plan, names, history(1, series=2)).entries
    entries.adapter[1, 0] = NO_MODEL
    return dataclasses.replace(entries, fitted_at=np.full(2, 1_767_571_200, np.int64))


def golden_scores(shard: Shard) -> list[list[float]]:
    """What each of the three models says of an hour of made-up points."""
    points = history(1 / 24, seed=9)
    at = found(shard, ["us-east-1/web-000/cpu_util", "us-east-1/web-000/cpu_util", "us-east-1/*/cpu_util"])
    rows = [(shard.models[w, w], shard.row[[i], w].astype(np.int64)) for i, w in zip(at, (0, 1, 1), strict=True)]
    return [model.predict(row, points).score.tolist() for model, row in rows]


def test_a_shard_written_by_the_first_version_of_the_format_is_read_for_ever() -> None:
    shard = opened(GOLDEN.read_bytes())
    own, region = found(shard, ["us-east-1/web-000/cpu_util", "us-east-1/*/cpu_util"])
    assert (shard.windows, shard.adapters) == ((60, 300), ("ewma", "seasonal"))
    assert shard.step.tolist() == [60, 60]
    assert shard.points.tolist() == [1440, 1440]
    assert shard.fitted_at.tolist() == [1_767_571_200] * 2
    assert shard.history.tolist() == [[1_767_484_800, 1_767_571_140]] * 2
    assert (shard.adapter[own].tolist(), shard.adapter[region].tolist()) == ([0, 1], [NO_MODEL, 1])
    np.testing.assert_allclose(golden_scores(shard), json.loads(GOLDEN_SCORES.read_text()), rtol=1e-9)


LIMITS = np.array([[1, -np.inf, 100], [0, 0, np.inf], [-1, -np.inf, np.inf], [0, -np.inf, np.inf]])
HOST = np.arange(4 * HOST_COLUMNS, dtype=np.float32).reshape(4, HOST_COLUMNS)


def test_what_only_some_shards_have_comes_back_and_is_left_out_where_nothing_is_said() -> None:
    shard = opened(pack_shard(dataclasses.replace(ENTRIES, limits=LIMITS, host=HOST)))
    assert shard.limits is not None
    assert shard.host is not None
    for name, limits, host in zip(NAMES, LIMITS, HOST, strict=True):
        (at,) = found(shard, [name])
        assert (shard.limits[at].tolist(), shard.host[at].tolist()) == (limits.tolist(), host.tolist())
    nothing = dataclasses.replace(ENTRIES, limits=np.tile(UNLIMITED, (4, 1)), host=np.zeros_like(HOST))
    assert pack_shard(nothing) == pack_shard(ENTRIES)
    plain = opened(pack_shard(ENTRIES))
    assert plain.limits is plain.host is None


def test_parts_that_say_something_are_joined_with_parts_that_do_not() -> None:
    one = dataclasses.replace(ENTRIES.take(np.array([0, 1])), limits=LIMITS[:2])
    both = concatenated([one, ENTRIES.take(np.array([2, 3]))])
    assert both.limits is not None
    assert both.limits.tolist() == [*LIMITS[:2].tolist(), list(UNLIMITED), list(UNLIMITED)]
    assert both.host is None
    again = entries_of(opened(pack_shard(both)))
    assert again.limits is not None
    assert sorted(again.limits.tolist()) == sorted(both.limits.tolist())


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [("limits", np.nan, "no number"), ("host", np.inf, "not finite"), ("limits", 0.5, "a direction that is none")],
)
def test_a_value_that_none_can_have_is_refused(name: str, value: float, why: str) -> None:
    array = {"limits": LIMITS, "host": HOST}[name].copy()
    array[0, 0] = value
    changed: dict[str, Any] = {name: array}
    shard = opened(pack_shard(dataclasses.replace(ENTRIES, **changed)))
    with pytest.raises(ArtifactCorrupt, match=f"index/{name} has .*{why}"):
        shard.check()


@pytest.mark.parametrize("name", ["limits", "host"])
def test_an_array_of_another_shape_is_refused(name: str) -> None:
    given: dict[str, Any] = {name: {"limits": LIMITS, "host": HOST}[name]}
    raw = pack_shard(dataclasses.replace(ENTRIES, **given))
    arrays, metadata = views("x", raw)
    arrays[f"index/{name}"] = np.ascontiguousarray(arrays[f"index/{name}"][:, :2])
    with pytest.raises(ArtifactCorrupt, match=f"index/{name} is float"):
        opened(pack(arrays, metadata))
