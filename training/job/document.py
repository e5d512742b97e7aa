"""Document: a YAML file as plain values, and the line each part of it stands on."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from myriad.models.errors import InvalidJob

FieldPath = Sequence[str | int]
"""The keys and positions that lead to a part of a document."""


class _Loader(yaml.SafeLoader):
    """Reads plain values as YAML 1.2 does: `no`, `1:30` and `2026-01-01` are text, `1e-4` is a number."""


_Loader.yaml_implicit_resolvers = {}
_INT = r"[-+]?(?:0|[1-9][0-9]*)"
_FLOAT = rf"(?:{_INT}(?:\.[0-9]*)?|[-+]?\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_TAG = "tag:yaml.org,2002:"
_READ: Mapping[str, Callable[[str], object]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
    "str": str,
}
"""How a plain value of each type is read."""

for _type, _pattern, _first in (
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", _INT, [*"-+0123456789"]),
    ("float", _FLOAT, [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(_TAG + _type, re.compile(rf"(?:{_pattern})\Z"), _first)


MAX_BYTES = 4 << 20
MAX_NODES = 200_000
"""Values in a file, those of an alias counted wherever it stands: ten lines of aliases can stand for billions."""


class Document:
    """A YAML file.

    Attributes:
        path: as it is named in messages.
        value: mappings whose keys are text, lists, text, numbers, booleans and None.

    Raises:
        InvalidJob: it cannot be read, is no YAML, is too large, or has a key twice in the same mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._nodes = path, 0
        self._root = self._composed(self._text())
        self.value = self._value(self._root, (), ()) if self._root else None

    def complaint(self, place: FieldPath, why: str) -> str:
        """A complaint about the part at a place, after the file, the line and the field."""
        node, found = self._root, 0
        for part in place:
            pair = _entry(node, part)
            if pair is None:  # a key that is missing is missing where its mapping starts
                break
            found, node = pair[0].start_mark.line, pair[1]
        return self._message(found, place, why)

    def _text(self) -> str:
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise InvalidJob(f"{self.path}: has more than {MAX_BYTES} bytes")
            return data.decode("utf-8-sig")
        except OSError as exc:
            raise InvalidJob(f"{self.path}: cannot be read: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            line = exc.object.count(b"\n", 0, exc.start) + 1
            raise InvalidJob(f"{self.path}:{line}: is not UTF-8 text") from exc

    def _composed(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            raise InvalidJob(f"{self.path}:{line}: is not YAML: {exc.problem or exc.context}") from exc
        except yaml.reader.ReaderError as exc:
            line = text.count("\n", 0, exc.position) + 1
            raise InvalidJob(f"{self.path}:{line}: is not YAML: {exc.reason}") from exc
        except RecursionError as exc:
            raise InvalidJob(f"{self.path}:1: is nested too deeply") from exc

    def _value(self, node: yaml.Node, place: FieldPath, above: tuple[yaml.Node, ...]) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._wrong(node, (), f"the file stands for more than {MAX_NODES} values, aliases counted each time")
        if any(node is one for one in above):
            raise self._wrong(node, place, "is part of itself")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, place, (*above, node))
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self._value(item, (*place, i), (*above, node)) for i, item in enumerate(node.value)]
        read = _READ.get(node.tag.removeprefix(_TAG))
        if read is None or not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, place, f"has the tag {node.tag}; only plain values are taken")
        try:
            return read(node.value)
        except ValueError as exc:
            raise self._wrong(node, place, f"{node.value[:40]!r} is not a number") from exc

    def _mapping(self, node: yaml.MappingNode, place: FieldPath, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._wrong(key, place, "has a key that is not text")
            if key.value in found:
                raise self._wrong(key, (*place, key.value), "is there twice")
            found[key.value] = self._value(value, (*place, key.value), above)
        return found

    def _wrong(self, node: yaml.Node, place: FieldPath, why: str) -> InvalidJob:
        return InvalidJob(self._message(node.start_mark.line, place, why))

    def _message(self, line: int, place: FieldPath, why: str) -> str:
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        return f"{self.path}:{line + 1}: {field}: {why}" if field else f"{self.path}:{line + 1}: {why}"


def _entry(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The key and the value of an entry of a mapping; of a list's, the value twice."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
