"""Keys: the names of series and their models, and the hash that decides the shard they are stored in."""

import functools
import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import InvalidKey
from myriad.models.windows import Window

ANY = "*"
"""The host of a region's fallback models, and the region of the global ones."""

MAX_PART_LENGTH = 200
"""Characters in a region, host or metric."""
MAX_ECHO = 100
"""Characters of what was sent and cannot be, that are ever repeated in an answer or a log."""

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MASK = 0xFFFF_FFFF_FFFF_FFFF
_UPPER, _LOWER = 0xFFFF_FFFF_0000_0000, 0xFFFF_FFFF
_Hash = TypeVar("_Hash", int, NDArray[np.uint64])


class Series(NamedTuple):
    """What is measured: one metric of one host in one region. Build untrusted ones with `of`."""

    region: str
    host: str
    metric: str

    @classmethod
    def of(cls, region: str, host: str, metric: str) -> "Series":
        """The series of these names.

        Raises:
            InvalidKey: a part is empty, too long, or has a control character. Slashes and dots are characters like any.
        """
        series = cls(_checked("region", region), _checked("host", host), _checked("metric", metric))
        if region == ANY != host:
            raise InvalidKey("host", host, f"cannot be named where the region is {ANY!r}")
        return series

    @classmethod
    def parse(cls, text: str) -> "Series":
        """The series whose `str` is `text`, as `region/host/metric` with each part percent-encoded."""
        return cls.of(*_split(text, ("region", "host", "metric")))

    def fallback(self, level: int) -> "Series":
        """The series whose models are used if it has none: its region's (1) or the global one (2); itself at 0."""
        if level == 0:
            return self
        return Series(self.region if level == 1 else ANY, ANY, self.metric)

    def __str__(self) -> str:
        return "/".join(map(quoted, self))

    @property
    def hash(self) -> int:
        """64 bits that are the same on every machine and for every release; the upper 32 are the host's."""
        return series_hash(self.host_hash, part_hash(self.metric))

    @property
    def host_hash(self) -> int:
        """64 bits shared by all series of the host: they decide the shard."""
        return mix(part_hash(self.region), part_hash(self.host))


class ModelKey(NamedTuple):
    """The address of one fitted model: a series and an aggregation window."""

    region: str
    host: str
    metric: str
    window: Window

    @classmethod
    def parse(cls, text: str) -> "ModelKey":
        """The key whose `str` is `text`, as `us-east-1/web-042/cpu_util/15m`.

        Raises:
            InvalidKey: a part is missing or not one a key can have.
        """
        region, host, metric, window = _split(text, ("region", "host", "metric", "window"))
        return cls(*Series.of(region, host, metric), Window.parse(window))

    @property
    def series(self) -> Series:
        """The key without its window."""
        return Series(self.region, self.host, self.metric)

    def __str__(self) -> str:
        return f"{self.series}/{self.window}"


@functools.lru_cache(maxsize=1 << 18)
def part_hash(text: str) -> int:
    """BLAKE2b of one part's UTF-8, as 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def mix(first: _Hash, second: _Hash) -> _Hash:
    """An order-dependent hash of two hashes, for ints and for uint64 arrays alike.

    The finaliser is SplitMix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    h: Any = (first * 0x9E37_79B9_7F4A_7C15 + second) & _MASK
    h = ((h ^ (h >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    h = ((h ^ (h >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return h ^ (h >> 31)


def series_hash(host_hash: _Hash, metric_hash: _Hash) -> _Hash:
    """The hash of a series: its host's upper half, so that a host's series lie together, and a lower of its own."""
    upper: Any = host_hash & _UPPER
    return upper | mix(host_hash, metric_hash) & _LOWER


def shard_of(host_hash: _Hash, shards: int) -> _Hash:
    """Which of `shards` a host belongs to: its hash's upper half, scaled to 0..shards-1."""
    upper: Any = host_hash >> 32
    return (upper * shards) >> 32


@functools.lru_cache(maxsize=1 << 18)
def quoted(part: str) -> str:
    """A part as it stands in the text of a series or a key: percent-encoded, and never a relative path."""
    return part.replace(".", "%2E") if part in (".", "..") else quote(part, safe=ANY)


def telemetry_label(name: str, text: str) -> str:
    """A region, host or metric as telemetry may have it, which is any that a series may have but `*`.

    Raises:
        InvalidKey: it is none.
    """
    if text == ANY:
        raise InvalidKey(name, text, f"is reserved: it stands for every {name}")
    return _checked(name, text)


def are_labels(values: Sequence[object]) -> bool:
    """Whether all of these may be parts of series: of many that is told sooner than of each."""
    texts = [value for value in values if isinstance(value, str) and 0 < len(value) <= MAX_PART_LENGTH]
    return len(texts) == len(values) and not _FORBIDDEN.search("".join(texts))


def _checked(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise InvalidKey(name, value, "is not a string")
    if len(value) > MAX_PART_LENGTH:  # before it is cached
        raise InvalidKey(name, value, f"has {len(value)} characters; at most {MAX_PART_LENGTH} are allowed")
    return _checked_text(name, value)


@functools.lru_cache(maxsize=1 << 16)
def _checked_text(name: str, value: str) -> str:
    if not value:
        raise InvalidKey(name, value, "is empty")
    if match := _FORBIDDEN.search(value):
        raise InvalidKey(name, value, f"has the character {match.group()!r}, which a key cannot have")
    return value


def _split(text: str, names: tuple[str, ...]) -> list[str]:
    parts = text.split("/")
    if len(parts) != len(names):
        raise InvalidKey("model_id", text, f"is not of the form {'/'.join(names)}")
    try:
        return [unquote(part, errors="strict") for part in parts]
    except UnicodeDecodeError as exc:
        raise InvalidKey("model_id", text, "is not percent-encoded UTF-8") from exc
