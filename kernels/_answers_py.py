"""Answers: from the body of the usual request to its answer, in one call; the twin of `_answers.pxi`.

It has no loop of its own: it puts together what `bodies`, `scoring` and `tables` do for one series, without a Python
object on the way. So its twin takes no request, and the service answers all of them in its general way, which is the
reference for this one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from myriad.kernels.arrays import Integers


class Artifact(Protocol):
    """What a shard is opened by."""

    @property
    def hash(self) -> str:
        """Its name."""


class Answers:
    """What one release answers to JSON about one series, scored by compiled models of an open shard."""

    def __init__(
        self,
        regions: Mapping[str, Sequence[Artifact | None]],
        windows: tuple[int, ...],
        coverage: float,
        opened: Mapping[str, Any],
        open_shard: Callable[[Any], Any],
        ask: Callable[[bytes | None], Any],
        around: Callable[[Any, list[int], tuple[str, ...], bool, list[bool], int], tuple[list[bytes], list[bytes]]],
        part_hash: Callable[[str], int],
        quoted: Callable[[str], str],
        is_counter: Callable[[str], bool] | None,
        statuses: list[bytes],
        tallies: Integers,
        clocks: Mapping[str, tuple[Integers, Integers]] | None = None,
    ) -> None:
        """The answers of a release.

        Args:
            regions: its artifacts, those of a region in the order of the hashes of their hosts.
            windows: its windows; a shard with others is left to the general way.
            coverage: the share of its points that a window needs.
            opened: open shards by hash; who closes one takes it out. Each has `windows`, `index` and `table`.
            open_shard: finds an open shard that is not among these; None where it is not open.
            ask: from the list of windows as it stands in a body, or None, to the windows, their columns, seconds and
                weights and the power as `scoring.score` takes them; None where it is wrong.
            around: of windows, codes, adapters, whether they are a fallback's, which windows have scores, and how many
                rows are answered the texts around a series' own, see `tables.series_texts`.
            part_hash: of a region, host or metric, 64 bits.
            quoted: a part as it stands in a series' key.
            is_counter: whether a metric is one whose rate is modelled, which is left to the general way; None where
                none is.
            statuses: in JSON: with models of its own, with a fallback's, without models, and with too few points.
            tallies: int64, to which it adds: points, shards found open, and series with each status.
            clocks: of regions, that of `*` of all that have none: when local time changes, rising, (changes,), and its
                seconds beyond UTC, before and from each change on, (changes + 1,).
        """

    def answer(self, body: bytes, most: int, stale: bool, head: bytes | None = None) -> bytes | None:  # noqa: ARG002
        """The answer to a request; None where it has to be answered in the general way.

        Args:
            body: of the request.
            most: datapoints it may have.
            stale: whether to say that the release may not be the current one.
            head: what to put before the answer, together with its length and a blank line.
        """
        return None
