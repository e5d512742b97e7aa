"""pyod: the density of a window by PyOD's kernel density estimate (KDE) of the history's windows.

    window    = (value - last) / spread, (last - mean of the lags) / drift, sine and cosine of the time of the day
    expected  = last + spread * E[first column | the other columns]
    deviation = sqrt(2 (PyOD's score of the window - the lowest score in the history)), in spreads

The conditional expectation is that of the same density (the Nadaraya-Watson estimate: Watson, "Smooth regression
analysis", 1964). PyOD's score is the negative log density, so that `deviation` is d for a normal density at d standard
deviations. It is not proportional to |value - expected|. So the width of the band depends on the value: it is the one
at which |value - expected| gives this deviation, within `NARROWEST` and `WIDEST`.

Of PyOD's small detectors, KDE is the only one whose score grows without limit. The scores of ECOD, HBOS, LODA and
IForest are constant outside the range of the history, so that a threshold rarer than the history would never be
exceeded. For PCA there is the adapter `pca`.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters import _features, _scaled
from myriad.adapters._features import LAGS
from myriad.adapters._scaled import Scale
from myriad.models.arrays import Matrix, Vector
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.errors import ArtifactCorrupt, NotReducible
from myriad.models.points import Points
from myriad.models.robust import MEAN_DEVIATION_TO_STD

SAMPLES = 96
"""The most windows in a density."""
COLUMNS = 4
BANDWIDTH = 1.5
"""In spreads; with a third of it, thresholds depend on the choice of the windows."""
NARROWEST, WIDEST = 1e-2, 1e2
"""Bounds of |value - expected| / deviation, in spreads."""
POINTS_AT_ONCE = 256
"""Their samples fit into the processor's cache."""
OTHER_ADAPTERS = {
    "IForest": "isolation_forest",
    "PCA": "pca",
    "AutoEncoder": "onnx",
    "VAE": "onnx",
    "DeepSVDD": "onnx",
    "LUNAR": "onnx",
}
"""The adapters to use for other detectors of PyOD."""


class Pyod(Model):
    """Windows of the history, and the bandwidth of their kernel density."""

    version = 100 * _features.VERSION + 1
    library = "pyod"
    fitted_types = ("pyod.models.kde.KDE",)

    params: ClassVar = {
        **_scaled.PARAMS,  # the spread is that of a value around the last one
        "drift": Param("<f4", positive=True, digits=10),  # the spread of the last value around the mean of the lags
        "samples": Param("<f4", (SAMPLES, COLUMNS), digits=16),
        "size": Param("<i4", positive=True),  # the number of samples; zeros follow
        "bandwidth": Param("<f4", positive=True),
        "least": Param("<f4"),  # the lowest score in the history
    }

    @classmethod
    def fit(cls, history: Points, *, bandwidth: float = BANDWIDTH) -> Fit[Self]:
        """PyOD's KDE of 96 windows of each series; at least 100 points are needed."""
        return _scaled.fit_each(cls, history, lambda series: cls.reduced(_fitted(windows(series), bandwidth), series))

    @classmethod
    def reduced(cls, fitted: Any, history: Points) -> Arrays:
        """One row of a KDE fitted to at most 96 of `windows(history)`."""
        samples = _samples(fitted)
        padded = np.zeros((SAMPLES, COLUMNS))
        padded[: len(samples)] = samples
        scale = _scaled.scale(history)
        spread, drift = _spreads(_scaled.examples(history, scale))
        return scale.row(
            spread,
            drift=drift,
            samples=padded,
            size=np.array(len(samples)),
            bandwidth=np.array(fitted.kde_.bandwidth_),
            least=np.array(fitted.decision_scores_.min()),
        )

    def check(self) -> None:
        """Check every value, and that sizes do not exceed the capacity."""
        super().check()
        if (self.arrays["size"] > SAMPLES).any():
            raise ArtifactCorrupt(self.name(), f"a density is said to have more than {SAMPLES} samples")

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """One-step predictions, and bands from the density of each window."""
        at = np.repeat(rows, points.lengths)
        scale = Scale(self.arrays["center"], self.arrays["unit"]).at(at)
        scaled = scale.scaled(points)
        features, depth = _scaled.features_and_depth(scaled)
        spread = self.arrays["spread"][at, depth].astype(np.float64)
        window = _windows(np.nan_to_num(scaled.values), features, spread, self.arrays["drift"][at])
        step, score = self._expected_and_score(at, window)
        expected = scale.center + scale.unit * np.clip(features[:, 0] + spread * step, -_scaled.CLIP, _scaled.CLIP)
        spread = scale.unit * spread
        distance = np.abs(points.values - expected) / spread
        deviation = np.sqrt(2 * np.maximum(score - self.arrays["least"][at], 0))
        per_deviation = np.divide(
            distance, deviation, out=np.full(len(at), WIDEST), where=deviation > distance / WIDEST
        )
        per_deviation = np.where(np.isnan(distance), 1.0, np.maximum(per_deviation, NARROWEST))
        return self.banded(points.values, expected, self.half_band(at, spread * per_deviation))

    def _expected_and_score(self, at: NDArray[np.int64], windows: Matrix) -> tuple[Vector, Vector]:
        """The conditional mean of the first column, in spreads, and PyOD's score of each window, both (n,)."""
        parts = [slice(first, first + POINTS_AT_ONCE) for first in range(0, len(at), POINTS_AT_ONCE)]
        results = [self._of_chunk(at[part], windows[part]) for part in parts]
        expected, score = ([result[i] for result in results] for i in (0, 1))
        return np.concatenate([np.empty(0), *expected]), np.concatenate([np.empty(0), *score])

    def _of_chunk(self, at: NDArray[np.int64], windows: Matrix) -> tuple[Vector, Vector]:
        samples, size = self.arrays["samples"][at].astype(np.float64), self.arrays["size"][at]
        width = self.arrays["bandwidth"][at].astype(np.float64)
        log_kernel = windows[:, None, :] - samples
        log_kernel *= log_kernel
        log_kernel *= (-0.5 / width**2)[:, None, None]
        log_kernel[np.arange(SAMPLES) >= size[:, None]] = -np.inf
        context = log_kernel[:, :, 1:].sum(axis=2)
        weights = np.exp(context - context.max(axis=1, keepdims=True))
        expected = (weights * samples[:, :, 0]).sum(axis=1) / weights.sum(axis=1)
        joint = context + log_kernel[:, :, 0]
        largest = joint.max(axis=1)
        log_sum = largest + np.log(np.exp(joint - largest[:, None]).sum(axis=1))
        return expected, np.log(size) + COLUMNS * np.log(np.sqrt(2 * np.pi) * width) - log_sum


