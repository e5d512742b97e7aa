"""Shard: the models of the hosts that hash together, as arrays with an index from series to rows.

Tensors of a shard's safetensors file, for n series and W windows, series in order of their hash:

    index/hash          u64 (n,)        Series.hash
    index/names         u8              UTF-8 of every series' text form, one after the other
    index/name_offsets  u32 (n + 1,)
    index/step          u32 (n,)        seconds between the points of the history
    index/history       i64 (n, 2)      first and last timestamp fitted to
    index/points        u32 (n,)        points fitted to
    index/fitted_at     i64 (n,)        epoch seconds
    index/adapter       u8 (n, W)       position in the metadata's list of adapters, 255 for no model
    index/row           u32 (n, W)      the model's row among those of its window and adapter
    index/combined      f16 (n, 3, 2^W) what an uncalibrated combination is divided by: for weighted, min and max,
                                        and for each subset of the windows as a bit mask
                                        (of a series whose metric is *: what `models.host_scores` says)
    index/limits        f8 (n, 3)       the direction of deviations that matter, 1 for up, -1 for down, 0 for both, the
                                        least and the most a value may be; left out where no series has any
    index/host          f4 (n, 18)      how the metrics of a host go together, see `models.host_components`; left out
                                        where no host has components; zeros of the series of those that have none
                                        of a metric: its center, its scale, its part in each component
                                        of a host: its level, the thresholds of departures and of means, zeros
    WINDOW/ADAPTER/PARAM                the parameters of one window's models of one adapter, a row each
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from myriad.kernels import scoring
from myriad.kernels.scoring import NO_MODEL as NO_MODEL
from myriad.models.base import ROUNDED, Model
from myriad.models.calibration import MIN_EFFECT
from myriad.models.ensemble import COMBINES, MAX_WINDOWS
from myriad.models.errors import ArtifactCorrupt, InvalidKey, MyriadError
from myriad.models.host_components import MOST_COMPONENTS
from myriad.models.key import Series
from myriad.models.names import Names
from myriad.models.windows import Window
from myriad.storage.artifact import pack, views

FORMAT = 1

LATEST = 7_258_118_400
"""The year 2200: no history ends later."""
MAX_STEP = 10 * 366 * 86400
LEAST_COMBINED, MOST_COMBINED = 1e-3, 1e4
"""What training limits combinations to."""

_INDEX: Mapping[str, str] = {
    "hash": "<u8",
    "names": "u1",
    "name_offsets": "<u4",
    "step": "<u4",
    "history": "<i8",
    "points": "<u4",
    "fitted_at": "<i8",
    "adapter": "u1",
    "row": "<u4",
    "combined": "<f2",
}
HOST_COLUMNS = 2 + MOST_COMPONENTS
_OPTIONAL: Mapping[str, tuple[str, int]] = {"host": ("<f4", HOST_COLUMNS), "limits": ("<f8", 3)}
"""The types and columns of arrays that a shard has where some series of it needs them."""
DIRECTIONS: Mapping[int, Literal["up", "down", "both"]] = {1: "up", -1: "down", 0: "both"}
UNLIMITED = (0.0, -np.inf, np.inf)
"""A row of limits."""
_NOTHING: Mapping[str, Sequence[float]] = {"host": (0.0,) * HOST_COLUMNS, "limits": UNLIMITED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Fitted series on their way into shards: what a shard's index holds, in any order.

    Attributes:
        series: their names.
        step, points, fitted_at: int64 (n,), see the module.
        history: int64 (n, 2).
        adapter: u1 (n, W), a position in `adapters`, or `NO_MODEL`.
        row: int64 (n, W), a row of `models[window position, adapter position]`.
        combined: float16 (n, 3, 2^W).
        host: float32 (n, `HOST_COLUMNS`), see the module; None where no host has components.
        limits: float64 (n, 3), see the module; None where no series has any.
        windows: of the second axes.
        adapters: names.
        models: by position of window and adapter.
    """

    series: Sequence[Series]
    step: NDArray[np.int64]
    points: NDArray[np.int64]
    fitted_at: NDArray[np.int64]
    history: NDArray[np.int64]
    adapter: NDArray[np.uint8]
    row: NDArray[np.int64]
    combined: NDArray[np.float16]
    windows: tuple[Window, ...]
    adapters: tuple[str, ...]
    models: Mapping[tuple[int, int], Model]
    host: NDArray[np.float32] | None = None
    limits: NDArray[np.float64] | None = None

    def take(self, chosen: NDArray[np.int64]) -> "Entries":
        """Some of the entries, in this order; their models stay where they are."""
        return replace(
            self,
            series=[self.series[i] for i in chosen.tolist()],
            step=self.step[chosen],
            points=self.points[chosen],
            fitted_at=self.fitted_at[chosen],
            history=self.history[chosen],
            adapter=self.adapter[chosen],
            row=self.row[chosen],
            combined=self.combined[chosen],
            host=None if self.host is None else self.host[chosen],
            limits=None if self.limits is None else self.limits[chosen],
        )


