"""`myriad import`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import myriad
from myriad import adapters
from myriad.kernels.windows import held
from myriad.models.ensemble import COMBINES
from myriad.models.key import ModelKey, Series
from myriad.models.points import Points
from myriad.models.windows import Window
from myriad.serving.predictor import Predictor
from myriad.storage.release import Manifest, Releases
from myriad.storage.shard import Shard
from myriad.storage.url import open_store
from myriad.training import records
from myriad.training.export import Exported
from myriad.training.fit import fit
from myriad.training.fleets.synthetic import DAY
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish
from tests.adapters.user_models import FULL_HISTORY, KEY, LATER, STEP, USER_MODELS, decomposition, exported, line
from tests.cli.conftest import ran, told
from tests.conftest import END, history
from tests.training.small import fitted

SERIES, NEIGHBOUR = Series("us-east-1", "web-042", "cpu_util"), Series("us-east-1", "web-042", "memory_util")
HERE = Window(900)
PLAN = Plan(candidates=only("ewma", "seasonal", "ewma"))
TODAY = history(1, step=STEP, seed=5, until=END + DAY)


def at(window: str, series: Series = SERIES) -> str:
    return f"{series}/{window}"


def save(path: Path, *several: Exported) -> list[Path]:
    return [one.save(path / f"{i}.npz") for i, one in enumerate(several)]


def scores(url: str, points: Points = TODAY, series: Series = SERIES, **options: Any) -> pd.DataFrame:
    frame = pd.DataFrame({**series._asdict(), "timestamp": points.timestamps, "value": points.values})
    return Predictor.open(url).predict(frame, **options)


def current(url: str) -> Manifest:
    releases = Releases(open_store(url))
    return releases.manifest(releases.head().release)


def combined(url: str, series: Series = SERIES) -> Any:
    """The thresholds of a series' combinations, (modes, subsets)."""
    releases = Releases(open_store(url))
    (artifact,) = current(url).artifacts
    shard = Shard(artifact.hash, releases.get_artifact(artifact), adapters.get)
    (place,) = [i for i in range(len(shard)) if shard.name_of(i) == series]
    return shard.combined[place].astype(float)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty store."""
    return f"file://{tmp_path / 'store'}"


@pytest.fixture
def fleet(url: str) -> str:
    """A store with models of two series at three windows, and their records."""
    names: Sequence[Series] = [SERIES, NEIGHBOUR]
    done, releases = fit(PLAN, names, history(10, step=STEP, series=2)), Releases(open_store(url))
    manifest = publish(releases, done.entries, PLAN, None, {})
    records.write(releases, manifest.id, done.records)
    return url


@pytest.mark.parametrize(("adapter", "fit"), USER_MODELS.values(), ids=USER_MODELS)
def test_a_fitted_object_scores_as_its_adapter_does(
    adapter: str, fit: Callable[[Points], Any], fleet: str, tmp_path: Path
) -> None:
    one = exported(fit)
    told("import", *save(tmp_path, one), "--store", fleet)
    seen = myriad.windowed(TODAY, KEY)
    own = one.model.predict(np.array([0]), seen)
    answer = scores(fleet, windows=["15m"]).iloc[-len(seen.values) :]
    np.testing.assert_array_equal(answer["15m"], own.score)
    whole = scores(fleet, windows=["15m"])["15m"].to_numpy()
    joint = held(whole, np.array([0, len(whole)]))[-len(own.score) :]
    np.testing.assert_allclose(answer["score"], joint, rtol=1e-12)
    np.testing.assert_array_equal(answer["expected_15m"], own.expected)
    place = Predictor.open(fleet).locate(SERIES)
    assert place
    assert place.shard
    assert place.shard.adapters[place.shard.adapter[place.position, place.shard.windows.index(HERE)]] == adapter


def test_a_series_other_windows_and_its_neighbours_stay_as_they_are(fleet: str, tmp_path: Path) -> None:
    before = {series: scores(fleet, series=series) for series in (SERIES, NEIGHBOUR)}
    result = told("import", *save(tmp_path, exported()), "--store", fleet)
    assert (result["imported"], result["adapters"], result["series"], result["models"]) == (1, "regressor", 2, 6)
    after = {series: scores(fleet, series=series) for series in (SERIES, NEIGHBOUR)}
    pd.testing.assert_frame_equal(before[NEIGHBOUR], after[NEIGHBOUR])
    for column in ("1m", "1h"):
        pd.testing.assert_series_equal(before[SERIES][column], after[SERIES][column])
    assert not before[SERIES]["15m"].equals(after[SERIES]["15m"])


def test_a_new_series_may_have_one_window_only(fleet: str, tmp_path: Path) -> None:
    new = Series("eu-west-1", "db-001", "disk_util")
    result = told("import", *save(tmp_path, exported(key=at("15m", new))), "--store", fleet)
    assert (result["series"], result["models"]) == (3, 7)
    answer = scores(fleet, series=new)
    assert answer["1m"].isna().all()
    np.testing.assert_allclose(answer["score"], held(answer["15m"].to_numpy(), np.array([0, len(answer)])), rtol=1e-12)


def test_an_empty_store_gets_a_release_with_the_windows_named(url: str, tmp_path: Path) -> None:
    files = save(tmp_path, exported(rate=0.001), exported(decomposition, at("1h"), rate=0.001))
    told("import", *files, "--store", url, "--windows", "15m,1h", "--weights", "1,3")
    manifest = current(url)
    assert (manifest.windows, manifest.weights, manifest.rate) == (("15m", "1h"), (1, 3), 0.001)
    assert manifest.adapters.keys() == {"regressor", "stl"}
    assert set(scores(url)["status"]) == {"ok"}


def test_an_empty_store_gets_the_usual_windows(url: str, tmp_path: Path) -> None:
    told("import", *save(tmp_path, exported()), "--store", url)
    assert current(url).windows == ("1m", "15m", "1h")


def test_combinations_with_the_imported_window_are_calibrated_on_its_calibration(fleet: str, tmp_path: Path) -> None:
    before = combined(fleet)
    told("import", *save(tmp_path, exported(rate=1e-4)), "--store", fleet)
    after = combined(fleet)
    without = [0b001, 0b100, 0b101]
    np.testing.assert_array_equal(before[:, without], after[:, without])
    assert (after[COMBINES.index("min"), [0b011, 0b110, 0b111]] < 1).all()
    assert (after[:, 0b010] == 1).all()
    for how in COMBINES:
        assert (scores(fleet, LATER, combine=how)["score"] > 1).mean() < 0.01


def test_combinations_that_nothing_is_known_of_are_divided_by_1(url: str, tmp_path: Path) -> None:
    told("import", *save(tmp_path, exported()), "--store", url)
    assert (combined(url) == 1).all()


def test_it_has_its_row_in_the_records(fleet: str, tmp_path: Path) -> None:
    one = exported()
    result = told("import", *save(tmp_path, one), "--store", fleet)
    rows = records.read(Releases(open_store(fleet)), result["release"]).to_pylist()
    assert len(rows) == 6
    (row,) = [row for row in rows if row["job"] == "import"]
    assert [row[part] for part in (*Series._fields, "window", "adapter")] == [*SERIES, "15m", "regressor"]
    assert (row["parameters"], row["refused"], row["error"], row["points"]) == ("{}", "", None, one.points)
    assert (row["realised_rate"], row["bytes"]) == (one.realised_rate, one.model.row_bytes())
    assert row["threshold"] == one.model.arrays["threshold"][0]


def test_a_release_with_imported_models_has_a_page(fleet: str, tmp_path: Path) -> None:
    told("import", *save(tmp_path, exported()), "--store", fleet)
    told("report", "--store", fleet, "--output", tmp_path / "page.html")


def test_a_store_without_records_gets_those_of_what_is_imported(url: str, tmp_path: Path) -> None:
    publish(Releases(open_store(url)), fitted("r/a/cpu", plan=PLAN), PLAN, None, {})
    result = told("import", *save(tmp_path, exported()), "--store", url)
    assert records.read(Releases(open_store(url)), result["release"]).num_rows == 1


def test_what_is_imported_again_takes_the_place_of_what_was(fleet: str, tmp_path: Path) -> None:
    told("import", *save(tmp_path, exported()), "--store", fleet)
    result = told("import", *save(tmp_path, exported(decomposition)), "--store", fleet)
    assert result["models"] == 6
    rows = records.read(Releases(open_store(fleet)), result["release"]).to_pylist()
    assert [row["adapter"] for row in rows if row["job"] == "import"] == ["stl"]


def test_training_goes_on_from_a_release_with_imported_models(fleet: str, tmp_path: Path) -> None:
    told("import", *save(tmp_path, exported()), "--store", fleet)
    points = history(10, step=STEP)
    table = pd.DataFrame({**NEIGHBOUR._asdict(), "timestamp": points.timestamps, "value": points.values})
    table.to_parquet(tmp_path / "history.parquet")
    own = scores(fleet)
    result = told("train", tmp_path / "history.parquet", "--store", fleet, "--update", "--processes", 1)
    assert result["series"] == 2
    pd.testing.assert_frame_equal(own, scores(fleet))


def refusal(tmp_path: Path, url: str, *several: Exported) -> str:
    before = Releases(open_store(url)).head_or_none()
    result = ran("import", *save(tmp_path, *several), "--store", url)
    assert result.exit_code == 1
    assert Releases(open_store(url)).head_or_none() == before
    return result.stderr


def test_a_window_that_is_not_of_the_release_is_refused(fleet: str, tmp_path: Path) -> None:
    why = refusal(tmp_path, fleet, exported(key=at("5m")))
    assert "window '5m' of us-east-1/web-042/cpu_util/5m is not one of the release's: 1m, 15m, 1h" in why


@pytest.mark.parametrize("options", [{"rate": 0.001}, {"coverage": 0.9}])
def test_another_rate_or_coverage_than_the_releases_is_refused(fleet: str, tmp_path: Path, options: Any) -> None:
    why = refusal(tmp_path, fleet, exported(**options))
    assert f"calibrated to rate {options.get('rate', 1e-4):g} and coverage {options.get('coverage', 0.5):g}" in why
    assert "the release to 0.0001 and 0.5: export it with these" in why


def test_exports_into_an_empty_store_have_to_agree(url: str, tmp_path: Path) -> None:
    assert "export it with these" in refusal(tmp_path, url, exported(), exported(key=at("1h"), rate=0.01))


def test_the_same_key_twice_is_refused(fleet: str, tmp_path: Path) -> None:
    assert f"key '{KEY}' is there twice" in refusal(tmp_path, fleet, exported(), exported(decomposition))


def test_points_much_further_apart_than_those_of_the_other_windows_are_refused(fleet: str, tmp_path: Path) -> None:
    sparse = FULL_HISTORY.where(FULL_HISTORY.timestamps % 900 == 0)
    why = refusal(tmp_path, fleet, exported(history=sparse, calibration=sparse))
    assert "was fitted to points 900 s apart, its series' other models to points 300 s apart" in why


def test_a_file_that_is_no_export_is_refused(fleet: str, tmp_path: Path) -> None:
    (tmp_path / "notes.npz").write_text("buy milk")
    result = ran("import", tmp_path / "notes.npz", "--store", fleet)
    assert result.exit_code == 1
    assert "notes.npz is corrupt: it is not a saved export" in result.stderr


def test_fallback_models_can_be_imported(fleet: str, tmp_path: Path) -> None:
    key = ModelKey("us-east-1", "*", "cpu_util", HERE)
    told("import", *save(tmp_path, exported(line, str(key))), "--store", fleet)
    stranger = Series("us-east-1", "web-999", "cpu_util")
    assert set(scores(fleet, series=stranger)["status"]) == {"fallback"}