def windows(history: Points, count: int = SAMPLES) -> Matrix:
    """What a KDE has to be fitted to: `count` windows of a single series, (count, 4)."""
    examples = _scaled.examples(history, _scaled.scale(history))
    spread, drift = _spreads(examples)
    every = _windows(examples.values, examples.features(), spread[-1:], drift)
    return every[np.linspace(0, len(every) - 1, min(count, len(every))).astype(np.int64)]


def _spreads(examples: _scaled.Examples) -> tuple[Vector, Vector]:
    """The spread of values around the last, by depth, and of the last around the mean of the lags, (); in units."""
    spread = _scaled.spreads(examples, lambda features, _: features[:, 0])
    drift = np.abs(_drift(examples.features())).mean()
    return spread, np.maximum(MEAN_DEVIATION_TO_STD * drift, _scaled.MIN_SPREAD)


def _drift(features: Matrix) -> Vector:
    """The last value minus the mean of the lags, (n,)."""
    return np.asarray(features[:, 0] - features[:, : len(LAGS)].mean(axis=1))


def _windows(values: Vector, features: Matrix, spread: Vector, drift: Vector) -> Matrix:
    day = features[:, len(LAGS) : len(LAGS) + 2]
    return np.column_stack([(values - features[:, 0]) / spread, _drift(features) / drift, day])


def _fitted(matrix: Matrix, bandwidth: float) -> Any:
    from pyod.models.kde import KDE

    return KDE(bandwidth=bandwidth).fit(matrix)


def _samples(fitted: Any) -> Matrix:
    """The windows a KDE was fitted to, if it can be a row."""
    name = type(fitted).__name__
    density = getattr(fitted, "kde_", None)
    if density is None:
        raise NotReducible(
            f"PyOD's {name} is no row of pyod; use its KDE or the adapter {OTHER_ADAPTERS.get(name, 'pca')}"
        )
    if density.kernel != "gaussian" or density.metric not in {"minkowski", "euclidean"} or density.metric_params:
        raise NotReducible("only Euclidean distances can be a row of pyod; use KDE with its usual metric")
    samples = np.asarray(density.tree_.data)
    if samples.shape[1] != COLUMNS or len(samples) > SAMPLES:
        raise NotReducible(
            f"the KDE was fitted to a matrix {list(samples.shape)}; fit one to adapters.pyod.windows(history), "
            f"at most {SAMPLES} rows of {COLUMNS} columns"
        )
    return samples
