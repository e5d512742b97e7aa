"""pyod: how unlikely a window is by PyOD's kernel density estimate of usual windows.

Of the detectors that are small once fitted, KDE's score is the only one that goes on growing with the deviation: those
of ECOD, HBOS, LODA and IForest end where the history does, and a threshold rarer than the history could then never be
exceeded. PCA is an adapter of its own.

A window is how far a value is from the last, how far the last is from the mean of the lags, and the time of the day.
Of the same density, the mean of the first given the others is what is expected (the Nadaraya-Watson estimate: Watson,
"Smooth regression analysis", 1964). A deviation of d spreads is a window as much less likely than the likeliest as a
normal one d standard deviations out: d^2 / 2 in PyOD's score. The band is where a value as far off as this one would
score 1, so it moves with the value; within `NARROWEST` and `WIDEST`.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import LAGS, Matrix
from myriad.adapters._scaled import Scale, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import ArtifactCorrupt, NotReducible
from myriad.models.points import Points

SAMPLES = 96
"""Windows a density may be made of."""
COLUMNS = 4
BANDWIDTH = 1.5
"""In spreads; with a third of it, thresholds hang on which windows happen to be samples."""
NARROWEST, WIDEST = 1e-2, 1e2
"""In spreads: bounds of what counts as a deviation of 1."""
POINTS_AT_ONCE = 256
"""So that their samples stay in the processor's cache."""
INSTEAD = {
    "IForest": "isolation_forest",
    "PCA": "pca",
    "AutoEncoder": "onnx",
    "VAE": "onnx",
    "DeepSVDD": "onnx",
    "LUNAR": "onnx",
}
"""Adapters that take what other detectors are."""


class Pyod(Model):
    """Windows whose neighbourhoods are usual, and how wide those are."""

    version = 100 * _features.VERSION + 1
    library = "pyod"
    fitted_types = ("pyod.models.kde.KDE",)

    params: ClassVar = {
        **_scaled.PARAMS,  # the spread is that around the last value
        "drift": Param("<f4", positive=True, digits=10),  # the spread of the last value around the mean of the lags
        "samples": Param("<f4", (SAMPLES, COLUMNS), digits=16),
        "size": Param("<i4", positive=True),  # how many samples there are; zeros follow
        "bandwidth": Param("<f4", positive=True),
        "least": Param("<f4"),  # the score of the likeliest window of the history
    }

    @classmethod
    def fit(cls, history: Points, *, bandwidth: float = BANDWIDTH) -> Fit[Self]:
        """PyOD's KDE of 96 windows of each series; at least 100 points are needed."""
        return _scaled.fit_each(cls, history, lambda one: cls.reduced(_fitted(windows(one), bandwidth), one))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """The samples of a KDE fitted to at most 96 of `windows(history)`."""
        samples = _samples(fitted)
        padded = np.zeros((SAMPLES, COLUMNS))
        padded[: len(samples)] = samples
        own = _scaled.scale(history)
        spread, drift = _spreads(_scaled.examples(history, own))
        return own.row(
            spread,
            drift=drift,
            samples=padded,
            size=np.array(len(samples)),
            bandwidth=np.array(fitted.kde_.bandwidth_),
            least=np.array(fitted.decision_scores_.min()),
        )

    def check(self) -> None:
        """Also the sizes."""
        super().check()
        if (self.arrays["size"] > SAMPLES).any():
            raise ArtifactCorrupt(self.name(), f"a density is said to have more than {SAMPLES} samples")

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """What the density expects of each point after those before it, and how unlikely it finds what came."""
        at = np.repeat(rows, points.lengths)
        own = Scale(self.arrays["center"], self.arrays["unit"]).at(at)
        scaled = own.scaled(points)
        features, depth = _scaled.known(scaled)
        spread = self.arrays["spread"][at, depth].astype(np.float64)
        seen = _windows(np.nan_to_num(scaled.values), features, spread, self.arrays["drift"][at])
        strayed, score = self._judged(at, seen)
        expected = own.center + own.unit * np.clip(features[:, 0] + spread * strayed, -_scaled.CLIP, _scaled.CLIP)
        spread = own.unit * spread
        off = np.abs(points.values - expected) / spread
        deviation = np.sqrt(2 * np.maximum(score - self.arrays["least"][at], 0))
        per_deviation = np.divide(off, deviation, out=np.full(len(at), WIDEST), where=deviation > off / WIDEST)
        per_deviation = np.where(np.isnan(off), 1.0, np.maximum(per_deviation, NARROWEST))
        return self.banded(points.values, expected, self.half_band(at, spread * per_deviation))

    def _judged(self, at: NDArray[np.int64], seen: Matrix) -> tuple[Vector, Vector]:
        """Expected first column and PyOD's score of windows."""
        parts = [slice(first, first + POINTS_AT_ONCE) for first in range(0, len(at), POINTS_AT_ONCE)]
        judged = [self._judged_at_once(at[part], seen[part]) for part in parts]
        strayed, score = ([one[i] for one in judged] for i in (0, 1))
        return np.concatenate([np.empty(0), *strayed]), np.concatenate([np.empty(0), *score])

    def _judged_at_once(self, at: NDArray[np.int64], seen: Matrix) -> tuple[Vector, Vector]:
        samples, size = self.arrays["samples"][at].astype(np.float64), self.arrays["size"][at]
        width = self.arrays["bandwidth"][at].astype(np.float64)
        away = seen[:, None, :] - samples
        away *= away
        away *= (-0.5 / width**2)[:, None, None]
        away[np.arange(SAMPLES) >= size[:, None]] = -np.inf
        context = away[:, :, 1:].sum(axis=2)
        near = np.exp(context - context.max(axis=1, keepdims=True))
        strayed = (near * samples[:, :, 0]).sum(axis=1) / near.sum(axis=1)
        whole = context + away[:, :, 0]
        closest = whole.max(axis=1)
        density = closest + np.log(np.exp(whole - closest[:, None]).sum(axis=1))
        return strayed, np.log(size) + COLUMNS * np.log(np.sqrt(2 * np.pi) * width) - density


