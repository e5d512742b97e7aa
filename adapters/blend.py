"""blend: several kinds of model together, which fail on different days, over how far off they have been of late.

`rhythm` forgives what has become usual within hours, `mad` what most of the last points were like, `seasonal` nothing
that the history has not shown. A value that all of them find odd is rarely an ordinary one.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from myriad.adapters._follow import running
from myriad.adapters.mad import Mad
from myriad.adapters.rhythm import Rhythm
from myriad.adapters.seasonal import Seasonal
from myriad.models import calibration
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.points import Points
from myriad.models.windows import own_step

MEMBERS: tuple[type[Model], ...] = (Rhythm, Mad, Seasonal)
LINEAR = 2.0
"""A member's score counts in full up to here and with its logarithm beyond, so that none of them outvotes the rest."""
FORGIVEN_SECONDS = 86_400
"""Half-life of what the blend has been off by of late."""
FORGIVEN_BOUNDS = (0.5, 30.0)
CLIP = 8.0
"""A point counts for no more than so many times what is usual of late: an incident is not forgiven at once."""
LEAST_USUAL = 1e-6
SMALLEST = float(np.finfo(np.float64).tiny)
SPREADS = 3.9
"""So far out a normal distribution is as rare as a score of 1: the blend's own spread is that part of its band."""

Vector = NDArray[np.float64]


class Blend(Model):
    """A row of each member and what they are usually off by together."""

    version = sum(100**place * member.version for place, member in enumerate(MEMBERS))

    params: ClassVar = {
        **{
            f"{member.name()}_{name}": param
            for member in MEMBERS
            for name, param in {**member.params, **member.common}.items()
        },
        "usual": Param("<f4", positive=True, digits=10),  # the mean of the members' scores together
        "widening": Param("<f4", positive=True, digits=7),  # how much of a point's size the band takes on
    }

    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        """Every member, weighing alike until held-out points tell; as many points as any of them needs."""
        fits = [member.fit(history) for member in MEMBERS]
        refused = {i: why for fit in fits for i, why in fit.refused.items()}
        kept = np.array([i for i in range(len(history)) if i not in refused], np.int64)
        members = [fit.model.take(np.flatnonzero(np.isin(fit.kept, kept))) for fit in fits]
        arrays = _named([member.arrays for member in members])
        arrays |= {f"{member.name()}_threshold": np.full(len(kept), SPREADS) for member in members}
        arrays["usual"] = np.full(len(kept), 1 / SPREADS)
        arrays["widening"] = 1 - 0.5 ** (own_step(history.take(kept)) / FORGIVEN_SECONDS)
        return Fit(cls.uncalibrated(arrays), kept, refused)

    def learnt(self, held_out: Points, floor: Vector) -> Arrays:
        """How rarely each member is how far off, and what all are off by as a rule."""
        rows, members, scores = np.arange(self.rows), [], []
        for member in self._members():
            uncalibrated = member.calibrated(np.ones(self.rows), np.full(self.rows, SMALLEST))
            said = uncalibrated.predict(rows, held_out)
            limits = _limits(said.score, held_out)
            members.append(member.calibrated(limits, floor))
            half = np.maximum(_half(said) * limits[held_out.owner], floor[held_out.owner])
            scores.append(np.abs(held_out.values - said.expected) / half)
        together = _together(scores)
        owner, count = held_out.owner, np.maximum(held_out.lengths, 1)
        most = CLIP * np.bincount(owner, together, self.rows) / count
        usual = np.bincount(owner, np.minimum(together, most[owner]), self.rows) / count
        common = [{name: member.arrays[name] for name in self.common} for member in members]
        return {**_named(common), "usual": self.params["usual"].cast(np.maximum(usual, LEAST_USUAL))}

    def predict(self, rows: NDArray[np.int64], points: Points) -> Prediction:
        """Members' expectations, the surer the weightier; the band is where their scores together are usual of late.

        Where they disagree the band depends on the value: as wide as makes its distance the score.
        """
        said = [member.predict(rows, points) for member in self._members()]
        expected, around = _weighed(said)
        together = _together([one.score for one in said])
        usual, widening = (self.arrays[name][rows].astype(np.float64) for name in ("usual", "widening"))
        late = running(points.with_values(together), usual, widening, CLIP, FORGIVEN_BOUNDS)
        strayed = np.abs(points.values - expected)
        told = (strayed > 0) & (together > 0)
        spread = late / SPREADS * np.divide(strayed, together, out=around, where=told)
        return self.banded(points.values, expected, self.half_band(np.repeat(rows, points.lengths), spread))

    def _members(self) -> list[Model]:
        found = []
        for member in MEMBERS:
            prefix = f"{member.name()}_"
            names = (name for name in self.arrays if name.startswith(prefix))
            found.append(member({name.removeprefix(prefix): self.arrays[name] for name in names}))
        return found


def _named(each: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """The arrays of every member, by their names in a blend."""
    return {
        f"{member.name()}_{name}": array
        for member, arrays in zip(MEMBERS, each, strict=True)
        for name, array in arrays.items()
    }


def _limits(deviations: Vector, points: Points) -> Vector:
    """The deviation of each series that is as rare as an alarm is to be, (series,)."""
    limits = np.full(len(points), SPREADS)
    for i in np.flatnonzero(points.lengths).tolist():
        deviation = deviations[points.offsets[i] : points.offsets[i + 1]]
        limits[i] = calibration.threshold(deviation, calibration.DEFAULT_RATE)
    return np.clip(limits, np.finfo(np.float32).tiny, calibration.MOST_SPREADS)


def _together(scores: list[Vector]) -> Vector:
    """The mean of the members' scores, far ones by their logarithm."""
    total = np.zeros_like(scores[0])
    for score in scores:
        total += np.where(score > LINEAR, LINEAR * (1 + np.log(np.maximum(score, LINEAR) / LINEAR)), score)
    return total / len(scores)


def _weighed(said: list[Prediction]) -> tuple[Vector, Vector]:
    """What is expected, each member weighing as much as its band is narrow, and the half band they then have."""
    halves = [_half(one) for one in said]
    narrowest = np.minimum.reduce(halves)
    weights = [narrowest / half for half in halves]
    total = np.add.reduce(weights)
    expected = np.add.reduce([one.expected * weight for one, weight in zip(said, weights, strict=True)]) / total
    return expected, narrowest * len(said) / total


def _half(said: Prediction) -> Vector:
    """Half of a band; one too narrow for its digits is as wide as they are."""
    return np.maximum(said.upper - said.lower, np.spacing(np.abs(said.expected))) / 2
