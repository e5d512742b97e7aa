"""blend: far from both levels is odd, near either is not."""

import numpy as np
import pytest

from myriad.adapters.blend import BINS, DAY, Blend
from myriad.models import calibration
from myriad.models.points import Points
from tests.adapters.trained import predict, trained
from tests.conftest import END, history

STEP = 300


def today(series: int = 1) -> Points:
    return history(1, series=series, step=STEP, seed=1, until=END + DAY)


def shifted(points: Points, by: float, since: int = 0) -> Points:
    return points.with_values(points.values + by * (np.arange(len(points.values)) >= since))


def noisy(days: int, level: float = 100.0, seed: int = 0, until: int = END) -> Points:
    times = np.arange(until - days * DAY, until, STEP)
    return Points.of((times, level + np.random.default_rng(seed).normal(size=len(times))))


def test_an_incident_scores_above_1_and_the_calm_before_it_does_not() -> None:
    points = today()
    values = points.values + 60 * (np.arange(len(points.values)) == 250)
    scores = predict(trained("blend", history(14, step=STEP)), points.with_values(values)).score
    assert scores[250] > 1
    assert (scores[:250] > 1).mean() < 0.02


def test_a_shift_that_stays_is_soon_near_the_fast_level() -> None:
    model = trained("blend", noisy(14))
    scores = predict(model, shifted(noisy(1, seed=1, until=END + DAY), 12, since=100)).score
    assert (scores[100:102] > 1).all()
    assert (scores[130:] > 1).mean() < 0.02


def test_noise_that_returns_to_where_it_was_is_near_the_slow_level() -> None:
    model = trained("blend", noisy(14))
    points = noisy(1, seed=1, until=END + DAY)
    spike = points.with_values(points.values + 30 * (np.arange(len(points.values)) == 100))
    scores = predict(model, spike).score
    assert scores[100] > 1
    assert (scores[101:104] < 1).all()  # where the fast level is still far off


def test_a_daily_rhythm_is_followed_and_a_history_without_one_has_none() -> None:
    rhythmic, flat = Blend.fit(history(14, step=STEP)).model, Blend.fit(noisy(14)).model
    assert np.ptp(rhythmic.arrays["profile"].astype(float)) > 1
    assert not flat.arrays["profile"].any()
    assert (flat.arrays["spreads"] == 1).all()


