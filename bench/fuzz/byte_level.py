"""Mutations of bytes, whatever they are, of their coding, and of what headers and URL say about them."""

import gzip
import random
import zlib
from collections.abc import Callable
from dataclasses import replace

import zstandard

from bench.fuzz.case import MOST_BYTES, Request, size
from bench.fuzz.valid import ARROW, JSON, NDJSON


def mutate(rng: random.Random, body: bytes) -> tuple[bytes, str]:
    """Bytes with one mutation more, and the name of that."""
    name = rng.choice(list(MUTATIONS))
    return MUTATIONS[name](rng, body)[:MOST_BYTES], name


def _truncated(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _flipped(rng: random.Random, body: bytes) -> bytes:
    found = bytearray(body)
    for _ in range(min(len(found), size(rng, 30))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _inserted(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body) + 1)
    what = rng.choice(
        [b"\x00", b"\xff", b'"', b"[", b"{", b"}", b",", b"\\", b"\n", b"\r", b"\x1e", b"\xef\xbb\xbf", b"1"]
    )
    return body[:at] + what * size(rng, 100_000) + body[at:]


def _cut_out(rng: random.Random, body: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(body) + 1) for _ in range(2))
    return body[:start] + body[end:]


def _doubled(rng: random.Random, body: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(body) + 1) for _ in range(2))
    part = body[start:end]
    return body[:end] + part * size(rng, max(1, min(10_000, MOST_BYTES // (len(part) + 1)))) + body[end:]


def _line_ends(rng: random.Random, body: bytes) -> bytes:
    ends = [b"\r", b"\r\n", b"\n\r", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xe2\x80\xa8", b"\n\n"]
    return body.replace(b"\n", rng.choice(ends))


def _blank_lines(rng: random.Random, body: bytes) -> bytes:
    end = rng.choice([b"\r", b"\n", b"\r\n", b" ", b"\t\n", b"{}\r", b"{}\n", b"[]\n", b"1\r"])
    blank = end * size(rng, MOST_BYTES // len(end) - len(body))
    return rng.choice([blank + body, body + blank, blank])


def _marked(rng: random.Random, body: bytes) -> bytes:
    return rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00\x00\xfe\xff", b"\x1f\x8b", b")]}'\n", b"%PDF"]) + body


def _of_wide_characters(rng: random.Random, body: bytes) -> bytes:
    return body.decode("latin-1").encode(rng.choice(["utf-16", "utf-32", "utf-16-be"]))


def _junk(rng: random.Random, _: bytes) -> bytes:
    return rng.randbytes(size(rng, 100_000))


def _nothing(_: random.Random, __: bytes) -> bytes:
    return b""


MUTATIONS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "truncated": _truncated,
    "flipped": _flipped,
    "inserted": _inserted,
    "cut out": _cut_out,
    "doubled": _doubled,
    "line ends": _line_ends,
    "blank lines": _blank_lines,
    "marked": _marked,
    "wide characters": _of_wide_characters,
    "junk": _junk,
    "nothing": _nothing,
}


def coded(rng: random.Random, request: Request) -> tuple[Request, str]:
    """A request in a coding, mostly a right one, and the name of that."""
    name, label, body = _coded(rng, request.body)
    return replace(request, body=body[:MOST_BYTES], headers={**request.headers, "content-encoding": label}), name


def _coded(rng: random.Random, body: bytes) -> tuple[str, str, bytes]:
    coding = rng.choice(["gzip", "zstd"])
    pack = _gzip if coding == "gzip" else _zstd
    match rng.randrange(12):
        case 0 | 1 | 2 | 3:
            return coding, coding, pack(body)
        case 4:
            packed = pack(body)
            return f"{coding} truncated", coding, packed[: rng.randrange(len(packed))]
        case 5:
            return f"{coding} flipped", coding, _flipped(rng, pack(body))
        case 6:
            half = rng.randrange(len(body) + 1)
            return f"{coding} in parts", coding, pack(body[:half]) + pack(body[half:])
        case 7:
            return f"{coding} and junk", coding, pack(body) + rng.randbytes(size(rng, 1000))
        case 8:
            return f"{coding} twice", coding, pack(pack(body))
        case 9:
            return f"{coding} bomb", coding, _bomb(rng, coding, body)
        case 10:
            other = "zstd" if coding == "gzip" else "gzip"
            return f"{other} called {coding}", coding, (_zstd if coding == "gzip" else _gzip)(body)
        case _:
            label = rng.choice(["br", "deflate", "identity", "", "GZIP", "x-gzip", "gzip, zstd", "gzip,", "z" * 5000])
            return "coding label", label, rng.choice([body, pack(body), zlib.compress(body)])


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 1, mtime=0)


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(body)


def _bomb(rng: random.Random, coding: str, body: bytes) -> bytes:
    """Up to some gigabytes, as members or frames that follow each other, or nested."""
    part = rng.choice([b" ", b"\n", b"\r", b"[", b"0", b"{}\n", b"\x00", body[:1000] or b" "])
    full = part * ((1 << 22) // len(part))
    if coding == "gzip":
        return _gzip(full) * size(rng, 1000)
    unsized = zstandard.ZstdCompressor(level=1, write_content_size=rng.random() < 0.5)
    if rng.random() < 0.5:
        return unsized.compress(full) * size(rng, 1000)
    return unsized.compress(full * size(rng, 50))


def labelled(rng: random.Random, request: Request) -> Request:
    """A request with other headers or another URL."""
    headers, path = dict(request.headers), request.path
    if rng.random() < 0.5:
        headers["accept"] = rng.choice(
            [JSON, NDJSON, ARROW, "*/*", "", "text/csv", f"{ARROW};q=0, {JSON}", "a" * 10_000, ",;," * 1000, "\xff\xfe"]
        )
    if rng.random() < 0.5:
        headers["accept-encoding"] = rng.choice(
            ["gzip", "zstd", "gzip;q=0.5, zstd;q=1", "*", "*;q=0", "identity;q=0", "gzip;q=9", "\xe9", "gzip," * 5000]
        )
    if rng.random() < 0.3:
        headers["content-type"] = rng.choice(
            [
                JSON,
                NDJSON,
                ARROW,
                "",
                "text/plain",
                f"{JSON}; charset=utf-16",
                f"  {ARROW.upper()} ; x=y",
                "\xff",
                "/" * 9000,
            ]
        )
    if rng.random() < 0.4:
        path += "?" + rng.choice(
            [
                "windows=1m", "windows=1m,15m&combine=max&bands=1", "windows=", "windows", "bands=2", "combine=mean",
                "x=1",
                "windows=7m", "windows=%ff%fe", "windows=1m&windows=15m", "&&&", "=", "%", "windows=1m%2c1m",
                "combine=",
                "windows=" + "1m," * 10_000, "windows=" + ",".join(f"{i}m" for i in range(1, 5000)), "a=b&" * 5000,
                "+", ";",
            ]
        )  # fmt: skip
    return replace(request, headers=headers, path=path)
