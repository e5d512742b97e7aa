import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

from myriad.adapters import _graph
from myriad.adapters import onnx as adapter
from myriad.adapters._features import features
from myriad.adapters.onnx import MAX_GRAPH_BYTES, MAX_SESSIONS, Onnx, examples
from myriad.models.errors import ArtifactCorrupt, NotReducible
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300
TOLERANCE = 1e-4
"""Of a unit: a graph's arithmetic is in float32."""
PAST = history(14, step=STEP)
TODAY = history(1, step=STEP, seed=1, until=END + DAY)
MODELS = [
    Ridge(),
    GradientBoostingRegressor(n_estimators=20, max_depth=2, random_state=0),
    MLPRegressor(hidden_layer_sizes=(8,), max_iter=2000, random_state=0),
]


def fitted(kind: Any) -> Any:
    return kind.fit(*examples(PAST))


def graph_of(kind: Any) -> onnx.ModelProto:
    converted = skl2onnx.to_onnx(kind, np.zeros((1, 11), np.float32))
    assert isinstance(converted, onnx.ModelProto)
    return converted


def model_of(graph: onnx.ModelProto | bytes) -> Onnx:
    return Onnx.uncalibrated(Onnx.reduced(graph, PAST))


def made(*nodes: onnx.NodeProto, width: int = 11, of: list[Any] | None = None, domain: str = "") -> onnx.ModelProto:
    """A graph from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1] if of is None else of)],
        [numpy_helper.from_array(np.ones((width, 1), np.float32), "weights")],
    )
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid(domain, 1)] * bool(domain)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def node(operator: str, *more: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, ["x", *more], ["y"], **attributes)


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: type(kind).__name__)
def test_what_is_expected_is_the_librarys_prediction(kind: Any) -> None:
    model = model_of(graph_of(fitted(kind)))
    center, unit = model.arrays["center"][0], model.arrays["unit"][0]
    scaled = TODAY.with_values((TODAY.values - center) / unit)
    predicted = kind.predict(features(scaled).astype(np.float32))
    np.testing.assert_allclose((predict(model, TODAY).expected - center) / unit, predicted, atol=TOLERANCE)


def test_the_fit_is_scikit_learns_ridge() -> None:
    model, kind = Onnx.fit(PAST, alpha=0.5).model, fitted(Ridge(0.5 * 2000))
    center, unit = model.arrays["center"][0], model.arrays["unit"][0]
    predicted = kind.predict(features(TODAY.with_values((TODAY.values - center) / unit)))
    np.testing.assert_allclose((predict(model, TODAY).expected - center) / unit, predicted, atol=TOLERANCE)


def test_a_graph_and_its_bytes_are_the_same_row() -> None:
    graph = graph_of(fitted(Ridge()))
    one, other = model_of(graph), model_of(graph.SerializeToString())
    assert all(array.tobytes() == other.arrays[name].tobytes() for name, array in one.arrays.items())
    assert f"{type(graph).__module__}.{type(graph).__qualname__}" in Onnx.fitted_types


def test_an_answer_without_a_second_axis_is_as_good() -> None:
    graph = made(node("ReduceMean", axes=[1], keepdims=0), of=["n"])
    assert np.isfinite(predict(model_of(graph), TODAY).score).all()


def test_what_is_not_a_number_is_taken_for_the_usual() -> None:
    root = helper.make_node("Sqrt", ["x"], ["roots"])
    model = model_of(made(root, helper.make_node("MatMul", ["roots", "weights"], ["y"])))
    prediction = predict(model, TODAY)
    assert np.isfinite(prediction.lower).all()
    assert (prediction.expected == model.arrays["center"]).any()


BRANCH = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])])
FAULTY = {
    "is not an ONNX graph": lambda: b"\x08 no graph",
    "bytes; make it smaller": lambda: wordy(),
    "uses operators of 'org.example'": lambda: made(node("Odd", domain="org.example"), domain="org.example"),
    r"has control flow \(If\)": lambda: made(node("If", then_branch=BRANCH, else_branch=BRANCH)),
    "keeps its data in another file": lambda: outside(),
    r"takes elements of type 1 and shape \[0, 5\]": lambda: made(node("MatMul", "weights"), width=5),
    r"gives elements of type 1 and shape \[0, 11\]": lambda: made(node("Identity"), of=["n", 11]),
    r"gives elements of type 1 and shape \[3, 1\]": lambda: made(node("MatMul", "weights"), of=[3, 1]),
    "has 2 inputs and 1 outputs": lambda: two_inputs(),
    "uses the operator NoSuchOperator": lambda: made(helper.make_node("NoSuchOperator", ["x"], ["y"])),
    r"gives float32\[1, 11\] for 1 points": lambda: made(node("Relu")),
    "does not run": lambda: made(node("Gather", "weights")),
}


def wordy() -> onnx.ModelProto:
    graph = made(node("MatMul", "weights"))
    graph.doc_string = "on and on " * 2000
    return graph


def outside() -> onnx.ModelProto:
    graph = made(node("MatMul", "weights"))
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    return graph


def two_inputs() -> onnx.ModelProto:
    graph = made(node("MatMul", "weights"))
    graph.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n", 1]))
    return graph


@pytest.mark.parametrize(("why", "graph"), FAULTY.items(), ids=FAULTY)
def test_a_graph_that_cannot_be_trusted_or_run_is_no_row(why: str, graph: Callable[[], Any]) -> None:
    with pytest.raises(NotReducible, match=why):
        Onnx.reduced(graph(), PAST)


@pytest.mark.parametrize("start", [b"garbage", b"ORTM", bytes(8)])
def test_bytes_that_are_no_graph_are_refused_before_they_are_served(start: bytes) -> None:
    good = model_of(graph_of(fitted(Ridge())))
    graph = good.arrays["graph"].copy()
    graph[0, : len(start)] = np.frombuffer(start, np.uint8)
    with pytest.raises(ArtifactCorrupt, match="a graph is not an ONNX graph"):
        Onnx({**good.arrays, "graph": graph}).check()


def test_a_cut_or_overlong_graph_is_refused() -> None:
    good = model_of(graph_of(fitted(Ridge())))
    for size in (int(good.arrays["size"][0]) - 20, MAX_GRAPH_BYTES + 1):
        with pytest.raises(ArtifactCorrupt):
            Onnx({**good.arrays, "size": np.array([size], "<i4")}).check()


def replaced(graph: onnx.ModelProto) -> Onnx:
    """Three rows of which the second has this graph, which nobody has looked at."""
    model, raw = Onnx.stack([model_of(made(node("MatMul", "weights")))] * 3), graph.SerializeToString()
    graphs, sizes = model.arrays["graph"].copy(), model.arrays["size"].copy()
    graphs[1], sizes[1] = 0, len(raw)
    graphs[1, : len(raw)] = np.frombuffer(raw, np.uint8)
    return Onnx({**model.arrays, "graph": graphs, "size": sizes})


def slow() -> onnx.ModelProto:
    """Four times two large products, near the bound of what may be run."""
    nodes = [helper.make_node("Concat", ["x"] * 90, ["a0"], axis=1), helper.make_node("Transpose", ["a0"], ["t"])]
    nodes += [helper.make_node("MatMul", [f"a{i}", "a0" if i % 2 else "t"], [f"a{i + 1}"]) for i in range(8)]
    nodes.append(helper.make_node("ReduceMax", ["a8"], ["y"], axes=[1]))
    return made(*nodes)


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A graph may need any memory and work, but hardly any time."""
    for name in ("MAX_ELEMENTS", "MAX_WORK"):
        monkeypatch.setattr(_graph, name, 1 << 60)
    monkeypatch.setattr(adapter, "MAX_SECONDS", 0.05)
    yield
    for cache in (adapter._session, adapter._look):
        cache.cache_clear()
    adapter._given_up.clear()


