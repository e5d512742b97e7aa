"""Predictor: the whole of Myriad without HTTP, for services, batch jobs and notebooks alike."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import numpy as np
import pyarrow as pa

from myriad import adapters
from myriad.formats.base import Bounds
from myriad.formats.bodies.tables import TableQuery, answer_table, table_query
from myriad.formats.columns.cells import COLUMNS
from myriad.formats.columns.table import labels_of
from myriad.kernels.answers import Answers
from myriad.models.ensemble import Combine
from myriad.models.errors import ArtifactCorrupt, InvalidPoints, LoadFailed, MyriadError
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.query import Query
from myriad.models.scores import Scores
from myriad.models.windows import Window, is_window
from myriad.serving.answers import answers_of
from myriad.serving.cache import ShardCache
from myriad.serving.metrics import Metrics
from myriad.serving.resolution import NOT_FOUND, Get, KnownTable, KnownTables, Resolution, resolve
from myriad.serving.scoring import score
from myriad.serving.settings import Settings
from myriad.storage.base import ObjectStore
from myriad.storage.local import LocalTier
from myriad.storage.release import Artifact, Manifest, Releases, Signed
from myriad.storage.shard import Shard
from myriad.storage.signing import Trust
from myriad.storage.url import open_store

T = TypeVar("T")
Step = Callable[[Manifest, Get], T | None]
"""Gives a result, or None while shards that it needs are being loaded."""
Loading = Callable[[], AbstractContextManager[None]]
"""What is entered while a query waits for loads."""

if TYPE_CHECKING:
    import pandas as pd  # takes a fifth of a second to import, which a service need not wait for

_SETTINGS = Settings.model_fields
"""The defaults are those of the service, whatever its environment variables say."""


@dataclass(frozen=True, slots=True)
class CurrentRelease:
    """The release being served, and since when, in epoch seconds."""

    manifest: Manifest
    since: float


class Place(NamedTuple):
    """Where the models of one series are: a position in an open shard, at level 0 its own, above that a fallback's."""

    shard: Shard
    position: int
    level: int


