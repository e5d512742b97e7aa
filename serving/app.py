"""The service: FastAPI around a Predictor."""

import asyncio
import contextlib
import gc
import json
import logging
import math
import multiprocessing
import os
import signal
import struct
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal, NoReturn

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request

from myriad import __version__, kernels
from myriad.kernels.scoring import NO_MODEL
from myriad.models.key import Series
from myriad.serving import openapi
from myriad.serving.auth import Authorizer, JwtRules, read_tokens
from myriad.serving.dispatcher import MAY_READ, Dispatcher
from myriad.serving.follower import Follower
from myriad.serving.health import HealthListener
from myriad.serving.metrics import Metrics
from myriad.serving.predict import PredictEndpoint
from myriad.serving.predictor import CurrentRelease, Place, Predictor
from myriad.serving.problems import Problem
from myriad.serving.settings import Settings
from myriad.storage.local import LocalTier
from myriad.storage.release import Manifest
from myriad.storage.shard import DIRECTIONS, UNLIMITED
from myriad.storage.signing import Trust
from myriad.storage.url import open_store

EXPOSITION_ATTEMPTS = 20
HAND_OVER_SECONDS = 0.5
GC_THRESHOLDS = (50_000, 20, 100)
"""Thresholds of the garbage collector. With the usual ones, searching a large answer for cycles took half its time."""

log = logging.getLogger("myriad")


class WindowModel(BaseModel):
    """The model of one window: the deviation in spreads that scores 1, and the least one that may."""

    adapter: str
    threshold: float
    floor: float
    bytes: int


class SeriesModels(BaseModel):
    """What is known of the models a series is scored with."""

    series: str
    fallback: bool
    release: str
    artifact: str
    step_seconds: int
    history_from: int = Field(description="epoch seconds")
    history_to: int = Field(description="epoch seconds")
    history_points: int
    fitted_at: int = Field(description="epoch seconds")
    direction: Literal["up", "down", "both"] = Field(description="of the deviations that matter")
    range: tuple[float | None, float | None] = Field(description="the least and the most a value may be")
    time_zone: str = Field(description="that tells the time of day and the day of the week")
    windows: Mapping[str, WindowModel]


class ReleaseServed(BaseModel):
    """The release being served, and since when (epoch seconds)."""

    id: str
    since: float
    created_at: str
    windows: tuple[str, ...]
    weights: tuple[float, ...]
    power: int
    rate: float
    adapters: Mapping[str, int]
    series: int
    models: int
    bytes: int
    provenance: Mapping[str, str]


class Health(BaseModel):
    """Whether the service can answer, with which release, and when the store last said which is current."""

    status: str
    release: str | None = None
    since: float | None = Field(None, description="epoch seconds")
    checked_seconds_ago: float | None = None
    stale: bool = Field(default=False, description="the store could not be asked, or its current release not be had")
    problem: str = Field("", description="why it is stale")
    kernels: str | None = Field(None, description="compiled, or why NumPy is used")


def create_app(settings: Settings | None = None) -> Dispatcher:
    """The service on the store the settings name; read from the environment where None."""
    settings = settings or Settings()
    metrics = Metrics()
    service = Service(settings, metrics)
    app = FastAPI(
        title="Myriad",
        summary="A million small time-series models behind one /predict",
        version=__version__,
        lifespan=service.lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go where the Host header says
    )
    app.get("/models/{region}/{host}/{metric}", tags=["models"], responses=openapi.problems(404, 422, 503))(
        service.models
    )
    app.get("/releases/current", tags=["releases"], responses=openapi.problems(503))(service.release)
    app.get("/health/live", tags=["health"])(service.live)
    app.get("/health/ready", tags=["health"], responses=openapi.problems(503))(service.ready)
    app.get("/metrics", tags=["health"], response_class=Response)(service.exposition)
    app.exception_handler(HTTPException)(_raise_problem)
    openapi.describe_predict(app)
    return Dispatcher(app, service.predict, metrics, authorizer_of(settings), settings.open_paths)


def authorizer_of(settings: Settings) -> Authorizer | None:
    """Who says what a request may do, None where everybody may do everything.

    Raises:
        InvalidTokens: the file of tokens is not one.
    """
    if not settings.tokens_file and not settings.jwks_url:
        log.info("everybody may do everything: neither MYRIAD_TOKENS_FILE nor MYRIAD_JWKS_URL is set")
        return None
    tokens = read_tokens(Path(settings.tokens_file)) if settings.tokens_file else []
    algorithms = tuple(name.strip() for name in settings.jwt_algorithms.split(","))
    rules = JwtRules(settings.jwks_url, algorithms, settings.jwt_issuer, settings.jwt_audience)
    return Authorizer(tokens, rules if settings.jwks_url else None)


