"""Export: a model somebody fitted in a notebook, as a file that a release takes in without fitting anything.

The file is NumPy's `.npz` without pickle: `about` is JSON, `row/NAME` the arrays of the one row, and `calibration/`
has the points it was calibrated on.
"""

import io
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from myriad import adapters
from myriad.formats.columns.table import demand, numbers, timestamps, unscorable
from myriad.formats.columns.timestamps import LATEST
from myriad.models import calibration as calibrating
from myriad.models.base import Model
from myriad.models.errors import ArtifactCorrupt, HistoryUnusable, InvalidPoints, MyriadError, NotReducible
from myriad.models.key import ModelKey
from myriad.models.points import MAX_MAGNITUDE, Points
from myriad.models.windows import MIN_COVERAGE, aggregate, usual_step

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
MAX_BYTES = 64 << 20
"""No file is read that is larger than this, or says it decompresses to more."""

SeriesData: TypeAlias = "pd.DataFrame | pa.Table | Points"
"""One series: a table with the columns timestamp and value, or points."""


class _About(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    format: int
    key: str
    adapter: str
    version: int
    step: int
    span: tuple[int, int]
    points: int
    rate: float
    coverage: float
    realised_rate: float
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exported:
    """One fitted and calibrated model, ready for `myriad import`.

    Attributes:
        key: the series and the window it is of.
        adapter: its name.
        model: one row.
        step: seconds between the points of the history.
        span: the first and last time of the history.
        points: of the history.
        rate: of false alarms a point that it is calibrated to.
        coverage: the least share of a window's points.
        realised_rate: the share of the calibration's points that score above 1.
        calibration: the points it was calibrated on, before any window.
        versions: of NumPy and of the library that fitted it.
    """

    key: ModelKey
    adapter: str
    model: Model
    step: int
    span: tuple[int, int]
    points: int
    rate: float
    coverage: float
    realised_rate: float
    calibration: Points
    versions: Mapping[str, str]

    def save(self, path: "str | PathLike[str]") -> Path:
        """Write it to a file, and give the file's path."""
        about = _About(
            format=FORMAT,
            key=str(self.key),
            adapter=self.adapter,
            version=self.model.version,
            step=self.step,
            span=self.span,
            points=self.points,
            rate=self.rate,
            coverage=self.coverage,
            realised_rate=self.realised_rate,
            versions=dict(self.versions),
        )
        arrays: dict[str, Any] = {
            "about": np.frombuffer(msgspec.json.encode(about), np.uint8),
            "calibration/timestamps": self.calibration.timestamps,
            "calibration/values": self.calibration.values,
            **{f"row/{name}": array for name, array in self.model.arrays.items()},
        }
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)
        return Path(path)

    @classmethod
    def load(cls, path: "str | PathLike[str]") -> Self:
        """What `save` wrote.

        Raises:
            ArtifactCorrupt: the file is something else, or is damaged; or its model is of another version of the
                adapter.
        """
        name = Path(path).name
        try:
            return cls._of(_arrays(Path(path)))
        except (ValueError, TypeError, KeyError, EOFError, MyriadError) as exc:
            raise ArtifactCorrupt(name, f"it is not a saved export: {exc}") from exc

    @classmethod
    def _of(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        about = msgspec.json.decode(arrays.pop("about").tobytes(), type=_About)
        points = _checked(arrays.pop("calibration/timestamps"), arrays.pop("calibration/values"))
        kind = adapters.get(about.adapter)
        if about.format != FORMAT or about.version != kind.version:
            raise ValueError(
                f"it is of format {about.format} and of version {about.version} of {about.adapter}, "
                f"not {FORMAT} and {kind.version}: export it anew"
            )
        model = kind({array.removeprefix("row/"): arrays[array] for array in arrays})
        model.check()
        first, last = about.span
        if model.rows != 1 or not 0 <= first <= last <= LATEST or not 0 < about.points < 1 << 32:
            raise ValueError("it is not one row of a history")
        if not (0 < about.rate < 0.5 and 0 <= about.coverage <= 1 and 0 < about.step < 1 << 32):
            raise ValueError("its rate, coverage or step is none")
        return cls(
            key=ModelKey.parse(about.key),
            adapter=about.adapter,
            model=model,
            step=about.step,
            span=about.span,
            points=about.points,
            rate=about.rate,
            coverage=about.coverage,
            realised_rate=about.realised_rate,
            calibration=points,
            versions=about.versions,
        )


def export(
    fitted: Any,
    *,
    key: "str | ModelKey",
    calibration: SeriesData,
    history: "SeriesData | None" = None,
    adapter: str | None = None,
    rate: float = calibrating.DEFAULT_RATE,
    coverage: float = MIN_COVERAGE,
) -> Exported:
    """A model that a library fitted, as one row calibrated for a release.

    Args:
        fitted: an object of one of some adapter's `fitted_types`, fitted to `windowed(history, key)` as the adapter's
            `reduced` says.
        key: of the model, as `us-east-1/web-042/cpu_util/15m`.
        calibration: the series at times after those it was fitted to. The threshold is what its errors on these
            points exceed at the rate. A model has seen what it was fitted to, and errs less there: calibrated on
            that, it gives more false alarms than the rate says.
        history: the series it was fitted to. Without, `calibration` stands for both, with the false alarms that
            come of it; and a model of scaled lags expects the wrong values where it was fitted to something else.
        adapter: which is to take it, where several could.
        rate: false alarms a point; that of the release.
        coverage: the least share of a window's points; that of the release.

    Raises:
        NotReducible: no adapter takes objects of this type, or this one cannot be a row.
        HistoryUnusable: too few points to calibrate on.
        InvalidPoints: a table is not one of timestamps and values.
        InvalidKey: the key is none.
    """
    if not (0 < rate < 0.5 and 0 <= coverage <= 1):
        raise InvalidPoints(f"rate is {rate} and coverage {coverage}; they are between 0 and 0.5, and 0 and 1")
    name = adapter or _taking(fitted)
    own = key if isinstance(key, ModelKey) else ModelKey.parse(key)
    held = points_of(calibration)
    past = held if history is None else points_of(history)
    step = usual_step(past)
    learnt, seen = (_seen(points, own, step, coverage) for points in (past, held))
    if len(seen.values) < calibrating.MIN_HOLDOUT or len(learnt.values) == 0:
        raise HistoryUnusable(
            f"{len(seen.values)} of the calibration's {len(held.values)} points have a value at {own.window}; "
            f"at least {calibrating.MIN_HOLDOUT} are needed"
        )
    model, realised = _calibrated(_reduced(name, fitted, learnt), learnt, seen, rate)
    return Exported(
        key=own,
        adapter=name,
        model=model,
        step=int(step[0]),
        span=(int(past.timestamps[0]), int(past.timestamps[-1])),
        points=len(past.values),
        rate=rate,
        coverage=coverage,
        realised_rate=realised,
        calibration=held,
        versions=_versions(fitted),
    )


def windowed(history: SeriesData, key: "str | ModelKey", *, coverage: float = MIN_COVERAGE) -> Points:
    """A series as models of a key's window see it, to fit one to.

    Args:
        history: the series.
        key: of a model; only its window counts.
        coverage: the least share of a window's points.

    Returns:
        The mean of the window up to each point, at the points' times, where the window has points enough.

    Raises:
        InvalidPoints, InvalidKey: as `export`.
    """
    points = points_of(history)
    own = key if isinstance(key, ModelKey) else ModelKey.parse(key)
    return _seen(points, own, usual_step(points), coverage)


def points_of(history: SeriesData) -> Points:
    """One series from a table with the columns timestamp and value, or from points; tidied, values finite.

    Raises:
        InvalidPoints: a column is missing or of a type it cannot be, or a point cannot be scored.
    """
    if isinstance(history, Points):
        points = history
    else:
        table = history if isinstance(history, pa.Table) else pa.Table.from_pandas(history, preserve_index=False)
        demand(("timestamp", "value"), table.column_names)
        points = Points.of((timestamps(table), numbers(table, "value")))
    if len(points) != 1:
        raise InvalidPoints(f"there are {len(points)} series; a model is of one")
    for why in unscorable(points, points.values).values():
        raise why
    return points.where(np.isfinite(points.values)).tidied().points


def _taking(fitted: Any) -> str:
    """The adapter that takes an object, told by the names of its classes: no library is imported."""
    takes = {name: adapters.get(name).fitted_types for name in adapters.names()}
    for kind in map(_named, type(fitted).__mro__):
        for name, kinds in takes.items():
            if kind in kinds:
                return name
    library = type(fitted).__module__.partition(".")[0]
    same = {
        name: [kind.rpartition(".")[2] for kind in kinds if kind.startswith(f"{library}.")]
        for name, kinds in takes.items()
    }
    some = "; ".join(f"{name} takes {', '.join(kinds)}" for name, kinds in same.items() if kinds)
    every = ", ".join(sorted({kind.partition(".")[0] for kinds in takes.values() for kind in kinds} - {"builtins"}))
    which = f"of {library}, {some}" if some else f"there are some for objects of {every}"
    raise NotReducible(f"no adapter takes a {_named(type(fitted))}; {which}")


def _reduced(name: str, fitted: Any, learnt: Points) -> Model:
    kind = adapters.get(name)
    model = kind.uncalibrated(kind.reduced(fitted, learnt))
    try:
        model.check()
    except ArtifactCorrupt as exc:
        raise NotReducible(f"this {type(fitted).__name__} is not sound: {exc}") from exc
    return model


def _calibrated(model: Model, learnt: Points, seen: Points, rate: float) -> tuple[Model, float]:
    """The model with its threshold and floor, and the share of the points seen that score above 1."""
    prediction = model.predict(np.zeros(1, np.int64), seen)
    deviations = np.abs(seen.values - prediction.expected) / ((prediction.upper - prediction.lower) / 2)
    limit = np.clip(
        calibrating.threshold(deviations, rate), np.finfo(np.float32).tiny, calibrating.MAX_THRESHOLD, dtype=np.float64
    )
    floor = np.maximum(calibrating.effect_floor(learnt), calibrating.effect_floor(seen))
    model = model.calibrated(np.array([limit]), floor)
    return model, float((model.predict(np.zeros(1, np.int64), seen).score > 1).mean())


def _seen(points: Points, key: ModelKey, step: NDArray[np.int64], coverage: float) -> Points:
    (values,) = aggregate(points, (key.window,), step, coverage)
    return points.with_values(values).where(np.isfinite(values))


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _versions(fitted: Any) -> dict[str, str]:
    library = type(fitted).__module__.partition(".")[0]
    modules: dict[str, Any] = {name: sys.modules[name] for name in ("numpy", library) if name in sys.modules}
    found = {name: getattr(module, "__version__", None) for name, module in modules.items()}
    return {name: str(version) for name, version in found.items() if version}


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, read without unpickling anything."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    data = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(data) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it claims to hold more than {MAX_BYTES} bytes")
        with np.load(data, allow_pickle=False) as there:
            arrays = {name: there[name] for name in there.files}
    except (zipfile.BadZipFile, zlib.error, tokenize.TokenError, OSError, MemoryError, RuntimeError) as exc:
        raise ValueError(str(exc)) from exc
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("something in it is no array")
    return arrays


def _checked(times: NDArray[Any], values: NDArray[Any]) -> Points:
    """The points of a file, which may be anything."""
    if times.dtype != np.int64 or values.dtype != np.float64 or times.ndim != 1 or times.shape != values.shape:
        raise ValueError("its calibration is not of timestamps and values")
    if not (np.abs(values) <= MAX_MAGNITUDE).all() or ((times < 0) | (times > LATEST)).any():
        raise ValueError("a point of its calibration is none")
    if (np.diff(times) <= 0).any():
        raise ValueError("its calibration is not in order of time")
    return Points.of((times, values))
