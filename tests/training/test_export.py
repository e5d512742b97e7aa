"""A model fitted elsewhere becomes one calibrated row and a file of it."""

import contextlib
import importlib
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import myriad
from myriad import adapters
from myriad.models.calibration import effect_floor
from myriad.models.errors import ArtifactCorrupt, HistoryUnusable, InvalidKey, InvalidPoints, NotReducible
from myriad.models.points import Points
from myriad.training.export import Exported
from tests.adapters.libraries import needs
from tests.adapters.user_models import KEY, LATER, PAST, STEP, USER_MODELS, exported, line
from tests.conftest import history

SEEN = myriad.windowed(LATER, KEY)
BYTES = st.integers(0, 255)


def frame(points: Points) -> pd.DataFrame:
    return pd.DataFrame({"timestamp": points.timestamps, "value": points.values})


def rewritten(path: Path, **changed: Any) -> None:
    """The file with some arrays replaced, or left out where they are None."""
    with np.load(path) as there:
        arrays = {name: there[name] for name in there.files} | changed
    with path.open("wb") as file:
        np.savez(file, **{name: array for name, array in arrays.items() if array is not None})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return exported().save(tmp_path / "cpu.npz")


@pytest.mark.parametrize(("adapter", "fit"), USER_MODELS.values(), ids=USER_MODELS)
def test_the_adapter_is_found_by_the_objects_type(adapter: str, fit: Callable[[Points], Any]) -> None:
    one = exported(fit)
    assert (one.adapter, str(one.key), one.model.rows, one.step) == (adapter, KEY, 1, STEP)
    assert one.span == (PAST.timestamps[0], PAST.timestamps[-1])
    assert one.points == len(PAST.values)


@pytest.mark.parametrize(("adapter", "fit"), USER_MODELS.values(), ids=USER_MODELS)
def test_the_row_is_what_the_adapter_makes_of_the_object(adapter: str, fit: Callable[[Points], Any]) -> None:
    learnt = myriad.windowed(PAST, KEY)
    reduced = adapters.get(adapter).reduced(fit(learnt), learnt)
    row = adapters.get(adapter).uncalibrated(reduced)
    expected = row.predict(np.array([0]), SEEN).expected
    np.testing.assert_array_equal(exported(fit).model.predict(np.array([0]), SEEN).expected, expected)


@pytest.mark.parametrize("fit", [fit for _, fit in USER_MODELS.values()], ids=USER_MODELS)
def test_points_like_those_of_the_calibration_score_above_1_at_the_rate(fit: Callable[[Points], Any]) -> None:
    one = exported(fit, rate=0.01)
    score = one.model.predict(np.array([0]), SEEN).score
    assert one.realised_rate == (score > 1).mean()
    assert 0.001 < one.realised_rate < 0.02


def test_the_floor_is_that_of_all_the_values() -> None:
    past = PAST.with_values(PAST.values * 2)
    floor = exported(history=past).model.arrays["floor"]
    np.testing.assert_allclose(floor, effect_floor(myriad.windowed(past, KEY)), rtol=2**-10)


def test_a_window_is_the_mean_up_to_each_point_where_there_are_points_enough() -> None:
    points = Points.of(([0, 300, 600, 900, 9000], [1.0, 2, 3, 4, 5]))
    seen = myriad.windowed(points, "r/h/m/15m", coverage=1.0)
    assert seen.timestamps.tolist() == [600, 900]
    assert seen.values.tolist() == [2, 3]


def test_frames_tables_and_points_are_the_same() -> None:
    later = frame(LATER)
    utc = later.assign(timestamp=pd.to_datetime(later["timestamp"], unit="s", utc=True))
    ragged = pd.concat([later, later.tail(1), later.head(1).assign(value=np.nan)]).sample(frac=1, random_state=0)
    for same in (later, utc, pa.Table.from_pandas(later), ragged):
        again = myriad.windowed(same, KEY)
        np.testing.assert_array_equal(again.timestamps, SEEN.timestamps)
        np.testing.assert_array_equal(again.values, SEEN.values)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (frame(LATER).rename(columns={"value": "mean"}), "column 'value' is missing"),
        (frame(LATER).assign(timestamp=pd.to_datetime(LATER.timestamps, unit="s")), "no time zone"),
        (frame(LATER).assign(value="much"), "a value is no number"),
        (frame(LATER).assign(value=True), "column 'value' is bool, not a number"),
        (frame(LATER).assign(value=1e200), "beyond"),
        (history(1, series=2), "there are 2 series"),
    ],
)
def test_telemetry_that_is_not_one_series_is_refused(given: Any, why: str) -> None:
    with pytest.raises(InvalidPoints, match=why):
        exported(calibration=given)


