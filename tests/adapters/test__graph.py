"""Graphs that a release must not be able to run: whatever is not bounded arithmetic is refused, with the reason."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
import pytest
import skl2onnx
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import AdaBoostRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge, TweedieRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, PowerTransformer, StandardScaler
from sklearn.svm import SVR

from myriad.adapters._graph import MAX_NODES, Refused, check
from myriad.adapters.onnx import FEATURES, Onnx
from tests.conftest import history

Node = helper.make_node
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(60, FEATURES)).astype(np.float32)
Y = (X @ np.arange(FEATURES) / 5).astype(np.float32)
GOOD = {
    "Ridge": Ridge(),
    "trees": GradientBoostingRegressor(n_estimators=5),
    "forest": RandomForestRegressor(n_estimators=4, max_depth=4, random_state=0),
    "median of trees": AdaBoostRegressor(n_estimators=3, random_state=0),
    "network": MLPRegressor(hidden_layer_sizes=(40, 20), tol=1e9, random_state=0),
    "support vectors": SVR(),
    "generalised linear": TweedieRegressor(power=0),
    "scaled": make_pipeline(StandardScaler(), Ridge()),
    "scaled to a range": make_pipeline(MinMaxScaler(), Ridge()),
    "normalised": make_pipeline(Normalizer(), Ridge()),
    "imputed": make_pipeline(SimpleImputer(), Ridge()),
    "products": make_pipeline(PolynomialFeatures(2), Ridge()),
    "made normal": make_pipeline(PowerTransformer(), Ridge()),
}
TREE: dict[str, Any] = {
    "n_targets": 1,
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.0, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "target_treeids": [0, 0],
    "target_nodeids": [1, 2],
    "target_ids": [0, 0],
    "target_weights": [1.0, 2.0],
}


def graph(*nodes: onnx.NodeProto, constants: Iterable[onnx.TensorProto] = (), opset: int = 17) -> onnx.ModelProto:
    """A graph from x, (n, 11), to y, (n, 1)."""
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        list(constants),
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def constant(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values), name)


def trees(**changed: Any) -> onnx.ModelProto:
    return graph(Node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **{**TREE, **changed}))


def changed(change: Callable[[onnx.ModelProto], Any]) -> onnx.ModelProto:
    model = graph(Node("Identity", ["x"], ["y"]))
    change(model)
    return model


def shaped(operator: str, sizes: list[int], *, first: str | None = "x", **attributes: Any) -> onnx.ModelProto:
    """A graph in which an operator makes a tensor of a constant shape."""
    inputs = [first, "sizes"] if first else ["sizes"]
    return graph(Node(operator, inputs, ["y"], **attributes), constants=[constant("sizes", np.array(sizes))])


def doubled(times: int) -> onnx.ModelProto:
    """A tensor put beside itself again and again."""
    nodes = [Node("Concat", [f"t{i}", f"t{i}"], [f"t{i + 1}"], axis=1) for i in range(times)]
    return graph(Node("Identity", ["x"], ["t0"]), *nodes, Node("Identity", [f"t{times}"], ["y"]))


def products(times: int) -> onnx.ModelProto:
    """Large products, one after the other."""
    nodes = [Node("MatMul", [f"t{i}", "t0" if i % 2 else "turned"], [f"t{i + 1}"]) for i in range(times)]
    begin = [Node("Concat", ["x"] * 20, ["t0"], axis=1), Node("Transpose", ["t0"], ["turned"])]
    return graph(*begin, *nodes, Node("Identity", [f"t{times}"], ["y"]))


def with_subgraph(depth: int) -> onnx.ModelProto:
    """A branch in a branch in a branch..."""
    body = helper.make_graph([Node("Identity", ["x"], ["b"])], "b", [], [helper.make_empty_tensor_value_info("b")])
    for _ in range(depth):
        branch = Node("If", ["c"], ["b"], then_branch=body, else_branch=body)
        body = helper.make_graph([branch], "b", [], [helper.make_empty_tensor_value_info("b")])
    return graph(Node("If", ["c"], ["y"], then_branch=body, else_branch=body), constants=[constant("c", True)])


def hidden_subgraph() -> onnx.ModelProto:
    model = graph(Node("Relu", ["x"], ["y"]))
    model.graph.node[0].attribute.add(name="odd", type=onnx.AttributeProto.GRAPH).g.SetInParent()
    return model


def divided() -> onnx.ModelProto:
    """The least integer by -1, which ends the process in onnxruntime 1.31."""
    cast, divide = Node("Cast", ["x"], ["i"], to=TensorProto.INT64), Node("Div", ["least", "i"], ["d"])
    return graph(cast, divide, Node("Identity", ["d"], ["y"]), constants=[constant("least", np.array([-(2**63)]))])


BODY = helper.make_graph([], "body", [], [])
SPREAD = Node("Unsqueeze", ["x", "axes"], ["u"])
BAD: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "Loop": (lambda: graph(Node("Loop", ["", ""], ["y"], body=BODY)), r"has control flow \(Loop\)"),
    "Scan": (lambda: graph(Node("Scan", ["x"], ["y"], body=BODY, num_scan_inputs=1)), r"has control flow \(Scan\)"),
    "branches in branches": (lambda: with_subgraph(4), r"has control flow \(If\)"),
    "a subgraph of a harmless operator": (hidden_subgraph, r"has control flow \(Relu\)"),
    "Expand": (lambda: shaped("Expand", [1 << 20, 11]), "uses the operator Expand"),
    "Tile": (lambda: shaped("Tile", [1, 1 << 30]), "uses the operator Tile"),
    "Pad": (lambda: shaped("Pad", [0, 0, 0, 1 << 40]), "uses the operator Pad"),
    "Range": (lambda: graph(Node("Range", ["x", "x", "x"], ["y"])), "uses the operator Range"),
    "random numbers": (lambda: graph(Node("RandomNormalLike", ["x"], ["y"])), "uses the operator RandomNormalLike"),
    "text": (lambda: graph(Node("Cast", ["x"], ["y"], to=TensorProto.STRING)), "casts to type 8"),
    "a huge constant": (lambda: shaped("ConstantOfShape", [1 << 40], first=None), "needs too much memory"),
    "a constant of a computed shape": (
        lambda: graph(Node("Cast", ["x"], ["i"], to=TensorProto.INT64), Node("ConstantOfShape", ["i"], ["y"])),
        "computes a shape",
    ),
    "a constant as large as the square of the points": (
        lambda: graph(
            Node("Shape", ["x"], ["s"]),
            Node("Concat", ["s", "s"], ["t"], axis=0),
            Node("ConstantOfShape", ["t"], ["y"]),
        ),
        "needs too much memory",
    ),
    "a huge reshape": (lambda: shaped("Reshape", [1 << 40, 11]), "needs too much memory"),
    "a reshape to less than nothing": (lambda: shaped("Reshape", [-5, 11]), "makes the shape"),
    "doubled again and again": (lambda: doubled(40), "needs too much memory"),
    "everything with everything": (
        lambda: graph(Node("Transpose", ["x"], ["t"]), Node("MatMul", ["x", "t"], ["o"]), *pairs()),
        "needs too much memory",
    ),
    "sums of everything with everything": (
        lambda: graph(
            SPREAD,
            Node("Transpose", ["u"], ["v"], perm=[1, 0, 2]),
            Node("Add", ["u", "v"], ["y"]),
            constants=[constant("axes", np.array([0]))],
        ),
        "needs too much memory",
    ),
    "gathered again and again": (
        lambda: graph(
            Node("Gather", ["k", "k"], ["a"]),
            Node("Gather", ["a", "a"], ["b"]),
            Node("Unsqueeze", ["k", "axes"], ["c"]),
            Node("Gather", ["c", "b"], ["d"]),
            Node("Gather", ["d", "k"], ["e"], axis=1),
            Node("Gather", ["e", "d"], ["y"]),
            constants=[constant("k", np.zeros(1500, np.int64)), constant("axes", np.array([0]))],
        ),
        "needs too much memory",
    ),
    "the largest with indices": (
        lambda: graph(Node("TopK", ["x", "k"], ["y", "i"]), constants=[constant("k", np.array([1 << 40]))]),
        "needs too much memory",
    ),
    "many large products": (lambda: products(8), "takes too long"),
    "many nodes": (
        lambda: graph(*[Node("Relu", [f"t{i}" if i else "x"], [f"t{i + 1}"]) for i in range(MAX_NODES + 1)]),
        f"has {MAX_NODES + 1} nodes; {MAX_NODES} at most",
    ),
    "integers divided": (divided, "divides integers"),
    "a mean of integers": (
        lambda: graph(Node("Cast", ["x"], ["i"], to=TensorProto.INT64), Node("ReduceMean", ["i"], ["y"], axes=[1])),
        "divides integers",
    ),
    "a tree of another feature": (lambda: trees(nodes_featureids=[FEATURES, 0, 0]), "features that are not there"),
    "a tree of a feature before": (lambda: trees(nodes_featureids=[-1, 0, 0]), "features that are not there"),
    "a tree in a circle": (lambda: trees(nodes_truenodeids=[0, 0, 0]), "in a circle"),
    "a tree that is not whole": (lambda: trees(nodes_truenodeids=[-(2**63), 0, 0]), "branches that lead nowhere"),
    "a tree that grows together": (lambda: trees(nodes_truenodeids=[2, 0, 0]), "to one node twice"),
    "a tree of two nodes of one name": (lambda: trees(nodes_nodeids=[0, 1, 1]), "branches that lead nowhere"),
    "a tree that does not begin with its root": (lambda: trees(nodes_nodeids=[1, 0, 2]), "lead nowhere, in a circle"),
    "a tree in two places": (lambda: trees(nodes_treeids=[0, 1, 0]), "branches that lead nowhere"),
    "a tree that asks something else": (lambda: trees(nodes_modes=["BRANCH", "LEAF", "LEAF"]), "that are not known"),
    "a tree cut short": (lambda: trees(nodes_values=[0.0]), "arrays are of several lengths"),
    "a tree of another target": (lambda: trees(target_ids=[1 << 28, 0]), "targets that are not there"),
    "support vectors cut short": (
        lambda: graph(
            Node(
                "SVMRegressor",
                ["x"],
                ["y"],
                domain="ai.onnx.ml",
                coefficients=[1.0],
                n_supports=1,
                rho=[0.0],
                support_vectors=[1.0] * 100,
            )
        ),
        "support vectors of another size",
    ),
    "functions": (lambda: changed(lambda m: m.functions.add(name="f", domain="")), "defines functions"),
    "training": (lambda: changed(lambda m: m.training_info.add()), "not an ONNX graph that is known here"),
    "a sparse constant": (lambda: changed(lambda m: m.graph.sparse_initializer.add()), "its Graph has a field 15"),
    "a node of another place": (
        lambda: changed(lambda m: setattr(m.graph.node[0], "overload", "x")),
        "Node has a field 8",
    ),
    "an old opset": (lambda: graph(Node("Identity", ["x"], ["y"]), opset=6), "is of opset 6"),
    "a constant that lies": (
        lambda: changed(lambda m: m.graph.initializer.add(name="w", data_type=1, dims=[1 << 20], raw_data=bytes(44))),
        "not an ONNX graph that can be followed",
    ),
    "a constant beyond all bounds": (
        lambda: changed(lambda m: m.graph.initializer.add(name="w", data_type=1, dims=[1 << 40, 1 << 40])),
        "a constant of shape",
    ),
    "a constant of text": (
        lambda: changed(lambda m: m.graph.initializer.add(name="w", data_type=TensorProto.STRING)),
        "constant of type 8",
    ),
    "a huge tensor declared": (
        lambda: changed(
            lambda m: m.graph.value_info.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1 << 40]))
        ),
        r"declares z with the shape \[1099511627776\]",
    ),
    "what is used before it is made": (
        lambda: graph(Node("Relu", ["b"], ["y"]), Node("Relu", ["x"], ["b"])),
        "uses 'b' before it is made",
    ),
    "what is made twice": (lambda: graph(Node("Relu", ["x"], ["x"])), "makes 'x' twice"),
    "no output": (lambda: graph(Node("Relu", ["x"], ["z"])), "does not make its output"),
}


def pairs() -> list[onnx.NodeProto]:
    """The products of everything with everything, put beside themselves."""
    return [Node("Concat", ["o"] * 8, ["y"], axis=1)]


@pytest.mark.parametrize("kind", GOOD)
def test_what_skl2onnx_makes_of_small_regressors_may_be_run(kind: str) -> None:
    converted = skl2onnx.to_onnx(GOOD[kind].fit(X, Y), X[:1])
    assert isinstance(converted, onnx.ModelProto)
    check(converted.SerializeToString(), FEATURES)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
def test_networks_of_other_opsets_may_be_run(opset: int) -> None:
    converted = skl2onnx.to_onnx(GOOD["network"].fit(X, Y), X[:1], target_opset=opset)
    assert isinstance(converted, onnx.ModelProto)
    check(converted.SerializeToString(), FEATURES)


def test_a_sound_tree_may_be_run() -> None:
    check(trees().SerializeToString(), FEATURES)


@pytest.mark.parametrize("bad", BAD)
def test_what_is_not_bounded_arithmetic_is_refused(bad: str) -> None:
    make, why = BAD[bad]
    with pytest.raises(Refused, match=why):
        check(make().SerializeToString(), FEATURES)


def test_a_graph_that_is_there_twice_is_refused() -> None:
    """A reader of protobuf merges the two, and so they would mean something that neither says."""
    model = graph(Node("Identity", ["x"], ["y"])).SerializeToString()
    with pytest.raises(Refused, match="its Model has two"):
        check(model + model, FEATURES)


SOUND = [trees().SerializeToString(), graph(Node("ReduceSum", ["x"], ["y"])).SerializeToString()]


@given(st.sampled_from(SOUND), st.integers(0, 400), st.integers(0, 8), st.binary(max_size=8))
def test_damaged_bytes_are_refused_or_sound_and_nothing_else_happens(
    sound: bytes, at: int, gone: int, put: bytes
) -> None:
    try:
        check(sound[:at] + put + sound[at + gone :], FEATURES)
    except Refused:
        return


def test_onnx_is_not_needed_to_look_at_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Onnx.fit(history(3, step=300)).model
    for name in ("onnx", "google.protobuf"):
        monkeypatch.setitem(sys.modules, name, None)
    model.check()