class Shard:
    """An open shard: an index looked up in place and models that are views of its bytes."""

    def __init__(self, name: str, raw: bytes | memoryview, adapter: Callable[[str], type[Model]]) -> None:
        """Open a shard's safetensors file without copying it.

        Args:
            name: of the artifact, for errors.
            raw: the file.
            adapter: gives the model class of a name.

        Raises:
            ArtifactCorrupt: it is not a shard, or not a consistent one.
        """
        arrays, metadata = views(name, raw)
        self.name, self.nbytes = name, len(raw)
        try:
            self._open(arrays, metadata, adapter)
        except (KeyError, ValueError, TypeError, msgspec.DecodeError, MyriadError) as exc:
            raise ArtifactCorrupt(name, f"it is not a shard: {exc}") from exc

    def _open(
        self, arrays: dict[str, NDArray[Any]], metadata: dict[str, str], adapter: Callable[[str], type[Model]]
    ) -> None:
        if metadata.get("format") != str(FORMAT):
            raise ValueError(f"its format is {metadata.get('format')}, not {FORMAT}")
        self.windows = tuple(Window.parse(w) for w in msgspec.json.decode(metadata["windows"], type=list[str]))
        self.adapters = tuple(msgspec.json.decode(metadata["adapters"], type=list[str]))
        index = {key: arrays.pop(f"index/{key}") for key in _INDEX}
        for key, dtype in _INDEX.items():
            if index[key].dtype != np.dtype(dtype):
                raise ValueError(f"index/{key} is {index[key].dtype}, not {dtype}")
        n, w = index["hash"].size, len(self.windows)
        if index["name_offsets"].shape != (n + 1,):
            raise ValueError("index/name_offsets is not one longer than index/hash")
        self.host, self.limits = (_optional(arrays, name, n) for name in _OPTIONAL)
        shapes = {
            **dict.fromkeys(("hash", "step", "points", "fitted_at"), (n,)),
            **dict.fromkeys(("adapter", "row"), (n, w)),
            "names": (int(index["name_offsets"][-1]),),
            "history": (n, 2),
            "combined": (n, len(COMBINES), 1 << min(w, MAX_WINDOWS)),
        }
        for key, shape in shapes.items():
            if index[key].shape != shape:
                raise ValueError(f"index/{key} has shape {list(index[key].shape)}, not {list(shape)}")
        if any((index[key][1:] < index[key][:-1]).any() for key in ("hash", "name_offsets")):
            raise ValueError("its index is not in order")
        self.hashes, self.step, self.points = index["hash"], index["step"], index["points"]
        self.history, self.fitted_at = index["history"], index["fitted_at"]
        self.adapter, self.row, self.combined = index["adapter"], index["row"], index["combined"]
        self._names, self._name_offsets = index["names"], index["name_offsets"]
        groups: dict[tuple[int, int], dict[str, NDArray[Any]]] = {}
        for key, array in arrays.items():
            window, kind, param = key.split("/")
            at = self.windows.index(Window.parse(window)), self.adapters.index(kind)
            groups.setdefault(at, {})[param] = array
        self.models = {at: adapter(self.adapters[at[1]])(group) for at, group in groups.items()}
        for position in range(w):
            self._check_rows(position)

    def _check_rows(self, window: int) -> None:
        for code in np.unique(self.adapter[:, window]).tolist():
            if code != NO_MODEL:
                rows = self.models[window, code].rows
                if int(self.row[:, window][self.adapter[:, window] == code].max()) >= rows:
                    raise ValueError(f"its index names rows beyond the {rows} of {self.windows[window]}")

    def check(self) -> None:
        """Check every value of the index and of the models. It is done once, when an artifact is fetched.

        Raises:
            ArtifactCorrupt: a value is none that training can give; it names the array.
        """
        for key, values, least, most in (
            ("combined", self.combined.astype(np.float32), LEAST_COMBINED, MOST_COMBINED),  # of 4 bytes it is faster
            ("step", self.step, 1, MAX_STEP),
            ("points", self.points, 1, np.inf),
            ("history", self.history, 0, LATEST),
            ("fitted_at", self.fitted_at, 0, LATEST),
        ):
            if values.size and not (least <= values.min() and values.max() <= most):  # nor NaN
                wrong = values[~((values >= least) & (values <= most))][0]
                raise ArtifactCorrupt(
                    self.name, f"index/{key} has the value {wrong:g}; it has to be from {least:g} to {most:g}"
                )
        if (self.history[:, 0] > self.history[:, 1]).any():
            raise ArtifactCorrupt(self.name, "index/history has a history that ends before it begins")
        if self.host is not None and not np.isfinite(self.host).all():
            raise ArtifactCorrupt(self.name, "index/host has a value that is not finite")
        if self.limits is not None and (
            np.isnan(self.limits).any() or not np.isin(self.limits[:, 0], list(DIRECTIONS)).all()
        ):
            raise ArtifactCorrupt(self.name, "index/limits has a value that is no number, or a direction that is none")
        for (window, code), model in self.models.items():
            where = f"{self.windows[window]}/{self.adapters[code]}"
            try:
                model.check()
            except ArtifactCorrupt as exc:
                raise ArtifactCorrupt(self.name, f"{where}: {exc}") from exc
            if model.arrays["floor"].min(initial=np.inf) < MIN_EFFECT / ROUNDED:
                raise ArtifactCorrupt(
                    self.name, f"{where}/floor has a value below {MIN_EFFECT:g}: calibrate its models"
                )

    def __len__(self) -> int:
        """How many series."""
        return len(self.hashes)

    def name_of(self, position: int) -> Series:
        """The series at a position of the index."""
        return Series.parse(self._name_bytes(position).decode())

    def find(self, names: Names) -> NDArray[np.int64]:
        """The position of each series in the index, -1 where it is not in it; int64 (series,)."""
        return self.index.find(names.hashes, np.ascontiguousarray(names.codes), *names.packed)

    @cached_property
    def index(self) -> scoring.Index:
        """The names, as the kernels look for them."""
        return scoring.Index(self.hashes, self._names, self._name_offsets)

    @cached_property
    def table(self) -> scoring.Table:
        """The rows, as the scoring kernel reads them."""
        predictors = {at: model.predictor for at, model in self.models.items()}
        return scoring.Table(self.adapter, self.row, self.step, self.combined, predictors, self.adapters, self.limits)

    def metrics_of(self, host: Series) -> int:
        """How many series of a host have models; those of a host whose hash begins alike count too."""
        upper = np.uint64(host.hash) >> np.uint64(32)
        first, end = (
            int(np.searchsorted(self.hashes >> np.uint64(32), upper, side=side)) for side in ("left", "right")
        )
        return int((self.adapter[first:end] != NO_MODEL).any(axis=1).sum())

    def _name_bytes(self, position: int) -> bytes:
        return self._names[self._name_offsets[position] : self._name_offsets[position + 1]].tobytes()


