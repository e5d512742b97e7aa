"""Model: the base class of adapters. Fitted models of one kind are the rows of its arrays."""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from myriad.kernels.predictors import Predictor
from myriad.kernels.scoring import Predicts
from myriad.models.arrays import Matrix, Vector
from myriad.models.calibration import MAX_THRESHOLD
from myriad.models.errors import ArtifactCorrupt, HistoryUnusable, NotReducible
from myriad.models.points import MAX_MAGNITUDE, Points

Arrays = Mapping[str, NDArray[Any]]

MOST: Mapping[str, float] = {"<f8": 100 * MAX_MAGNITUDE, "<f4": MAX_THRESHOLD, "<i4": 10 * 366 * 86400}
"""The largest value that a parameter of a type can have. Those of 8 bytes are in a series' unit, those of 4 in spreads.

Integers are sizes and seconds: ten years. Smaller types cannot hold a value that is too large.
"""
LEAST = float(np.finfo(np.float32).tiny)
"""The smallest positive parameter of 4 bytes. One of 8 bytes may be as small as the values of its series."""
ROUNDED = 1.01
"""What rounding to `Param.digits` and to a type may add to a bound."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model expected at each point, half its band, and the score; every array is float64 (n,).

        score = |value - expected| / half the band

    Half the band is the calibrated threshold (see `Model.half_band`), so that a score above 1 means a deviation rarer
    than the target rate. The score is NaN exactly where the value is NaN.
    """

    expected: Vector
    half_band: Vector
    score: Vector

    @property
    def lower(self) -> Vector:
        """The lower edge of the band."""
        return self.expected - self.half_band

    @property
    def upper(self) -> Vector:
        """The upper edge of the band."""
        return self.expected + self.half_band


@dataclass(frozen=True, slots=True)
class Param:
    """One array of a model: its dtype and the shape of a row.

    Attributes:
        dtype: in NumPy's letters.
        shape: of one row.
        positive: whether every value has to be above 0.
        digits: significant binary digits that are kept. The rest would be noise, which does not compress.
        most: the largest value where that is not the type's, see `MOST`.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    positive: bool = False
    digits: int = 53
    most: float | None = None

    def fault(self, values: NDArray[Any]) -> str | None:
        """What is wrong with the values, of any number of rows; None where nothing is."""
        fraction = values.dtype.kind == "f"
        if not values.size or not (fraction or self.positive):
            return None
        wide = values.astype(np.float32) if values.dtype.itemsize == 2 else values  # many times faster to compare
        least, most = float(wide.min()), float(wide.max())
        if not np.isfinite((least, most)).all():
            return "a value that is not finite"
        if self.positive and least <= 0:
            return f"a value that is not positive, {least:g}"
        if self.positive and self.dtype == "<f4" and least < LEAST:
            return f"the value {least:g}, which is below {LEAST:.3g}"
        limit = self.most or (MOST.get(self.dtype) if self.positive or self.dtype == "<f8" else None) or np.inf
        if max(most, -least) > limit * ROUNDED:
            return f"the value {max(most, least, key=abs):g}, which is beyond {limit:g}"
        return None

    def cast(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values in this type, rounded to `digits`."""
        if self.digits < 53:
            fraction, exponent = np.frexp(values.astype(np.float64))
            values = np.ldexp(np.round(np.ldexp(fraction, self.digits)), exponent - self.digits)
        return values.astype(self.dtype)


M = TypeVar("M", bound="Model", covariant=True)


@dataclass(frozen=True)
class Fit(Generic[M]):
    """The result of fitting many histories.

    Attributes:
        model: one row for each history that could be fitted.
        kept: the position of the history each row was fitted to, int64 (rows,).
        refused: why the other histories could not be fitted, by their position.
    """

    model: M
    kept: NDArray[np.int64]
    refused: dict[int, HistoryUnusable]


def split_by_length(
    history: Points, min_points: int, purpose: str
) -> tuple[NDArray[np.int64], dict[int, HistoryUnusable]]:
    """The positions of the histories of at least `min_points`, int64 (kept,), and the errors of the others by position.

    Args:
        history: a series per model to fit.
        min_points: points needed.
        purpose: what they are needed for, as the error says it: "for a median".
    """
    lengths = history.lengths.tolist()
    why = "{} points are too few {}; {} are needed"
    refused = {i: HistoryUnusable(why.format(n, purpose, min_points)) for i, n in enumerate(lengths) if n < min_points}
    return np.array([i for i in range(len(lengths)) if i not in refused], np.int64), refused


