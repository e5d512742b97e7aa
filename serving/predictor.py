"""Predictor: the whole of Myriad without HTTP, for services, batch jobs and notebooks alike."""

import asyncio
import time
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

import adapters
from models.ensemble import Combine
from models.key import Series
from models.table import grouped
from models.windows import Window
from serving.cache import LoadFailed, ShardCache
from serving.metrics import Metrics
from serving.scoring import Opened, Place, Query, Scores, Status, placed, scored
from storage.base import ObjectStore, open_store
from storage.release import Artifact, Head, Manifest, Releases
from storage.shard import Shard

CACHE_BYTES = 1 << 30
LOADS_AT_ONCE = 8
FAILURE_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Current:
    """The release being served, since when in epoch seconds."""

    manifest: Manifest
    head: Head
    since: float


class Predictor:
    """Scores datapoints with the models of a store's current release; safe to use from many threads."""

    def __init__(
        self,
        store: ObjectStore,
        metrics: Metrics | None = None,
        *,
        cache_bytes: int = CACHE_BYTES,
        loads_at_once: int = LOADS_AT_ONCE,
        failure_seconds: float = FAILURE_SECONDS,
    ) -> None:
        """A predictor with no release yet: `refresh` takes up the current one."""
        self.releases = Releases(store)
        self.metrics = metrics or Metrics()
        self.current: Current | None = None
        self._cache = ShardCache(
            self._load,
            self.metrics,
            max_bytes=cache_bytes,
            loads_at_once=loads_at_once,
            failure_seconds=failure_seconds,
        )

    @classmethod
    def open(cls, store: str | ObjectStore, *, cache_bytes: int = CACHE_BYTES) -> Self:
        """A predictor on the current release of a store, given as one or by its URL.

        Raises:
            NoRelease: nothing has been published there.
            StoreError: the store cannot be read.
        """
        predictor = cls(open_store(store) if isinstance(store, str) else store, cache_bytes=cache_bytes)
        predictor.refresh()
        return predictor

    def refresh(self) -> bool:
        """Take up the store's current release; False where it is the one being served already.

        Raises:
            NoRelease: nothing has been published.
            StoreError: the store cannot be read.
            ArtifactCorrupt: the manifest is not one.
        """
        head = self.releases.head()
        self.metrics.release_checked.set(time.time())
        if self.current and self.current.head == head:
            return False
        self.current = Current(self.releases.manifest(head.release), head, time.time())
        self.metrics.release_since.set(self.current.since)
        return True

    @property
    def manifest(self) -> Manifest:
        """Of the release being served.

        Raises:
            RuntimeError: there is none yet.
        """
        if self.current is None:
            raise RuntimeError("no release has been taken up; call refresh first")
        return self.current.manifest

    def score(self, query: Query) -> Scores:
        """The scores of a query, waiting for what has to be loaded.

        Raises:
            InvalidKey: a window is not one of the release's.
        """
        return self._run(scored(self.manifest, query))

    async def score_async(self, query: Query) -> Scores:
        """As `score`; where every shard is open it never yields to the event loop."""
        steps = scored(self.manifest, query)
        try:
            needed = next(steps)
            while True:
                needed = steps.send(await self._opened(needed))
        except StopIteration as done:
            scores: Scores = done.value
            return scores

    def predict(
        self, frame: pd.DataFrame, windows: list[str] | None = None, combine: Combine = "weighted"
    ) -> pd.DataFrame:
        """A frame's datapoints with their scores.

        Args:
            frame: with the columns region, host, metric, timestamp and value, in any order of rows; each series with
                the points its longest window needs before the first one of interest.
            windows: as in `["1m", "15m"]`; all of the release's where None.
            combine: "weighted", "min" or "max".

        Returns:
            A row for each of the frame's, with its index: `score`, the windows' own scores as `1m`, `15m`..., the
            expected values as `expected_1m`..., and `status`. NaN where there is no score.

        Raises:
            InvalidPoints: a column is missing or of the wrong type.
            InvalidKey: a window is not one of the release's.
        """
        columns = self.predict_table(pa.Table.from_pandas(frame, preserve_index=False), windows, combine)
        return columns.to_pandas().set_index(frame.index)

    def predict_table(
        self, table: pa.Table, windows: list[str] | None = None, combine: Combine = "weighted"
    ) -> pa.Table:
        """As `predict`, from an Arrow table to one of the answer's columns."""
        rows = grouped(table)
        good = [(i, series) for i, series in enumerate(rows.series) if isinstance(series, Series)]
        tidy = rows.points.take([i for i, _ in good]).tidied()
        parsed = tuple(Window.parse(w) for w in windows) if windows is not None else None
        scores = self.score(Query([series for _, series in good], tidy.points, parsed, combine))
        owner = rows.points.owner
        at = np.flatnonzero(np.isin(owner, [i for i, _ in good]))
        columns = {"score": scores.score}
        columns |= {str(w): scores.by_window[k] for k, w in enumerate(scores.windows)}
        columns |= {f"expected_{w}": scores.expected[k] for k, w in enumerate(scores.windows)}
        filled = {}
        for name, column in columns.items():
            filled[name] = np.full(table.num_rows, np.nan)
            filled[name][rows.order[at]] = column[tidy.place]
        statuses = np.full(len(rows.series), str(Status.BAD_SERIES), object)
        for k, (i, _) in enumerate(good):
            statuses[i] = str(scores.status(k))
        status = np.empty(table.num_rows, object)
        status[rows.order] = statuses[owner]
        return pa.table({**filled, "status": pa.array(status, pa.string()).dictionary_encode()})

    def place(self, series: Series) -> Place | None:
        """Where the models of a series are, its own or a fallback's.

        Raises:
            LoadFailed: the shard they would be in could not be loaded.
        """
        (place,), failed = self._run(placed(self.manifest, [series]))
        if failed:
            raise failed[0]
        return place

    def close(self) -> None:
        """Begin no more loads."""
        self._cache.close()

    def _run(self, steps: Generator[list[Artifact], Opened, T]) -> T:
        """Open what the steps ask for until they are done, waiting for loads."""
        try:
            needed = next(steps)
            while True:
                opening = {artifact.hash: self._cache.get(artifact) for artifact in needed}
                needed = steps.send({name: _outcome(shard) for name, shard in opening.items()})
        except StopIteration as done:
            result: T = done.value
            return result

    async def _opened(self, needed: list[Artifact]) -> Opened:
        opened: dict[str, Shard | LoadFailed] = {}
        for name, shard in {artifact.hash: self._cache.get(artifact) for artifact in needed}.items():
            if isinstance(shard, Future):
                await asyncio.wait([asyncio.wrap_future(shard)])
            opened[name] = _outcome(shard)
        return opened

    def _load(self, artifact: Artifact) -> Shard:
        shard = Shard(artifact.hash, self.releases.get_artifact(artifact), adapters.get)
        for model in shard.models.values():
            model.check()
        return shard


def _outcome(shard: "Shard | Future[Shard]") -> Shard | LoadFailed:
    if isinstance(shard, Shard):
        return shard
    try:
        return shard.result()
    except LoadFailed as exc:
        return exc