def _optional(arrays: dict[str, NDArray[Any]], name: str, n: int) -> NDArray[Any] | None:
    """An array of n series that not every file has, taken from a file's arrays."""
    array, (dtype, columns) = arrays.pop(f"index/{name}", None), _OPTIONAL[name]
    if array is not None and (array.dtype != np.dtype(dtype) or array.shape != (n, columns)):
        raise ValueError(f"index/{name} is {array.dtype}{list(array.shape)}, not {dtype}{[n, columns]}")
    return array


def pack_shard(entries: Entries) -> bytes:
    """The safetensors file of a shard holding the entries, which may be in any order.

    Raises:
        InvalidKey: a series is there twice.
    """
    hashes = np.array([series.hash for series in entries.series], np.uint64)
    names = np.array([str(series).encode() for series in entries.series], object)
    chosen = np.lexsort((names, hashes))
    names = names[chosen]
    for before, name in itertools.pairwise(names):
        if before == name:
            raise InvalidKey("series", name.decode(), "is there twice")
    adapter, row = entries.adapter[chosen], np.zeros((len(chosen), len(entries.windows)), np.uint32)
    groups: dict[str, NDArray[Any]] = {}
    for (window, code), model in entries.models.items():
        mine = adapter[:, window] == code
        if mine.any():
            row[mine, window] = np.arange(mine.sum())
            kept = model.take(entries.row[chosen[mine], window])
            prefix = f"{entries.windows[window]}/{entries.adapters[code]}"
            groups |= {f"{prefix}/{param}": array for param, array in kept.arrays.items()}
    index: dict[str, NDArray[Any]] = {
        "hash": hashes[chosen],
        "names": np.frombuffer(b"".join(names), np.uint8),
        "name_offsets": np.cumsum([0, *map(len, names)]),
        "step": entries.step[chosen],
        "history": entries.history[chosen],
        "points": entries.points[chosen],
        "fitted_at": entries.fitted_at[chosen],
        "adapter": adapter,
        "row": row,
        "combined": entries.combined[chosen],
    }
    typed = {f"index/{key}": index[key].astype(dtype) for key, dtype in _INDEX.items()}
    for key, (dtype, _) in _OPTIONAL.items():
        array: NDArray[Any] | None = getattr(entries, key)
        if array is not None and (array != _NOTHING[key]).any():
            typed[f"index/{key}"] = array[chosen].astype(dtype)
    encode = msgspec.json.encode
    metadata = {
        "format": str(FORMAT),
        "windows": encode([str(w) for w in entries.windows]).decode(),
        "adapters": encode(list(entries.adapters)).decode(),
    }
    return pack({**typed, **groups}, metadata)