def test_half_hours_that_are_noisier_every_day_have_a_wider_band() -> None:
    past = history(14, step=STEP)
    noise = np.random.default_rng(3).normal(size=len(past.values)) * (past.timestamps % DAY < DAY // 4)
    model = trained("blend", past.with_values(past.values + 20 * noise))
    spreads = model.arrays["spreads"][0].astype(float)
    assert spreads[2 : BINS // 4 - 2].min() > 1.5 * spreads[BINS // 4 + 2 : -2].max()


def test_a_first_value_is_held_to_the_spread_of_all_and_the_fast_level_then_starts_at_it() -> None:
    drifted = shifted(noisy(14), 6, since=7 * DAY // STEP)  # the level is not known as well as one step ahead
    model = Blend.fit(drifted).model
    first, second = (predict(model, noisy(1, level=106, seed=1, until=END + DAY)).half_band[at] for at in (0, 1))
    assert first > second


@pytest.mark.parametrize("rate", [calibration.DEFAULT_RATE, 1e-2])
def test_the_levels_thresholds_are_exceeded_on_held_out_points_at_the_target_rate(rate: float) -> None:
    past = history(14, series=3, step=STEP)
    held = calibration.held_out(past)
    model, rest = Blend.fit(past.where(~held)).model, past.where(held)
    tuned = model.tuned_on_held_out(rest, calibration.effect_floor(past), rate)
    assert tuned.keys() == {"slow_threshold", "fast_threshold", "spreads"}
    rarer = model.tuned_on_held_out(rest, calibration.effect_floor(past), rate / 10)
    for name in ("slow_threshold", "fast_threshold"):
        assert (tuned[name] > 1).all()
        assert (rarer[name] > tuned[name]).all()


def test_a_threshold_is_not_below_where_both_levels_are_at_theirs() -> None:
    assert (trained("blend", noisy(14)).arrays["threshold"] >= Blend.least_threshold * 0.999).all()


def test_no_value_changes_nothing() -> None:
    model, points = trained("blend", history(14, step=STEP)), today()
    gap = np.arange(len(points.values)) == 150
    with_gap, without = predict(model, points.with_values(np.where(gap, np.nan, points.values))), points.where(~gap)
    assert np.array_equal(np.delete(with_gap.score, 150), predict(model, without).score)


def nightly(days: int, at: int, minutes: int, seed: int = 0, until: int = END) -> Points:
    """A point a minute, and a job once a day."""
    times = np.arange(until - days * DAY, until, 60)
    values = 12 + 1.2 * np.random.default_rng(seed).normal(size=len(times))
    since = (times - at) % DAY
    return Points.of((times, values + 76 * (since < 60 * minutes)))


def test_a_job_that_runs_every_night_is_usual_then_and_odd_at_another_time() -> None:
    model = trained("blend", nightly(28, at=6 * 3600, minutes=4))
    usual, moved = (predict(model, nightly(1, at=h * 3600, minutes=4, seed=1, until=END + DAY)) for h in (6, 14))
    job = slice(6 * 60, 6 * 60 + 4)
    assert (usual.score[job] < 1).all()
    assert (moved.score[14 * 60 : 14 * 60 + 2] > 1).all()


def test_rare_counts_that_come_every_day_are_usual_and_many_at_once_are_not() -> None:
    rng, times = np.random.default_rng(5), np.arange(END - 28 * DAY, END + DAY, 60)
    counts = (rng.random(len(times)) < 6 / 1440).astype(float)
    past, new = (Points.of((times[part], counts[part])) for part in (times < END, times >= END))
    model = trained("blend", past)
    assert (predict(model, new).score > 1).mean() < 1e-3
    many = new.with_values(new.values + 25 * (np.arange(1440) >= 700) * (np.arange(1440) < 730))
    assert predict(model, many).score[700] > 1


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_metric_that_idled_is_followed_within_two_days_of_use(noise: float) -> None:
    times = np.arange(END - 14 * DAY, END, STEP)
    model = trained("blend", Points.of((times, 1 + noise * np.random.default_rng(1).normal(size=len(times)))))
    used = noisy(4, level=5, seed=2, until=END + 4 * DAY)
    score = predict(model, used).score
    assert (score[:12] > 1).all()
    assert (score[2 * 288 :] > 1).mean() < 0.01


def test_what_was_always_0_is_usual_again_once_the_window_with_the_outlier_is_over() -> None:
    times, hour = np.arange(END - 14 * DAY, END, STEP), 3600 // STEP
    model = trained("blend", Points.of((times, np.zeros(len(times)))))
    mean_of_an_hour = np.where(np.arange(60) // hour == 2, 10 / hour, 0.0)
    score = predict(model, Points.of((END + STEP * np.arange(60), mean_of_an_hour))).score
    assert score[2 * hour] > 100
    assert (score[3 * hour :] < 1).all()


def weekly(days: int, free: tuple[int, ...], *, until: int = END, seed: int = 0) -> Points:
    """A metric that is used on all days but those of the week, Monday being 0; sharp at midnight."""
    times = np.arange(until - days * DAY, until, STEP)
    is_used = ~np.isin((times // DAY + 3) % 7, free)
    used = 130 + 30 * np.sin(2 * np.pi * times / DAY)
    return Points.of((times, np.where(is_used, used, 22) + np.random.default_rng(seed).normal(size=len(times)) * 2))


def over(points: Points, seconds: int) -> Points:
    """The means of a window, at the points that have one."""
    times, values = points.series(0)
    count = seconds // STEP
    means = np.convolve(values, np.full(count, 1 / count), "valid")
    return Points.of((times[count - 1 :], means))


@pytest.mark.parametrize("free", [(5, 6), (4, 5)])
@pytest.mark.parametrize("window", [STEP, 900, 3600])
def test_free_days_have_a_profile_of_their_own_and_windows_pass_into_them(free: tuple[int, ...], window: int) -> None:
    model = trained("blend", over(weekly(35, free), window))
    free_days = int(model.arrays["free_days"][0])
    assert [day for day in range(7) if free_days >> (day - 3) % 7 & 1] == list(free)
    later = over(weekly(14, free, until=END + 14 * DAY, seed=1), window)
    assert (predict(model, later).score > 1).mean() < 0.005
    times, values = later.series(0)
    busy = later.with_values(np.where((times // DAY + 3) % 7 == free[0], values + 100, values))
    assert predict(model, busy).score.max() > 2


def test_a_history_without_weeks_or_of_few_days_has_no_free_days() -> None:
    for points in (history(35, step=STEP), weekly(10, (5, 6))):
        arrays = Blend.fit(points).model.arrays
        assert not arrays["free_days"].any()
        assert not arrays["free_profile"].any()
