"""Case: what is sent over one connection, and what must come back."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from myriad.models.key import Series

PREDICT = "/predict"
MOST_BYTES = 40 << 20
"""Of a body that is sent: somewhat more than the service takes."""


@dataclass(frozen=True)
class Fleet:
    """What valid requests are about: series that have models, and an hour from which on they may be asked about."""

    series: Sequence[Series]
    start: int


@dataclass(frozen=True)
class Case:
    """What is sent over one connection.

    Attributes:
        recipe: how it was made, by which failures are grouped.
        sent: bytes, and pauses in seconds.
        answers: how many must come back, as so many well-formed requests were sent; None where any number may.
        ending: what the client does once all is sent.
        valid: whether all that is asked is in order, so that each answer is a 200.
        request: the one request of it, where it is one.
    """

    recipe: str
    sent: tuple[bytes | float, ...]
    answers: int | None = 1
    ending: Literal["read", "half-close", "reset"] = "read"
    valid: bool = False
    request: "Request | None" = None

    @property
    def raw(self) -> bytes:
        """All bytes that are sent."""
        return b"".join(part for part in self.sent if isinstance(part, bytes))


@dataclass(frozen=True)
class Request:
    """A well-formed request, whatever its body is."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = PREDICT
    method: str = "POST"

    def encoded(self) -> bytes:
        """The request as HTTP/1.1."""
        return self.head() + self.body

    def head(self, **more: str) -> bytes:
        """Its first line and headers; `content_length` and others, with dashes for the underscores, can be replaced."""
        fixed = {"host": "127.0.0.1", "content-length": str(len(self.body))}
        headers = {**fixed, **self.headers, **{name.replace("_", "-"): value for name, value in more.items()}}
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items() if value),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def case(self, recipe: str, *, valid: bool = False) -> Case:
        """As a case by itself."""
        return Case(recipe, (self.head(), self.body), valid=valid, request=self)


def size(rng: random.Random, most: int) -> int:
    """A number from 1 to `most`, each order of magnitude as likely as the others, and sometimes `most` itself."""
    if rng.random() < 0.1:
        return max(1, most)
    return int(max(1, most) ** rng.random())
