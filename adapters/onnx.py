"""onnx: any small graph from lags and calendar to an expected value, run by onnxruntime.

A row has the bytes of the graph. Before onnxruntime sees a graph, `_graph.check` does: it is small, has operators that
compute and no control flow, keeps all its data inside, and needs bounded memory and work. So a release can make the
service run arithmetic and nothing else. A graph that fails or takes too long all the same costs its own series their
scores, and no other.
"""

import logging
import time
from collections.abc import Iterator
from hashlib import blake2b
from threading import Event, Lock, Thread
from typing import Any, ClassVar, Self

import numpy as np
from cachetools import LRUCache, TTLCache, cached
from numpy.typing import NDArray

from myriad.adapters import _features, _graph, _scaled
from myriad.adapters._features import LAGS
from myriad.adapters._scaled import Depth
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import ArtifactCorrupt, NotReducible
from myriad.models.points import Points

MAX_GRAPH_BYTES = 1 << 14
MAX_SESSIONS = 256
"""The size of the cache of graphs that are ready to run, in each process."""
MAX_LOOKED_AT = 1 << 14
MAX_SECONDS = 0.5
"""A run of one graph that takes longer is given up. A usual one of `_graph.ROWS` rows takes less than a hundredth."""
PAUSE_SECONDS = 60
"""How long a graph that was given up is not run again."""
FEATURES = len(LAGS) + 4
OPSET, IR_VERSION = 17, 8
"""Of the graphs made here: old enough for every onnxruntime that has Python 3.11."""
RIDGE = 0.05
"""Ridge penalty a point, in squared units: features that vary by less get little weight."""

_log = logging.getLogger(__name__)


class Onnx(Model):
    """A graph that takes features, float32 (n, 11), and gives expected values in units around the centre."""

    version = 100 * _features.VERSION + 1
    library = "onnx"
    serving_library = "onnx"
    fitted_types = ("onnx.onnx_ml_pb2.ModelProto", "builtins.bytes")

    params: ClassVar = {
        **_scaled.PARAMS,
        "graph": Param("u1", (MAX_GRAPH_BYTES,)),
        "size": Param("<i4", positive=True),  # of the graph, in bytes; zeros follow
    }

    @classmethod
    def fit(cls, history: Points, *, alpha: float = RIDGE) -> Fit[Self]:
        """The graph of a ridge regression on up to 2000 points of each series; at least 100 points are needed.

        It is a default: `reduced` takes any other graph fitted to `examples(history)`.
        """
        return _scaled.fit_each(cls, history, lambda series: cls.reduced(_ridge(*examples(series), alpha), series))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """A row of an `onnx.ModelProto`, or of its bytes."""
        graph = _checked(fitted)
        scale = _scaled.scale(history)
        examples = _scaled.examples(history, scale)
        try:
            session = _Session(graph)
            spread = _scaled.spreads(examples, lambda features, _: session.run(features))
        except ArtifactCorrupt as exc:
            raise NotReducible(f"the graph cannot be a row of onnx: {exc}") from exc
        padded = np.zeros(MAX_GRAPH_BYTES, np.uint8)
        padded[: len(graph)] = np.frombuffer(graph, np.uint8)
        return scale.row(spread, graph=padded, size=np.array(len(graph)))

    def check(self) -> None:
        """Check every value, and look at every graph, load it and run it once."""
        super().check()
        if (self.arrays["size"] > MAX_GRAPH_BYTES).any():
            raise ArtifactCorrupt(self.name(), f"a graph is said to have more than {MAX_GRAPH_BYTES} bytes")
        for row in range(self.rows):
            session = _Session(self._graph(row))  # not cached: it may never be used
            session.run(np.zeros((_graph.ROWS, FEATURES)))

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The values of the graphs, each run once for all its points."""
        return _scaled.prediction(self, rows, points, self._expected)

    def _expected(self, at: NDArray[np.int64], features: Matrix, depth: Depth) -> Vector:  # noqa: ARG002
        expected = np.empty(len(at))
        for row, positions in _by_row(at):
            expected[positions] = _run(self._graph(row), features[positions])
        return expected

    def _graph(self, row: int) -> bytes:
        return bytes(self.arrays["graph"][row, : self.arrays["size"][row]])


def examples(history: Points) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a graph has to be fitted to: features (n, 11) of a single series and its values (n,), both scaled."""
    scaled = _scaled.examples(history, _scaled.scale(history))
    return scaled.features().astype(np.float32), scaled.values.astype(np.float32)


def _checked(fitted: Any) -> bytes:
    """The bytes of a graph, if it can be a row."""
    graph = fitted if isinstance(fitted, bytes) else bytes(fitted.SerializeToString())
    if len(graph) > MAX_GRAPH_BYTES:
        raise NotReducible(f"the graph has {len(graph)} bytes; make it smaller, {MAX_GRAPH_BYTES} at most")
    try:
        _look(graph)
    except _graph.Refused as exc:
        raise NotReducible(f"the graph {exc}") from exc
    return graph


