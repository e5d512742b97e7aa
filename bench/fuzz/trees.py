"""Mutations of what a JSON body says: of its values, keys and options."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from bench.fuzz.case import MOST_BYTES, size


class Raw(bytes):
    """JSON, or nearly, that is written as it stands."""


class Pairs(list[list[Any]]):
    """An object, whose keys may be there twice."""


Slot = tuple[list[Any], int]
"""A list, or a pair of a key and a value, and a position in it."""

WEIRD: list[Any] = [
    None, True, False, "", [], Pairs(), 0, -1, -0.0, 1e308, -1e308, 5e-324, 1e151, 2**31, 2**53, 2**63 - 1, 2**62,
    "NaN", "1e400", "1m", "x", "..", "a/b", "../../etc/passwd", "%2e%2e", "*", "2026-01-04T00:00:00Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-W01-1T00:00:00Z", "2026-01-04T24:00:00Z",
    "\U0001f600", "\x7f", "\u202e", "\u00e9" * 200, 100_000_000_000, 99_999_999_999, 7_258_118_400, 7_258_118_401_000,
    Raw(b"NaN"), Raw(b"Infinity"), Raw(b"-Infinity"), Raw(b"1e400"), Raw(b"-1e400"), Raw(b"1E+0000000000000000000001"),
    Raw(b"18446744073709551615"), Raw(b"18446744073709551616"), Raw(b"-9223372036854775809"), Raw(b"1" * 400),
    Raw(b"0." + b"1" * 5000), Raw(b"01"), Raw(b"+1"), Raw(b".5"), Raw(b"0x10"), Raw(b"1_000"), Raw(b"-"), Raw(b""),
    Raw(rb'"\ud800"'), Raw(rb'"\udc00\ud800"'), Raw(rb'"\u0000"'), Raw(b'"\xff\xfe"'), Raw(b'"\xed\xa0\x80"'),
    Raw(b'"\xf4\x90\x80\x80"'), Raw(b'"\x00"'), Raw(rb'"\x"'), Raw(b"'x'"), Raw(b"undefined"), Raw(b"/* */ 1"),
    Raw(b"1,"),
]  # fmt: skip
TEXTS = [
    b"9",
    b"a",
    b"0",
    b"-",
    b".",
    b"/",
    b"%",
    b" ",
    b"\\u0000",
    b"\\n",
    b"\xc3\xa9",
    b"\\ud83d\\ude00",
    b"{",
    b"\\\\",
]
NAMES = [
    "region", "host", "metric", "timestamp", "value", "datapoints", "series", "windows", "combine", "bands", "hosts",
    "model_id", "1m", "15m", "1h", "7m", "", "\u0000", "__class__", "score", "status", "x" * 1000,
]  # fmt: skip
WINDOWS = ["1m", "15m", "1h", "7m", "0m", "1s", "999999999999d", "1M", " 1m", "", "-1m", "1.5m", "60s", "\u0661m"]


def wrapped(content: Any) -> Any:
    """A tree whose objects are `Pairs`."""
    if isinstance(content, dict):
        return Pairs([key, wrapped(value)] for key, value in content.items())
    return [wrapped(item) for item in content] if isinstance(content, list) else content


def encoded(node: Any) -> bytes:
    """A tree as JSON."""
    if isinstance(node, Raw):
        return bytes(node)
    if isinstance(node, Pairs):
        return b"{" + b",".join(encoded(key) + b":" + encoded(value) for key, value in node) + b"}"
    return b"[" + b",".join(map(encoded, node)) + b"]" if isinstance(node, list) else msgspec.json.encode(node)


def mutate(rng: random.Random, root: Any) -> tuple[Any, str]:
    """A tree with one mutation more, and the name of that."""
    holder = [root]
    name = rng.choice(list(MUTATIONS))
    MUTATIONS[name](rng, holder, rng.choice([*_slots(holder)]))
    return holder[0], name


def _slots(node: Any) -> Iterator[Slot]:
    """Everything in a tree that can be replaced."""
    if isinstance(node, Pairs):
        for pair in node:
            yield pair, 1
            yield from _slots(pair[1])
    elif isinstance(node, list):
        for at, item in enumerate(node):
            yield node, at
            yield from _slots(item)


def _value(rng: random.Random, _: list[Any], slot: Slot) -> None:
    slot[0][slot[1]] = rng.choice(WEIRD)


def _text(rng: random.Random, _: list[Any], slot: Slot) -> None:
    slot[0][slot[1]] = Raw(b'"' + rng.choice(TEXTS) * size(rng, 2_000_000) + b'"')


def _nested(rng: random.Random, _: list[Any], slot: Slot) -> None:
    depth, (opened, closed) = size(rng, 1_000_000), rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b"[{},", b"]")])
    slot[0][slot[1]] = Raw(opened * depth + b"1" + closed * (depth if rng.random() < 0.8 else depth // 2))


def _removed(rng: random.Random, holder: list[Any], _: Slot) -> None:
    found = [node for node in _containers(holder[0]) if node]
    if found:
        node = found[0] if rng.random() < 0.5 else rng.choice(found)
        del node[rng.randrange(len(node))]


def _repeated(rng: random.Random, _: list[Any], slot: Slot) -> None:
    """An item of a list, or a key and its value, many times."""
    node, at = slot
    one = encoded(node[at])
    times = size(rng, min(1_500_000, MOST_BYTES // (len(one) + 1)))
    node[at] = Raw(b",".join([one] * times))


def _lengthened(rng: random.Random, _: list[Any], slot: Slot) -> None:
    """A list with its items many times over."""
    node, at = slot
    if isinstance(node[at], list) and not isinstance(node[at], Pairs) and node[at]:
        inner = encoded(node[at])[1:-1]
        times = size(rng, min(1_500_000, MOST_BYTES // (len(inner) + 1)))
        node[at] = Raw(b"[" + b",".join([inner] * times) + b"]")


def _duplicate_key(rng: random.Random, holder: list[Any], _: Slot) -> None:
    found = [node for node in _containers(holder[0]) if isinstance(node, Pairs) and node]
    if found:
        node = rng.choice(found)
        key, value = rng.choice(node)
        node.insert(rng.randrange(len(node) + 1), [key, rng.choice([value, rng.choice(WEIRD)])])


def _renamed(rng: random.Random, holder: list[Any], _: Slot) -> None:
    found = [node for node in _containers(holder[0]) if isinstance(node, Pairs) and node]
    if found:
        rng.choice(rng.choice(found))[0] = rng.choice(NAMES)


def _more_keys(rng: random.Random, holder: list[Any], _: Slot) -> None:
    """Thousands of keys more, in one object or in some: names nobody knows, or windows."""
    found = [node for node in _containers(holder[0]) if isinstance(node, Pairs)]
    if found:
        node, unit = rng.choice(found), rng.choice(["m", "s", "h", "x", "\u00e9"])
        value = encoded(rng.choice([node[0][1] if node else 1, 1.5, None, [], [1.5]]))[:10_000]
        node += [[f"{i}{unit}", Raw(value)] for i in range(size(rng, min(50_000, MOST_BYTES // (len(value) + 10))))]


def _options(rng: random.Random, holder: list[Any], _: Slot) -> None:
    if not isinstance(holder[0], Pairs):
        return
    windows: list[Any] = [rng.choice(WINDOWS)] * size(rng, 300_000)
    if rng.random() < 0.3:
        windows = [f"{i}{rng.choice('smhd')}" for i in range(size(rng, 50_000))]
    elif rng.random() < 0.3:
        windows = [rng.choice([*WINDOWS, *WEIRD]) for _ in range(rng.randrange(6))]
    options = {
        "windows": windows,
        "combine": rng.choice(["weighted", "min", "max", "mean", "", 1, None]),
        "bands": rng.choice([True, False, 1, "true", None]),
        "hosts": rng.choice([True, False, 0, None]),
    }
    for name in rng.sample(list(options), rng.randint(1, 3)):
        holder[0].append([name, options[name]])


def _long_timestamp(rng: random.Random, holder: list[Any], _: Slot) -> None:
    """One timestamp of very many characters among many others, in rows or in columns."""
    long = Raw(b'"' + rng.choice(TEXTS) * rng.choice([41, 5_000, 80_000]) + b'"')
    times = size(rng, 20_000)
    for node in [*_containers(holder[0])]:
        if isinstance(node, Pairs):
            for pair in node:
                if pair[0] == "timestamp":
                    pair[1] = [long, *pair[1][1:]] if isinstance(pair[1], list) and pair[1] else long
            columns = [pair for pair in node if isinstance(pair[1], list) and len(node) >= 5]
            for pair in columns if len(columns) == len(node) else []:
                inner = encoded(pair[1])[1:-1]
                last = encoded(pair[1][-1:])[1:-1]
                pair[1] = Raw(b"[" + b",".join([inner, *[last] * min(times, MOST_BYTES // (1 + len(last)))]) + b"]")
            if node and not isinstance(node[0][1], list):
                return
        elif node and isinstance(node[0], Pairs) and any(key == "timestamp" for key, _ in node[0]):
            last = encoded(node[-1])
            node.append(Raw(b",".join([last] * min(times, 1 + MOST_BYTES // len(last)))))


def _many_series(rng: random.Random, holder: list[Any], _: Slot) -> None:
    """A list of objects with an object of it many times, each of another host."""
    lists = [
        node for node in _containers(holder[0]) if not isinstance(node, Pairs) and node and isinstance(node[0], Pairs)
    ]
    if lists:
        node = rng.choice(lists)
        one = dict(node[0])
        without = encoded(Pairs([key, value] for key, value in one.items() if key != "host"))[1:]
        times = size(rng, min(120_000, MOST_BYTES // (len(without) + 20)))
        node.append(Raw(b",".join(b'{"host":"h%d",%s' % (i, without) for i in range(times))))


def _empty(rng: random.Random, _: list[Any], slot: Slot) -> None:
    slot[0][slot[1]] = rng.choice([[], Pairs(), "", None, [[]], [None], [Pairs()]])


def _moved(rng: random.Random, holder: list[Any], slot: Slot) -> None:
    """A value in the place of another."""
    other, at = rng.choice([*_slots(holder)])
    slot[0][slot[1]] = Raw(encoded(other[at]))


def _texts(_rng: random.Random, holder: list[Any], _: Slot) -> None:
    """Every number as text."""
    for node, at in [*_slots(holder)]:
        if isinstance(node[at], int | float):
            node[at] = str(node[at])


def own_keys(rng: random.Random, lines: list[Any]) -> list[Any]:
    """Very many lines, each with a column of its own."""
    unit, one = rng.choice(["m", "s", "x"]), Pairs(pair for pair in lines[0] if pair[0] != "value")
    return [Pairs([*one, [f"{i}{unit}", 1]]) for i in range(1, size(rng, 10_000))]


def _containers(node: Any) -> Iterator[list[Any]]:
    if isinstance(node, Pairs):
        yield node
        for _, value in node:
            yield from _containers(value)
    elif isinstance(node, list):
        yield node
        for item in node:
            yield from _containers(item)


MUTATIONS: dict[str, Callable[[random.Random, list[Any], Slot], None]] = {
    "value": _value,
    "text": _text,
    "nested": _nested,
    "removed": _removed,
    "repeated": _repeated,
    "lengthened": _lengthened,
    "duplicate key": _duplicate_key,
    "renamed": _renamed,
    "more keys": _more_keys,
    "options": _options,
    "long timestamp": _long_timestamp,
    "many series": _many_series,
    "empty": _empty,
    "moved": _moved,
    "texts": _texts,
}
