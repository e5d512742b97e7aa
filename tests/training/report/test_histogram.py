"""Histograms: every value is in a bar, on an axis that suits them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from myriad.training.report.histogram import BARS, Axis, histogram, spark
from tests.training.pages import Page

DRAW = np.random.default_rng(0)
VALUES = arrays(np.float64, st.integers(0, 40), elements=st.floats(allow_nan=True, allow_infinity=True))


@given(VALUES)
def test_each_finite_value_is_counted_once_and_the_picture_is_well_formed(values: np.ndarray) -> None:
    values = np.where(np.abs(values) < 1e300, values, np.nan)
    axis = Axis.of(values)
    assert axis.counts(values).sum() == np.isfinite(values).sum()
    picture = Page(histogram(values, "values", mark=1.0, marked="one") + spark(values, axis))
    assert len(picture.tags("rect")) == len(axis.counts(values))
    assert "nan" not in picture.source


@pytest.mark.parametrize(
    ("values", "logarithmic", "zero"),
    [
        (DRAW.normal(10, 1, 500), False, False),
        (DRAW.normal(0, 100, 500), False, False),
        (DRAW.lognormal(0, 3, 500), True, False),
        (np.append(DRAW.lognormal(0, 3, 500), 0), True, True),
        (np.full(5, 3.0), False, False),
        (np.zeros(5), False, False),
        (np.full(5, np.nan), False, False),
        (np.empty(0), False, False),
    ],
)
def test_the_axis_is_logarithmic_where_values_differ_much(values: np.ndarray, logarithmic: bool, zero: bool) -> None:
    axis = Axis.of(values)
    assert (axis.logarithmic, axis.zero) == (logarithmic, zero)
    assert len(axis.counts(values)) == BARS + zero


def test_zeros_of_a_logarithmic_axis_stand_first() -> None:
    values = np.append(np.geomspace(1, 1000, 100), np.zeros(7))
    assert Axis.of(values).counts(values)[0] == 7
    assert "0: 7" in Page(histogram(values, "values")).text


def test_a_mark_stands_where_its_value_is_and_only_there() -> None:
    linear, log = Axis.of(np.linspace(0, 10, 1001)), Axis.of(np.geomspace(0.01, 100, 1001))
    assert linear.place(5) == pytest.approx(0.5)
    assert log.place(1) == pytest.approx(0.5)
    values = np.linspace(2, 10, 100)
    assert "target" in Page(histogram(values, "values", mark=5.0, marked="target")).text
    assert "target" not in Page(histogram(values, "values", mark=11.0, marked="target")).text
