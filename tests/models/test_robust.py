import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from myriad.models.robust import MAD_TO_STD, MEAN_DEVIATION_TO_STD, STD_TO_MEAN_DEVIATION, mad, nan_median

VALUES = st.floats(-1e6, 1e6) | st.just(float("nan"))


@pytest.fixture(scope="module")
def normal() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(7, 3, size=200_000)


def test_the_scaled_mad_of_normal_values_is_their_standard_deviation(normal: NDArray[np.float64]) -> None:
    assert MAD_TO_STD * mad(normal, float(np.median(normal))) == pytest.approx(3, rel=0.01)


def test_the_scaled_mean_deviation_of_normal_values_is_their_standard_deviation(normal: NDArray[np.float64]) -> None:
    deviation = np.abs(normal - normal.mean()).mean()
    assert deviation * MEAN_DEVIATION_TO_STD == pytest.approx(3, rel=0.01)
    assert deviation / STD_TO_MEAN_DEVIATION == pytest.approx(3, rel=0.01)


def test_the_mad_hardly_moves_with_two_values_of_five() -> None:
    assert mad(np.array([1.0, 2, 3, 4, 5]), 3.0) == 1
    assert mad(np.array([1.0, 2, 3, 1e9, -1e9]), 3.0) == 2


def test_the_mad_may_have_a_centre_for_each_value() -> None:
    assert mad(np.array([1.0, 20, 300]), np.array([0.0, 18, 297])) == 2


@given(st.data())
def test_nan_median_is_numpys(data: st.DataObject) -> None:
    values = data.draw(arrays(np.float64, array_shapes(max_dims=3, max_side=6), elements=VALUES))
    axis = data.draw(st.integers(-values.ndim, values.ndim - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # NumPy's, of rows without values
        expected = np.nanmedian(values, axis=axis)
    found = nan_median(values, axis)
    assert found.shape == np.shape(expected)
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.filterwarnings("error")
def test_without_any_value_the_median_is_nan_and_nobody_is_warned() -> None:
    values = np.array([[np.nan, np.nan, np.nan], [np.nan, 5.0, 7.0]])
    assert nan_median(values, 1) == pytest.approx([np.nan, 6.0], nan_ok=True)


def test_there_may_be_no_rows() -> None:
    assert nan_median(np.empty((0, 4)), 1).shape == (0,)


def test_the_values_stay_in_their_order() -> None:
    values = np.array([[3.0, 1.0, 2.0]])
    nan_median(values, 1)
    assert values.tolist() == [[3, 1, 2]]
