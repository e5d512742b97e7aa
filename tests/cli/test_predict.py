"""`myriad predict`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from myriad.serving.predictor import Predictor
from tests.cli.conftest import Trained, ran, told
from tests.conftest import END

SERIES = ["region", "host", "metric"]


@pytest.fixture(scope="session")
def day(trained: Trained) -> pd.DataFrame:
    """The last day's telemetry."""
    return pd.read_parquet(trained.last_day)


def test_a_parquet_file_is_scored_into_another(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    output = tmp_path / "scores.parquet"
    result = told("predict", trained.last_day, "--store", trained.url, "--output", output)
    scored = pyarrow.parquet.read_table(output).to_pandas()
    expected = Predictor.open(trained.url).predict(day)
    times = scored["timestamp"].astype("datetime64[s, UTC]").astype("int64")
    pd.testing.assert_frame_equal(
        scored[day.columns].assign(timestamp=times), day, check_dtype=False, check_categorical=False
    )
    pd.testing.assert_frame_equal(scored.drop(columns=day.columns), expected, check_categorical=False)
    assert (result["points"], result["scored"]) == (len(day), len(day))
    assert result["above_1"] == int((expected["score"] > 1).sum()) > 0
    assert result["points_by_status"] == f"ok {len(day)}"
    assert result["release"] == trained.result["release"]
    assert "left_out" not in result


def test_a_csv_file_is_scored_into_another(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    day.sample(frac=1, random_state=0).to_csv(tmp_path / "in.csv", index=False)
    told("predict", tmp_path / "in.csv", "--store", trained.url, "--output", tmp_path / "out.csv")
    scored = pd.read_csv(tmp_path / "out.csv").sort_values([*SERIES, "timestamp"])
    expected = day.join(Predictor.open(trained.url).predict(day)).sort_values([*SERIES, "timestamp"])
    np.testing.assert_allclose(scored["score"], expected["score"])
    assert set(scored["status"]) == {"ok"}


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
def test_what_is_written_has_rows_as_they_were_read_and_their_scores_and_nothing_else(
    trained: Trained, day: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    """And can be scored again."""
    ms = day["timestamp"] * 1000 + 5
    odd = day.assign(note="x", timestamp=ms, value=day["value"].map("{:,.4f}".format), rack=7).iloc[:, ::-1]
    odd.to_csv(tmp_path / "in.csv", index=False)
    for given, output in (("in.csv", name), (name, f"again-{name}")):
        told("predict", tmp_path / given, "--store", trained.url, "--output", tmp_path / output)
    first, again = (
        (pd.read_parquet if name.endswith("parquet") else pd.read_csv)(tmp_path / path)
        for path in (name, f"again-{name}")
    )
    windows = ["1m", "15m", "1h"]
    scores = ["score", *windows, *(f"expected_{window}" for window in windows), "status"]
    assert list(first) == [*SERIES, "timestamp", "value", *scores]
    times = pd.to_datetime(first["timestamp"], utc=True).astype("datetime64[s, UTC]").astype("int64")
    assert times.tolist() == day["timestamp"].tolist()
    np.testing.assert_allclose(first["value"], day["value"], atol=1e-4)
    pd.testing.assert_frame_equal(again, first)


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


def test_series_without_models_of_their_own_are_counted(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    half = len(day) // 2
    day.assign(metric=["gpu"] * half + ["cpu_util"] * half, host=["h"] * half + ["../a/b"] * half).to_csv(
        tmp_path / "in.csv", index=False
    )
    result = told("predict", tmp_path / "in.csv", "--store", trained.url)
    assert result["points_by_status"] == f"no_model {half}, fallback {half}"
    assert result["scored"] == half


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet"])
def test_a_file_without_rows_has_no_scores_and_ends_in_words(
    trained: Trained, day: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    empty = day.iloc[:0]
    (empty.to_csv if name.endswith("csv") else empty.to_parquet)(tmp_path / name, index=False)
    result = ran("predict", tmp_path / name, "--store", trained.url, "--output", tmp_path / "out.csv")
    assert result.exit_code == 1
    assert f"{name}: there are no rows" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("flags", "code", "why"),
    [
        (("--output", "scores.json"), 2, "--output"),
        (("--windows", "7m"), 1, "'7m' is not one of this release's: 1m, 15m, 1h"),
        (("--windows", "soon"), 1, "window 'soon'"),
        (("--combine", "sum"), 2, "--combine"),
        (("--columns", "hosts=x"), 2, "'hosts=x' names none of region, host, metric, timestamp, value"),
        (("--columns", "host"), 2, "--columns"),
        (("--columns", "host=server"), 1, "column 'server' is missing; the columns are region, host"),
        (("--host", "*"), 2, "host '*' is reserved: it stands for every host"),
        (("--wide", "region"), 2, "--wide"),
        (("--wide", "host", "--host", "a"), 2, "host is given by constants or wide already"),
        (("--timezone", "Mars/Olympus"), 2, "there is no time zone 'Mars/Olympus'"),
        (("--left-out", "1.5"), 2, "--left-out"),
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


ODD = {
    "5%": "value is a per cent; write the number alone",
    "12ms": "value has a unit; write the number alone",
    "1e200": "value is beyond 1e+150",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file separated by semicolons of a host with a day of points, newest first, some of which cannot be read.

    Others have no value, or thousands' commas; rows of another host are too short, or have a time of another kind.
    """
    draw = np.random.default_rng(0)
    values = [f"{value:,.3f}" for value in draw.normal(5000, 10, 1440)]
    values[5:8], values[20], values[30] = list(ODD), "n/a", ""
    lines = [f"eu;../a;cpu;{END - 60 * i};{value}" for i, value in enumerate(values)]
    others = ["eu;b", "eu;b;cpu;2026-01-05 00:00:00 UTC;1;2;3", "eu;*;cpu;1;1", "eu;b;cpu;soon;1", ";b;cpu;1;1"]
    others += ["eu;b;cpu;2026-01-05t00:00:00z;1", f"eu;b;cpu;{END}000000000;2", "eu;b;cpu;05/Jan/2026:01:00:00 +0100;3"]
    path = tmp_path_factory.mktemp("odd") / "odd.csv"
    path.write_text("\n".join(["region;host;metric;timestamp;value", *lines, *others]))
    return path


def test_what_is_trained_on_a_file_and_what_is_scored_of_it_are_the_same_rows(odd: Path, tmp_path: Path) -> None:
    url, output = f"file://{tmp_path / 'store'}", tmp_path / "out.parquet"
    made = told("train", odd, "--store", url, "--processes", 1, "--windows", "1m", "--weights", 1)
    scored = told("predict", odd, "--store", url, "--output", output)
    assert made["left_out"]["reasons"] == scored["left_out"]["reasons"]
    assert made["left_out"]["first"] == scored["left_out"]["first"]
    assert scored["left_out"]["rows"] == len(ODD) + 5
    assert scored["left_out"]["reasons"].items() >= dict.fromkeys(ODD.values(), 1).items()
    assert [one["row"] for one in scored["left_out"]["first"][:2]] == [1442, 1443]
    rows = pyarrow.parquet.read_table(output).to_pandas()
    assert scored["points"] == len(rows) == 1440 - len(ODD) + 3
    assert rows[rows["host"] == "b"]["value"].tolist() == [1, 2, 3]
    whole = rows[rows["host"] == "../a"]
    assert whole["value"].isna().sum() == 2
    assert whole["score"].notna().sum() == 1440 - len(ODD) - 2
    assert scored["points_by_status"] == f"ok {len(whole)}, no_model 3"


def test_what_is_left_out_is_told_to_people_too(trained: Trained, odd: Path) -> None:
    result = ran("predict", odd, "--store", trained.url)
    assert result.exit_code == 0
    assert "left out          8 of 1,448 rows" in result.stdout
    assert "why left out      row has 2 cells, not 5 (1); " in result.stdout
    assert f"{odd}, row 1,442: 'eu;b' has 2 cells, not 5" in result.stdout


@pytest.mark.parametrize("before", [None, b"what was there before"])
def test_a_file_of_scores_is_written_whole_or_not_at_all(
    trained: Trained, odd: Path, tmp_path: Path, before: bytes | None
) -> None:
    output = tmp_path / "out.csv"
    if before:
        output.write_bytes(before)
    result = ran("predict", odd, "--store", trained.url, "--output", output, "--left-out", 0.005)
    assert result.exit_code == 1
    assert "8 of 1,448 rows cannot be read, more than 0.50% (--left-out" in result.stderr
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([before] if before else [])
    assert ran("predict", odd, "--store", trained.url, "--output", output).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert output.read_bytes() != before


def test_a_small_file_may_be_in_any_order(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    day.iloc[::-1].to_csv(tmp_path / "newest first.csv", index=False)
    told("predict", tmp_path / "newest first.csv", "--store", trained.url, "--output", tmp_path / "out.csv")
    scored = pd.read_csv(tmp_path / "out.csv").iloc[::-1].reset_index(drop=True)
    np.testing.assert_array_equal(scored["score"], Predictor.open(trained.url).predict(day)["score"])


def test_a_file_that_goes_back_in_time_from_part_to_part_is_refused(
    trained: Trained, day: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it cannot be scored without all of it in memory; rows of one time may lie in two parts."""
    monkeypatch.setattr("myriad.cli.predict.ROWS_AT_ONCE", 100)
    one = day[(day["metric"] == "cpu_util") & (day["region"] == "us-east-1")].iloc[:400]
    options = ("--store", trained.url, "--processes", 1, "--output", tmp_path / "out.parquet")
    one.iloc[::-1].to_parquet(tmp_path / "back.parquet")
    result = ran("predict", tmp_path / "back.parquet", *options)
    assert result.exit_code == 1
    assert (
        "back.parquet: us-east-1/web-000/cpu_util has 2026-01-04T03:20:00Z after 2026-01-04T06:39:00Z, too far apart "
        "to be put in order while a file is read; sort its rows by time"
    ) in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["back.parquet"]
    twice = pd.concat([one.iloc[:100], one.iloc[99:]])
    twice.to_parquet(tmp_path / "twice.parquet")
    assert told("predict", tmp_path / "twice.parquet", *options)["scored"] == 401


def test_series_may_follow_each_other_from_part_to_part(
    trained: Trained, day: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is earlier than another series' rows of an earlier part is not out of order."""
    monkeypatch.setattr("myriad.cli.predict.ROWS_AT_ONCE", 1000)
    day.sort_values([*SERIES, "timestamp"]).to_parquet(tmp_path / "day.parquet")
    assert told("predict", tmp_path / "day.parquet", "--store", trained.url, "--processes", 1)["scored"] == len(day)


def test_flags_say_where_a_file_has_what(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    """A column for each metric, times of Berlin, and no column of hosts."""
    one = day[day["region"] == "eu-west-1"]
    expected = Predictor.open(trained.url).predict(one)["score"].to_numpy()
    local = pd.to_datetime(one["timestamp"], unit="s", utc=True).dt.tz_convert("Europe/Berlin").dt.tz_localize(None)
    wide = one.assign(Time=local).pivot_table("value", ["Time", "region"], "metric").reset_index()
    wide.rename(columns={"region": "dc"}).to_csv(tmp_path / "wide.csv", index=False)
    flags = ("--columns", "timestamp=Time,region=dc", "--host", "web-000", "--wide", "metric")
    output, options = (
        tmp_path / "out.parquet",
        (tmp_path / "wide.csv", "--store", trained.url, "--processes", 1, *flags),
    )
    told("predict", *options, "--output", output, "--timezone", "Europe/Berlin")
    scored = pd.read_parquet(output)
    for metric, index in one.groupby("metric").indices.items():
        np.testing.assert_allclose(scored[scored["metric"] == metric]["score"], expected[index], rtol=1e-6)
    naive = ran("predict", *options)
    assert naive.exit_code == 1
    assert "has no offset from UTC" in naive.stderr


def job_file(directory: Path, store: str, **history: Any) -> Path:
    """A job with rules for counters."""
    rules = [{"match": "*_total", "rate": True, "candidates": ["seasonal"]}, {"match": "*", "candidates": ["seasonal"]}]
    job = {"store": store, "history": history, "windows": {"1m": 1, "15m": 2}, "metrics": rules, "workers": 1}
    path = directory / "job.yaml"
    path.write_text(json.dumps(job))
    return path


def test_a_job_says_where_a_file_has_what(trained: Trained, day: pd.DataFrame, tmp_path: Path) -> None:
    renamed = day.rename(columns={"host": "machine", "timestamp": "t"}).drop(columns="region")
    renamed[["machine", "metric", "t", "value"]].to_csv(tmp_path / "day.csv", index=False)
    layout = {"columns": {"host": "machine", "timestamp": "t"}, "constants": {"region": "us-east-1"}}
    job = job_file(tmp_path, trained.url, files=["none.csv"], left_out=0, **layout)
    options = (tmp_path / "day.csv", "--store", trained.url, "--job", job)
    assert told("predict", *options)["points"] == len(day)
    refused = ran("predict", *options, "--region", "eu")
    assert refused.exit_code == 2
    assert "the job says in its history what --region would" in refused.stderr
    with (tmp_path / "day.csv").open("a") as file:
        file.write("web-000,cpu_util,soon,1\n")
    assert ran("predict", *options).exit_code == 1
    assert told("predict", *options, "--left-out", 0.01)["left_out"]["rows"] == 1


def test_counters_are_scored_as_the_rates_they_were_trained_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across a restart, as a whole and in parts, like a series of the same rates; half an hour counts nothing."""
    draw = np.random.default_rng(0)
    events = np.round(draw.normal(600, 6, 4320))
    events[4000:4030] = 0
    count = np.cumsum(events)
    count[3500:] -= count[3499]
    columns = {"region": "eu", "timestamp": END + 60 * np.arange(4320)}
    rows = pd.concat([
        pd.DataFrame({**columns, "host": "a", "metric": "requests_total", "value": count}),
        pd.DataFrame({**columns, "host": "a", "metric": "requests", "value": events / 60}).iloc[1:],
    ])  # fmt: skip
    before = rows["timestamp"] < END + 60 * 3000
    rows[before].to_parquet(tmp_path / "before.parquet")
    rows[~before | (rows["timestamp"] == END + 60 * 2999)].to_parquet(tmp_path / "after.parquet")
    url = f"file://{tmp_path / 'store'}"
    assert "raw_counters" not in told("train", job_file(tmp_path, url, files=[f"{tmp_path}/before.parquet"]))
    for at_once in (500_000, 300):
        monkeypatch.setattr("myriad.cli.predict.ROWS_AT_ONCE", at_once)
        output = tmp_path / "out.parquet"
        told("predict", tmp_path / "after.parquet", "--store", url, "--output", output, "--processes", 1)
        scored = pd.read_parquet(output)
        counter, rate = (scored[scored["metric"] == metric].iloc[20:] for metric in ("requests_total", "requests"))
        np.testing.assert_allclose(counter["score"], rate["score"])
        assert counter["value"].tolist() == count[3019:].tolist()
        assert counter["score"].notna().all()
        outage = counter["timestamp"].astype("datetime64[s, UTC]").astype("int64").between(END + 240_900, END + 241_740)
        assert counter["score"][outage].min() > 1
        assert (counter["score"] > 1).mean() < 0.05


def test_an_output_in_no_directory_is_refused_before_anything_is_scored(trained: Trained, tmp_path: Path) -> None:
    result = ran("predict", trained.last_day, "--store", trained.url, "--output", tmp_path / "none" / "o.csv")
    assert result.exit_code == 2
    assert "there is no directory" in result.stderr