class Service:
    """The endpoints, on one predictor that follows the store's current release."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._predictor = Predictor(
            open_store(settings.store),
            metrics,
            LocalTier(settings.local_directory, settings.local_bytes),
            cache_bytes=settings.cache_bytes,
            loads_at_once=settings.loads_at_once,
            failure_seconds=settings.failure_seconds,
            load_seconds=settings.load_seconds,
            trust=Trust.load(Path(settings.trust)) if settings.trust else None,
        )
        self._follower = Follower(self._predictor, settings.poll_seconds, warm=settings.warm)
        self.predict = PredictEndpoint(self._predictor, settings)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Follow the store's current release as long as the service runs."""
        if await asyncio.to_thread(self._predictor.restore_last_release):
            log.info("serving a remembered release", extra={"release": self._predictor.manifest.id})
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if (parent := multiprocessing.parent_process()) is not None:
            # Workers outlive a supervisor that was killed, and would keep the port.
            asyncio.get_running_loop().add_reader(parent.sentinel, os.kill, os.getpid(), signal.SIGTERM)
        listener = self._health_listener()
        tasks = (self._follower.run(), self._follower.watch(), self._hand_over_metrics())
        following = [asyncio.create_task(task) for task in tasks]
        yield
        for task in following:
            task.cancel()
        if listener:
            listener.close()
        self._predictor.close()
        self._metrics.hand_over()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]

    async def _hand_over_metrics(self) -> None:
        """So that whichever worker is asked for metrics has those of all, and recent."""
        while True:
            await asyncio.sleep(HAND_OVER_SECONDS)
            self._metrics.hand_over()

    async def models(self, region: str, host: str, metric: str) -> SeriesModels:
        """What is known of the models of a series: its own, or those that stand in for them."""
        series = Series.parse(f"{region}/{host}/{metric}")  # as they stand in the URL, percent-encoded
        current = self._current_release()
        place = await run_in_threadpool(self._predictor.locate, series)
        if place is None:
            raise Problem(404, "no-model", f"there is no model for {series}, nor one to stand in")
        return _describe_models(current.manifest, series, place)

    async def release(self) -> ReleaseServed:
        """The release being served."""
        current = self._current_release()
        manifest, artifacts = current.manifest, current.manifest.artifacts
        return ReleaseServed(
            id=manifest.id,
            since=current.since,
            created_at=manifest.created_at,
            windows=manifest.windows,
            weights=manifest.weights,
            power=manifest.power,
            rate=manifest.rate,
            adapters=manifest.adapters,
            series=sum(a.series for a in artifacts),
            models=sum(a.models for a in artifacts),
            bytes=sum(a.bytes for a in artifacts),
            provenance=manifest.provenance,
        )

    async def live(self) -> Health:
        """The process answers."""
        return Health(status="live")

    async def ready(self, request: Request) -> Health:
        """A release is loaded, so that requests can be answered."""
        return self._health(in_full=request.scope.get(MAY_READ, True))

    def _health(self, *, in_full: bool) -> Health:
        """Whether requests can be answered; in full with what may name places and paths."""
        current = self._current_release(in_full=in_full)
        if not in_full:
            return Health(status="ready", stale=self._predictor.stale)
        checked = self._follower.checked
        return Health(
            status="ready",
            release=current.manifest.id,
            since=current.since,
            checked_seconds_ago=None if checked is None else round(time.time() - checked, 3),
            stale=self._predictor.stale,
            problem=self._follower.problem,
            kernels=kernels.in_use(),
        )

    def _health_listener(self) -> HealthListener | None:
        if not self._settings.health_port:
            return None
        checks = {
            "/health/live": lambda: {"status": "live"},
            "/health/ready": lambda: self._health(in_full=False).model_dump(exclude_none=True),
        }
        return HealthListener(self._settings.host, self._settings.health_port, checks)

    async def exposition(self) -> Response:
        """Metrics for Prometheus, of all workers together."""
        registry = self._metrics.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            _drop_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(await _exposed(registry), media_type=CONTENT_TYPE_LATEST)

    def _current_release(self, *, in_full: bool = True) -> CurrentRelease:
        if self._predictor.current is None:
            why = f": {self._follower.problem}" if self._follower.problem and in_full else ""
            raise Problem(503, "no-release", f"no release has been loaded yet{why}", retry_after=5)
        return self._predictor.current


async def _exposed(registry: CollectorRegistry) -> bytes:
    """The metrics as text; looked at again where another worker has just made the file of its own and not filled it."""
    for _ in range(EXPOSITION_ATTEMPTS):
        with contextlib.suppress(struct.error, json.JSONDecodeError):
            return generate_latest(registry)
        await asyncio.sleep(0.01)
    return generate_latest(registry)


def _drop_dead_workers(directory: Path) -> None:
    """Remove the gauges of workers that were killed and so could not do it themselves."""
    for pid in {path.stem.rpartition("_")[2] for path in directory.glob("gauge_live*.db")}:
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(int(pid))  # type: ignore[no-untyped-call]


def _describe_models(manifest: Manifest, series: Series, place: Place) -> SeriesModels:
    shard, position, _ = place
    windows = {}
    for at, window in enumerate(shard.windows):
        if (code := int(shard.adapter[position, at])) != NO_MODEL:
            model, row = shard.models[at, code], int(shard.row[position, at])
            threshold, floor = float(model.arrays["threshold"][row]), float(model.arrays["floor"][row])
            windows[str(window)] = WindowModel(
                adapter=shard.adapters[code], threshold=threshold, floor=floor, bytes=model.row_bytes()
            )
    limits = UNLIMITED if shard.limits is None else shard.limits[position].tolist()
    return SeriesModels(
        series=str(series.fallback(place.level)),
        fallback=place.level > 0,
        release=manifest.id,
        artifact=shard.name,
        step_seconds=int(shard.step[position]),
        history_from=int(shard.history[position, 0]),
        history_to=int(shard.history[position, 1]),
        history_points=int(shard.points[position]),
        fitted_at=int(shard.fitted_at[position]),
        direction=DIRECTIONS[int(limits[0])],
        range=(None if math.isinf(limits[1]) else limits[1], None if math.isinf(limits[2]) else limits[2]),
        time_zone=clock.time_zone if (clock := manifest.clock_of(series.region)) else "UTC",
        windows=windows,
    )


async def _raise_problem(_: Request, error: HTTPException) -> NoReturn:
    """Starlette's own refusals (no such path, no such method) become problem documents like all others."""
    raise Problem(error.status_code, "not-found" if error.status_code == 404 else "method-not-allowed", error.detail)
