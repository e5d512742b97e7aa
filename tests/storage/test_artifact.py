"""Artifacts: strict to read, the same bytes for the same content."""

import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad.models.errors import ArtifactCorrupt
from myriad.storage.artifact import MAX_RAW, compress, content_hash, decompress, pack, views

ARRAYS: Mapping[str, NDArray[Any]] = {
    "1m/seasonal/level": np.linspace(-1, 1, 12).astype("<f2").reshape(3, 4),
    "index/hash": np.array([1, 2, 2**64 - 1], "<u8"),
    "index/names": np.frombuffer(b"abc", "u1"),
    "none": np.empty((0, 5), "<f4"),
    "single": np.array(7.5),
}
METADATA = {"format": "1", "windows": '["1m"]'}
RAW = pack(ARRAYS, METADATA)
FRAME = compress(RAW)
NAME = content_hash(FRAME)
HEADER = int.from_bytes(RAW[:8], "little")


def file(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with that header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype: str = "U8", shape: Any = (4,), start: Any = 0, stop: Any = 4) -> dict[str, Any]:
    """A tensor's entry in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_arrays_come_back_as_they_were() -> None:
    arrays, metadata = views("x", decompress(NAME, FRAME, len(RAW)))
    assert metadata == METADATA
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_the_same_content_in_any_order_is_the_same_bytes() -> None:
    again = {pack(dict(reversed([*ARRAYS.items()])), dict(reversed(METADATA.items()))) for _ in range(20)}
    assert again == {RAW}
    assert compress(RAW) == FRAME
    assert content_hash(compress(pack({**ARRAYS, "single": np.array(7.6)}, METADATA))) != NAME


def test_an_array_that_is_not_contiguous_is_kept_by_value() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert pack({"a": array.T}, {}) == pack({"a": array.T.copy()}, {})


def test_views_are_read_only_and_share_the_memory_they_are_of() -> None:
    raw = bytearray(RAW)
    arrays, _ = views("x", memoryview(raw))
    whole = np.frombuffer(raw, "u1")
    for array in arrays.values():
        assert not array.flags.writeable
        assert array.size == 0 or np.shares_memory(array, whole)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_bytes_that_do_not_have_the_hash_of_their_name_are_corrupt() -> None:
    with pytest.raises(ArtifactCorrupt, match=f"artifact {'0' * 32} is corrupt.*hash"):
        decompress("0" * 32, FRAME, len(RAW))


@pytest.mark.parametrize("keep", range(0, len(FRAME), 7))
def test_a_frame_cut_short_is_corrupt_by_name(keep: int) -> None:
    with pytest.raises(ArtifactCorrupt, match=NAME):
        decompress(NAME, FRAME[:keep], len(RAW))


@given(st.integers(0, len(FRAME) - 1), st.integers(1, 255))
def test_a_frame_with_a_byte_changed_is_corrupt_by_name(at: int, change: int) -> None:
    damaged = bytearray(FRAME)
    damaged[at] ^= change
    with pytest.raises(ArtifactCorrupt, match=NAME) as refused:
        decompress(NAME, bytes(damaged), len(RAW))
    assert refused.value.name == NAME


@given(st.integers(0, len(FRAME)), st.integers(0, len(FRAME)), st.binary(max_size=4))
def test_a_damaged_frame_under_its_own_hash_is_corrupt_or_the_same(start: int, stop: int, put: bytes) -> None:
    damaged = FRAME[:start] + put + FRAME[stop:]
    try:
        assert decompress(content_hash(damaged), damaged, len(RAW)) == RAW
    except ArtifactCorrupt:
        return


@pytest.mark.parametrize("claimed", [0, len(RAW) - 1, len(RAW) + 1, 2**64 - 1, -1])
def test_a_size_other_than_the_manifests_is_corrupt(claimed: int) -> None:
    with pytest.raises(ArtifactCorrupt, match=f"{len(RAW)} bytes where {claimed} are expected"):
        decompress(NAME, FRAME, claimed)


def test_a_frame_that_does_not_say_its_size_is_corrupt() -> None:
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(RAW)
    with pytest.raises(ArtifactCorrupt):
        decompress(content_hash(silent), silent, len(RAW))


def test_bytes_after_the_frame_are_corrupt() -> None:
    for more in (b"\0", FRAME):
        with pytest.raises(ArtifactCorrupt):
            decompress(content_hash(FRAME + more), FRAME + more, len(RAW))


def test_a_bomb_is_refused_before_memory_is_taken_for_it() -> None:
    size = MAX_RAW + 1
    pieces = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    bomb = (
        b"".join(pieces.compress(bytes(1 << 20)) for _ in range(size >> 20)) + pieces.compress(b"\0") + pieces.flush()
    )
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    try:
        for data, raw_bytes in ((bomb, size), (bomb, len(RAW))):
            with pytest.raises(ArtifactCorrupt):
                decompress(content_hash(data), data, raw_bytes)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("claimed", [1000, 1 << 19, 1 << 21])
def test_a_frame_that_lies_about_its_size_is_corrupt(claimed: int) -> None:
    honest = compress(bytes(1 << 20))
    lying = honest.replace((1 << 20).to_bytes(4, "little"), claimed.to_bytes(4, "little"), 1)
    assert lying != honest
    with pytest.raises(ArtifactCorrupt, match="not a whole zstd frame"):
        decompress(content_hash(lying), lying, claimed)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 8,
        (1).to_bytes(8, "little"),
        (2**63).to_bytes(8, "little") + b"{}",
        RAW[: 8 + HEADER - 1],
        file(b""),
        file(b"{"),
        file(b"[]"),
        file(b"\xff"),
        file(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        file(b'{"\xff": 1}'),
        file({"a": 5}),
        file({"a": {}}),
        file({"__metadata__": {"format": 1}}),
        file({"__metadata__": []}),
        file({}, b"trailing"),
        RAW + b"\0",
        RAW[:-1],
        file({"a": {**tensor(), "more": 1}}, bytes(4)),
        file({"a": tensor("BOOL")}, bytes(4)),
        file({"a": tensor("BF16", [2])}, bytes(4)),
        file({"a": tensor("V")}, bytes(4)),
        file({"a": tensor("")}, bytes(4)),
        file({"a": tensor(shape=4)}, bytes(4)),
        file({"a": tensor(shape=["4"])}, bytes(4)),
        file({"a": tensor(shape=[4.5])}, bytes(4)),
        file({"a": tensor(shape=[-4])}, bytes(4)),
        file({"a": tensor(shape=[-2, -2])}, bytes(4)),
        file({"a": tensor(shape=[3])}, bytes(4)),
        file({"a": tensor(shape=[5])}, bytes(4)),
        file({"a": tensor(shape=[2**32, 2**32], stop=0)}),
        file({"a": tensor(shape=[2**64 + 4])}, bytes(4)),
        file({"a": tensor(shape=[0, 2**62], dtype="F64", stop=0)}),
        file({"a": tensor(shape=[0, 2**70], stop=0)}),
        file({"a": tensor(shape=[1] * 65, stop=1)}, bytes(1)),
        file({"a": tensor(start=-4, stop=0)}, bytes(4)),
        file({"a": tensor(start=4, stop=0)}, bytes(4)),
        file({"a": tensor(start=1, stop=5)}, bytes(5)),
        file({"a": tensor(stop=2**64)}, bytes(4)),
        file({"a": tensor(), "b": tensor()}, bytes(4)),
        file({"a": tensor(), "b": tensor(start=2, stop=6)}, bytes(6)),
        file({"a": tensor(), "b": tensor(start=5, stop=9)}, bytes(9)),
    ],
    ids=lambda raw: repr(raw[8:60]),
)
def test_a_file_that_is_not_exactly_as_the_format_has_it_is_corrupt_by_name(raw: bytes) -> None:
    with pytest.raises(ArtifactCorrupt, match="artifact x is corrupt"):
        views("x", raw)


@given(st.binary(max_size=64), st.integers(0, HEADER + 16), st.integers(0, HEADER + 16))
@example(put=b"9", start=RAW.index(b'"shape":[') + 9, stop=RAW.index(b'"shape":[') + 10)
def test_a_damaged_file_is_corrupt_or_still_arrays(put: bytes, start: int, stop: int) -> None:
    damaged = RAW[:start] + put + RAW[max(start, stop) :]
    try:
        arrays, _ = views("x", damaged)
    except ArtifactCorrupt:
        return
    assert sum(array.nbytes for array in arrays.values()) == len(damaged) - 8 - int.from_bytes(damaged[:8], "little")


@given(st.integers(0, len(RAW) - 1), st.integers(0, 7))
def test_a_file_with_a_bit_changed_is_corrupt_or_still_arrays(at: int, bit: int) -> None:
    damaged = bytearray(RAW)
    damaged[at] ^= 1 << bit
    try:
        views("x", bytes(damaged))
    except ArtifactCorrupt:
        return