@cached(LRUCache[bytes, None](MAX_LOOKED_AT), key=lambda graph: blake2b(graph, digest_size=16).digest(), lock=Lock())
def _look(graph: bytes) -> None:
    """`_graph.check`, which takes longer than loading a graph, once for each."""
    _graph.check(graph, FEATURES)


class _Session:
    """A graph that is ready to run, on the calling thread."""

    def __init__(self, graph: bytes) -> None:
        try:
            _look(graph)
        except _graph.Refused as exc:
            raise ArtifactCorrupt(Onnx.name(), f"a graph {exc}") from exc
        import onnxruntime

        self._options = onnxruntime.RunOptions
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # hundreds of sessions are cached
        options.log_severity_level = 4
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            (taken,) = self._session.get_inputs()
            self._input = taken.name
        except Exception as exc:  # the library's errors have no other base
            raise ArtifactCorrupt(Onnx.name(), f"a graph does not run: {exc}") from exc
        for n in (1, 2):
            self.run(np.zeros((n, FEATURES)))

    def run(self, features: Matrix) -> Vector:
        """The expected values, (n,), in units around the centre; NaN becomes 0.

        Raises:
            ArtifactCorrupt: the graph fails, gives something else, or takes more than `MAX_SECONDS`.
        """
        given = features.astype(np.float32)
        if len(given) <= _graph.ROWS:
            return np.nan_to_num(self._part(given).astype(np.float64))
        parts = np.array_split(given, -(-len(given) // _graph.ROWS))  # of nearly one size: a row alone is rounded apart
        return np.concatenate([np.nan_to_num(self._part(part).astype(np.float64)) for part in parts])

    def _part(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        options = self._options()
        options.log_severity_level = 4
        _running[id(options)] = time.monotonic() + MAX_SECONDS, options
        _watch()
        try:
            (values,) = self._session.run(None, {self._input: features}, options)
        except Exception as exc:  # the library's errors have no other base
            why = f"it took more than {MAX_SECONDS} seconds" if options.terminate else str(exc)
            raise ArtifactCorrupt(Onnx.name(), f"a graph does not run: {why}") from exc
        finally:
            del _running[id(options)]
        if values.dtype != np.float32 or values.shape not in {(len(features),), (len(features), 1)}:
            raise ArtifactCorrupt(
                Onnx.name(), f"a graph gives {values.dtype}{list(values.shape)} for {len(features)} points"
            )
        return values.ravel()


_running: dict[int, tuple[float, Any]] = {}
"""The runs under way: until when, in monotonic seconds, and the options that end them."""
_awake = Event()
_watcher: Thread | None = None
_starting = Lock()


def _watch() -> None:
    """Have the watcher look at what is running: one thread, as one for each run would cost more than the run."""
    global _watcher
    if _watcher is None or not _watcher.is_alive():  # none yet, or this process was forked off
        with _starting:
            if _watcher is None or not _watcher.is_alive():
                _watcher = Thread(target=_give_up_late_runs, name="onnx-watcher", daemon=True)
                _watcher.start()
    if not _awake.is_set():
        _awake.set()


def _give_up_late_runs() -> None:
    while True:
        _awake.wait()
        time.sleep(MAX_SECONDS / 5)
        _awake.clear()
        for until, options in list(_running.values()):
            _awake.set()
            if time.monotonic() > until:
                options.terminate = True


@cached(LRUCache[bytes, _Session](MAX_SESSIONS), key=lambda graph: graph, lock=Lock(), info=True)
def _session(graph: bytes) -> _Session:
    return _Session(graph)


_given_up: TTLCache[bytes, bool] = TTLCache(MAX_SESSIONS, PAUSE_SECONDS)
_giving_up = Lock()


def _run(graph: bytes, features: Matrix) -> Vector:
    """The expected values, (n,); NaN where the graph fails, so that only its own series are without scores."""
    with _giving_up:
        if graph in _given_up:
            return np.full(len(features), np.nan)
    try:
        return _session(graph).run(features)
    except ArtifactCorrupt as exc:
        _log.warning("%s; it is not run for %d seconds", exc, PAUSE_SECONDS)
    with _giving_up:
        _given_up[graph] = True
    return np.full(len(features), np.nan)


def _by_row(at: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each row, and the positions of its points."""
    order = np.argsort(at, kind="stable")
    rows, starts = np.unique(at[order], return_index=True)
    yield from zip(rows.tolist(), np.split(order, starts)[1:], strict=True)


def _ridge(features: NDArray[np.float32], values: NDArray[np.float32], alpha: float) -> Any:
    """The graph of a ridge regression."""
    from onnx import TensorProto, helper, numpy_helper

    x, y = features.astype(np.float64), values.astype(np.float64)
    centered = x - x.mean(axis=0)
    weights = np.linalg.solve(centered.T @ centered + alpha * len(y) * np.eye(FEATURES), centered.T @ y)
    intercept = np.array([y.mean() - x.mean(axis=0) @ weights])
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["features", "weights", "intercept"], ["expected"])],
        "ridge",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("expected", TensorProto.FLOAT, ["n", 1])],
        [
            numpy_helper.from_array(weights[:, None].astype(np.float32), "weights"),
            numpy_helper.from_array(intercept.astype(np.float32), "intercept"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