@pytest.mark.usefixtures("in_a_hurry")
def test_a_graph_that_is_slow_is_refused_when_it_is_fetched() -> None:
    with pytest.raises(ArtifactCorrupt, match=r"a graph does not run: it took more than 0.05 seconds"):
        replaced(slow()).check()


@pytest.mark.usefixtures("in_a_hurry")
def test_a_graph_that_is_slow_is_cut_off_and_only_its_series_goes_without_scores() -> None:
    many = Points.of(*[history(14, step=STEP).series(0)] * 3)
    model, begun = replaced(slow()), time.monotonic()
    score = model.predict(np.arange(3), many).score.reshape(3, -1)
    took = time.monotonic() - begun
    assert np.isnan(score[1]).all()
    assert np.isfinite(score[[0, 2]]).all()
    assert took < 2
    begun = time.monotonic()
    assert np.isnan(model.predict(np.array([1]), many.take([1])).score).all()
    assert time.monotonic() - begun < took / 2, "it is not tried again at once"


def test_a_graph_that_may_not_be_run_costs_only_its_own_series_their_scores() -> None:
    model = replaced(made(node("Gather", "weights")))
    with pytest.raises(ArtifactCorrupt, match="a graph does not run"):
        model.check()
    score = model.predict(np.arange(3), Points.of(*[TODAY.series(0)] * 3)).score.reshape(3, -1)
    assert np.isnan(score).any(axis=1).tolist() == [False, True, False]


def test_many_points_are_run_in_parts_that_make_no_difference() -> None:
    session = adapter._Session(graph_of(fitted(MODELS[2])).SerializeToString())
    features = np.random.default_rng(0).normal(size=(3000, 11))
    whole = session._session.run(None, {session._input: features.astype(np.float32)})[0].ravel()
    assert session.run(features).tolist() == whole.tolist()


def test_graphs_kept_ready_are_bounded_and_shared_by_content() -> None:
    adapter._session.cache_clear()
    model = Onnx.fit(Points.of(*[PAST.series(0)] * 3)).model
    for row in range(3):
        model.predict(np.array([row]), TODAY)
    assert adapter._session.cache_info().currsize == 1
    assert adapter._session.cache_info().maxsize == MAX_SESSIONS


def test_an_incident_scores_above_1_as_it_begins_and_the_calm_before_it_does_not() -> None:
    incident = np.arange(len(TODAY.values)) >= 200
    scores = predict(trained("onnx", PAST), TODAY.with_values(TODAY.values + 40 * incident)).score
    assert (scores[200:203] > 1).all()
    assert (scores[:200] > 1).mean() < 0.02


def test_a_daily_rhythm_is_followed() -> None:
    usual = 100 + 20 * np.sin(2 * np.pi * TODAY.timestamps / DAY)
    assert np.abs(predict(trained("onnx", PAST), TODAY).expected - usual)[1:].mean() < 1.5
