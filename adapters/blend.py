"""blend: three kinds of model combined into one score, relative to how large that score has been lately.

    member score = deviation / max(member threshold * member spread, floor)
    combined     = mean over the members of member score, its logarithm above LINEAR
    score        = combined / its exponential moving average, with a threshold of its own

The members differ in what they adapt to: `rhythm` to a shift that lasts for hours, `mad` to what most of the last
points were like, and `seasonal` to nothing outside its history. A value that is unusual for all three is seldom normal.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters.mad import Mad
from myriad.adapters.rhythm import Rhythm
from myriad.adapters.seasonal import Seasonal
from myriad.kernels import predictors
from myriad.kernels.predictors import AVERAGE_CLIP as CLIP
from myriad.kernels.predictors import BLEND_THRESHOLD as THRESHOLD
from myriad.kernels.predictors import LINEAR
from myriad.models import calibration
from myriad.models.arrays import Vector
from myriad.models.base import Arrays, Fit, Model, Param
from myriad.models.points import Points
from myriad.models.windows import usual_step

MEMBERS: tuple[type[Model], ...] = (Rhythm, Mad, Seasonal)
AVERAGE_HALF_LIFE = 86_400
"""Of the moving average of the combined score, in seconds."""
MIN_USUAL = 1e-6
MIN_FLOOR = float(np.finfo(np.float64).tiny)


class Blend(Model):
    """A row of each member, and the mean of their combined score.

    The score is not proportional to the deviation from the members' weighted mean. So the band depends on the value:
    its width is the one at which the deviation of this value gives the combined score.
    """

    kernel = predictors.Blend
    version = sum(100**place * member.version for place, member in enumerate(MEMBERS))

    params: ClassVar = {
        **{
            f"{member.name()}_{name}": param
            for member in MEMBERS
            for name, param in {**member.params, **member.common}.items()
        },
        "usual": Param("<f4", positive=True, digits=10),  # the mean of the combined score
        "widening": Param("<f4", positive=True, digits=7),  # the smoothing constant of its moving average
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Fit every member; as many points are needed as the member with the highest minimum needs.

        The members have the same threshold until `tuned_on_held_out` gives each its own.
        """
        fits = [member.fit(history) for member in MEMBERS]
        refused = {i: error for fit in fits for i, error in fit.refused.items()}
        kept = np.array([i for i in range(len(history)) if i not in refused], np.int64)
        members = [fit.model.take(np.flatnonzero(np.isin(fit.kept, kept))) for fit in fits]
        arrays = _prefixed([member.arrays for member in members])
        arrays |= {f"{member.name()}_threshold": np.full(len(kept), THRESHOLD) for member in members}
        arrays["usual"] = np.full(len(kept), 1 / THRESHOLD)
        arrays["widening"] = 1 - 0.5 ** (usual_step(history.take(kept)) / AVERAGE_HALF_LIFE)
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def tuned_on_held_out(self, held_out: Points, floor: Vector, rate: float) -> Arrays:
        """The threshold of each member at the target rate, and the mean of the combined score.

        Args:
            held_out: one series for each row, tidied; values are finite. A series may be empty.
            floor: the smallest deviation that may score 1, in the series' unit, float64 (rows,).
            rate: false alarms a point.

        Returns:
            Every member's `threshold` and `floor`, and `usual`.
        """
        rows, members, scores = np.arange(self.rows), [], []
        for member in self._members():
            uncalibrated = member.calibrated(np.ones(self.rows), np.full(self.rows, MIN_FLOOR))
            prediction = uncalibrated.predict(rows, held_out)
            thresholds = _thresholds(prediction.score, held_out, rate)
            members.append(member.calibrated(thresholds, floor))
            half_band = np.maximum(prediction.half_band * thresholds[held_out.owner], floor[held_out.owner])
            scores.append(np.abs(held_out.values - prediction.expected) / half_band)
        combined = _combined(scores)
        owner, count = held_out.owner, np.maximum(held_out.lengths, 1)
        limit = CLIP * np.bincount(owner, combined, self.rows) / count
        usual = np.bincount(owner, np.minimum(combined, limit[owner]), self.rows) / count
        common = [{name: member.arrays[name] for name in self.common} for member in members]
        return {**_prefixed(common), "usual": self.params["usual"].cast(np.maximum(usual, MIN_USUAL))}

    def _members(self) -> list[Model]:
        members = []
        for member in MEMBERS:
            prefix = f"{member.name()}_"
            names = (name for name in self.arrays if name.startswith(prefix))
            members.append(member({name.removeprefix(prefix): self.arrays[name] for name in names}))
        return members


def _prefixed(each: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """The arrays of every member, under their names in a blend."""
    return {
        f"{member.name()}_{name}": array
        for member, arrays in zip(MEMBERS, each, strict=True)
        for name, array in arrays.items()
    }


def _thresholds(deviations: Vector, points: Points, rate: float) -> Vector:
    """The deviation that each series exceeds at the rate, (series,), from those of all its points, (n,)."""
    found = calibration.thresholds(deviations, points.offsets, rate)
    known = np.where(points.lengths > 0, found, THRESHOLD)
    return np.clip(known, np.finfo(np.float32).tiny, calibration.MAX_THRESHOLD)


def _combined(scores: list[Vector]) -> Vector:
    """The mean of the members' scores s, those above `LINEAR` as LINEAR * (1 + log(s / LINEAR))."""
    total = np.zeros_like(scores[0])
    for score in scores:
        total += np.where(score > LINEAR, LINEAR * (1 + np.log(np.maximum(score, LINEAR) / LINEAR)), score)
    return total / len(scores)