def windows(history: Points, count: int = SAMPLES) -> Matrix:
    """What a KDE is to be fitted to: `count` windows of a single series, (count, 4)."""
    learnt = _scaled.examples(history, _scaled.scale(history))
    spread, drift = _spreads(learnt)
    every = _windows(learnt.values, learnt.features(), spread[-1:], drift)
    return every[np.linspace(0, len(every) - 1, min(count, len(every))).astype(np.int64)]


def _spreads(learnt: _scaled.Examples) -> tuple[Vector, Vector]:
    """Of values around the last, by depth, and of the last around the mean of the lags, (); in units."""
    spread = _scaled.spreads(learnt, lambda features, _: features[:, 0])
    drift = np.abs(_drifted(learnt.features())).mean()
    return spread, np.maximum(np.sqrt(np.pi / 2) * drift, _scaled.SMALLEST_SPREAD)


def _drifted(features: Matrix) -> Vector:
    return np.asarray(features[:, 0] - features[:, : len(LAGS)].mean(axis=1))


def _windows(values: Vector, features: Matrix, spread: Vector, drift: Vector) -> Matrix:
    day = features[:, len(LAGS) : len(LAGS) + 2]
    return np.column_stack([(values - features[:, 0]) / spread, _drifted(features) / drift, day])


def _fitted(matrix: Matrix, bandwidth: float) -> Any:
    from pyod.models.kde import KDE

    return KDE(bandwidth=bandwidth).fit(matrix)


def _samples(fitted: Any) -> Matrix:
    """The windows a KDE is made of, if it is one that can be a row."""
    name = type(fitted).__name__
    density = getattr(fitted, "kde_", None)
    if density is None:
        raise NotReducible(f"PyOD's {name} is no row of pyod; use its KDE or the adapter {INSTEAD.get(name, 'pca')}")
    if density.kernel != "gaussian" or density.metric not in {"minkowski", "euclidean"} or density.metric_params:
        raise NotReducible("only Euclidean distances can be a row of pyod; use KDE with its usual metric")
    samples = np.asarray(density.tree_.data)
    if samples.shape[1] != COLUMNS or len(samples) > SAMPLES:
        raise NotReducible(
            f"the KDE was fitted to a matrix {list(samples.shape)}; fit one to adapters.pyod.windows(history), "
            f"at most {SAMPLES} rows of {COLUMNS} columns"
        )
    return samples
