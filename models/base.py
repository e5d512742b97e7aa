"""Model: fitted models of one kind as rows of arrays, and what they predict."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.models.errors import ArtifactCorrupt, HistoryUnusable, NotReducible
from myriad.models.points import Points

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was expected at each point and how far off it was; every array is float64 (n,).

    A score is the deviation over the model's calibrated threshold: above 1 means rarer than the target rate. It
    is NaN exactly where the value is.
    """

    expected: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Param:
    """One array of a model: its dtype and the shape of a row.

    Attributes:
        dtype: in NumPy's letters.
        shape: of a row.
        positive: whether every value has to be.
        digits: binary digits kept of each value; what is cut off would be noise, and noise does not compress.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    positive: bool = False
    digits: int = 53

    def cast(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values in this type, rounded to `digits`."""
        if self.digits < 53:
            fraction, exponent = np.frexp(values.astype(np.float64))
            values = np.ldexp(np.round(np.ldexp(fraction, self.digits)), exponent - self.digits)
        return values.astype(self.dtype)


M = TypeVar("M", bound="Model", covariant=True)


@dataclass(frozen=True)
class Fit(Generic[M]):
    """What fitting many histories gave.

    Attributes:
        model: a row for each history that could be fitted.
        kept: the history each row was fitted to, int64 (rows,).
        refused: why each other history could not be.
    """

    model: M
    kept: NDArray[np.int64]
    refused: dict[int, HistoryUnusable]


def long_enough(history: Points, least: int, purpose: str) -> tuple[NDArray[np.int64], dict[int, HistoryUnusable]]:
    """The histories of at least so many points, int64 (kept,), and why the others are too short, by position."""
    lengths = history.lengths.tolist()
    why = "{} points are too few {}; {} are needed"
    refused = {i: HistoryUnusable(why.format(n, purpose, least)) for i, n in enumerate(lengths) if n < least}
    return np.array([i for i in range(len(lengths)) if i not in refused], np.int64), refused


