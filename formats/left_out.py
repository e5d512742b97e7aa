"""Left out: the rows of files that cannot be read, counted by reason, the first few kept to be shown."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from myriad.models.errors import InvalidPoints
from myriad.models.key import MAX_ECHO

SHOWN = 5
"""Rows kept to be shown."""
MOST_REASONS, OTHER = 100, "other reasons"
"""Kept apart; what is wrong may differ in every row."""
DEFAULT_SHARE = 0.05
"""Of rows that cannot be read, more stop a job."""


class Example(NamedTuple):
    """A row that was left out.

    Attributes:
        file: its file.
        row: its number as people count, a line of column names being the first; 0 where it is not known.
        column: the one that cannot be read, "" where it is the whole row.
        value: what stands there, cut.
        why: words that go after the value.
    """

    file: str
    row: int
    column: str
    value: str
    why: str

    def __str__(self) -> str:
        row = f", row {self.row:,}" if self.row else ""
        return f"{self.file}{row}: {self.column} {self.value} {self.why}".replace("  ", " ")


@dataclass(slots=True)
class LeftOut:
    """What was left out of all that was read.

    Attributes:
        read: rows, those that were left out included.
        reasons: how many were left out for each, as "timestamp is not a time".
        first: some of them.
    """

    read: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[Example] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many were left out."""
        return self.reasons.total()

    def add(self, example: Example, rows: int = 1) -> None:
        """Count rows left out for the same reason as an example."""
        reason = f"{example.column or 'row'} {example.why}"
        self.reasons[reason if reason in self.reasons or len(self.reasons) < MOST_REASONS else OTHER] += rows
        if len(self.first) < SHOWN:
            self.first.append(example._replace(value=example.value[:MAX_ECHO]))

    def check(self, share: float) -> None:
        """Raise `InvalidPoints`, with the reasons and some rows, where more than a share of what was read is left out.

        Args:
            share: between 0 and 1.
        """
        if self.rows <= share * self.read:
            return
        shown = "".join(f"\n  {example}" for example in self.first)
        raise InvalidPoints(
            f"{self.rows:,} of {self.read:,} rows cannot be read, more than {share:.2%} (--left-out, or "
            f"left_out in a job's history, allows another share): {self.summary}; the first of them:{shown}"
        )

    @property
    def summary(self) -> str:
        """The most frequent reasons, with their counts."""
        return "; ".join(f"{why} ({count:,})" for why, count in self.reasons.most_common(5))

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"rows": self.rows, "reasons": dict(self.reasons), "first": [one._asdict() for one in self.first]}

    @classmethod
    def of(cls, given: dict[str, Any], read: int) -> Self:
        """From what `as_dict` gave."""
        return cls(read, Counter(given["reasons"]), [Example(**one) for one in given["first"]])
