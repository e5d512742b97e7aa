import numpy as np
import pytest

from myriad.adapters.blend import MEMBERS, Blend
from myriad.kernels.predictors import LINEAR
from myriad.models import calibration
from myriad.models.key import Series
from myriad.models.points import Points
from myriad.models.windows import Window
from myriad.training.fit import fit
from myriad.training.fleets.synthetic import DAY
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300


def today(series: int = 1) -> Points:
    return history(1, series=series, step=STEP, seed=1, until=END + DAY)


def shifted(points: Points, by: float, since: int = 0) -> Points:
    return points.with_values(points.values + by * (np.arange(len(points.values)) >= since))


def test_an_incident_scores_above_1_and_the_calm_before_it_does_not() -> None:
    points = today()
    values = points.values + 60 * (np.arange(len(points.values)) == 250)
    scores = predict(trained("blend", history(14, step=STEP)), points.with_values(values)).score
    assert scores[250] > 1
    assert (scores[:250] > 1).mean() < 0.02


def test_a_member_that_is_alone_in_finding_a_value_odd_cannot_outvote_the_others() -> None:
    model = trained("blend", history(14, step=STEP))
    far, further = (predict(model, shifted(today(), by, since=200)).score[200] for by in (300, 3e6))
    assert further / far < 1 + np.log(3e6 / 300) / LINEAR


def test_a_lasting_shift_is_forgiven_sooner_than_by_what_forgives_nothing() -> None:
    past, week = history(21, step=STEP), history(7, step=STEP, seed=2, until=END + 7 * DAY)
    moved = shifted(week, 25)
    blended, fixed = (predict(trained(name, past), moved).score[-288:].mean() for name in ("blend", "seasonal"))
    first = predict(trained("blend", past), moved).score[:12].mean()
    assert blended < 0.5 * first
    assert blended < 0.5 * fixed


@pytest.mark.parametrize("rate", [calibration.DEFAULT_RATE, 1e-2])
def test_members_thresholds_are_those_of_the_target_rate_on_held_out_points(rate: float) -> None:
    past = history(14, series=3, step=STEP)
    held = calibration.held_out(past)
    model, rest = Blend.fit(past.where(~held)).model, past.where(held)
    tuned = model.tuned_on_held_out(rest, calibration.effect_floor(past), rate)
    for member in MEMBERS:
        alone = member.fit(past.where(~held)).model.predict(np.arange(3), rest).score
        thresholds = [calibration.threshold(scores, rate) for scores in np.split(alone, rest.offsets[1:-1])]
        assert tuned[f"{member.name()}_threshold"] == pytest.approx(thresholds, rel=1e-2)
    assert tuned.keys() <= Blend.params.keys()


def test_the_mean_of_the_combined_score_is_below_1_on_held_out_points() -> None:
    past = history(14, series=3, step=STEP)
    held = calibration.held_out(past)
    model = Blend.fit(past.where(~held)).model
    tuned = model.tuned_on_held_out(past.where(held), calibration.effect_floor(past), calibration.DEFAULT_RATE)
    assert (tuned["usual"] < 1).all()


def test_a_job_at_another_rate_gives_its_members_other_thresholds() -> None:
    rare, frequent = (trained("blend", history(14, step=STEP), rate) for rate in (1e-4, 1e-2))
    for member in MEMBERS:
        assert rare.arrays[f"{member.name()}_threshold"][0] > 1.2 * frequent.arrays[f"{member.name()}_threshold"][0]


def test_many_series_are_followed_as_few_are() -> None:
    model = trained("blend", history(14, step=STEP))
    points = shifted(today(50), 30, since=100)
    together = model.predict(np.zeros(50, np.int64), points)
    alone = model.predict(np.zeros(1, np.int64), points.take([7]))
    assert np.array_equal(together.score[points.owner == 7], alone.score)


def test_a_value_between_two_that_are_expected_is_inside_the_band() -> None:
    model = trained("blend", history(14, step=STEP))
    moved = shifted(today(), 40)
    expected = predict(model, moved).expected
    assert predict(model, moved.with_values(expected)).score[0] == 0


def test_histories_too_short_are_refused_and_harm_no_other() -> None:
    plan = Plan(windows=(Window(STEP),), weights=(1.0,), candidates=only("blend"))
    long, short = history(14, step=STEP), history(0.05, step=STEP)
    series = [Series("here", name, "cpu") for name in ("long", "short")]
    together = fit(plan, series, Points.of(long.series(0), short.series(0)))
    assert [one.host for one in together.entries.series] == ["long"]
    alone = fit(plan, series[1:], short)
    assert not alone.entries.series
    assert "points are too few" in alone.refusals[0].why