class Model(ABC):
    """Fitted models of one kind, a row each; immutable and safe to use from many threads.

    A subclass names its parameters in `params`; each is an array with one row per model, and that is all a model is.
    Rows may be views of a memory-mapped file.
    """

    version: ClassVar[int] = 1
    """Raised when the meaning of the parameters changes."""

    library: ClassVar[str] = ""
    """The library that fits it, as an extra of that name installs; none for our own."""

    serving_library: ClassVar[str] = ""
    """The library needed to predict; none where a row is all that is needed."""

    fitted_types: ClassVar[tuple[str, ...]] = ()
    """The library's classes, as `module.Name`, whose fitted objects `reduced` takes."""

    params: ClassVar[Mapping[str, Param]]
    """The arrays a row is made of, beside the common `threshold` and `floor`."""

    common: ClassVar[Mapping[str, Param]] = {
        "threshold": Param("<f4", positive=True, digits=10),  # the deviation, in spreads, below which none scores 1
        "floor": Param(
            "<f8", positive=True, digits=10
        ),  # no deviation smaller than this, in the series' unit, scores 1
    }

    def __init__(self, arrays: Arrays) -> None:
        """Rows from their arrays, checked but not copied.

        Raises:
            ArtifactCorrupt: an array is missing, superfluous, of another type or shape, or not finite.
        """
        wanted = {**self.params, **self.common}
        if missing := wanted.keys() ^ arrays.keys():
            raise ArtifactCorrupt(self.name(), f"array {min(missing)} is missing or unknown")
        self.rows = arrays["threshold"].size
        for name, param in wanted.items():
            array = arrays[name]
            if array.dtype != np.dtype(param.dtype) or array.shape != (self.rows, *param.shape):
                raise ArtifactCorrupt(
                    self.name(),
                    f"array {name} is {array.dtype}{list(array.shape)}, not {param.dtype}{[self.rows, *param.shape]}",
                )
        self.arrays = dict(arrays)

    @classmethod
    def name(cls) -> str:
        """The adapter's name: that of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    @abstractmethod
    def fit(cls, history: Points) -> "Fit[Self]":
        """A row for each history that can be fitted, uncalibrated: its threshold is 1 and its floor negligible.

        Args:
            history: tidied points, a series per model to fit, values finite.
        """

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:  # noqa: ARG003  for adapters of libraries to use
        """One row of what the library fitted, in arrays named as in `params`.

        Args:
            fitted: an object of one of `fitted_types`.
            history: the one series it was fitted to, tidied, values finite.

        Raises:
            NotReducible: it is of a kind that cannot be a row; the message says what to use instead.
        """
        raise NotReducible(f"a fitted {type(fitted).__name__} cannot be a row of {cls.name()}")

    @abstractmethod
    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """What row `rows[i]` says of series i of the points, which are tidied and may have NaN values."""

    def learnt(self, held_out: Points, floor: NDArray[np.float64]) -> Arrays:  # noqa: ARG002  for those who learn more
        """What only points it was not fitted to can tell of each row, in arrays named as in `params`; nothing for most.

        Args:
            held_out: a series a row, tidied, values finite; a series may have none.
            floor: no deviation smaller than this, in the series' unit, matters; float64 (rows,).
        """
        return {}

    def check(self) -> None:
        """Look at every parameter once.

        Raises:
            ArtifactCorrupt: one is not finite, or not positive where it has to be.
        """
        for name, param in {**self.params, **self.common}.items():
            array = self.arrays[name]
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ArtifactCorrupt(self.name(), f"array {name} has a value that is not finite")
            if param.positive and not (array > 0).all():
                raise ArtifactCorrupt(self.name(), f"array {name} has a value that is not positive")

    def having(self, learnt: Arrays) -> Self:
        """The same rows with other values for some arrays."""
        return type(self)({**self.arrays, **learnt}) if learnt else self

    def calibrated(self, threshold: NDArray[np.float64], floor: NDArray[np.float64]) -> Self:
        """The same rows scoring 1 at `threshold` spreads, but never for less than `floor`; both float64 (rows,)."""
        common = {"threshold": threshold, "floor": floor}
        return self.having({name: self.common[name].cast(common[name]) for name in common})

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Self:
        """These rows, in this order."""
        chosen = np.asarray(rows, np.int64)
        return type(self)({name: array[chosen] for name, array in self.arrays.items()})

    @classmethod
    def stack(cls, models: Sequence[Self]) -> Self:
        """The rows of all the models, one after the other."""
        return cls({name: np.concatenate([m.arrays[name] for m in models]) for name in models[0].arrays})

    @classmethod
    def record_type(cls) -> np.dtype[np.void]:
        """A whole row as one value."""
        return _record_type(cls)

    def record(self, row: int) -> bytes:
        """One row by itself, of `record_type`."""
        record = np.zeros(1, self.record_type())
        for name, array in self.arrays.items():
            record[name] = array[row]
        return record.tobytes()

    @classmethod
    def of_records(cls, records: Sequence[bytes]) -> Self:
        """The rows of checked models, by themselves until now, as those of one model."""
        together = np.frombuffer(b"".join(records), cls.record_type())
        model = cls.__new__(cls)  # they have been checked already
        model.rows, model.arrays = len(records), {name: together[name] for name in together.dtype.names or ()}
        return model

    @property
    def row_bytes(self) -> int:
        """Bytes a row takes in memory."""
        return sum(array.nbytes for array in self.arrays.values()) // max(self.rows, 1)

    @classmethod
    def uncalibrated(cls, arrays: Arrays) -> Self:
        """Freshly fitted rows from the arrays named in `params`, cast to their types."""
        cast = {name: param.cast(np.asarray(arrays[name])) for name, param in cls.params.items()}
        rows = len(next(iter(cast.values())))
        ones, tiny = np.ones(rows, "<f4"), np.full(rows, np.finfo("<f8").tiny)
        return cls({**cast, "threshold": ones, "floor": tiny})

    def half_band(self, rows: NDArray[np.int64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far from the expected value a score is 1: `threshold` spreads, but no less than the floor."""
        return np.maximum(spread * self.arrays["threshold"][rows], self.arrays["floor"][rows])

    @staticmethod
    def banded(
        values: NDArray[np.float64], expected: NDArray[np.float64], half_band: NDArray[np.float64]
    ) -> Prediction:
        """The prediction whose band is `expected` plus and minus `half_band`; all float64 (n,)."""
        score = np.abs(values - expected) / half_band
        return Prediction(expected, expected - half_band, expected + half_band, score)


@functools.cache
def _record_type(kind: type[Model]) -> np.dtype[np.void]:
    fields = [(name, param.dtype, param.shape) for name, param in {**kind.params, **kind.common}.items()]
    return np.dtype(fields, align=True)