def test_too_few_points_to_calibrate_on_are_refused() -> None:
    few = LATER.where(LATER.timestamps < LATER.timestamps[15])
    with pytest.raises(HistoryUnusable, match=r"14 of the calibration's 15 points have a value at 15m; at least 20"):
        exported(calibration=few)


def test_without_a_history_the_calibration_stands_for_both() -> None:
    one = myriad.export(line(SEEN), key=KEY, calibration=LATER)
    assert one.span == (LATER.timestamps[0], LATER.timestamps[-1])


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidKey, match="is not of the form region/host/metric/window"):
        myriad.export(line(SEEN), key="us-east-1/web-042/cpu_util", calibration=LATER)


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"rate": 0.7}, {"coverage": 2.0}])
def test_a_rate_or_coverage_that_is_none_is_refused(options: Any) -> None:
    with pytest.raises(InvalidPoints, match="rate is"):
        exported(**options)


def test_an_unknown_type_is_refused_with_the_adapters_that_take_something_of_its_library() -> None:
    needs("sklearn")
    from sklearn.cluster import KMeans

    with pytest.raises(NotReducible, match=r"no adapter takes a sklearn.*KMeans; of sklearn, .*pca takes PCA"):
        myriad.export(KMeans(), key=KEY, calibration=LATER)


def test_a_type_of_a_library_no_adapter_knows_is_refused_with_the_libraries_that_they_know() -> None:
    with pytest.raises(NotReducible, match=r"takes a pathlib.*; there are some for objects of lightgbm, .*statsmodels"):
        myriad.export(Path(), key=KEY, calibration=LATER)


def test_what_cannot_be_a_row_is_refused_by_its_adapter() -> None:
    from sklearn.linear_model import Ridge

    with pytest.raises(NotReducible, match="Ridge has 3 features"):
        myriad.export(Ridge().fit(np.eye(3), np.ones(3)), key=KEY, calibration=LATER)


@pytest.mark.parametrize("name", [name for name in adapters.names() if adapters.get(name).fitted_types])
def test_the_types_an_adapter_takes_are_named_as_the_library_names_them(name: str) -> None:
    needs(adapters.get(name).library)
    kinds, found = adapters.get(name).fitted_types, list[type]()
    for module, _, kind in (one.rpartition(".") for one in kinds):
        with contextlib.suppress(ModuleNotFoundError):  # where another version of the library has it
            found.append(getattr(importlib.import_module(module), kind))
    assert found
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in found} <= {*kinds}


def test_a_subclass_is_found_by_what_it_is_made_from() -> None:
    from sklearn.linear_model import Ridge

    class Ours(Ridge):  # type: ignore[misc]  # scikit-learn has no types
        pass

    with pytest.raises(NotReducible, match="Ours cannot be a row"):  # found, and asked, it takes itself no subclasses
        myriad.export(Ours().fit(np.eye(3), np.ones(3)), key=KEY, calibration=LATER)


def test_the_adapter_can_be_named() -> None:
    fitted = line(myriad.windowed(PAST, KEY))
    assert myriad.export(fitted, key=KEY, calibration=LATER, adapter="regressor").adapter == "regressor"
    with pytest.raises(NotReducible, match="cannot be a row of ewma"):
        myriad.export(fitted, key=KEY, calibration=LATER, adapter="ewma")


def test_a_row_that_is_not_sound_is_refused() -> None:
    fitted = line(myriad.windowed(PAST, KEY))
    fitted.coef_ = np.full(11, np.nan)
    with pytest.raises(NotReducible, match=r"this Ridge is not sound: .* not finite"):
        myriad.export(fitted, key=KEY, calibration=LATER, history=PAST)


