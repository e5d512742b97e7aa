"""Content codings: bodies within a limit, and the coding that an `Accept-Encoding` header asks for."""

import gzip

import pytest
import zstandard

from myriad.models.errors import Malformed, TooLarge
from myriad.serving.coding import ENCODINGS, accepted_encoding, compress, decompress

BODY = b"0123456789" * 100
LIMIT = len(BODY)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_compressed_in_chunks_is_decompressed_whole(encoding: str) -> None:
    chunks = compress([BODY[:300], b"", BODY[300:]], encoding)
    assert decompress(b"".join(chunks), encoding, LIMIT) == BODY


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_of_more_bytes_than_the_limit_is_too_large(encoding: str) -> None:
    with pytest.raises(TooLarge, match=r"999 (bytes )?allowed"):
        decompress(b"".join(compress([BODY], encoding)), encoding, LIMIT - 1)


def test_a_gzip_body_may_have_a_few_members() -> None:
    member = gzip.compress(b"ab", mtime=0)
    assert decompress(member * 3, "gzip", LIMIT) == b"ababab"
    with pytest.raises(Malformed, match="more than 16 gzip members"):
        decompress(gzip.compress(b"", mtime=0) * 1_000, "gzip", LIMIT)


@pytest.mark.parametrize("body", [gzip.compress(BODY, mtime=0)[:-9], b"junk", zstandard.compress(BODY)])
def test_what_is_not_whole_gzip_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="gzip"):
        decompress(body, "gzip", LIMIT)


@pytest.mark.parametrize("body", [zstandard.compress(BODY)[:-2], b"junk", gzip.compress(BODY, mtime=0)])
def test_what_is_not_whole_zstd_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed, match="zstd"):
        decompress(body, "zstd", LIMIT)


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", "identity"),
        ("br, deflate", "identity"),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("gzip, zstd", "zstd"),
        ("zstd;q=1.0,gzip;q=1", "zstd"),
        (" gzip ; q=1 , ,", "gzip"),
    ],
)
def test_the_best_coding_named_is_used(accept: str, encoding: str) -> None:
    assert accepted_encoding(accept) == encoding


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip;q=0.8", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;Q=0.5", "gzip"),
        ("gzip; q=0.5, zstd; q=0.4", "gzip"),
        ("gzip;q=0.4, zstd;q=0.4", "zstd"),
        ("gzip;q=0.4, zstd", "zstd"),
        ("identity;q=0.5, gzip;q=0.4", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
    ],
)
def test_the_coding_with_the_highest_weight_is_used_and_of_equals_zstd_before_gzip(accept: str, encoding: str) -> None:
    assert accepted_encoding(accept) == encoding


@pytest.mark.parametrize("weight", ["0", "0.", "0.0", "0.000"])
def test_a_weight_of_0_refuses_a_coding(weight: str) -> None:
    assert accepted_encoding(f"gzip;q={weight}") == "identity"
    assert accepted_encoding(f"gzip;q=0.1, zstd;q={weight}") == "gzip"


@pytest.mark.parametrize(
    "weight",
    [
        "q=",
        "q=2",
        "q=1.1",
        "q=1.001",
        "q=-1",
        "q=.5",
        "q=0.1234",
        "q=1.0000",
        "q=nan",
        "q=1e0",
        "q = 1",
        "q=\N{ARABIC-INDIC DIGIT ONE}",
        "",
        "x=1",
    ],
)  # fmt: skip
def test_a_coding_with_a_malformed_weight_is_not_accepted(weight: str) -> None:
    assert accepted_encoding(f"gzip;{weight}") == "identity"
    assert accepted_encoding(f"zstd;{weight}, gzip;q=0.1") == "gzip"


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("*", "zstd"),
        ("*;q=0.1", "zstd"),
        ("*;q=0", "identity"),
        ("zstd;q=0, *", "gzip"),
        ("gzip, *;q=0", "gzip"),
        ("gzip, *;q=0.5", "gzip"),
        ("gzip;q=0.1, *;q=0.5", "zstd"),
        ("gzip;q=0, zstd;q=0, *", "identity"),
        ("identity;q=0, *;q=0", "identity"),
    ],
)
def test_a_star_stands_for_the_codings_that_are_not_named(accept: str, encoding: str) -> None:
    assert accepted_encoding(accept) == encoding