class Model(ABC):
    """Fitted models of one kind, a row each; immutable and safe to use from many threads.

    A model is nothing but arrays with one row per fitted model. A subclass declares them in `params`. They may be
    read-only views of a memory-mapped file.
    """

    version: ClassVar[int] = 1
    """Raised when the meaning of the parameters changes."""

    library: ClassVar[str] = ""
    """The library that fits it, which is also the name of the extra that installs it; empty where none is needed."""

    serving_library: ClassVar[str] = ""
    """The library needed to predict; empty where the arrays are enough."""

    fitted_types: ClassVar[tuple[str, ...]] = ()
    """The classes of the library, as `module.Name`, whose fitted objects `reduced` accepts."""

    least_threshold: ClassVar[float] = 0.0
    """The least `threshold` that calibration gives."""

    kernel: ClassVar[type[Predictor] | None] = None
    """The compiled loop that predicts; where there is none, `predict` is overridden."""

    params: ClassVar[Mapping[str, Param]]
    """The arrays of the model, without `threshold` and `floor`, which every model has."""

    common: ClassVar[Mapping[str, Param]] = {
        "threshold": Param("<f4", positive=True, digits=10),  # the deviation that scores 1, in spreads
        # the smallest deviation that may score 1, in the series' unit
        "floor": Param("<f8", positive=True, digits=10, most=MAX_MAGNITUDE),
    }

    def __init__(self, arrays: Arrays) -> None:
        """The model of these arrays. Their names, types and shapes are checked; they are not copied. See `check`.

        Raises:
            ArtifactCorrupt: an array is missing, unknown, or of another type or shape.
        """
        expected = {**self.params, **self.common}
        if difference := expected.keys() ^ arrays.keys():
            raise ArtifactCorrupt(self.name(), f"array {min(difference)} is missing or unknown")
        self.rows = arrays["threshold"].size
        for name, param in expected.items():
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
        """A row for each history that can be fitted, uncalibrated: the threshold is 1 and the floor negligible.

        Args:
            history: tidied points, one series for each model to fit; values are finite.
        """

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:  # noqa: ARG003  for adapters of libraries to use
        """The arrays of one row, named as in `params`, from an object that the library fitted.

        Args:
            fitted: an object of one of `fitted_types`.
            history: the one series it was fitted to, tidied; values are finite.

        Raises:
            NotReducible: the object cannot be expressed in these arrays; the message says what to use instead.
        """
        raise NotReducible(f"a fitted {type(fitted).__name__} cannot be a row of {cls.name()}")

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """The prediction of row `rows[i]` for the points of series i, by the kernel unless it is overridden.

        Args:
            rows: int64 (series,).
            points: tidied; values may be NaN.
        """
        expected, half_band = self._bound.predict(rows, points.local, points.values, points.offsets)
        return self.banded(points.values, expected, half_band)

    @property
    def carried(self) -> tuple[str, ...] | None:
        """What is carried from point to point, a number each; None where `predict` is asked with all that matters."""
        return self._bound.carried if type(self).predict is Model.predict else None

    def begin(self, rows: NDArray[np.int64]) -> Matrix:
        """What is carried before any point, float64 (series, carried).

        Args:
            rows: int64 (series,).
        """
        return self._bound.begin(rows)

    def advance(self, rows: NDArray[np.int64], state: Matrix, points: Points) -> Prediction:
        """The prediction for points that follow others; `predict` is this from the beginning.

        Points cut into pieces, in whatever way, get the same to the last bit.

        Args:
            rows: int64 (series,).
            state: what is carried from the points before, moved behind the last of these; float64 (series, carried).
            points: tidied; values may be NaN.
        """
        expected, half_band = self._bound.advance(rows, state, points.local, points.values, points.offsets)
        return self.banded(points.values, expected, half_band)

    @functools.cached_property
    def predictor(self) -> Predicts:
        """What predicts, as the scoring kernel calls it: the model's kernel, or a `predict` of its own."""
        return self._bound if type(self).predict is Model.predict else _Predictor(self)

    @functools.cached_property
    def _bound(self) -> Predictor:
        if self.kernel is None:
            raise NotImplementedError(f"{self.name()} has neither a kernel nor a `predict` of its own")
        return self.kernel(self.arrays)

    def tuned_on_held_out(self, held_out: Points, floor: Vector, rate: float) -> Arrays:  # noqa: ARG002  for overrides
        """New values for the arrays that have to be learnt from points the model was not fitted to.

        Most models have none, and this returns an empty mapping. See `with_arrays`.

        Args:
            held_out: one series for each row, tidied; values are finite. A series may be empty.
            floor: the smallest deviation that may score 1, in the series' unit, float64 (rows,).
            rate: false alarms a point that the model will be calibrated to.

        Returns:
            Arrays named as in `params`, with all rows.
        """
        return {}

    def check(self) -> None:
        """Check every value of every array.

        Raises:
            ArtifactCorrupt: a value is not finite, not positive where it has to be, or beyond what fitting can give.
        """
        for name, param in {**self.params, **self.common}.items():
            if fault := param.fault(self.arrays[name]):
                raise ArtifactCorrupt(self.name(), f"array {name} has {fault}")

    def with_arrays(self, replaced: Arrays) -> Self:
        """The same model with some of its arrays replaced."""
        return type(self)({**self.arrays, **replaced}) if replaced else self

    def calibrated(self, threshold: Vector, floor: Vector) -> Self:
        """The same model with this calibration.

        Args:
            threshold: the deviation that scores 1, in spreads, float64 (rows,).
            floor: the smallest deviation that may score 1, in the series' unit, float64 (rows,).
        """
        common = {"threshold": threshold, "floor": floor}
        return self.with_arrays({name: self.common[name].cast(common[name]) for name in common})

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Self:
        """These rows, in this order."""
        chosen = np.asarray(rows, np.int64)
        return type(self)({name: array[chosen] for name, array in self.arrays.items()})

    @classmethod
    def stack(cls, models: Sequence[Self]) -> Self:
        """The rows of all the models, one after the other."""
        return cls({name: np.concatenate([m.arrays[name] for m in models]) for name in models[0].arrays})

    @classmethod
    def row_bytes(cls) -> int:
        """Bytes a row takes."""
        params = [*cls.params.values(), *cls.common.values()]
        return sum(np.dtype(param.dtype).itemsize * math.prod(param.shape) for param in params)

    @classmethod
    def uncalibrated(cls, arrays: Arrays) -> Self:
        """A freshly fitted model from the arrays named in `params`, which are cast to their types.

        Its threshold is 1 and its floor negligible.
        """
        cast = {name: param.cast(np.asarray(arrays[name])) for name, param in cls.params.items()}
        rows = len(next(iter(cast.values())))
        ones, tiny = np.ones(rows, "<f4"), np.full(rows, np.finfo("<f8").tiny)
        return cls({**cast, "threshold": ones, "floor": tiny})

    def half_band(self, rows: NDArray[np.int64], spread: Vector) -> Vector:
        """max(threshold * spread, floor): how far from the expected value the score is 1, float64 (n,).

        Args:
            rows: the row of each point, int64 (n,).
            spread: of each point, in the series' unit, float64 (n,).
        """
        return np.maximum(spread * self.arrays["threshold"][rows], self.arrays["floor"][rows])

    @staticmethod
    def banded(values: Vector, expected: Vector, half_band: Vector) -> Prediction:
        """The prediction with the band `expected` ± `half_band` and the score |values - expected| / half_band.

        Every array is float64 (n,).
        """
        return Prediction(expected, half_band, np.abs(values - expected) / half_band)


class _Predictor:
    """A model without a kernel, as the scoring kernel calls it."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(
        self,
        rows: NDArray[np.int64],
        times: NDArray[np.int64],
        values: Vector,
        offsets: NDArray[np.int64],
        clock: NDArray[np.int64] | None = None,
    ) -> tuple[Vector, Vector]:
        """The expected value and half the band at each point."""
        prediction = self._model.predict(rows, Points(times, values, offsets, clock))
        return prediction.expected, prediction.half_band
