"""Graph: why an ONNX graph may not be run, found before onnxruntime sees it.

The graph is followed node by node for `ROWS` rows, by what `_operators` knows of each operator: what is not known there
is refused, and so is what needs too much memory or work.
"""

import math
from collections.abc import Iterator

from myriad.adapters._operators import FLOAT, MAX_ELEMENTS, MAX_RANK, RULES, Bound, Call, constant
from myriad.adapters._protobuf import Message, Refused, read

__all__ = ["ROWS", "Refused", "check"]

ROWS = 1024
"""A graph is run for at most this many points at once."""
MAX_NODES = 256
MAX_WORK = 1 << 28
"""Multiplications and additions of a run, roughly: some tenths of a second."""
LEAST_OPSET = 9
"""Before it some operators meant other things."""
DOMAINS = {"": "", "ai.onnx": "", "ai.onnx.ml": "ml."}


def check(graph: bytes, features: int) -> None:
    """Look at a graph that takes `features` numbers a point and gives one.

    Raises:
        Refused: it is not a graph, or it may do more than bounded arithmetic.
    """
    try:
        model = read(graph)
        if fault := next(_faults(model, features), None):
            raise Refused(fault)
        _follow(model["graph"], features)
    except Refused:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as exc:
        raise Refused(f"is not an ONNX graph that can be followed: {exc!r}") from exc


def _faults(model: Message, features: int) -> Iterator[str]:
    graph, opsets = model["graph"], model["opset_import"]
    for domain in sorted({used.get("domain", "") for used in (*opsets, *graph["node"])} - DOMAINS.keys()):
        yield f"uses operators of {domain!r}; use those of ai.onnx and ai.onnx.ml only"
    if model["functions"]:
        yield "defines functions; inline them (onnx.inliner)"
    for version in (used.get("version", 0) for used in opsets if not DOMAINS[used.get("domain", "")]):
        if version < LEAST_OPSET:
            yield f"is of opset {version}; convert it to {LEAST_OPSET} or later"
    yield from _faults_of_nodes(graph)
    yield from _faults_of_shape(graph, features)


def _faults_of_nodes(graph: Message) -> Iterator[str]:
    attributes = [(node, attribute) for node in graph["node"] for attribute in node["attribute"]]
    for node, attribute in attributes:
        if "g" in attribute or attribute["graphs"]:
            yield f"has control flow ({node.get('op_type')}); use operators without subgraphs"
    tensors = [*graph["initializer"], *(attribute["t"] for _, attribute in attributes if "t" in attribute)]
    if any(tensor.get("data_location") or tensor["external_data"] for tensor in tensors):
        yield "keeps its data in another file; save it in one"
    if len(graph["node"]) > MAX_NODES:
        yield f"has {len(graph['node'])} nodes; {MAX_NODES} at most"
    for node in graph["node"]:
        if DOMAINS[node.get("domain", "")] + node.get("op_type", "") not in RULES:
            yield f"uses the operator {node.get('op_type')}, which is not one of those that may be run"


def _faults_of_shape(graph: Message, features: int) -> Iterator[str]:
    inputs = _inputs(graph)
    if len(inputs) != 1 or len(graph["output"]) != 1:
        yield f"has {len(inputs)} inputs and {len(graph['output'])} outputs; it needs one of each"
    for verb, values, last in (("takes", inputs, [features]), ("gives", graph["output"], [1])):
        kind, sizes = _declared(values[0])
        if kind != FLOAT or sizes[:1] != [0] or sizes[1:] not in (last, [0], last[1:] * (verb == "gives")):
            yield f"{verb} elements of type {kind} and shape {sizes}; it has to be float32 (n, {last[0]})"
    for value in (*graph["input"], *graph["value_info"]):
        if math.prod(size or ROWS for size in map(abs, _declared(value)[1])) > MAX_ELEMENTS:
            yield f"declares {value.get('name')} with the shape {_declared(value)[1]}, which is too large"


def _inputs(graph: Message) -> list[Message]:
    constants = {tensor.get("name") for tensor in graph["initializer"]}
    return [value for value in graph["input"] if value.get("name") not in constants]


def _declared(value: Message) -> tuple[int, list[int]]:
    """The type and the shape; 0 stands for what is not known."""
    tensor = value.get("type", {}).get("tensor_type", {})
    return tensor.get("elem_type", 0), [size.get("dim_value", 0) for size in tensor.get("shape", {"dim": []})["dim"]]


def _follow(graph: Message, features: int) -> None:
    known = {tensor.get("name", ""): constant(tensor) for tensor in graph["initializer"]}
    if len(known) < len(graph["initializer"]):
        raise Refused("has two constants of one name")
    elements = work = 0
    known[_inputs(graph)[0]["name"]] = Bound(FLOAT, (ROWS, features))
    for node in graph["node"]:
        operator, names = DOMAINS[node.get("domain", "")] + node["op_type"], node["output"]
        if missing := [name for name in node["input"] if name and name not in known]:
            raise Refused(f"uses {missing[0]!r} before it is made")
        if known.keys() & {*names} - {""}:
            raise Refused(f"makes {names[0]!r} twice")
        inputs = [known[name] if name else None for name in node["input"]]
        attributes = {one["name"]: _attribute(one) for one in node["attribute"]}
        made, cost = RULES[operator](Call(inputs, attributes, len(names)))
        if any(size < 0 for one in made for size in one.dims):
            raise Refused(f"makes the shape {[list(one.dims) for one in made]} ({operator})")
        elements += sum(one.size for one in made)
        work += cost + sum(one.size for one in (*made, *inputs) if one is not None)
        if elements > MAX_ELEMENTS or any(len(one.dims) > MAX_RANK for one in made):
            raise Refused(f"needs too much memory ({operator} gives {[list(one.dims) for one in made]})")
        if work > MAX_WORK:
            raise Refused(f"takes too long ({operator} gives {[list(one.dims) for one in made]})")
        known |= dict(zip(names, made, strict=False))
    if graph["output"][0].get("name") not in known:
        raise Refused("does not make its output")


def _attribute(attribute: Message) -> object:
    for name in ("t", "f", "i", "s"):
        if name in attribute:
            return attribute[name]
    return attribute["floats"] or attribute["ints"] or attribute["strings"]
