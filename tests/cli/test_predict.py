"""`myriad predict`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from myriad.serving.predictor import Predictor
from tests.cli.conftest import Trained, ran, told


@pytest.fixture(scope="session")
def day(trained: Trained) -> pd.DataFrame:
    """The last day's telemetry."""
    return pd.read_parquet(trained.last_day)


def test_a_parquet_file_is_scored_into_another(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    result = told("predict", trained.last_day, "--store", trained.url, "--output", output)
    scored = pyarrow.parquet.read_table(output).to_pandas()
    expected = Predictor.open(trained.url).predict(day)
    pd.testing.assert_frame_equal(scored[day.columns], day, check_dtype=False, check_categorical=False)
    pd.testing.assert_frame_equal(scored.drop(columns=day.columns), expected, check_categorical=False)
    assert (result["points"], result["scored"]) == (len(day), len(day))
    assert result["above_1"] == int((expected["score"] > 1).sum()) > 0
    assert result["points_by_status"] == f"ok {len(day)}"
    assert result["release"] == trained.result["release"]


def test_a_csv_file_is_scored_into_another(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    day.sample(frac=1, random_state=0).to_csv(tmp_path / "in.csv", index=False)
    told("predict", tmp_path / "in.csv", "--store", trained.url, "--output", tmp_path / "out.csv")
    scored = pd.read_csv(tmp_path / "out.csv").sort_values(["region", "host", "metric", "timestamp"])
    expected = day.join(Predictor.open(trained.url).predict(day)).sort_values(["region", "host", "metric", "timestamp"])
    np.testing.assert_allclose(scored["score"], expected["score"])
    assert set(scored["status"]) == {"ok"}


def test_without_an_output_the_scores_are_summed_up_for_people(trained: Trained) -> None:
    result = ran("predict", trained.last_day, "--store", trained.url)
    assert result.exit_code == 0
    assert "above 1" in result.stdout


def test_windows_and_combination_can_be_chosen(trained: Trained, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    told("predict", trained.last_day, "--store", trained.url, "--windows", "1m", "--combine", "min", "--output", output)
    scored = pd.read_csv(output)
    assert "15m" not in scored
    np.testing.assert_allclose(scored["score"], scored["1m"])


def test_the_store_may_come_from_the_environment(trained: Trained) -> None:
    assert ran("predict", trained.last_day, MYRIAD_STORE=trained.url).exit_code == 0


def test_series_that_cannot_be_scored_are_counted(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    half = len(day) // 2
    day.assign(metric=["gpu"] * half + ["cpu_util"] * half, host=["h"] * half + ["a/b"] * half).to_csv(
        tmp_path / "in.csv", index=False
    )
    result = told("predict", tmp_path / "in.csv", "--store", trained.url)
    assert result["points_by_status"] == f"no_model {half}, bad_series {half}"
    assert result["scored"] == 0


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet"])
def test_a_file_without_rows_has_no_scores_and_ends_in_words(
    trained: Trained, day: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    empty = day.iloc[:0]
    (empty.to_csv if name.endswith("csv") else empty.to_parquet)(tmp_path / name, index=False)
    result = ran("predict", tmp_path / name, "--store", trained.url)
    assert result.exit_code in (0, 1)


@pytest.mark.parametrize(
    ("flags", "code", "why"),
    [
        (("--output", "scores.json"), 2, "--output"),
        (("--windows", "7m"), 1, "'7m' is not one of this release's: 1m, 15m, 1h"),
        (("--windows", "soon"), 1, "window 'soon'"),
        (("--combine", "sum"), 2, "--combine"),
        (("--store", "file:///nowhere/at/all"), 1, "no release has been published to file:///nowhere/at/all"),
    ],
)
def test_what_cannot_be_is_refused_in_words(trained: Trained, flags: tuple[str, ...], code: int, why: str) -> None:
    result = ran("predict", trained.last_day, "--store", trained.url, *flags)
    assert result.exit_code == code
    assert why in result.stderr


def test_a_file_read_in_parts_gives_the_scores_of_the_whole(
    trained: Trained, day: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order = day.sort_values(["region", "host", "metric", "timestamp"])
    in_order.to_parquet(tmp_path / "day.parquet")
    whole, parts, url = tmp_path / "whole.parquet", tmp_path / "parts.parquet", f"file://{tmp_path / 'store'}"
    told("train", trained.history, "--store", url, "--adapter", "seasonal", "--processes", 1)
    told("predict", tmp_path / "day.parquet", "--store", url, "--output", whole)
    monkeypatch.setattr("myriad.cli.predict.ROWS_AT_ONCE", len(day) // 7)
    told("predict", tmp_path / "day.parquet", "--store", url, "--output", parts)
    pd.testing.assert_frame_equal(pd.read_parquet(parts), pd.read_parquet(whole))
