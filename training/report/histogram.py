"""Histograms: bars drawn as SVG, on a logarithmic axis where the values differ much."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myriad.training.report.markup import Markup, element, number

BARS = 24
WIDTH, HEIGHT, FOOT = 400, 150, 22
DIFFERENT = 10
"""Values whose largest are this many times their median are shown on a logarithmic axis."""
ENDS = (0.001, 0.999)
"""Values beyond these quantiles are counted in the first and the last bar."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axis:
    """Where bars stand: between `edges`, and one more in front for zero where the edges are logarithmic."""

    edges: Values
    zero: bool

    @classmethod
    def of(cls, values: Values) -> "Axis":
        """An axis for values, which need not be there and of which NaN and infinity are left out."""
        known = values[np.isfinite(values)]
        above = known[known > 0]
        if len(above) and (known >= 0).all():
            low, high = np.quantile(above, ENDS)
            if high > np.median(above) * DIFFERENT:
                return cls(np.geomspace(low, high, BARS + 1), len(above) < len(known))
        low, high = np.quantile(known, ENDS) if len(known) else (0.0, 1.0)
        # Wide enough that each edge is a number of its own.
        margin = max(abs(low), abs(high), 1e-9) * 1e-6
        if high - low <= margin:
            low, high = low - max(abs(low), 1e-9) / 2, high + max(abs(high), 1e-9) / 2
        return cls(np.linspace(low, high, BARS + 1), False)

    def counts(self, values: Values) -> NDArray[np.int64]:
        """How many values each bar stands for, int64 (bars,)."""
        known = values[np.isfinite(values)]
        above = known[known > 0] if self.zero else known
        counts = np.histogram(np.clip(above, self.edges[0], self.edges[-1]), self.edges)[0]
        return np.append(len(known) - len(above), counts) if self.zero else counts

    def place(self, value: float) -> float:
        """Where a value between the edges stands, from 0 to 1 along all the bars."""
        ends = np.array([self.edges[0], value, self.edges[-1]])
        if self.logarithmic:
            ends = np.log(ends)
        share = float((ends[1] - ends[0]) / (ends[2] - ends[0]))
        return (share * BARS + self.zero) / (BARS + self.zero)

    @property
    def logarithmic(self) -> bool:
        """Whether each bar is as many times as wide as the one before."""
        return bool(np.diff(self.edges)[-1] > np.diff(self.edges)[0] * 1.001)


def histogram(values: Values, label: str, *, mark: float | None = None, marked: str = "") -> Markup:
    """A picture of how values are distributed, for people and, by its label and bar titles, for screen readers.

    Args:
        values: any number; NaN and infinity are left out.
        label: what they are.
        mark: a value to draw a line at, if it is on the axis.
        marked: what stands there.
    """
    axis = Axis.of(values)
    parts = [*_bars(axis, axis.counts(values)), *_foot(axis)]
    if mark is not None and axis.edges[0] <= mark <= axis.edges[-1]:
        x = round(axis.place(mark) * WIDTH, 1)
        anchor = "end" if x > WIDTH / 2 else "start"
        parts.append(element("line", x1=x, x2=x, y1=0, y2=HEIGHT - FOOT, class_="mark"))
        at = x - 5 if anchor == "end" else x + 5
        parts.append(element("text", marked, x=at, y=12, text_anchor=anchor, class_="marked"))
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def spark(values: Values, axis: Axis) -> Markup:
    """The same in a table's cell, on an axis shared by its rows."""
    counts = axis.counts(values)
    width, tallest = 100 / len(counts), max(int(counts.max()), 1)
    steps = (f"M{i * width:.1f} 24v{-_height(count, tallest, 24)}h{width * 0.85:.1f}V24z"
             for i, count in enumerate(counts.tolist()) if count)  # fmt: skip
    picture = element("path", d="".join(steps), class_="bar")
    return element("svg", picture, viewBox="0 0 100 24", class_="spark", aria_hidden="true")


def _bars(axis: Axis, counts: NDArray[np.int64]) -> list[Markup]:
    width, tallest, floor = WIDTH / len(counts), max(int(counts.max()), 1), HEIGHT - FOOT
    bars = []
    for i, count in enumerate(counts.tolist()):
        height = _height(count, tallest, floor - 16)
        title = element("title", f"{_between(axis, i)}: {count:,}")
        at = {"x": round(i * width, 1), "y": round(floor - height, 1), "width": round(width * 0.85, 1)}
        bars.append(element("rect", title, **at, height=height, class_="bar"))
    return bars


def _foot(axis: Axis) -> list[Markup]:
    """The axis, with its ends and what is in the middle."""
    floor = HEIGHT - FOOT
    line = element("line", x1=0, x2=WIDTH, y1=floor, y2=floor, class_="axis")
    middle = BARS // 2
    first, last = axis.place(axis.edges[0]) * WIDTH, WIDTH
    at = [(first, "start", 0), ((first + last) / 2, "middle", middle), (last, "end", BARS)]
    texts = [
        element("text", number(float(axis.edges[i])), x=round(x, 1), y=HEIGHT - 6, text_anchor=anchor)
        for x, anchor, i in at
    ]
    zero = [element("text", "0", x=2, y=HEIGHT - 6)] if axis.zero else []
    return [line, *zero, *texts]


def _between(axis: Axis, bar: int) -> str:
    if axis.zero and bar == 0:
        return "0"
    i = bar - axis.zero
    return f"{number(float(axis.edges[i]))} to {number(float(axis.edges[i + 1]))}"


def _height(count: int, tallest: int, room: int) -> float:
    """Of a bar; one that counts anything is seen."""
    return round(max(count / tallest * room, 1.5), 1) if count else 0.0
