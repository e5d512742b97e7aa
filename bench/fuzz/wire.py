"""HTTP as few clients speak it: requests that are well-formed in odd ways, and such that are not."""

import random
from collections.abc import Callable
from dataclasses import replace

from bench.fuzz.case import Case, Fleet, Request, size
from bench.fuzz.valid import request

SHORT_PAUSE, LONGER_PAUSE = 0.02, 0.2
HOST = b"Host: 127.0.0.1\r\n"


def case(rng: random.Random, fleet: Fleet) -> Case:
    """A connection with a mutation of its own."""
    name = rng.choice(list(MUTATIONS))
    return replace(
        MUTATIONS[name](rng, request(rng, fleet, rng.choice(["one", "columns", "ndjson"]))), recipe=f"wire/{name}"
    )


def _pipelined(rng: random.Random, good: Request) -> Case:
    count = size(rng, 60)
    return Case("", (good.encoded() * count,), count, valid=True)


def _pipelined_after_an_error(rng: random.Random, good: Request) -> Case:
    bad = replace(good, body=rng.choice([b"{", b"", b"[]", b"\xff"]))
    return Case("", (bad.encoded() + good.encoded() + bad.encoded(),), 3)


def _slow(rng: random.Random, good: Request) -> Case:
    raw, sent = good.encoded(), list[bytes | float]()
    cuts = sorted(rng.randrange(len(raw)) for _ in range(rng.randint(1, 8)))
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        sent += [raw[start:end], SHORT_PAUSE]
    return Case("", tuple(sent), valid=True)


def _byte_by_byte(_: random.Random, good: Request) -> Case:
    raw, more = good.encoded()[:600], good.encoded()[600:]
    return Case("", (*(raw[at : at + 1] for at in range(len(raw))), more), valid=True)


