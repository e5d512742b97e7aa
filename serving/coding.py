"""Content codings: gzip and zstd bodies, taken apart within a bound and put together where a client asks for it."""

import gzip
import io
import zlib
from collections.abc import Iterable

import zstandard

from myriad.models.errors import Malformed, TooLarge

ENCODINGS = ("identity", "gzip", "zstd")
LEVELS = {"gzip": 1, "zstd": 3}


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without its coding.

    Raises:
        Malformed: it is not of that coding, or not whole.
        TooLarge: it has more than `limit` bytes; no more than these are ever taken out.
    """
    try:
        if encoding == "gzip":
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as reader:
                body = reader.read(limit + 1)
        elif encoding == "zstd":
            body = _unzstd(body, limit)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as exc:
        raise Malformed(f"the body is not whole {encoding}, or larger than allowed: {exc}") from exc
    if len(body) > limit:
        raise TooLarge(f"the body holds more than the {limit} bytes allowed")
    return body


def wanted(accept: str) -> str:
    """The coding to answer in, of those an `Accept-Encoding` header names."""
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",") if "q=0" not in part.replace(" ", "")}
    return "zstd" if "zstd" in named else "gzip" if "gzip" in named else "identity"


def encoded(chunks: Iterable[bytes], encoding: str) -> list[bytes]:
    """The pieces of a body in a coding."""
    if encoding == "identity":
        return list(chunks)
    if encoding == "gzip":
        coder = zlib.compressobj(LEVELS["gzip"], wbits=31)
        return [*map(coder.compress, chunks), coder.flush()]
    zstd = zstandard.ZstdCompressor(level=LEVELS["zstd"]).compressobj()
    return [*map(zstd.compress, chunks), zstd.flush()]


def _unzstd(body: bytes, limit: int) -> bytes:
    """One frame; memory is taken only after its stated size, if it states one, was seen to be allowed."""
    stated = zstandard.get_frame_parameters(body).content_size
    if stated != zstandard.CONTENTSIZE_UNKNOWN and stated > limit:
        raise TooLarge(f"the body holds {stated} bytes, more than the {limit} allowed")
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=limit + 1, allow_extra_data=False)