def entries_of(shard: Shard) -> Entries:
    """What an open shard holds, for publishing it anew with some of it changed."""
    return Entries(
        series=[shard.name_of(position) for position in range(len(shard))],
        step=shard.step.astype(np.int64),
        points=shard.points.astype(np.int64),
        fitted_at=shard.fitted_at,
        history=shard.history,
        adapter=shard.adapter,
        row=shard.row.astype(np.int64),
        combined=shard.combined,
        windows=shard.windows,
        adapters=shard.adapters,
        models=shard.models,
        host=shard.host,
        limits=shard.limits,
    )


def concatenated(parts: Sequence[Entries]) -> Entries:
    """The entries of all the parts, which have the same windows."""
    names = tuple(sorted({name for part in parts for name in part.adapters}))
    models: dict[tuple[int, int], list[Model]] = {}
    adapter, row = [], []
    for part in parts:
        new_code = np.full(NO_MODEL + 1, NO_MODEL, np.uint8)
        new_code[: len(part.adapters)] = [names.index(name) for name in part.adapters]
        moved = part.row.copy()
        for (window, code), model in part.models.items():
            there = models.setdefault((window, int(new_code[code])), [])
            moved[part.adapter[:, window] == code, window] += sum(m.rows for m in there)
            there.append(model)
        adapter.append(new_code[part.adapter])
        row.append(moved)
    return Entries(
        series=[series for part in parts for series in part.series],
        step=np.concatenate([part.step for part in parts]),
        points=np.concatenate([part.points for part in parts]),
        fitted_at=np.concatenate([part.fitted_at for part in parts]),
        history=np.concatenate([part.history for part in parts]),
        adapter=np.concatenate(adapter),
        row=np.concatenate(row),
        combined=np.concatenate([part.combined for part in parts]),
        windows=parts[0].windows,
        adapters=names,
        models={at: stacked[0].stack(stacked) for at, stacked in models.items()},
        **{name: _stacked(parts, name) for name in _OPTIONAL},
    )


def _stacked(parts: Sequence[Entries], name: str) -> NDArray[Any] | None:
    """An array that not all parts have; None where none has."""
    arrays = [getattr(part, name) for part in parts]
    if all(array is None for array in arrays):
        return None
    nothing = np.array([_NOTHING[name]], _OPTIONAL[name][0])
    lengths = [len(part.series) for part in parts]
    return np.concatenate([np.repeat(nothing, n, 0) if a is None else a for a, n in zip(arrays, lengths, strict=True)])
