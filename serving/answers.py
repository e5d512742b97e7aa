"""Answers: to the usual request, JSON about one series whose shard is open, in one call of a kernel."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from myriad.formats.bodies.json_series_answer import around, status_text
from myriad.formats.bodies.options import parse_windows
from myriad.kernels.answers import Answers
from myriad.models.errors import MyriadError
from myriad.models.key import part_hash, quoted
from myriad.models.windows import Window
from myriad.serving.cache import ShardCache
from myriad.serving.metrics import COUNTED
from myriad.serving.scoring import Asked, asked
from myriad.storage.release import Manifest

_TEXTS = msgspec.json.Decoder(list[str])


def answers_of(manifest: Manifest, cache: ShardCache, tallies: NDArray[np.int64]) -> Answers:
    """What a release answers to the usual request.

    Args:
        manifest: the release.
        cache: of open shards.
        tallies: what is counted in, see `Metrics.tallies`.
    """

    def ask(raw: bytes | None) -> Asked | None:
        try:
            return asked(manifest, parse_windows(None if raw is None else _TEXTS.decode(raw)))
        except (MyriadError, msgspec.DecodeError, UnicodeDecodeError):  # the general way says what is wrong
            return None

    def texts(
        windows: tuple[Window, ...],
        codes: list[int],
        adapters: tuple[str, ...],
        fallback: bool,
        scored: list[bool],
        rows: int,
    ) -> tuple[list[bytes], list[bytes]]:
        return around(manifest.id, windows, codes, adapters, rows, scored, manifest.coverage, fallback=fallback)

    clocks = {region: (one.clock.changes, one.clock.shifts) for region, one in (manifest.clocks or {}).items()}
    return Answers(
        manifest.regions, manifest.parsed_windows, manifest.coverage, cache.lately, cache.get_open, ask, texts,
        part_hash, quoted, manifest.is_counter if manifest.rates else None, list(map(status_text, COUNTED)), tallies,
        clocks,
    )  # fmt: skip
