"""Markup: elements of a page whose texts are escaped, and the page around them, which loads nothing."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from numbers import Real


class Markup(str):
    """Text that is markup already; any other text is escaped where it becomes a part of an element."""

    __slots__ = ()


VOID = {"meta"}
NOTHING = "\N{EN DASH}"
"""What stands where there is no figure."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --card: #f5f7f9; --text: #1d2730; --soft: #5c6b78; --line: #d8dfe5;
  --bar: #1b6ca8; --mark: #c2334a; --warm: 194, 51, 74; }
@media (prefers-color-scheme: dark) { :root { --back: #12181d; --card: #1b2329; --text: #e3e9ee; --soft: #98a7b3;
  --line: #33404a; --bar: #5fb0e8; --mark: #ff7d8e; --warm: 255, 105, 125; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; } p { margin: .3rem 0; } .soft { color: var(--soft); }
.cards { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); margin: 1rem 0; }
.card { background: var(--card); border-radius: 6px; padding: .6rem .8rem; }
.card b { display: block; font-size: 1.2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; overflow-wrap: normal; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, .heat td { white-space: nowrap; } .heat td { padding: .3rem .5rem; border: 1px solid var(--back); }
.h0 { background: var(--card); } .h1 { background: rgba(var(--warm), .12); } .h2 { background: rgba(var(--warm), .25); }
.h3 { background: rgba(var(--warm), .45); } .h4 { background: rgba(var(--warm), .65); }
svg { display: block; width: 100%; height: auto; max-width: 34rem; } svg text { fill: var(--soft); font-size: 12px; }
.bar { fill: var(--bar); } .bar:hover { opacity: .7; } .axis { stroke: var(--line); } .mark { stroke: var(--mark);
  stroke-dasharray: 4 3; } svg .marked { fill: var(--mark); } .spark { width: 7rem; min-width: 5rem; }
.bad { color: var(--mark); }
"""


def element(name: str, /, *children: str, **attributes: object) -> Markup:
    """An element; `class_` is the attribute class, and an underscore in another's name a hyphen."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(v))}"' for key, v in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """Parts one after the other, each escaped unless it is markup."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in children))


def page(title: str, *children: str) -> Markup:
    """A whole page; a browser is told to load nothing for it, whatever is in it."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    return Markup("<!doctype html>\n" + element("html", head, element("body", *children), lang="en") + "\n")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], class_: str = "") -> Markup:
    """A table that scrolls sideways where it is too wide; numbers stand right, and so do the headings over them."""
    right = [not isinstance(value, str) for value in rows[0]] if rows else [False] * len(headings)
    heads = [element("th", text, class_="n" if n else "") for text, n in zip(headings, right, strict=True)]
    body = [element("tr", *(_cell(value) for value in row)) for row in rows]
    inner = element("table", element("thead", element("tr", *heads)), element("tbody", *body), class_=class_)
    return element("div", inner, class_="wide")


def number(value: float | None) -> str:
    """A figure with three digits that mean something, and a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) >= 999.5 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """A share; 0 % and 100 % only where it is exactly that."""
    if 0 < share < 1:
        return f"{min(max(share * 100, 0.01), 99.99):.3g} %" if share < 0.999 else f"{min(share * 100, 99.99):.2f} %"
    return f"{share * 100:.0f} %"


def _cell(value: object) -> Markup:
    if isinstance(value, str):
        return value if isinstance(value, Markup) and value.startswith("<td") else element("td", value)
    return element("td", number(float(value)) if isinstance(value, Real) else NOTHING, class_="n")