class Predictor:
    """Scores datapoints with the models of a store's current release; safe to use from many threads."""

    def __init__(
        self,
        store: ObjectStore,
        metrics: Metrics | None = None,
        local: LocalTier | None = None,
        *,
        cache_bytes: int = _SETTINGS["cache_bytes"].default,
        loads_at_once: int = _SETTINGS["loads_at_once"].default,
        failure_seconds: float = _SETTINGS["failure_seconds"].default,
        trust: Trust | None = None,
        load_seconds: float = _SETTINGS["load_seconds"].default,
    ) -> None:
        """A predictor with no release yet: `refresh` takes up the current one.

        Args:
            store: where releases are.
            metrics: what the predictor counts in; its own where None.
            local: the directory that artifacts are kept in; they are kept in memory only where None.
            cache_bytes: of open shards.
            loads_at_once: how many shards are loaded at the same time.
            failure_seconds: how long after a failure a load is not retried.
            trust: whose signature a release needs; none where None.
            load_seconds: timeout of a query's wait for a load; the load itself goes on.
        """
        self.releases = Releases(store, trust=trust)
        self._local = local
        self.metrics = metrics or Metrics()
        self.current: CurrentRelease | None = None
        self.stale = False
        """Whether the last attempt to ask the store for the current release failed; set by the service."""
        self._tables = KnownTables()
        self._loads_at_once, self._load_seconds = loads_at_once, load_seconds
        self._cache = ShardCache(
            self._load,
            self.metrics,
            max_bytes=cache_bytes,
            loads_at_once=loads_at_once,
            failure_seconds=failure_seconds,
        )

    @classmethod
    def open(cls, store: str | ObjectStore, *, cache_bytes: int = _SETTINGS["cache_bytes"].default) -> Self:
        """A predictor on the current release of a store, given as one or by its URL.

        Raises:
            NoRelease: nothing has been published there.
            StoreError: the store cannot be read.
        """
        predictor = cls(open_store(store) if isinstance(store, str) else store, cache_bytes=cache_bytes)
        predictor.refresh()
        return predictor

    def refresh(self, told: Callable[[], object] | None = None) -> bool:
        """Take up the store's current release; False where it is the one being served already.

        The shards of the new release that replace open ones are opened first, while the old release still answers. Then
        the release is switched at once. If a shard cannot be opened, the old release stays.

        Args:
            told: called once the store has said which release is current: to take that up may last much longer.

        Raises:
            NoRelease: nothing has been published.
            StoreError: the store cannot be read.
            ArtifactCorrupt: the manifest is not one.
            LoadFailed: a shard of the new release cannot be loaded.
        """
        head = self.releases.head()
        if told:
            told()
        changed = self.current is None or self.current.manifest.id != head.release
        if changed:
            signed = self.releases.fetch(head.release)
            self._activate(self.releases.checked(head.release, signed), signed)
        self.metrics.release_checked.set(time.time())
        return changed

    def restore_last_release(self) -> bool:
        """Take up the release that the local tier last recorded as current, without asking the store; False if none."""
        if self._local is None or (kept := self._local.recall(self.releases.store.url)) is None:
            return False
        release, signed = kept
        try:
            self._activate(self.releases.checked(release, signed), signed)
        except MyriadError:  # written by an older version, or not trusted: the store has to be asked
            return False
        return True

    def _activate(self, manifest: Manifest, signed: Signed) -> None:
        for name, version in manifest.adapters.items():
            if (installed := adapters.get(name).version) != version:
                why = f"its {name} models are of version {version}, not {installed}: fit anew"
                raise ArtifactCorrupt(manifest.id, why)
        if self.current is not None:
            needed = manifest.succeeding(self.current.manifest, self._cache.opened())
            for artifact in needed:  # one at a time, as requests are answered meanwhile
                shard = self._cache.get(artifact)
                if isinstance(shard, Future):
                    shard.result()
        self.current = CurrentRelease(manifest, time.time())
        self._cache.retain(frozenset(artifact.hash for artifact in manifest.artifacts))
        self.metrics.release_since.set(self.current.since)
        if self._local is not None:
            self._local.remember(self.releases.store.url, manifest.id, signed)

    def warm(self, artifacts: Sequence[Artifact], progress: Callable[[Artifact], object]) -> None:
        """Bring artifacts into the local tier, several at a time.

        Args:
            artifacts: of the release.
            progress: called with each artifact once it is in the local tier.

        Raises:
            StoreError, ArtifactCorrupt: an artifact cannot be fetched; the others have been.
        """
        if (local := self._local) is None:
            raise RuntimeError("there is no local tier to warm")
        with ThreadPoolExecutor(self._loads_at_once) as pool:
            futures = {pool.submit(local.open, artifact, self._fetcher(artifact)): artifact for artifact in artifacts}
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
        return self._run(lambda manifest, get: score(manifest, query, get))

    async def score_async(self, query: Query, loading: Loading = nullcontext, *, in_thread: bool = False) -> Scores:
        """As `score`; where every shard is open and it needs no thread it never yields to the event loop.

        Args:
            query: what to score.
            loading: entered while shards are being loaded.
            in_thread: whether it runs in a thread, as what is large should. None of these waits for a load.
        """
        return await self._run_async(lambda manifest, get: score(manifest, query, get), loading, in_thread=in_thread)

    def predict(
        self,
        frame: "pd.DataFrame",
        windows: list[str] | None = None,
        combine: Combine = "weighted",
        *,
        alerts: bool = False,
    ) -> "pd.DataFrame":
        """A frame's datapoints with their scores.

        Args:
            frame: with the columns region, host, metric, timestamp and value, in any order of rows; each series with
                the points its longest window needs before the first one of interest.
            windows: as in `["1m", "15m"]`; all of the release's where None.
            combine: "weighted", "min" or "max".
            alerts: whether the scores are wanted as alerts count them too, from all of the frame.

        Returns:
            A row for each of the frame's, with its index: `score`, the windows' own scores as `1m`, `15m`..., the
            expected values as `expected_1m`..., `alert_score` where it is wanted, and `status`. NaN where there is no
            score.

        Raises:
            InvalidPoints: a column is missing or of the wrong type.
            InvalidKey: a window is not one of the release's.
        """
        columns = self.predict_table(_table(frame), windows, combine, alerts=alerts)
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
        scores, _ = self.score_table(_table(frame), None, "weighted", hosts=True)
        hosts = scores.hosts
        lengths = [len(host.timestamps) for host in hosts]
        columns = {
            "region": np.repeat(np.array([host.region for host in hosts], object), lengths),
            "host": np.repeat(np.array([host.host for host in hosts], object), lengths),
            "timestamp": np.concatenate([*(host.timestamps for host in hosts), np.empty(0, np.int64)]),
            "score": np.concatenate([*(host.scores for host in hosts), np.empty(0)]),
            "metrics": np.concatenate([*(host.metrics for host in hosts), np.empty(0, np.int64)]),
            "of": np.repeat(np.array([host.metrics_with_models for host in hosts], np.int64), lengths),
        }
        return pa.table(columns).to_pandas()

    def predict_table(
        self,
        table: pa.Table,
        windows: list[str] | None = None,
        combine: Combine = "weighted",
        known: KnownTable | None = None,
        *,
        alerts: bool = False,
    ) -> pa.Table:
        """As `predict`, from an Arrow table to one of the answer's columns.

        In place of `value` the table may have a column a window, like `1m`, that holds means aggregated already. Who
        has grouped the table's rows already may hand that over as `known`.
        """
        parsed = tuple(Window.parse(w) for w in windows) if windows is not None else None
        scores, query = self.score_table(table, parsed, combine, alerts=alerts, known=known)
        return answer_table(query, scores)

    def score_table(
        self,
        table: pa.Table,
        windows: tuple[Window, ...] | None,
        combine: Combine,
        *,
        bands: bool = False,
        hosts: bool = False,
        alerts: bool = False,
        known: KnownTable | None = None,
    ) -> tuple[Scores, TableQuery]:
        """The scores of a table's points, and which rows of the table those are of."""
        return self._run(
            self._table_step(table, windows, combine, None, known, bands=bands, hosts=hosts, alerts=alerts)
        )

    async def score_table_async(
        self,
        table: pa.Table,
        windows: tuple[Window, ...] | None,
        combine: Combine,
        *,
        bands: bool,
        hosts: bool,
        alerts: bool,
        bounds: Bounds,
        loading: Loading,
    ) -> tuple[Scores, TableQuery]:
        """As `score_table`, in threads, none of which waits for a load.

        Raises:
            TooLarge: the table has more series than the bounds allow.
        """
        step = self._table_step(table, windows, combine, bounds, None, bands=bands, hosts=hosts, alerts=alerts)
        return await self._run_async(step, loading, in_thread=True)

    def _table_step(
        self,
        table: pa.Table,
        windows: tuple[Window, ...] | None,
        combine: Combine,
        bounds: Bounds | None,
        grouped: KnownTable | None,
        *,
        bands: bool,
        hosts: bool,
        alerts: bool,
    ) -> "Step[tuple[Scores, TableQuery]]":
        made: list[tuple[TableQuery, KnownTable]] = []

        def step(manifest: Manifest, get: Get) -> tuple[Scores, TableQuery] | None:
            if not made:
                known = grouped or self._tables.of(labels_of(table))
                if bounds:
                    bounds.check(len(known.grouping.names), 0)
                rows = known.grouping
                made.append(
                    (table_query(table, windows, combine, rows, bands=bands, hosts=hosts, alerts=alerts), known)
                )
            query, known = made[0]
            scores = score(manifest, query.query, get, None if query.bad else known)
            return (scores, query) if scores else None

        return step

    def locate(self, series: Series) -> Place | None:
        """Where the models of a series are, its own or a fallback's; None where there are none.

        Raises:
            LoadFailed: the shard that they would be in could not be loaded.
        """
        return self._run(lambda manifest, get: _located(resolve(manifest, Names.of([series]), get), get))[0]

    def answers(self) -> Answers:
        """What the release being served answers to the usual request."""
        return answers_of(self.manifest, self._cache, self.metrics.tallies)

    def drop_changed(self) -> None:
        """Close the open shards whose local files somebody changes; to be called every second."""
        self._cache.look_again()
        if self._local is not None:
            self._cache.drop(self._local.changed())

    def close(self) -> None:
        """Start no more loads."""
        self._cache.close()

    def _run(self, step: "Step[T]") -> T:
        """The result of a step, blocking while shards it needs are being loaded."""
        manifest, shards = self.manifest, _Shards(self._cache)
        while (result := step(manifest, shards.get)) is None:
            wait(shards.loading, self._load_seconds)
            shards.settle(self._load_seconds)
        return result

    async def _run_async(self, step: "Step[T]", loading: Loading, *, in_thread: bool) -> T:
        """As `_run`, awaiting the loads."""
        manifest, shards = self.manifest, _Shards(self._cache)
        while True:
            result = await asyncio.to_thread(step, manifest, shards.get) if in_thread else step(manifest, shards.get)
            if result is not None:
                return result
            loads = [asyncio.wrap_future(load) for load in shards.loading]
            with loading():
                finished, _ = await asyncio.wait(loads, timeout=self._load_seconds)
            for done in finished:
                done.exception()  # retrieved here, or asyncio logs it; `settle` takes it from the original
            shards.settle(self._load_seconds)

    def _load(self, artifact: Artifact) -> Shard:
        fetch = self._fetcher(artifact)
        raw = fetch() if self._local is None else self._local.open(artifact, fetch)
        return Shard(artifact.hash, raw, adapters.get)

    def _fetcher(self, artifact: Artifact) -> Callable[[], bytes]:
        """A function that gets an artifact's file from the store and checks every parameter in it once."""

        def fetch() -> bytes:
            raw = self.releases.get_artifact(artifact)
            Shard(artifact.hash, raw, adapters.get).check()
            return raw

        return fetch