def _chunked(rng: random.Random, good: Request) -> Case:
    """Chunks of odd sizes, in odd but allowed ways."""
    body, parts = good.body, list[bytes]()
    while body:
        length = min(len(body), size(rng, 2000))
        extension = rng.choice([b"", b"", b";a=b", b";" + b"x" * 200])
        number = rng.choice([b"%x", b"%X", b"0%x"]) % length
        parts.append(number + extension + b"\r\n" + body[:length] + b"\r\n")
        body = body[length:]
    parts.append(rng.choice([b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n"]))
    head = good.head(content_length="", transfer_encoding=rng.choice(["chunked", "Chunked"]))
    return Case("", (head, *parts) if rng.random() < 0.5 else (head + b"".join(parts),), valid=True)


def _one_byte_chunks(_: random.Random, good: Request) -> Case:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in good.body)
    return Case("", (good.head(content_length="", transfer_encoding="chunked") + chunks + b"0\r\n\r\n",), valid=True)


def _bad_chunks(rng: random.Random, good: Request) -> Case:
    bad = [b"-1\r\n", b"g\r\n", b"f" * 17 + b"\r\n", b"0x5\r\nhello\r\n", b"5\r\nhelloworld\r\n", b"\r\n",
           b"5" + b" " * 70_000,
           b"5;" + b"a" * 1_000_000, b"5\nhello\n", b"0\r\n" + b"A: b\r\n" * 50_000 + b"\r\n"]  # fmt: skip
    return Case("", (good.head(content_length="", transfer_encoding="chunked") + rng.choice(bad),), None)


def _trailers(rng: random.Random, good: Request) -> Case:
    """Very many, or one that is very long, or one that would be a header."""
    many = b"a:\r\n" * size(rng, 100_000), b"a: " + b"x" * size(rng, 1_000_000), b"content-type: text/html\r\n"
    body = b"%x\r\n%s\r\n0\r\n" % (len(good.body), good.body)
    return Case("", (good.head(content_length="", transfer_encoding="chunked") + body, rng.choice(many), b"\r\n"), None)


def _expected(rng: random.Random, good: Request) -> Case:
    pause = rng.choice([0.0, SHORT_PAUSE, LONGER_PAUSE])
    return Case("", (good.head(expect="100-continue"), pause, good.body), valid=True)


def _other_expectation(rng: random.Random, good: Request) -> Case:
    return Case("", (good.head(expect=rng.choice(["200-ok", "100-continue, x", ""])) + good.body,))


def _upgrade_h2c(rng: random.Random, good: Request) -> Case:
    more = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABkAARAAAAAAAIAAAAA"}
    pause = rng.choice([0.0, SHORT_PAUSE])
    return Case("", (good.head(**more), pause, good.body), valid=True)


def _upgrade_websocket(rng: random.Random, good: Request) -> Case:
    more = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    return Case("", (good.head(**more, sec_websocket_version=rng.choice(["13", "0", "x"])) + good.body,))


def _upgrade_other(rng: random.Random, good: Request) -> Case:
    what = rng.choice(["TLS/1.0", "HTTP/2.0", "x", "h2c, websocket", "h2c" * 100])
    return Case("", (good.head(connection="upgrade", upgrade=what) + good.body,), valid=True)


def _bad_header(rng: random.Random, good: Request) -> Case:
    bad = [b"X: \x00\r\n", b"\xff: x\r\n", b"no colon\r\n", b"X : y\r\n", b" folded: x\r\n", b"X: a\r\n folded\r\n",
           b": x\r\n",
           b"X: \x7f\r\n", b"X: a\rb\r\n", b"X: a\nY: b\r\n", b"X\x00Y: z\r\n", b"\r: \r\n",
           b"X:" + bytes(range(128, 256)) + b"\r\n"]  # fmt: skip
    first, _, rest = good.encoded().partition(b"\r\n")
    return Case("", (first + b"\r\n" + rng.choice(bad) + rest,), None)


def _huge_headers(rng: random.Random, good: Request) -> Case:
    first, _, rest = good.encoded().partition(b"\r\n")
    length, count = size(rng, 5_000_000), size(rng, 20_000)
    more = rng.choice(
        [b"X: " + b"a" * length + b"\r\n", b"".join(b"X%d: y\r\n" % i for i in range(count)), b"X: y\r\n" * count]
    )
    return Case("", (first + b"\r\n" + more + rest,), None)


def _bad_first_line(rng: random.Random, good: Request) -> Case:
    lines = [b"POST /predict", b"POST /predict HTTP/0.9", b"POST /predict HTTP/2.0", b"POST  /predict  HTTP/1.1",
             b"post /predict HTTP/1.1",
             b"POST predict HTTP/1.1", b"POST http://elsewhere/predict HTTP/1.1", b"* /predict HTTP/1.1",
             b"OPTIONS * HTTP/1.1",
             b"CONNECT elsewhere:1 HTTP/1.1", b"POST /%00%ff HTTP/1.1", b"POST /\xff HTTP/1.1",
             b"GET /" + b"a" * 200_000 + b" HTTP/1.1",
             b"GET /predict?" + b"a=b&" * 100_000 + b" HTTP/1.1", b"POST /predict HTTP/1.1 x",
             b"\r\n\r\nPOST /predict HTTP/1.1", b"",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
             b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500]  # fmt: skip
    _, _, rest = good.encoded().partition(b"\r\n")
    return Case("", (rng.choice(lines) + b"\r\n" + rest,), None)


def _wrong_length(rng: random.Random, good: Request) -> Case:
    lengths = [
        "-1",
        "+5",
        "0x5",
        "1" * 30,
        "5, 5",
        "5 5",
        "\xb2",
        "",
        str(len(good.body) // 2),
        str(2**63),
        str(len(good.body) + 1),
        "1_0",
    ]
    return Case("", (good.head(content_length=rng.choice(lengths)) + good.body,), None)


def _two_lengths(rng: random.Random, good: Request) -> Case:
    second = rng.choice([b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
                         b"Transfer-Encoding: gzip, chunked\r\n",
                         b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: xchunked\r\n"])  # fmt: skip
    first, _, rest = good.encoded().partition(b"\r\n")
    return Case("", (first + b"\r\n" + second + rest,), None)


def _cut_short(rng: random.Random, good: Request) -> Case:
    raw = good.encoded()
    return Case("", (raw[: rng.randrange(len(raw))],), None, rng.choice(["half-close", "reset", "read"]))


def _aborted(rng: random.Random, good: Request) -> Case:
    return Case("", (good.encoded(), rng.choice([0.0, 0.001])), None, "reset")


def _half_closed(_: random.Random, good: Request) -> Case:
    return Case("", (good.encoded(),), None, "half-close")


def _junk(rng: random.Random, _: Request) -> Case:
    return Case("", (rng.randbytes(size(rng, 100_000)),), None)


def _large_declared(rng: random.Random, good: Request) -> Case:
    """More than the service takes, and sent all the same."""
    body = rng.choice([b" ", b"[", b"\x00"]) * ((33 << 20) + size(rng, 1 << 22))
    return Case("", (replace(good, body=body).encoded(),))


def _old(_: random.Random, good: Request) -> Case:
    raw = good.encoded().replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    return Case("", (raw,), valid=True)


def _without_host(_: random.Random, good: Request) -> Case:
    return Case("", (good.encoded().replace(HOST.lower(), b"", 1),), None)


def _other_method(rng: random.Random, good: Request) -> Case:
    method = rng.choice(["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "HEAD", "PROPFIND"])
    return Case("", (replace(good, method=method).encoded(),))


MUTATIONS: dict[str, Callable[[random.Random, Request], Case]] = {
    "pipelined": _pipelined,
    "pipelined after an error": _pipelined_after_an_error,
    "slow": _slow,
    "byte by byte": _byte_by_byte,
    "chunked": _chunked,
    "one-byte chunks": _one_byte_chunks,
    "bad chunks": _bad_chunks,
    "trailers": _trailers,
    "100-continue": _expected,
    "other expectation": _other_expectation,
    "upgrade to h2c": _upgrade_h2c,
    "upgrade to websocket": _upgrade_websocket,
    "other upgrade": _upgrade_other,
    "bad header": _bad_header,
    "huge headers": _huge_headers,
    "bad first line": _bad_first_line,
    "wrong length": _wrong_length,
    "two lengths": _two_lengths,
    "cut short": _cut_short,
    "aborted": _aborted,
    "half-closed": _half_closed,
    "junk": _junk,
    "too large": _large_declared,
    "HTTP/1.0": _old,
    "without host": _without_host,
    "other method": _other_method,
}
