"""No check is empty: for each there is an adapter that is broken in that way alone, and the check finds it."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.adapters.ewma import Ewma
from myriad.adapters.seasonal import Seasonal
from myriad.models.arrays import Matrix
from myriad.models.base import Arrays, Fit, Model, Param, Prediction
from myriad.models.points import Points
from tests.adapters.contract import CHECKS, USUAL_ROW_BYTES
from tests.conftest import END
from tests.models.level import Level

Rows = NDArray[np.int64]


class LosesThePointsWithoutValue(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        return super().predict(rows, points.where(~np.isnan(points.values)))


class ScoresWhatHasNoValue(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, score=np.nan_to_num(prediction.score))


class HasNoBandWhereThereIsNoValue(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, half_band=prediction.half_band + 0 * points.values)


class HasItsBandUpsideDown(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, half_band=-prediction.half_band)


class ScoresAgainstAnotherBand(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, score=prediction.score / 2)


class CentresThePointsInPlace(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        points.values[:] -= prediction.expected
        return prediction


class SortsTheHistoryInPlace(Level):
    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        history.values.sort()
        return super().fit(history)


class StartsFromARandomState(Level):
    draw: ClassVar = np.random.default_rng(0)

    @classmethod
    def uncalibrated(cls, arrays: Arrays) -> Self:
        return super().uncalibrated({**arrays, "level": arrays["level"] + cls.draw.normal(size=len(arrays["level"]))})


class LeansOnTheOtherHistories(Level):
    @classmethod
    def uncalibrated(cls, arrays: Arrays) -> Self:
        return super().uncalibrated({**arrays, "level": (arrays["level"] + arrays["level"].mean()) / 2})


class LearnsWhilePredicting(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        self.arrays["level"][rows] += 1
        return prediction


class IsAnotherOnceStored(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        stored = not self.arrays["level"].flags.writeable
        return replace(prediction, score=prediction.score + stored)


class ScoresAgainstTheWorstOfTheBatch(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, score=prediction.score / (1 + prediction.score.max(initial=0)))


class TakesThePlaceInTheBatchForTheRow(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        return super().predict(np.arange(len(rows)) % self.rows, points)


class DividesNothingByNothing(Level):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, score=np.where(prediction.score == 0, np.nan, prediction.score))


class ForgetsTheShortHistories(Level):
    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        return replace(super().fit(history), refused={})


class FitsARowToNothing(Level):
    @classmethod
    def fit(cls, history: Points) -> Fit[Self]:
        return super().fit(history if len(history) > 1 else Points.of(([0] * 5, [1] * 5)))


class KeepsItsWorkInTheClass(Level):
    at_work: ClassVar[Points]

    def predict(self, rows: Rows, points: Points) -> Prediction:
        type(self).at_work = points
        time.sleep(0.002)
        return super().predict(rows, self.at_work)


class TakesWhateverItIsGiven(Level):
    def __init__(self, arrays: Arrays) -> None:
        self.rows, self.arrays = 3, dict(arrays)

    def check(self) -> None: ...


class LooksAtNoValue(Level):
    def check(self) -> None: ...


class KeepsItsHistory(Level):
    params: ClassVar = {**Level.params, "history": Param("u1", (USUAL_ROW_BYTES,))}

    @classmethod
    def uncalibrated(cls, arrays: Arrays) -> Self:
        return super().uncalibrated({**arrays, "history": np.zeros((len(arrays["level"]), USUAL_ROW_BYTES))})


class IsSurerThanItsCalibration(Seasonal):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, half_band=prediction.half_band / np.where(points.timestamps < END, 1, 1.3))


class IsLessSureThanItsCalibration(Seasonal):
    def predict(self, rows: Rows, points: Points) -> Prediction:
        prediction = super().predict(rows, points)
        return replace(prediction, half_band=prediction.half_band * np.where(points.timestamps < END, 1, 1.3))


class ForgetsWhatCameBefore(Ewma):
    def advance(self, rows: Rows, state: Matrix, points: Points) -> Prediction:
        return super().advance(rows, self.begin(rows), points)


class CarriesTooFewDigits(Ewma):
    def advance(self, rows: Rows, state: Matrix, points: Points) -> Prediction:
        prediction = super().advance(rows, state, points)
        state[:] = state.astype(np.float32)
        return prediction


BROKEN: Mapping[str, tuple[type[Model], ...]] = {
    "every_point_gets_a_value_and_a_score_where_it_has_a_value": (LosesThePointsWithoutValue, ScoresWhatHasNoValue),
    "bands_are_finite_and_around_what_is_expected": (HasNoBandWhereThereIsNoValue, HasItsBandUpsideDown),
    "a_score_is_above_1_exactly_outside_the_band": (ScoresAgainstAnotherBand,),
    "fitting_and_predicting_leave_their_inputs_alone": (CentresThePointsInPlace, SortsTheHistoryInPlace),
    "the_same_history_gives_the_same_model": (StartsFromARandomState,),
    "a_history_is_fitted_without_regard_to_its_neighbours": (LeansOnTheOtherHistories,),
    "predicting_changes_nothing": (LearnsWhilePredicting,),
    "an_artifact_gives_back_the_same_model": (IsAnotherOnceStored,),
    "a_row_predicts_the_same_alone_and_among_others": (
        ScoresAgainstTheWorstOfTheBatch,
        TakesThePlaceInTheBatchForTheRow,
    ),
    "strange_histories_are_predicted_or_refused": (DividesNothingByNothing, ForgetsTheShortHistories),
    "one_strange_history_alone_is_a_row_or_a_refusal": (FitsARowToNothing,),
    "threads_do_not_disturb_each_other": (KeepsItsWorkInTheClass,),
    "corrupt_arrays_are_refused": (TakesWhateverItIsGiven, LooksAtNoValue),
    "a_row_is_small": (KeepsItsHistory,),
    "points_may_be_cut_anywhere": (ForgetsWhatCameBefore, CarriesTooFewDigits),
    **dict.fromkeys(
        [
            "windows_alarm_at_the_target_rate_under_normal_noise",
            "windows_alarm_at_the_target_rate_under_heavy_tailed_noise",
            "combined_windows_alarm_at_the_target_rate_under_normal_noise",
            "combined_windows_alarm_at_the_target_rate_under_heavy_tailed_noise",
        ],
        (IsSurerThanItsCalibration, IsLessSureThanItsCalibration),
    ),
}
CASES = [
    pytest.param(check, broken, id=f"{broken.__name__}:{check}") for check, some in BROKEN.items() for broken in some
]


@pytest.mark.parametrize(("check", "broken"), CASES)
def test_a_broken_adapter_is_found(check: str, broken: type[Model]) -> None:
    with pytest.raises(AssertionError):
        CHECKS[check](broken)


@pytest.mark.parametrize(("check", "broken"), CASES)
def test_what_a_broken_adapter_derives_from_passes(check: str, broken: type[Model]) -> None:
    (sound,) = broken.__bases__
    CHECKS[check](sound)


def test_every_check_has_a_broken_adapter() -> None:
    assert BROKEN.keys() == CHECKS.keys()
