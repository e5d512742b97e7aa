"""Artifacts: immutable safetensors files in a zstd frame, named by the hash of their bytes.

Reading is strict and copies nothing: arrays are views of the decompressed bytes, and whatever is not exactly what the
format allows is `ArtifactCorrupt`.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray
from safetensors.numpy import save

from myriad.models.errors import ArtifactCorrupt

LEVEL = 9
MAX_COMPRESSED = 64 << 20
MAX_RAW = 512 << 20
"""Nothing that says it decompresses to more bytes than this is decompressed."""
MAX_HEADER = 4 << 20
MAX_DIMENSIONS = 8

_DTYPES = {
    "U8": "u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}


class _Tensor(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def pack(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """The safetensors file of the arrays; the same bytes for the same input."""
    plain = save({name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())})
    size = int.from_bytes(plain[:8], "little")
    # The library writes metadata in an order of chance, and the same content has to have the same hash.
    header = {"__metadata__": dict(sorted(metadata.items())), **msgspec.json.decode(plain[8 : 8 + size])}
    encoded = msgspec.json.encode(header)
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + plain[8 + size :]


def compress(raw: bytes, level: int = LEVEL) -> bytes:
    """One zstd frame that states its size and carries a checksum."""
    return zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True).compress(raw)


def content_hash(data: bytes) -> str:
    """The name an artifact's compressed bytes go by: 128 bits of BLAKE2b, in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def decompress(name: str, data: bytes, raw_bytes: int) -> bytes:
    """The safetensors file in a frame, after its name and stated sizes were checked.

    Args:
        name: the content hash the bytes must have.
        data: one zstd frame.
        raw_bytes: the size the manifest says is inside.

    Raises:
        ArtifactCorrupt: the hash or a size differs, or the frame is broken. Memory is allocated only after the
            frame was seen to claim the expected size.
    """
    if content_hash(data) != name:
        raise ArtifactCorrupt(name, "its bytes do not have the hash it is named by")
    try:
        claimed = zstandard.get_frame_parameters(data).content_size
        if claimed != raw_bytes or claimed > MAX_RAW:
            raise ArtifactCorrupt(name, f"it claims to hold {claimed} bytes where {raw_bytes} are expected")
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as exc:
        raise ArtifactCorrupt(name, f"not a whole zstd frame: {exc}") from exc


def views(name: str, raw: bytes | memoryview) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and the metadata of a safetensors file, as read-only views of it.

    Raises:
        ArtifactCorrupt: the file is not exactly a header and the arrays it names, one after the other.
    """
    if len(raw) < 8 or (size := int.from_bytes(raw[:8], "little")) > min(MAX_HEADER, len(raw) - 8):
        raise ArtifactCorrupt(name, "it is shorter than its header says")
    try:
        header: dict[str, msgspec.Raw] = msgspec.json.decode(raw[8 : 8 + size], type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(header.pop("__metadata__", b"{}"), type=dict[str, str])
        tensors = {key: msgspec.json.decode(entry, type=_Tensor) for key, entry in header.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ArtifactCorrupt(name, f"its header is not one: {exc}") from exc
    data, end, arrays = memoryview(raw)[8 + size :], 0, {}
    for key, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        dtype, (start, stop) = np.dtype(_DTYPES.get(tensor.dtype, "V")), tensor.data_offsets
        if (
            dtype.itemsize == 0
            or len(tensor.shape) > MAX_DIMENSIONS
            or not all(0 <= n <= len(data) for n in tensor.shape)
            or (start, stop) != (end, end + math.prod(tensor.shape) * dtype.itemsize)
            or stop > len(data)
        ):
            raise ArtifactCorrupt(name, f"array {key} has a type, shape or place that cannot be")
        arrays[key] = np.ndarray(tensor.shape, dtype, data, start)
        arrays[key].flags.writeable = False
        end = stop
    if end != len(data):
        raise ArtifactCorrupt(name, f"{len(data) - end} bytes follow its last array")
    return arrays, metadata