def test_a_file_gives_back_what_was_saved(saved: Path) -> None:
    one, again = exported(), Exported.load(saved)
    for name in ("key", "adapter", "step", "span", "points", "rate", "coverage", "realised_rate", "versions"):
        assert getattr(one, name) == getattr(again, name)
    assert {"numpy", "sklearn"} == again.versions.keys()
    assert all(np.array_equal(array, again.model.arrays[name]) for name, array in one.model.arrays.items())
    np.testing.assert_array_equal(one.calibration.values, again.calibration.values)


def test_a_file_is_where_it_was_asked_to_be(tmp_path: Path) -> None:
    assert exported().save(tmp_path / "model").exists()


def test_nothing_is_unpickled(saved: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (tmp_path / "sprung").touch, ()

    rewritten(saved, about=np.array([Trap()], object))
    with pytest.raises(ArtifactCorrupt, match="pickle"):
        Exported.load(saved)
    saved.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ArtifactCorrupt):
        Exported.load(saved)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"about": None}, "about"),
        ({"about": np.zeros(3, "u1")}, "JSON is malformed"),
        ({"row/line": None}, "array line is missing"),
        ({"row/line": np.zeros((1, 12), "<f4")}, "array line is float32"),
        ({"row/line": np.full((1, 12), np.nan)}, "not finite"),
        ({"row/threshold": np.zeros(1, "<f4")}, "not positive"),
        ({"row/unknown": np.zeros(1)}, "array unknown is missing or unknown"),
        ({"calibration/values": np.zeros(3)}, "not of timestamps and values"),
        ({"calibration/values": np.full(len(LATER.values), np.inf)}, "a point of its calibration is none"),
        ({"calibration/timestamps": LATER.timestamps - LATER.timestamps[-1]}, "a point of its calibration is none"),
        ({"calibration/timestamps": LATER.timestamps[::-1]}, "not in order of time"),
    ],
)
def test_every_array_of_a_file_is_checked(saved: Path, changed: Any, why: str) -> None:
    rewritten(saved, **changed)
    with pytest.raises(ArtifactCorrupt, match=f"cpu.npz is corrupt: .*{why}"):
        Exported.load(saved)


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        (b'"format":1', b'"format":2', "of format 2"),
        (b'"version":101', b'"version":99', "version 99 of regressor, not 1 and 101: export it anew"),
        (b'"regressor"', b'"oracle"', "there is no adapter 'oracle'"),
        (b"cpu_util/15m", b"cpu_util/..", "window"),
        (b'"rate":0.0001', b'"rate":1.0', "rate"),
        (b'"step":300', b'"step":0', "step"),
        (b'"points":', b'"points":-', "one row of a history"),
        (b'"key":', b'"keys":', "keys"),
    ],
)
def test_everything_said_in_a_file_is_checked(saved: Path, was: bytes, now: bytes, why: str) -> None:
    with np.load(saved) as there:
        about = there["about"].tobytes()
    assert was in about
    rewritten(saved, about=np.frombuffer(about.replace(was, now), "u1"))
    with pytest.raises(ArtifactCorrupt, match=why):
        Exported.load(saved)


def test_a_file_that_claims_to_be_huge_is_not_read(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("row/huge.npy", "w") as member:
        for _ in range(65):
            member.write(bytes(1 << 20))
    with pytest.raises(ArtifactCorrupt, match="claims to hold more than"):
        Exported.load(saved)


def test_an_array_that_claims_to_be_huge_is_not_made(saved: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("row/huge.npy", header.getvalue())
    with pytest.raises(ArtifactCorrupt):
        Exported.load(saved)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_corrupt_and_nothing_worse(data: st.DataObject, saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    damaged, names = bytearray(whole), len(whole) - 2000  # where the archive says what is where
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1) | st.integers(names, len(whole) - 1))] = data.draw(BYTES)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(whole))) :]
    (tmp_path / "damaged.npz").write_bytes(bytes(damaged))
    with contextlib.suppress(ArtifactCorrupt):
        Exported.load(tmp_path / "damaged.npz")
