"""Content codings: gzip and zstd bodies, decompressed within a limit and compressed where a client accepts it."""

import re
import zlib
from collections.abc import Iterable

import zstandard

from myriad.models.errors import Malformed, TooLarge

MAX_MEMBERS = 16
"""Of a gzip body."""
ENCODINGS = ("identity", "gzip", "zstd")
PREFERENCE = ("zstd", "gzip", "identity")
"""The codings to answer in; of those a client accepts equally the first is used."""
LEVELS = {"gzip": 1, "zstd": 3}
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE | re.ASCII)
"""A weight as in RFC 9110, section 12.4.2: from 0 to 1, with up to three decimals."""


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without its coding.

    Raises:
        Malformed: it is not of that coding, or is truncated.
        TooLarge: it has more than `limit` bytes; no more than these are ever decompressed.
    """
    try:
        if encoding == "gzip":
            body = _gunzip(body, limit)
        elif encoding == "zstd":
            body = _unzstd(body, limit)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as exc:
        raise Malformed(f"the body is not whole {encoding}, or larger than allowed: {exc}") from exc
    if len(body) > limit:
        raise TooLarge(f"the body holds more than the {limit} bytes allowed")
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    """The members of a gzip file, a few at most: each costs something, however little is in it."""
    parts, size = list[bytes](), 0
    for _ in range(MAX_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(body, limit + 1 - size))
        size += len(parts[-1])
        body = member.unused_data.lstrip(b"\0")  # padding
        if size > limit or (member.eof and not body):
            return b"".join(parts)
        if not member.eof:
            raise Malformed("the body is not whole gzip: it ends too early")
    raise Malformed(f"the body is of more than {MAX_MEMBERS} gzip members")


def accepted_encoding(accept: str) -> str:
    """The coding to answer in: that with the highest weight in an `Accept-Encoding` header, zstd before gzip on a tie.

    As in RFC 9110, section 12.5.3: a weight of 0 refuses a coding, no weight counts as 1, and `*` stands for every
    coding that is not named. A coding with a malformed weight is not accepted. Where the header accepts no coding by
    name or by `*`, the answer is not compressed ("identity").
    """
    weights: dict[str, float] = {}
    for element in accept.split(","):
        coding, semicolon, weight = element.partition(";")
        weights[coding.strip().lower()] = _weight(weight.strip()) if semicolon else 1.0
    default = weights.get("*", 0.0)
    best = max(PREFERENCE, key=lambda coding: weights.get(coding, default))
    return best if weights.get(best, default) > 0 else "identity"


def _weight(text: str) -> float:
    """The weight `q=...` of a coding, 0 where it is malformed."""
    match = _WEIGHT.fullmatch(text)
    return float(match[1]) if match else 0.0


def compress(chunks: Iterable[bytes], encoding: str) -> list[bytes]:
    """The chunks of a body in a coding."""
    if encoding == "identity":
        return list(chunks)
    if encoding == "gzip":
        compressor = zlib.compressobj(LEVELS["gzip"], wbits=31)
        return [*map(compressor.compress, chunks), compressor.flush()]
    zstd = zstandard.ZstdCompressor(level=LEVELS["zstd"]).compressobj()
    return [*map(zstd.compress, chunks), zstd.flush()]


def _unzstd(body: bytes, limit: int) -> bytes:
    """The content of one frame; if the frame states its size, that is checked before memory is allocated."""
    size = zstandard.get_frame_parameters(body).content_size
    if size != zstandard.CONTENTSIZE_UNKNOWN and size > limit:
        raise TooLarge(f"the body holds {size} bytes, more than the {limit} allowed")
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=limit + 1, allow_extra_data=False)
