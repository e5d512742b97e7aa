"""Names: the keys of many series in columns, so that a million of them are one array and not a million objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import InvalidKey
from myriad.models.key import ANY, Series, are_labels, mix, part_hash, quoted, series_hash


@dataclass(frozen=True)
class Names:
    """Series as positions in lists of parts.

    Attributes:
        parts: the distinct regions, hosts and metrics.
        codes: of each series its region's, host's and metric's position in its list, int64 (3, series).
    """

    parts: tuple[Sequence[str], Sequence[str], Sequence[str]]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, series: Sequence[Series]) -> "Names":
        """The same series in columns."""
        positions: tuple[dict[str, int], dict[str, int], dict[str, int]] = ({}, {}, {})
        codes = [
            [known.setdefault(part, len(known)) for known, part in zip(positions, key, strict=True)] for key in series
        ]
        regions, hosts, metrics = map(tuple, positions)
        names = cls((regions, hosts, metrics), np.array(codes, np.int64).reshape(-1, 3).T)
        names.__dict__["series"] = list(series)
        return names

    def __len__(self) -> int:
        """How many series."""
        return self.codes.shape[1]

    def __getitem__(self, i: int) -> Series:
        """Series i."""
        if "series" in self.__dict__:
            return self.series[i]
        return Series(*(part[code] for part, code in zip(self.parts, self.codes[:, i].tolist(), strict=True)))

    @cached_property
    def series(self) -> list[Series]:
        """All of them as objects: only for few."""
        names = [[part[code] for code in codes] for part, codes in zip(self.parts, self.codes.tolist(), strict=True)]
        return [Series(*parts) for parts in zip(*names, strict=True)]

    @cached_property
    def quoted(self) -> tuple[list[str], list[str], list[str]]:
        """The parts as they are written in the text of a series; each has to be valid."""
        regions, hosts, metrics = ([quoted(part) for part in parts] for parts in self.parts)
        return regions, hosts, metrics

    @cached_property
    def packed(self) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.int64]]]:
        """The quoted parts in one array a kind, u8, and where each of them begins and the last ends, int64."""
        kinds = [[part.encode() for part in parts] for parts in self.quoted]
        ends = [np.cumsum([0, *map(len, parts)], dtype=np.int64) for parts in kinds]
        return [np.frombuffer(b"".join(parts) or b"/", np.uint8) for parts in kinds], ends

    def take(self, series: NDArray[np.int64]) -> "Names":
        """Some of the series, in this order."""
        taken = Names(self.parts, self.codes[:, series])
        for name in ("host_hashes", "hashes"):
            if name in self.__dict__:  # hashed already: not once more for every shard
                taken.__dict__[name] = self.__dict__[name][series]
        for name in ("quoted", "packed"):
            if name in self.__dict__:
                taken.__dict__[name] = self.__dict__[name]
        return taken

    def fallback(self, level: int) -> "Names":
        """The series whose models are used if these have none: see `Series.fallback`."""
        if level == 0:
            return self
        regions, _, metrics = self.parts
        codes = self.codes * np.array([[level == 1], [0], [1]])
        return Names((regions if level == 1 else (ANY,), (ANY,), metrics), codes)

    @cached_property
    def host_hashes(self) -> NDArray[np.uint64]:
        """`Series.host_hash` of each, uint64 (series,)."""
        return mix(self._hashes(0), self._hashes(1))

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """`Series.hash` of each, uint64 (series,)."""
        return series_hash(self.host_hashes, self._hashes(2))

    def compact(self) -> "Names":
        """The same series, without the parts that none of them uses."""
        parts, codes = [], []
        for names, code in zip(self.parts, self.codes, strict=True):
            used = np.flatnonzero(np.bincount(code, minlength=len(names)))
            new = np.zeros(len(names), np.int64)
            new[used] = np.arange(len(used))
            parts.append([names[i] for i in used.tolist()])
            codes.append(new[code])
        regions, hosts, metrics = parts
        return Names((regions, hosts, metrics), np.array(codes, np.int64).reshape(3, -1))

    def invalid(self) -> dict[int, InvalidKey]:
        """The errors of the series whose key is not valid, by position."""
        errors: dict[int, InvalidKey] = {}
        any_region = [code for code, region in enumerate(self.parts[0]) if region == ANY]
        suspects = np.isin(self.codes[0], any_region) if any_region else np.zeros(len(self), bool)
        for kind, part in enumerate(self.parts):
            bad = [] if are_labels(part) else [at for at, name in enumerate(part) if not _is_valid(kind, name)]
            suspects |= np.isin(self.codes[kind], bad) if bad else False
        for i in np.flatnonzero(suspects).tolist():
            try:
                Series.of(*self[i])
            except InvalidKey as exc:
                errors[i] = exc
        return errors

    def _hashes(self, kind: int) -> NDArray[np.uint64]:
        return np.array([part_hash(part) for part in self.parts[kind]], np.uint64)[self.codes[kind]]


def _is_valid(kind: int, name: str) -> bool:
    parts = ["a", "a", "a"]
    parts[kind] = name
    try:
        Series.of(*parts)
    except InvalidKey:
        return False
    return True
