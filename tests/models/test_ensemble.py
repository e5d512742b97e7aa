import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from myriad.models.ensemble import COMBINES, DEFAULT_WEIGHTS, Combine, combine, subset, subsets

WINDOWS = 3
WEIGHTS = list(DEFAULT_WEIGHTS.values())
SCORE = st.one_of(st.floats(0, 1000), st.just(float("nan")))
SCORES = st.lists(st.lists(SCORE, min_size=WINDOWS, max_size=WINDOWS), min_size=1, max_size=8).map(
    lambda rows: np.array(rows).T
)

every_way = pytest.mark.parametrize("how", COMBINES)


@every_way
@given(scores=SCORES, order=st.permutations(range(WINDOWS)))
def test_the_order_of_the_windows_does_not_matter(how: Combine, scores: NDArray[np.float64], order: list[int]) -> None:
    shuffled = combine(scores[order], [WEIGHTS[i] for i in order], how)
    np.testing.assert_allclose(shuffled, combine(scores, WEIGHTS, how), rtol=1e-12, atol=1e-70)


@every_way
@given(scores=SCORES, weight=st.floats(0.1, 100))
def test_a_window_alone_is_its_own_combination(how: Combine, scores: NDArray[np.float64], weight: float) -> None:
    np.testing.assert_allclose(combine(scores[:1], [weight], how), scores[0], rtol=1e-12, atol=1e-70)


@every_way
@given(scores=SCORES)
def test_a_combination_lies_among_its_members_and_is_nan_without_any(how: Combine, scores: NDArray[np.float64]) -> None:
    for combined, members in zip(combine(scores, WEIGHTS, how), scores.T, strict=True):
        known = members[~np.isnan(members)]
        assert np.isnan(combined) == (len(known) == 0)
        if len(known):
            assert known.min() * (1 - 1e-12) - 1e-70 <= combined <= known.max() * (1 + 1e-12)


@every_way
@given(scores=SCORES)
def test_a_missing_window_is_as_if_it_had_not_been_asked_for(how: Combine, scores: NDArray[np.float64]) -> None:
    scores[1] = np.nan
    without = combine(scores[[0, 2]], [WEIGHTS[0], WEIGHTS[2]], how)
    np.testing.assert_allclose(combine(scores, WEIGHTS, how), without, rtol=1e-12, atol=1e-70)


def test_the_same_deviation_moves_the_score_more_the_longer_its_window() -> None:
    one_high = np.ones((WINDOWS, WINDOWS)) + np.eye(WINDOWS)
    short, middle, long = combine(one_high, WEIGHTS, "weighted")
    assert 1 < short < middle < long


def test_the_default_weights_of_1m_15m_and_1h_are_1_2_and_4() -> None:
    assert {str(window): weight for window, weight in DEFAULT_WEIGHTS.items()} == {"1m": 1, "15m": 2, "1h": 4}
    assert combine(np.array([[7.0], [0.0], [0.0]]), WEIGHTS, "weighted") == pytest.approx((7**4 / 7) ** 0.25)


def test_a_power_of_1_is_a_plain_mean() -> None:
    assert combine(np.array([[7.0], [3.5], [np.nan]]), WEIGHTS, "weighted", power=1) == pytest.approx((7 + 2 * 3.5) / 3)


def test_a_score_counts_for_a_thousand_at_most() -> None:
    assert combine(np.full((WINDOWS, 1), 1e150), WEIGHTS, "weighted") == pytest.approx(1000)


def test_min_wants_every_window_to_agree_and_max_any() -> None:
    scores = np.array([[0.5, 3.0], [2.0, np.nan], [1.5, 4.0]])
    assert combine(scores, WEIGHTS, "min").tolist() == [0.5, 3.0]
    assert combine(scores, WEIGHTS, "max").tolist() == [2.0, 4.0]


def test_the_windows_with_a_score_are_the_bits_of_their_positions_in_the_release() -> None:
    scores = np.array([[1.0, np.nan, np.nan], [2.0, 2.0, np.nan]])
    assert subset(~np.isnan(scores), [0, 2]).tolist() == [0b101, 0b100, 0]
    assert set(subset(~np.isnan(scores), [0, 2]).tolist()) <= set(subsets(WINDOWS))
