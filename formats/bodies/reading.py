"""Reading JSON: what all bodies of it share, and the errors that say what is wrong in one and where."""

import re
from typing import TypeVar

import msgspec

from myriad.models.errors import BadRequest, Malformed
from myriad.models.key import MAX_ECHO, MAX_PART_LENGTH

T = TypeVar("T")
_TEXT_OR_NAN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)


def decode_json(decoder: "msgspec.json.Decoder[T]", body: bytes | msgspec.Raw, field: str = "$") -> T:
    """A request, or the part of one that is at `field`.

    Raises:
        Malformed: it is not JSON.
        BadRequest: it is not of the decoder's type.
    """
    try:
        return decoded(decoder, body)
    except msgspec.ValidationError as exc:
        raise bad_request(exc, field) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Malformed(f"the body is not JSON: {exc}") from exc


def decoded(decoder: "msgspec.json.Decoder[T]", body: bytes | msgspec.Raw) -> T:
    """As the decoder, also of what Python and others write for numbers that JSON does not have."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if (without := without_nan(bytes(body))) == body:
            raise
        return decoder.decode(without)


def without_nan(body: bytes) -> bytes:
    """JSON with null for each NaN and infinity that stands outside of text."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _TEXT_OR_NAN.sub(lambda found: found[0] if found[0].startswith(b'"') else b"null", body)


def bad_request(error: msgspec.ValidationError, within: str = "$") -> BadRequest:
    """A `BadRequest` from msgspec's message, "reason - at `$.field`", its field taken relative to `within`."""
    reason, _, field = str(error).partition(" - at `")
    return BadRequest(reason[: 2 * MAX_ECHO], within + field.rstrip("`")[1:][: 2 * MAX_ECHO])


def echoed(part: str) -> str:
    """A label as it is repeated in an answer: of one that is too long to be any, the beginning."""
    return part if len(part) <= MAX_PART_LENGTH else part[:MAX_ECHO]
