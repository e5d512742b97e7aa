"""Protobuf: ONNX models as messages, read without any library and strictly.

What a message is not known to have is refused, and so is what is there twice: readers of protobuf merge it.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

Message = dict[str, Any]


class Refused(ValueError):
    """The graph may not be run; the message goes on from "the graph"."""


def read(graph: bytes) -> Message:
    """The model in these bytes: its fields by name, lists where there may be several.

    Raises:
        Refused: they are no such model.
    """
    try:
        return _message("Model", memoryview(graph))
    except (ValueError, IndexError, struct.error) as exc:
        raise exc if isinstance(exc, Refused) else Refused(f"is not an ONNX graph: {exc}") from exc


_SCHEMA: Mapping[str, Mapping[int, tuple[str, str, bool]]] = {
    kind: {
        int(number): (name, of.rstrip("*"), of.endswith("*"))
        for number, name, of in (field.split() for field in fields.split(","))
    }
    for kind, fields in {
        "Model": "1 ir_version int,2 producer_name text,3 producer_version text,4 domain text,5 model_version int,"
        "6 doc_string text,7 graph Graph,8 opset_import Opset*,14 metadata_props bytes*,25 functions bytes*",
        "Opset": "1 domain text,2 version int",
        "Graph": "1 node Node*,2 name text,5 initializer Tensor*,10 doc_string text,11 input Value*,12 output Value*,"
        "13 value_info Value*,16 metadata_props bytes*",
        "Node": "1 input text*,2 output text*,3 name text,4 op_type text,5 attribute Attribute*,6 doc_string text,"
        "7 domain text,9 metadata_props bytes*",
        "Attribute": "1 name text,2 f float,3 i int,4 s bytes,5 t Tensor,6 g bytes,7 floats float*,8 ints int*,"
        "9 strings bytes*,11 graphs bytes*,13 doc_string text,20 type int",
        "Tensor": "1 dims int*,2 data_type int,4 float_data float*,5 int32_data int*,7 int64_data int*,8 name text,"
        "9 raw_data bytes,10 double_data double*,12 doc_string text,13 external_data bytes*,14 data_location int,"
        "16 metadata_props bytes*",
        "Value": "1 name text,2 type Type,3 doc_string text,4 metadata_props bytes*",
        "Type": "1 tensor_type TensorType,6 denotation text",
        "TensorType": "1 elem_type int,2 shape Shape",
        "Shape": "1 dim Dimension*",
        "Dimension": "1 dim_value int,2 dim_param text,3 denotation text",
    }.items()
}
_WIRE = {"int": 0, "double": 1, "float": 5}
_FIXED = {"double": "<d", "float": "<f"}


def _message(kind: str, data: memoryview) -> Message:
    schema, message, at = _SCHEMA[kind], Message(), 0
    message.update({name: [] for name, _, many in schema.values() if many})
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number not in schema:
            raise Refused(f"is not an ONNX graph that is known here: its {kind} has a field {number}")
        name, of, many = schema[number]
        if not many and name in message:
            raise Refused(f"is not an ONNX graph: its {kind} has two {name}")
        size = len(data)
        if wire == 2:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise Refused("is not an ONNX graph: it is cut off")
            part, at = data[at : at + size], at + size
            values = list(_packed(of, part)) if of in _WIRE and many else [_of_bytes(of, part)]
        elif wire == _WIRE.get(of):
            value, at = _number(of, data, at)
            values = [value]
        else:
            raise Refused(f"is not an ONNX graph: {name} is of another type")
        if many:
            message[name] += values
        else:
            (message[name],) = values
    return message


def _of_bytes(of: str, part: memoryview) -> Any:
    if of in _SCHEMA:
        return _message(of, part)
    if of in _WIRE:
        raise Refused("is not an ONNX graph: a number is of another type")
    return str(part, "utf-8") if of == "text" else bytes(part)


def _packed(of: str, part: memoryview) -> Iterator[Any]:
    at = 0
    while at < len(part):
        value, at = _number(of, part, at)
        yield value


def _number(of: str, data: memoryview, at: int) -> tuple[Any, int]:
    if of == "int":
        value, at = _varint(data, at)
        return value - (value >> 63 << 64), at
    return struct.unpack_from(_FIXED[of], data, at)[0], at + struct.calcsize(_FIXED[of])


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            break
    else:
        byte = data[at]
        value |= (byte & 1) << 63
        if byte > 1:
            raise Refused("is not an ONNX graph: a number is too long")
        at += 1
    return value, at
