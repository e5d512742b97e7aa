"""Predictor: the whole of Myriad without HTTP, for services, batch jobs and notebooks alike."""

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa

from myriad import adapters
from myriad.formats.columns.table import COLUMNS, labels_of
from myriad.models.ensemble import Combine
from myriad.models.errors import ArtifactCorrupt, InvalidPoints, LoadFailed, MyriadError
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.points import Points
from myriad.models.windows import Window
from myriad.serving.cache import ShardCache
from myriad.serving.hosts import host_scores
from myriad.serving.metrics import Metrics
from myriad.serving.resolution import Opened, Remembered, Resolution
from myriad.serving.scoring import FEW_SERIES, Place, Query, Scores, scored
from myriad.serving.tabular import Tabular, answer, is_window, tabular
from myriad.storage.base import ObjectStore
from myriad.storage.local import LocalTier
from myriad.storage.release import Artifact, Manifest, Releases
from myriad.storage.shard import Shard
from myriad.storage.url import open_store

CACHE_BYTES = 1 << 30
LOADS_AT_ONCE = 8
FAILURE_SECONDS = 5.0
LOAD_SECONDS = 10.0

if TYPE_CHECKING:
    import pandas as pd  # takes a fifth of a second, which a service starts without


@dataclass(frozen=True, slots=True)
class Current:
    """The release being served, since when in epoch seconds."""

    manifest: Manifest
    since: float