def _located(found: Resolution | None, get: Get) -> tuple[Place | None] | None:
    """The place of the one series that was looked for, in a tuple; None while a shard is being loaded."""
    if found is None:
        return None
    if found.artifact[0] == NOT_FOUND:
        return (None,)
    shard = get(found.artifacts[found.artifact[0]])
    if isinstance(shard, LoadFailed):
        raise shard
    return (Place(shard, int(found.position[0]), int(found.level[0])),) if shard else None


class _Shards:
    """The shards that one query needs, each asked for once."""

    def __init__(self, cache: ShardCache) -> None:
        self._cache = cache
        self._asked: dict[str, Shard | LoadFailed | Future[Shard]] = {}

    def get(self, artifact: Artifact) -> Shard | LoadFailed | None:
        """The open shard, why it could not be opened, or None while it is being loaded."""
        if (found := self._asked.get(artifact.hash)) is None:
            found = self._asked[artifact.hash] = self._cache.get(artifact)
        return None if isinstance(found, Future) else found

    @property
    def loading(self) -> list["Future[Shard]"]:
        """What is being loaded."""
        return [one for one in self._asked.values() if isinstance(one, Future)]

    def settle(self, seconds: float) -> None:
        """Take what has been loaded; what has not counts as failed after so many seconds."""
        for name, one in self._asked.items():
            if isinstance(one, Future):
                self._asked[name] = _settled(name, one, seconds)


def _settled(name: str, load: "Future[Shard]", seconds: float) -> Shard | LoadFailed:
    if not load.done():
        return LoadFailed(name, f"it is still loading after {seconds:g} seconds")
    error = load.exception()
    return error if isinstance(error, LoadFailed) else load.result()


def _table(frame: "pd.DataFrame") -> pa.Table:
    """The columns of a frame that scoring uses, as an Arrow table."""
    columns = {}
    for name in frame.columns:
        if name in COLUMNS or is_window(name):
            try:
                columns[name] = pa.array(frame[name], from_pandas=True)
            except (pa.ArrowException, TypeError) as exc:
                raise InvalidPoints(f"column {name!r} holds values of different kinds: {exc}") from exc
    return pa.table(columns)
