"""Operators: those of ONNX that a graph may have, and what each gives, known before anything is computed.

Of each tensor a `Bound` keeps the type and an upper bound of every dimension. Every rule grows with its inputs, so that
what is found for many rows holds for fewer rows too.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._protobuf import Message, Refused

MAX_KNOWN = 1 << 12
"""Of computed tensors with more elements only the shape is followed."""
MAX_RANK = 6
MAX_ELEMENTS = 1 << 23
"""Of all tensors of a run together: 64 MB at most."""
FLOAT, INT32, INT64, BOOL, DOUBLE = 1, 6, 7, 9, 11  # of onnx.TensorProto.DataType
ITEM = {FLOAT: "<f4", INT32: "<i4", INT64: "<i8", BOOL: "?", DOUBLE: "<f8"}
FRACTIONS = {FLOAT, DOUBLE}


@dataclass(frozen=True, slots=True)
class Bound:
    """What is known of a tensor before it is computed.

    Attributes:
        kind: of its elements.
        dims: an upper bound of each dimension.
        value: its elements, or upper bounds of these where it was made of shapes; None where they are not known.
        exact: whether `value` are the elements themselves.
    """

    kind: int
    dims: tuple[int, ...]
    value: NDArray[Any] | None = None
    exact: bool = True

    @property
    def size(self) -> int:
        return math.prod(self.dims)

    def like(self, kind: int | None = None) -> "Bound":
        """Another tensor of this shape."""
        return Bound(kind or self.kind, self.dims)


@dataclass(frozen=True, slots=True)
class Call:
    """One node: its inputs, None where one is left out, its attributes, and how many outputs it has."""

    inputs: Sequence[Bound | None]
    attributes: Mapping[str, Any]
    outputs: int

    def __getitem__(self, at: int) -> Bound:
        """The input at a position, which has to be there."""
        bound = self.inputs[at]
        if bound is None:
            raise Refused(f"leaves out input {at} of a node")
        return bound

    def all(self) -> list[Bound]:
        """All inputs, none of which may be left out."""
        return [self[at] for at in range(len(self.inputs))]

    def constants(self, name: str, at: int) -> list[int] | None:
        """Integers that are an attribute or, in later opsets, a constant input; None where there are none."""
        if name in self.attributes:
            given = self.attributes[name]
            return [given] if isinstance(given, int) else [int(one) for one in given]
        if at >= len(self.inputs) or self.inputs[at] is None:
            return None
        if (value := self[at].value) is None or not self[at].exact or value.dtype.kind != "i":
            raise Refused(f"computes the {name} of a node, which have to be constant")
        return [int(one) for one in value.ravel()]


def constant(tensor: Message) -> Bound:
    kind, dims = tensor.get("data_type", 0), tuple(tensor["dims"])
    if kind not in ITEM:
        raise Refused(f"has a constant of type {kind}")
    if min(dims, default=1) < 0 or math.prod(dims) > MAX_ELEMENTS or len(dims) > MAX_RANK:
        raise Refused(f"has a constant of shape {list(dims)}")
    if "raw_data" in tensor:
        data = np.frombuffer(tensor["raw_data"], ITEM[kind])
    else:
        field = {FLOAT: "float_data", DOUBLE: "double_data", INT64: "int64_data"}.get(kind, "int32_data")
        data = np.array(tensor[field], ITEM[kind])
    return Bound(kind, dims, data.reshape(dims))


Made = tuple[list[Bound], int]
Rule = Callable[[Call], Made]


def _broadcast(*several: Bound) -> tuple[int, ...]:
    rank = max(len(one.dims) for one in several)
    padded = [(1,) * (rank - len(one.dims)) + one.dims for one in several]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


def _same(call: Call) -> Made:
    return [call[0].like()], 0


def _kept(call: Call) -> Made:
    """Identity, which keeps what is known of the elements."""
    return [call[0]], 0


def _elementwise(call: Call) -> Made:
    return [Bound(call[0].kind, _broadcast(*call.all()))], 0


def _chosen(call: Call) -> Made:
    return [Bound(call[1].kind, _broadcast(*call.all()))], 0


def _fractions(call: Call) -> Made:
    """Of integers a division by 0 may end the process."""
    if {one.kind for one in call.all()} - FRACTIONS:
        raise Refused("divides integers")
    return _elementwise(call)


def _compared(call: Call) -> Made:
    return [Bound(BOOL, _broadcast(*call.all()))], 0


def _scaled(call: Call) -> Made:
    return [call[0].like(FLOAT)], 0


def _cast(call: Call) -> Made:
    if (kind := call.attributes["to"]) not in ITEM:
        raise Refused(f"casts to type {kind}")
    value = call[0].value
    keeps = value is not None and value.dtype.kind == "i" and kind in (INT32, INT64)
    return [Bound(kind, call[0].dims, value if keeps else None, call[0].exact)], 0


def _made_constant(call: Call) -> Made:
    (value,) = call.attributes.values()
    if isinstance(value, dict):
        return [constant(value)], 0
    array = np.array(value)
    if array.dtype.kind not in "if":
        raise Refused("has a constant of text")
    return [Bound(INT64 if array.dtype.kind == "i" else FLOAT, array.shape, array)], 0


def _matmul(call: Call) -> Made:
    a, b = call[0], call[1]
    left, right = (a.dims if len(a.dims) > 1 else (1, *a.dims)), (b.dims if len(b.dims) > 1 else (*b.dims, 1))
    batch = _broadcast(Bound(a.kind, left[:-2]), Bound(a.kind, right[:-2]))
    rows, columns = left[-2:-1] * (len(a.dims) > 1), right[-1:] * (len(b.dims) > 1)
    cost = math.prod(batch) * left[-2] * max(left[-1], right[-2]) * right[-1]
    return [Bound(a.kind, (*batch, *rows, *columns))], cost


def _gemm(call: Call) -> Made:
    (m, k), (k2, n) = (
        one.dims[::-1] if call.attributes.get(turned) else one.dims
        for one, turned in ((call[0], "transA"), (call[1], "transB"))
    )
    return [Bound(call[0].kind, (m, n))], m * n * max(k, k2)


def _reshape(call: Call) -> Made:
    wanted = call[1].value
    if wanted is None or wanted.ndim != 1 or (not call[1].exact and (wanted < 0).any()):
        raise Refused("computes a shape, which has to be constant")
    dims = [call[0].dims[i] if size == 0 else size for i, size in enumerate(wanted.tolist())]
    if not call[1].exact:  # what is 0 when it runs stands for the size before
        dims = [max(pair) for pair in itertools.zip_longest(dims, call[0].dims[: len(dims)], fillvalue=0)]
    if -1 in dims:
        given = [size for i, size in enumerate(dims) if size != -1 and wanted[i] != 0]
        kept = [call[0].dims[i] for i, size in enumerate(wanted.tolist()) if size == 0]
        rest = math.prod(_without(call[0].dims, kept))
        dims[dims.index(-1)] = -(-rest // max(math.prod(given), 1))
    if min(dims, default=1) < 0:
        raise Refused(f"makes the shape {dims}")
    value = call[0].value
    flat = value.reshape(dims) if value is not None and value.size == math.prod(dims) else None
    return [Bound(call[0].kind, tuple(dims), flat, call[0].exact)], 0


def _without(dims: Sequence[int], some: Sequence[int]) -> list[int]:
    rest = list(dims)
    for size in some:
        rest.remove(size)
    return rest


def _flatten(call: Call) -> Made:
    at, dims = call.attributes.get("axis", 1), call[0].dims
    return [Bound(call[0].kind, (math.prod(dims[:at]), math.prod(dims[at:])))], 0


def _transpose(call: Call) -> Made:
    dims = call[0].dims
    order = call.attributes.get("perm") or list(range(len(dims)))[::-1]
    if sorted(order) != list(range(len(dims))):
        raise Refused("transposes axes that are not there")
    return [Bound(call[0].kind, tuple(dims[i] for i in order))], 0


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise Refused(f"names axis {axis} of {rank}")
    return axis % rank


def _squeeze(call: Call) -> Made:
    axes = call.constants("axes", 1)
    if not axes:
        raise Refused("squeezes without naming the axes")
    gone = {_axis(one, len(call[0].dims)) for one in axes}
    dims = tuple(size for i, size in enumerate(call[0].dims) if i not in gone)
    return [_reshaped(call[0], dims)], 0


def _unsqueeze(call: Call) -> Made:
    axes, dims = call.constants("axes", 1) or [], list(call[0].dims)
    for at in sorted(_axis(one, len(dims) + len(axes)) for one in axes):
        dims.insert(at, 1)
    return [_reshaped(call[0], tuple(dims))], 0


def _reshaped(bound: Bound, dims: tuple[int, ...]) -> Bound:
    value = bound.value
    same = value is not None and value.size == math.prod(dims)
    return Bound(bound.kind, dims, value.reshape(dims) if same and value is not None else None, bound.exact)


def _concat(call: Call) -> Made:
    parts = call.all()
    at = _axis(call.attributes["axis"], len(parts[0].dims))
    dims = [max(sizes) for sizes in zip(*(part.dims for part in parts), strict=True)]
    dims[at] = sum(part.dims[at] for part in parts)
    values = [part.value for part in parts if part.value is not None]
    known = len(values) == len(parts) and math.prod(dims) <= MAX_KNOWN
    value = np.concatenate(values, axis=at) if known else None
    return [Bound(parts[0].kind, tuple(dims), value, all(part.exact for part in parts))], 0


def _gather(call: Call) -> Made:
    data, chosen = call[0], call[1]
    at = _axis(call.attributes.get("axis", 0), len(data.dims))
    value = _taken(data, chosen, at)
    return [Bound(data.kind, (*data.dims[:at], *chosen.dims, *data.dims[at + 1 :]), value, data.exact)], 0


def _extracted(call: Call) -> Made:
    data, chosen = call[0], call[1]
    value = _taken(data, Bound(chosen.kind, (chosen.size,), _raveled(chosen), chosen.exact), len(data.dims) - 1)
    dims = (*(data.dims[:-1] or (1,)), chosen.size)
    return [Bound(data.kind, dims, None if value is None else value.reshape(dims), data.exact)], 0


def _raveled(bound: Bound) -> NDArray[Any] | None:
    return None if bound.value is None else bound.value.ravel()


def _taken(data: Bound, chosen: Bound, axis: int) -> NDArray[Any] | None:
    if data.value is None or chosen.value is None or not chosen.exact or chosen.value.dtype.kind != "i":
        return None
    if data.size * chosen.size > MAX_KNOWN:
        return None
    return np.asarray(np.take(data.value, chosen.value, axis=axis))


def _gathered(call: Call) -> Made:
    return [call[1].like(call[0].kind)], 0


def _split(call: Call) -> Made:
    return [call[0].like() for _ in range(call.outputs)], 0


def _topk(call: Call) -> Made:
    (most,) = call.constants("k", 1) or [0]
    dims, at = list(call[0].dims), _axis(call.attributes.get("axis", -1), len(call[0].dims))
    dims[at] = most
    return [Bound(call[0].kind, tuple(dims)), Bound(INT64, tuple(dims))], 16 * call[0].size


def _shape(call: Call) -> Made:
    if call.attributes:
        raise Refused("asks for a part of a shape")
    return [Bound(INT64, (len(call[0].dims),), np.array(call[0].dims, np.int64), exact=False)], 0


def _filled(call: Call) -> Made:
    value, fill = call[0].value, call.attributes.get("value")
    if value is None or value.ndim != 1 or (value < 0).any():
        raise Refused("computes a shape, which has to be constant")
    return [Bound(constant(fill).kind if fill else FLOAT, tuple(value.tolist()))], 0


def _reduce(kind: int | None = None, *, integers: bool = True) -> Rule:
    def rule(call: Call) -> Made:
        if not integers and call[0].kind not in FRACTIONS:
            raise Refused("divides integers")
        rank = len(call[0].dims)
        if call.attributes.get("noop_with_empty_axes"):
            raise Refused("reduces no axes")
        axes = [call.attributes.get("axis", 0)] if kind else call.constants("axes", 1) or range(rank)
        gone, keep = {_axis(one, rank) for one in axes}, call.attributes.get("keepdims", 1)
        dims = [1 if i in gone else size for i, size in enumerate(call[0].dims) if keep or i not in gone]
        return [Bound(kind or call[0].kind, tuple(dims))], 0

    return rule


def _linear(call: Call) -> Made:
    coefficients = len(call.attributes["coefficients"])
    return [Bound(FLOAT, (call[0].dims[0], call.attributes.get("targets", 1)))], call[0].dims[0] * coefficients


def _svm(call: Call) -> Made:
    vectors, width = call.attributes["support_vectors"], call[0].dims[-1]
    supports = call.attributes.get("n_supports", 0)
    if len(vectors) != supports * width or len(call.attributes["coefficients"]) != (supports or width):
        raise Refused("has support vectors of another size than its features")
    if not call.attributes["rho"] or len(call.attributes.get("kernel_params", [0, 0, 0])) != 3:
        raise Refused("has a support vector machine without its constants")
    return [Bound(FLOAT, (call[0].dims[0], 1))], 8 * call[0].dims[0] * len(vectors)


_OF_NODES = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")


def _trees(call: Call) -> Made:
    given, targets = call.attributes, call.attributes.get("n_targets", 1)
    nodes = [given[f"nodes_{name}"] for name in _OF_NODES]
    leaves = [given[f"target_{name}"] for name in ("treeids", "nodeids", "ids", "weights")]
    if len({*map(len, nodes)}) != 1 or len({*map(len, leaves)}) != 1:
        raise Refused("has trees whose arrays are of several lengths")
    if not all(0 <= feature < call[0].dims[-1] for feature in given["nodes_featureids"]):
        raise Refused("has trees that look at features that are not there")
    if targets < 1 or not all(0 <= target < targets for target in given["target_ids"]):
        raise Refused("has trees that add to targets that are not there")
    tree, node, mode, yes, no = (nodes[_OF_NODES.index(name)] for name in _OF_SHAPE)
    _check_trees(list(zip(tree, node, strict=True)), mode, yes, no)
    return [Bound(FLOAT, (call[0].dims[0], targets))], call[0].dims[0] * len(nodes[0])


_OF_SHAPE = ("treeids", "nodeids", "modes", "truenodeids", "falsenodeids")
_MODES = {b"LEAF", *(f"BRANCH_{name}".encode() for name in ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ"))}


def _check_trees(names: list[tuple[int, int]], modes: list[bytes], yes: list[int], no: list[int]) -> None:
    """Each tree begins with its root, from which one way leads to each other node: onnxruntime follows others for ever.

    Args:
        names: the tree and the number of each node.
        modes: "LEAF", or what a branch asks.
        yes: the number of the node a branch leads to where what it asks is so.
        no: where it is not.
    """
    if set(modes) - _MODES:
        raise Refused("has trees with branches that are not known")
    below = {
        name: [] if mode == b"LEAF" else [(name[0], a), (name[0], b)]
        for name, mode, a, b in zip(names, modes, yes, no, strict=True)
    }
    ways = [next(of_one) for _, of_one in itertools.groupby(names, key=lambda name: name[0])]
    for name in ways:  # grows on the way, by no more than the nodes there are
        ways += below.get(name, [])
        if len(ways) > len(names):
            break
    if sorted(ways) != sorted(below):
        raise Refused("has trees with branches that lead nowhere, in a circle or to one node twice")


def _all(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: Mapping[str, Rule] = {
    **_all(_same, "Relu Sigmoid Tanh Abs Neg Exp Log Sqrt Reciprocal Floor Ceil Round Sign Erf Elu Selu Celu Gelu"),
    **_all(_same, "LeakyRelu ThresholdedRelu HardSigmoid HardSwish Softplus Softsign Softmax LogSoftmax Clip Not Sin"),
    **_all(_same, "Cos CumSum Slice ml.Imputer ml.Binarizer"),
    **_all(_elementwise, "Add Sub Mul Pow Min Max Sum PRelu And Or Xor"),
    **_all(_fractions, "Div Mean"),
    **_all(_compared, "Less LessOrEqual Greater GreaterOrEqual Equal IsNaN IsInf"),
    **_all(_reduce(), "ReduceSum ReduceMax ReduceMin ReduceProd ReduceSumSquare ReduceL1 ReduceL2"),
    **_all(_reduce(integers=False), "ReduceMean ReduceLogSumExp"),
    **_all(_reduce(INT64), "ArgMax ArgMin"),
    **_all(_scaled, "ml.Scaler ml.Normalizer"),
    "Where": _chosen,
    "Identity": _kept,
    "Cast": _cast,
    "Constant": _made_constant,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Gather": _gather,
    "GatherElements": _gathered,
    "Split": _split,
    "TopK": _topk,
    "Shape": _shape,
    "ConstantOfShape": _filled,
    "ml.ArrayFeatureExtractor": _extracted,
    "ml.LinearRegressor": _linear,
    "ml.SVMRegressor": _svm,
    "ml.TreeEnsembleRegressor": _trees,
}
"""What each operator that may be run gives, and what that costs beyond its inputs and outputs."""
