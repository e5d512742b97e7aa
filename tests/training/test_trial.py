"""Trials: which candidate a series gets, and what the records say of the others."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from myriad.models.key import Series
from myriad.models.points import Points
from myriad.models.windows import Window
from myriad.training.fit import fit
from myriad.training.fleets.synthetic import DAY
from myriad.training.job.candidate import Candidate
from myriad.training.plan import Plan
from tests.conftest import END

STEP = 1800
PLAN = Plan(
    windows=(Window(STEP),),
    weights=(1.0,),
    candidates=((Candidate(adapter="seasonal"), Candidate(adapter="ewma")),),
    rate=0.01,
)
DRAW = np.random.default_rng(0)
TIMES = np.arange(END - 21 * DAY, END, STEP)
RHYTHM = 100 + 20 * np.sin(2 * np.pi * TIMES / DAY) + 0.1 * DRAW.normal(size=len(TIMES))
WALK = 100 + np.cumsum(DRAW.normal(size=len(TIMES)))
CONSTANT = np.full(len(TIMES), 42.0)


def records(plan: Plan, *histories: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The record of each history, whose times are the latest of `TIMES`; what was tried is parsed."""
    series = [Series("r", f"host-{i}", "cpu") for i in range(len(histories))]
    points = Points.of(*((TIMES[-len(values) :], values) for values in histories))
    rows = fit(plan, series, points).records.to_pylist()
    return [row | {"candidates": json.loads(row["candidates"])} for row in rows]


def test_each_series_gets_the_candidate_that_foresees_it_best() -> None:
    rhythm, walk = records(PLAN, RHYTHM, WALK)
    assert (rhythm["adapter"], walk["adapter"]) == ("seasonal", "ewma")


def test_the_records_have_the_errors_of_those_that_lost() -> None:
    for row in records(PLAN, RHYTHM, WALK):
        assert row["candidates"].keys() == {"seasonal", "ewma"}
        assert row["error"] == pytest.approx(min(row["candidates"].values()), abs=1e-6)
        assert min(row["candidates"].values()) < 0.8 * max(row["candidates"].values())


def test_the_smaller_of_two_that_are_as_good_wins() -> None:
    (row,) = records(PLAN, CONSTANT)
    assert row["candidates"] == {"seasonal": 0.0, "ewma": 0.0}
    assert (row["adapter"], row["bytes"]) == ("ewma", 36)


def test_what_a_kilobyte_costs_can_outweigh_a_smaller_error() -> None:
    (row,) = records(replace(PLAN, cost_per_kilobyte=1000.0), RHYTHM)
    assert row["adapter"] == "ewma"
    assert row["candidates"]["ewma"] > row["candidates"]["seasonal"]


def test_a_candidate_that_refuses_a_history_loses_and_has_no_error() -> None:
    both = replace(PLAN, candidates=((Candidate(adapter="stl"), Candidate(adapter="ewma")),))
    (row,) = records(both, RHYTHM[-96:])
    assert (row["adapter"], row["refused"]) == ("ewma", "")
    assert row["candidates"]["stl"] is None
    assert row["error"] == pytest.approx(row["candidates"]["ewma"], abs=1e-6)


def test_a_history_that_all_refuse_is_told_as_the_first_of_them_says() -> None:
    (row,) = records(PLAN, RHYTHM[:25])
    assert row["adapter"] is None
    assert "too few" in row["refused"]
    assert row["candidates"] == {"seasonal": None, "ewma": None}


def test_candidates_are_compared_on_several_stretches_each_later_than_what_was_fitted() -> None:
    """A walk that ends in a week of rhythm: the last fold alone would take the rhythm for all of it."""
    days = TIMES >= END - 6.3 * DAY
    mixed = np.where(days, RHYTHM, 100 + 3 * (WALK - 100))
    (several,) = records(PLAN, mixed)
    (last,) = records(replace(PLAN, folds=1), mixed)
    assert several["candidates"] != last["candidates"]


def test_the_options_of_a_candidate_are_told_with_its_name() -> None:
    options = {"season_hours": 24}
    two = Candidate(adapter="ewma"), Candidate(adapter="stl", parameters=options)
    (row,) = records(replace(PLAN, candidates=(two,)), RHYTHM)
    assert row["candidates"].keys() == {"ewma", "stl(season_hours=24)"}
    assert (row["adapter"], json.loads(row["parameters"])) == ("stl", options)
