from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.models.base import Param
from myriad.models.calibration import MAX_THRESHOLD, MIN_EFFECT
from myriad.models.errors import ArtifactCorrupt
from myriad.models.points import MAX_MAGNITUDE, Points
from tests.models.level import Level

Arrays = dict[str, NDArray[Any]]


def sound() -> Arrays:
    """Three rows: levels 10, 20 and 30, all with a spread of 1."""
    return dict(
        Level.uncalibrated({"level": np.array([10.0, 20.0, 30.0]), "spread": np.ones((3, 1))})
        .calibrated(np.full(3, 4.0), np.full(3, 0.5))
        .arrays
    )


WRONG: dict[str, tuple[Arrays, str]] = {
    "extra": ({**sound(), "trend": np.ones(3)}, "array trend is missing or unknown"),
    "another dtype": ({**sound(), "level": np.ones(3, "<f4")}, r"array level is float32\[3\], not <f8\[3\]"),
    "another byte order": ({**sound(), "level": np.ones(3, ">f8")}, r"array level is >f8\[3\], not <f8"),
    "a row too few": ({**sound(), "level": np.ones(2)}, r"array level is float64\[2\], not <f8\[3\]"),
    "an axis too few": ({**sound(), "spread": np.ones(3)}, r"array spread is float64\[3\], not <f8\[3, 1\]"),
    "an axis too many": ({**sound(), "floor": np.ones((3, 1))}, r"array floor is float64\[3, 1\], not <f8\[3\]"),
}
UNSOUND: dict[str, tuple[Arrays, str]] = {
    "NaN": ({**sound(), "level": np.array([1, np.nan, 2])}, "array level has a value that is not finite"),
    "infinity": ({**sound(), "floor": np.array([1, 1, np.inf])}, "array floor has a value that is not finite"),
    "zero": ({**sound(), "threshold": np.zeros(3, "<f4")}, "array threshold has a value that is not positive"),
    "a huge threshold": (
        {**sound(), "threshold": np.array([4, 1e32, 4], "<f4")},
        r"threshold has the value 1e\+32, which is",
    ),
    "a tiny threshold": ({**sound(), "threshold": np.array([4, 1e-39, 4], "<f4")}, "which is below 1.18e-38"),
    "a huge floor": (
        {**sound(), "floor": np.array([1, 1, 1e152])},
        r"array floor has the value 1e\+152, which is beyond",
    ),
    "a huge spread": ({**sound(), "spread": np.full((3, 1), 1e200)}, r"spread has the value 1e\+200, which is beyond"),
    "a huge level": ({**sound(), "level": np.array([1, -1e200, 1])}, r"level has the value -1e\+200, which is beyond"),
    "less than zero": ({**sound(), "spread": -np.ones((3, 1))}, "array spread has a value that is not positive"),
}


def test_rows_are_made_of_their_arrays_without_a_copy() -> None:
    arrays = sound()
    model = Level(arrays)
    assert model.rows == 3
    assert all(model.arrays[name] is array for name, array in arrays.items())


@pytest.mark.parametrize("name", list(sound()))
def test_no_array_may_be_missing(name: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=f"artifact level is corrupt: array {name} is missing or unknown"):
        Level({other: array for other, array in sound().items() if other != name})


@pytest.mark.parametrize(("arrays", "why"), WRONG.values(), ids=list(WRONG))
def test_arrays_that_are_no_rows_are_refused_at_once(arrays: Arrays, why: str) -> None:
    with pytest.raises(ArtifactCorrupt, match=why):
        Level(arrays)


@pytest.mark.parametrize(("arrays", "why"), UNSOUND.values(), ids=list(UNSOUND))
def test_values_no_row_can_have_are_found_when_looked_at(arrays: Arrays, why: str) -> None:
    model = Level(arrays)
    with pytest.raises(ArtifactCorrupt, match=why):
        model.check()


def test_sound_rows_pass_the_check() -> None:
    Level(sound()).check()


def test_what_the_largest_histories_give_is_sound() -> None:
    largest, least = np.full(3, MAX_MAGNITUDE), np.full(3, float(np.finfo(np.float32).tiny))
    for threshold, floor in ((np.full(3, MAX_THRESHOLD), largest), (least, np.full(3, MIN_EFFECT))):
        model = Level.uncalibrated({"level": largest, "spread": largest[:, None] * 2})
        model.calibrated(threshold, floor).check()


@pytest.mark.parametrize(
    ("param", "values", "fault"),
    [
        (Param("<f2", positive=True), [1, 65504], None),
        (Param("<f2", positive=True), [1, 0], "a value that is not positive, 0"),
        (Param("<f2"), [1, np.inf], "a value that is not finite"),
        (Param("<f2"), [1, -65504], None),
        (Param("<f4"), [-1e38], None),
        (Param("<f4", positive=True, most=1), [0.5, 1.5], "the value 1.5, which is beyond 1"),
        (Param("<f4", positive=True, most=1), [1], None),
        (Param("<i4", positive=True), [1, 10**9], "the value 1e+09, which is beyond 3.16224e+08"),
        (Param("<i4"), [-(10**9)], None),
        (Param("<f8", positive=True), [5e-324], None),
    ],
)
def test_a_fault_names_the_value_and_its_bound(param: Param, values: list[float], fault: str | None) -> None:
    assert param.fault(np.array(values, param.dtype)) == fault


def test_a_model_may_have_no_rows() -> None:
    empty = Level(sound()).take([])
    empty.check()
    assert empty.rows == 0
    assert len(empty.predict(np.empty(0, np.int64), Points.of()).score) == 0


def test_rows_are_taken_in_the_order_asked_for() -> None:
    assert Level(sound()).take([2, 0, 2]).arrays["level"].tolist() == [30, 10, 30]


def test_stacked_rows_follow_one_another() -> None:
    model = Level(sound())
    stacked = Level.stack([model.take([1]), model])
    assert stacked.arrays["level"].tolist() == [20, 10, 20, 30]
    assert stacked.rows == 4


def test_a_row_takes_the_bytes_of_its_arrays() -> None:
    assert Level.row_bytes() == 8 + 8 + 4 + 8


def test_the_name_of_a_model_is_that_of_its_file() -> None:
    assert Level.name() == "level"


def test_a_score_is_the_deviation_in_thresholds() -> None:
    prediction = Level(sound()).predict(np.array([1]), Points.of(([1, 2, 3], [20.0, 24.0, 12.0])))
    assert prediction.score.tolist() == [0, 1, 2]
    assert prediction.lower.tolist() == [16] * 3
    assert prediction.upper.tolist() == [24] * 3


def test_no_deviation_below_the_floor_scores_1() -> None:
    model = Level(sound()).calibrated(np.full(3, 1e-6), np.full(3, 0.5))
    prediction = model.predict(np.array([0]), Points.of(([1, 2], [10.25, 10.5])))
    assert prediction.score.tolist() == [0.5, 1]


def test_calibrating_leaves_the_rows_it_was_called_on_alone() -> None:
    model = Level(sound())
    model.calibrated(np.full(3, 99.0), np.full(3, 99.0))
    assert model.arrays["threshold"].tolist() == [4] * 3


def test_fresh_rows_score_in_spreads() -> None:
    fresh = Level.uncalibrated({"level": np.zeros(1), "spread": np.full((1, 1), 2.0)})
    assert fresh.predict(np.array([0]), Points.of(([1], [6.0]))).score.tolist() == [3]