class Predictor:
    """Scores datapoints with the models of a store's current release; safe to use from many threads."""

    def __init__(
        self,
        store: ObjectStore,
        metrics: Metrics | None = None,
        local: LocalTier | None = None,
        *,
        cache_bytes: int = CACHE_BYTES,
        loads_at_once: int = LOADS_AT_ONCE,
        failure_seconds: float = FAILURE_SECONDS,
        load_seconds: float = LOAD_SECONDS,
    ) -> None:
        """A predictor with no release yet: `refresh` takes up the current one.

        Args:
            store: where releases are.
            metrics: to count in.
            local: where to keep artifacts; in memory only where None.
            cache_bytes: of open shards.
            loads_at_once: shards loaded at the same time.
            failure_seconds: how long a failed load is not tried again.
            load_seconds: how long a query waits for a load, which goes on without it.
        """
        self.releases = Releases(store)
        self._local = local
        self.metrics = metrics or Metrics()
        self.current: Current | None = None
        self.stale = False
        """Whether the store could not be asked lately which release is current."""
        self._remembered = Remembered()
        self._loads_at_once, self._load_seconds = loads_at_once, load_seconds
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

        What takes the place of the shards that are open is opened first, beside them; then all at once the new release
        answers. Where it cannot be opened, the old one stays.

        Raises:
            NoRelease: nothing has been published.
            StoreError: the store cannot be read.
            ArtifactCorrupt: the manifest is not one.
            LoadFailed: a shard of the new release cannot be loaded.
        """
        head = self.releases.head()
        changed = self.current is None or self.current.manifest.id != head.release
        if changed:
            self._take_up(self.releases.manifest(head.release))
        self.metrics.release_checked.set(time.time())
        return changed

    def recall(self) -> bool:
        """Take up the release that was current when the local tier last heard, without asking the store."""
        if self._local is None or (kept := self._local.recall(self.releases.store.url)) is None:
            return False
        try:
            self._take_up(kept)
        except MyriadError:  # of an older version of ours: the store has the last word
            return False
        return True

    def _take_up(self, manifest: Manifest) -> None:
        for name, version in manifest.adapters.items():
            if (here := adapters.get(name).version) != version:
                raise ArtifactCorrupt(manifest.id, f"its {name} models are of version {version}, not {here}: fit anew")
        if self.current is not None:
            needed = manifest.succeeding(self.current.manifest, self._cache.opened())
            for artifact in needed:  # one at a time: requests go on meanwhile
                shard = self._cache.get(artifact)
                if isinstance(shard, Future):
                    shard.result()
        self.current = Current(manifest, time.time())
        self._cache.retain(frozenset(artifact.hash for artifact in manifest.artifacts))
        self.metrics.release_since.set(self.current.since)
        if self._local is not None:
            self._local.remember(self.releases.store.url, manifest)

    def warm(self, artifacts: Sequence[Artifact], progress: Callable[[Artifact], object]) -> None:
        """Bring artifacts into the local tier, several at a time.

        Args:
            artifacts: of the release.
            progress: called with each when it is there.

        Raises:
            StoreError, ArtifactCorrupt: one cannot be had; the others are there.
        """
        if (local := self._local) is None:
            raise RuntimeError("there is no local tier to warm")
        with ThreadPoolExecutor(self._loads_at_once) as pool:
            futures = {pool.submit(local.open, artifact, self._fetch(artifact)): artifact for artifact in artifacts}
            for future in as_completed(futures):
                future.result()
                progress(futures[future])

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
        return self._run(self._steps(query))

    async def score_async(self, query: Query) -> Scores:
        """As `score`; where every shard is open it never yields to the event loop."""
        steps = self._steps(query)
        try:
            needed = next(steps)
            while True:
                needed = steps.send(await self._opened(needed))
        except StopIteration as done:
            scores: Scores = done.value
            return scores

    def at_hand(self, series: Iterable[Series]) -> bool:
        """Whether it is known where the models of all these series are, and those shards are open."""
        seats = self._remembered.seats(self.manifest.id, series)
        return seats is not None and all(self._cache.is_open(seat.artifact) for seat in seats)

    def _steps(self, query: Query) -> Generator[list[Artifact], Opened, Scores]:
        """The steps to a query's scores; where each of a few series is found is remembered."""
        manifest = self.manifest
        if len(query.names) > FEW_SERIES:
            return (yield from scored(manifest, query))
        series = query.names.series
        seats = self._remembered.seats(manifest.id, series)
        if seats is not None:
            query = replace(query, seats=seats, resolution=Resolution.of(seats))
        scores = yield from scored(manifest, query)
        if seats is None:
            found = zip(series, scores.seats or (), strict=True)
            self._remembered.keep_seats(manifest.id, {one: seat for one, seat in found if seat})
        return scores

    def predict(
        self, frame: "pd.DataFrame", windows: list[str] | None = None, combine: Combine = "weighted"
    ) -> "pd.DataFrame":
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
        columns = self.predict_table(_table(frame), windows, combine)
        return columns.to_pandas().set_index(frame.index)

    def predict_hosts(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """A score for each host as a whole, from all windows of all its metrics.

        Args:
            frame: as for `predict`.

        Returns:
            A row for each host and timestamp: `region`, `host`, `timestamp` in epoch seconds, `score`, NaN where too
            few of its metrics have one, `metrics`, how many have, and `of`, how many have models. No row for a host
            whose own metrics have no models.

        Raises:
            InvalidPoints: a column is missing or of the wrong type.
        """
        scores, _ = self.score_table(_table(frame), None, "weighted")
        found = host_scores(scores)
        lengths = [len(one.timestamps) for one in found]
        columns = {
            "region": np.repeat(np.array([one.region for one in found], object), lengths),
            "host": np.repeat(np.array([one.host for one in found], object), lengths),
            "timestamp": np.concatenate([*(one.timestamps for one in found), np.empty(0, np.int64)]),
            "score": np.concatenate([*(one.scores for one in found), np.empty(0)]),
            "metrics": np.concatenate([*(one.metrics for one in found), np.empty(0, np.int64)]),
            "of": np.repeat(np.array([one.of for one in found], np.int64), lengths),
        }
        return pa.table(columns).to_pandas()

    def predict_table(
        self, table: pa.Table, windows: list[str] | None = None, combine: Combine = "weighted"
    ) -> pa.Table:
        """As `predict`, from an Arrow table to one of the answer's columns.

        In place of `value` the table may have a column a window, like `1m`, that holds means aggregated already.
        """
        parsed = tuple(Window.parse(w) for w in windows) if windows is not None else None
        scores, asked = self.score_table(table, parsed, combine)
        return answer(asked, scores)

    def score_table(
        self, table: pa.Table, windows: tuple[Window, ...] | None, combine: Combine, *, bands: bool = False
    ) -> tuple[Scores, Tabular]:
        """The scores of a table's points, and how its rows became those."""
        key, grouping = self._remembered.grouping(labels_of(table))
        manifest = self.manifest
        known = self._remembered.table(manifest.id, key)
        asked = tabular(table, windows, combine, grouping, known, bands=bands)
        scores = self._run(scored(manifest, asked.query))
        if known is None and len(asked.bad) == len(grouping.bad):
            self._remembered.keep_table(manifest.id, key, scores.resolution)
        return scores, asked

    def place(self, series: Series) -> Place | None:
        """Where the models of a series are, its own or a fallback's.

        Raises:
            LoadFailed: the shard they would be in could not be loaded.
        """
        nothing = Points.of(((), ()))
        scores = self.score(Query(Names.of([series]), nothing))
        for failure in scores.resolution.failed.values():
            raise failure
        return scores.place(0)

    def close(self) -> None:
        """Begin no more loads."""
        self._cache.close()

    def _run(self, steps: Generator[list[Artifact], Opened, Scores]) -> Scores:
        """Open what the steps ask for until they are done, waiting for loads."""
        try:
            needed = next(steps)
            while True:
                opening = {artifact.hash: self._cache.get(artifact) for artifact in needed}
                wait([shard for shard in opening.values() if isinstance(shard, Future)], self._load_seconds)
                needed = steps.send({name: self._outcome(name, shard) for name, shard in opening.items()})
        except StopIteration as done:
            scores: Scores = done.value
            return scores

    async def _opened(self, needed: list[Artifact]) -> Opened:
        opening = {artifact.hash: self._cache.get(artifact) for artifact in needed}
        if loading := [asyncio.wrap_future(shard) for shard in opening.values() if isinstance(shard, Future)]:
            for done in (await asyncio.wait(loading, timeout=self._load_seconds))[0]:
                done.exception()  # asyncio complains of exceptions nobody looked at; `_outcome` looks at the original
        return {name: self._outcome(name, shard) for name, shard in opening.items()}

    def _outcome(self, name: str, shard: "Shard | Future[Shard]") -> Shard | LoadFailed:
        if isinstance(shard, Shard):
            return shard
        if not shard.done():
            return LoadFailed(name, f"it is still loading after {self._load_seconds:g} seconds")
        error = shard.exception()
        return error if isinstance(error, LoadFailed) else shard.result()

    def _load(self, artifact: Artifact) -> Shard:
        fetch = self._fetch(artifact)
        raw = fetch() if self._local is None else self._local.open(artifact, fetch)
        return Shard(artifact.hash, raw, adapters.get)

    def _fetch(self, artifact: Artifact) -> Callable[[], bytes]:
        """Gets an artifact's file from the store, every parameter in it looked at once."""

        def fetch() -> bytes:
            raw = self.releases.get_artifact(artifact)
            for model in Shard(artifact.hash, raw, adapters.get).models.values():
                model.check()
            return raw

        return fetch


def _table(frame: "pd.DataFrame") -> pa.Table:
    """The columns of a frame that matter."""
    columns = {}
    for name in frame.columns:
        if name in COLUMNS or is_window(name):
            try:
                columns[name] = pa.array(frame[name], from_pandas=True)
            except (pa.ArrowException, TypeError) as exc:
                raise InvalidPoints(f"column {name!r} holds values of different kinds: {exc}") from exc
    return pa.table(columns)
