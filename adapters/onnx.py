"""onnx: any small graph from lags and calendar to an expected value, run by onnxruntime.

A row has the bytes of the graph. Before a graph becomes a row it is checked: it is small, has only standard operators
and no control flow, and keeps all its data inside. So a release can make the service run arithmetic and nothing else.
"""

from collections.abc import Iterator
from threading import Lock
from typing import Any, ClassVar, Self

import numpy as np
from cachetools import LRUCache, cached
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import LAGS
from myriad.adapters._scaled import Depth
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import ArtifactCorrupt, NotReducible
from myriad.models.points import Points

MAX_GRAPH_BYTES = 1 << 14
MAX_SESSIONS = 256
"""The size of the cache of graphs that are ready to run, in each process."""
FEATURES = len(LAGS) + 4
DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
FLOAT = 1  # of onnx.TensorProto.DataType
OPSET, IR_VERSION = 17, 8
"""Of the graphs made here: old enough for every onnxruntime that has Python 3.11."""
RIDGE = 0.05
"""Ridge penalty a point, in squared units: features that vary by less get little weight."""


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
        try:
            session = _Session(graph)
        except ArtifactCorrupt as exc:
            raise NotReducible(f"the graph cannot be a row of onnx: {exc}") from exc
        scale = _scaled.scale(history)
        spread = _scaled.spreads(_scaled.examples(history, scale), lambda features, _: session.run(features))
        padded = np.zeros(MAX_GRAPH_BYTES, np.uint8)
        padded[: len(graph)] = np.frombuffer(graph, np.uint8)
        return scale.row(spread, graph=padded, size=np.array(len(graph)))

    def check(self) -> None:
        """Check every value, and load and run every graph once."""
        super().check()
        if (self.arrays["size"] > MAX_GRAPH_BYTES).any():
            raise ArtifactCorrupt(self.name(), f"a graph is said to have more than {MAX_GRAPH_BYTES} bytes")
        for row in range(self.rows):
            _Session(self._graph(row))  # not cached: it may never be used

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The values of the graphs, each run once for all its points."""
        return _scaled.prediction(self, rows, points, self._expected)

    def _expected(self, at: NDArray[np.int64], features: Matrix, depth: Depth) -> Vector:  # noqa: ARG002
        expected = np.empty(len(at))
        for row, positions in _by_row(at):
            expected[positions] = _session(self._graph(row)).run(features[positions])
        return expected

    def _graph(self, row: int) -> bytes:
        return bytes(self.arrays["graph"][row, : self.arrays["size"][row]])


def examples(history: Points) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a graph has to be fitted to: features (n, 11) of a single series and its values (n,), both scaled."""
    scaled = _scaled.examples(history, _scaled.scale(history))
    return scaled.features().astype(np.float32), scaled.values.astype(np.float32)


def _checked(fitted: Any) -> bytes:
    """The bytes of a graph, if it can be a row."""
    import onnx
    from google.protobuf.message import DecodeError

    graph = fitted if isinstance(fitted, bytes) else bytes(fitted.SerializeToString())
    if len(graph) > MAX_GRAPH_BYTES:
        raise NotReducible(f"the graph has {len(graph)} bytes; make it smaller, {MAX_GRAPH_BYTES} at most")
    try:
        fault = next(_faults(onnx.ModelProto.FromString(graph)), None)
    except DecodeError as exc:
        raise NotReducible("these bytes are not an ONNX graph") from exc
    if fault:
        raise NotReducible(f"the graph {fault}")
    return graph


def _faults(model: Any) -> Iterator[str]:
    """Each reason why a graph cannot be a row."""
    graph = model.graph
    for domain in {used.domain for used in (*model.opset_import, *graph.node)} - DOMAINS:
        yield f"uses operators of {domain!r}; use those of ai.onnx and ai.onnx.ml only"
    if model.functions:
        yield "defines functions; inline them (onnx.inliner)"
    attributes = [(node, attribute) for node in graph.node for attribute in node.attribute]
    for node, attribute in attributes:
        if attribute.HasField("g") or attribute.graphs:
            yield f"has control flow ({node.op_type}); use operators without subgraphs"
    tensors = [*graph.initializer, *(attribute.t for _, attribute in attributes)]
    sparse = [*graph.sparse_initializer, *(attribute.sparse_tensor for _, attribute in attributes)]
    tensors += [part for tensor in sparse for part in (tensor.values, tensor.indices)]
    if any(tensor.data_location or tensor.external_data for tensor in tensors):
        yield "keeps its data in another file; save it in one"
    yield from _faults_of_shape(graph)


def _faults_of_shape(graph: Any) -> Iterator[str]:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        yield f"has {len(inputs)} inputs and {len(graph.output)} outputs; it needs one of each"
    for verb, values, last in (("takes", inputs, [FEATURES]), ("gives", graph.output, [1])):
        tensor = values[0].type.tensor_type
        sizes = [dimension.dim_value for dimension in tensor.shape.dim]
        if tensor.elem_type != FLOAT or sizes[:1] != [0] or sizes[1:] not in (last, [0], last[1:] * (verb == "gives")):
            yield f"{verb} elements of type {tensor.elem_type} and shape {sizes}; it has to be float32 (n, {last[0]})"


class _Session:
    """A graph that is ready to run, on the calling thread."""

    def __init__(self, graph: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # hundreds of sessions are cached
        options.log_severity_level = 4
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            (taken,) = self._session.get_inputs()
            self._input = taken.name
            for n in (1, 2):
                self.run(np.zeros((n, FEATURES)))
        except Exception as exc:  # the library's errors have no other base
            raise ArtifactCorrupt(Onnx.name(), f"a graph does not run: {exc}") from exc

    def run(self, features: Matrix) -> Vector:
        """The expected values, (n,), in units around the centre; NaN becomes 0."""
        (values,) = self._session.run(None, {self._input: features.astype(np.float32)})
        if values.dtype != np.float32 or values.shape not in {(len(features),), (len(features), 1)}:
            raise ArtifactCorrupt(
                Onnx.name(), f"a graph gives {values.dtype}{list(values.shape)} for {len(features)} points"
            )
        return np.nan_to_num(values.ravel().astype(np.float64))


@cached(LRUCache[bytes, _Session](MAX_SESSIONS), key=lambda graph: graph, lock=Lock(), info=True)
def _session(graph: bytes) -> _Session:
    return _Session(graph)


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
