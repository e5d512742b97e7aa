"""`myriad train`."""

import importlib.util
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from myriad.models.errors import StoreError
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from tests.cli.conftest import Trained, ran, told
from tests.conftest import END

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet.yaml"


@pytest.fixture(scope="session")
def hour(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two hours of one series: enough for the windows up to 15 minutes."""
    table = pyarrow.parquet.read_table(trained.history).slice(0, 120)
    path = tmp_path_factory.mktemp("hour") / "hour.parquet"
    pyarrow.parquet.write_table(table, path)
    return path


def test_training_publishes_a_release_and_says_what_is_in_it(trained: Trained) -> None:
    result, manifest = trained.result, Releases(open_store(trained.url)).list()[0]
    assert result["release"] == manifest.id
    assert (result["series"], result["models"], result["lacking_a_model"]) == (8 + 8 + 4, 60, 0)
    assert result["artifacts"] == len(manifest.artifacts) == 3
    assert not {"why_not", "left_out", "raw_counters"} & result.keys()
    assert manifest.provenance["files"] == str(trained.history)


def test_a_result_is_also_printed_for_people(hour: Path, tmp_path: Path) -> None:
    result = ran("train", hour, "--store", f"file://{tmp_path}", "--processes", 1, "--windows", "1m", "--weights", 1)
    assert result.exit_code == 0
    assert "bytes a model" in result.stdout


def test_windows_adapters_weights_and_rate_can_be_chosen(hour: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    flags = ("--windows", "1m,5m", "--weights", "1,3", "--adapter", "1m=ewma,5m=seasonal", "--rate", 0.001)
    result = told("train", hour, "--store", url, "--processes", 1, *flags)
    manifest = Releases(open_store(url)).manifest(result["release"])
    assert (manifest.windows, manifest.weights, manifest.rate) == (("1m", "5m"), (1, 3), 0.001)
    assert manifest.adapters.keys() == {"ewma", "seasonal"}


def test_what_could_not_be_fitted_is_counted_with_the_reason(hour: Path, tmp_path: Path) -> None:
    result = told(
        "train", hour, "--store", f"file://{tmp_path}", "--processes", 1, "--windows", "1m,1d", "--weights", "1,1"
    )
    assert (result["models"], result["lacking_a_model"]) == (1, 1)
    ((why, lacking),) = result["why_not"].items()
    assert "too few" in why
    assert lacking == {"series": 1, "first": ["us-east-1/web-000/cpu_util"]}


def test_an_update_keeps_the_other_series(hour: Path, tmp_path: Path, trained: Trained) -> None:
    url = f"file://{tmp_path}"
    told("train", trained.history, "--store", url, "--processes", 1)
    result = told("train", hour, "--store", url, "--processes", 1, "--update")
    assert result["series"] == 8
    assert told("releases", "show", "--store", url)["release"] == result["release"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 1,005 rows: two good series, of which one only counts up, two that cannot be fitted, four bad rows."""
    draw = np.random.default_rng(0)
    rows: list[tuple[str, object, object]] = [("a", END - 60 * i, draw.normal(100, 5)) for i in range(600)]
    rows += [("count", END - 60 * i, 10_000 - i) for i in range(300)] + [("none", END - 60 * i, "") for i in range(100)]
    rows += [("new", END, 1), ("*", END, 1), ("a", "soon", 1), ("a", END, "5%")]
    lines = [f"eu,{host},n,{time},{value}" for host, time, value in rows]
    path = tmp_path_factory.mktemp("odd") / "odd.csv"
    path.write_text("\n".join(["region,host,metric,timestamp,value", *lines, "eu,short"]))
    return path


REASONS = {
    "row has 2 cells, not 5": 1,
    "host is reserved: it stands for every host": 1,
    "timestamp is not RFC 3339 text": 1,
    "value is a per cent; write the number alone": 1,
}
ONE_WINDOW = ("--processes", 1, "--windows", "1m", "--weights", "1")


def test_what_cannot_be_read_or_fitted_or_looks_like_a_counter_is_told(odd: Path, tmp_path: Path) -> None:
    dry = told("train", odd, "--store", f"file://{tmp_path}", "--dry-run")
    assert (dry["series"], dry["of_metric"], dry["lacking_a_model"]) == (2, {"n": 2}, 2)
    assert dry["why_not"] == {"has no finite value": 1, "fewer than 20 held-out points to calibrate on": 1}
    assert list(tmp_path.iterdir()) == []
    result = told("train", odd, "--store", f"file://{tmp_path}", *ONE_WINDOW)
    assert (result["series"], result["lacking_a_model"]) == (2, 2)
    assert result["why_not"]["has no finite value"] == {"series": 1, "first": ["eu/none/n"]}
    for one in (dry, result):
        assert one["raw_counters"] == ["eu/count/n"]
        assert (one["left_out"]["rows"], one["left_out"]["reasons"]) == (4, REASONS)
        first = {example["column"]: (example["row"], example["value"]) for example in one["left_out"]["first"]}
        assert first == {"": (1006, "'eu,short'"), "host": (1003, "'*'"), "timestamp": (1004, "'soon'"),
                         "value": (1005, "'5%'")}  # fmt: skip


def test_what_is_told_is_also_printed_for_people(odd: Path, tmp_path: Path) -> None:
    result = ran("train", odd, "--store", f"file://{tmp_path}", *ONE_WINDOW)
    assert result.exit_code == 0
    lines = dict(line.split("  ", 1) for line in result.stdout.splitlines() if not line.startswith(" "))
    found = {name: text.strip() for name, text in lines.items()}
    assert found["lacking a model"] == "2 of 4 series"
    assert found["raw counters"] == "eu/count/n only count up; `rate: true` in a rule of a job models their rates"
    assert found["left out"] == "4 of 1,005 rows"
    assert found["why left out"] == "; ".join(f"{why} (1)" for why in REASONS)
    assert re.search(r"has no finite value +1 series: eu/none/n\n", result.stdout)
    assert f"{odd}, row 1,005: value '5%' is a per cent; write the number alone" in result.stdout


def test_more_rows_than_may_be_left_out_end_a_job_with_some_of_them(odd: Path, tmp_path: Path) -> None:
    result = ran("train", odd, "--store", f"file://{tmp_path}", *ONE_WINDOW, "--left-out", "0.003")
    assert result.exit_code == 1
    assert (
        "4 of 1,005 rows cannot be read, more than 0.30% (--left-out, or left_out in a job's history" in result.stderr
    )
    assert "row 1,004: timestamp 'soon' is not RFC 3339 text" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_flags_say_where_a_file_has_what(odd: Path, tmp_path: Path) -> None:
    """A column for each host, times of Berlin, no columns of region and metric."""
    table = pd.read_csv(odd, on_bad_lines="skip").query(
        "host in ('a', 'count') and value != '5%' and timestamp != 'soon'"
    )
    local = pd.to_datetime(table["timestamp"].astype(int) + 3600, unit="s")
    wide = table.assign(Time=local, value=table["value"].astype(float)).pivot_table("value", "Time", "host")
    wide.to_csv(tmp_path / "wide.csv.gz", sep="\t")
    flags = ("--columns", "timestamp=Time", "--region", "eu/1", "--metric", "n", "--wide", "host")
    command = ("train", tmp_path / "wide.csv.gz", "--store", f"file://{tmp_path}/store", *ONE_WINDOW, *flags)
    assert "has no offset from UTC; add Z or +00:00, or name its time zone: --timezone" in ran(*command).stderr
    result = told(*command, "--timezone", "Europe/Berlin")
    assert (result["series"], result["raw_counters"]) == (2, ["eu%2F1/count/n"])
    table = pyarrow.parquet.read_table(tmp_path / "store" / "records" / f"{result['release']}.parquet")
    assert set(table["history_to"].to_pylist()) == {END}


@pytest.fixture
def job(trained: Trained, tmp_path: Path) -> Path:
    """The example job beside telemetry it is about."""
    (tmp_path / "demo-data").mkdir()
    shutil.copy(trained.history, tmp_path / "demo-data" / "history.parquet")
    return Path(shutil.copy(EXAMPLE, tmp_path))


def test_a_job_is_checked_without_a_look_at_its_history(job: Path) -> None:
    shutil.rmtree(job.parent / "demo-data")
    result = told("train", job, "--check")
    assert result == {"job": "fleet", "store": f"file://{job.parent}/demo-data/fleet", "windows": "1m,15m,1h"}
    assert [path.name for path in job.parent.iterdir()] == [EXAMPLE.name]


def test_a_dry_run_of_a_job_counts_its_series_by_metric_and_fits_nothing(job: Path) -> None:
    metrics = dict.fromkeys(["cpu_util", "mem_util", "net_rx_mb", "req_latency_ms"], 2)
    assert told("train", job, "--dry-run") == {"job": "fleet", "series": 8, "of_metric": metrics, "lacking_a_model": 0}
    assert [path.name for path in (job.parent / "demo-data").iterdir()] == ["history.parquet"]


def test_the_example_job_is_carried_out(job: Path) -> None:
    result = told("train", job, "--processes", 1)
    manifest = Releases(open_store(f"file://{job.parent}/demo-data/fleet")).list()[0]
    assert result["release"] == manifest.id
    assert (result["series"], result["lacking_a_model"]) == (8 + 8 + 4, 0)
    assert {region: len(shards) for region, shards in manifest.regions.items()} == {
        "*": 1, "eu-west-1": 1, "us-east-1": 2,
    }  # fmt: skip
    assert manifest.provenance["job"] == "fleet"


def test_a_job_goes_on_in_the_directory_it_was_begun_in(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection to the store breaks once the shards are there, before the release is."""
    with monkeypatch.context() as patch:
        patch.setattr(Releases, "publish", _unavailable)
        result = ran("train", job, "--processes", 1, "--work", tmp_path / "work")
    assert result.exit_code == 1
    again = told("train", job, "--processes", 1, "--work", tmp_path / "work")
    assert again["resumed"] == again["artifacts"]
    assert list((tmp_path / "work").iterdir()) == []


def _unavailable(*_: object) -> None:
    raise StoreError("file:///store", "CURRENT", "it cannot be reached")


def test_a_job_whose_gate_does_not_hold_ends_with_the_reason_and_publishes_nothing(job: Path) -> None:
    job.write_text(job.read_text().replace("bytes: 4096", "bytes: 10"))
    result = ran("train", job, "--processes", 1)
    assert result.exit_code == 1
    assert "bytes: a model takes" in result.stderr
    assert not (job.parent / "demo-data" / "fleet" / "CURRENT").exists()


def test_a_job_says_itself_where_its_files_have_what_and_how_much_may_be_left_out(job: Path) -> None:
    for flag in (("--columns", "host=a"), ("--region", "eu"), ("--wide", "host"), ("--timezone", "UTC")):
        result = ran("train", job, "--check", *flag)
        assert result.exit_code == 2
        assert f"a job says in its history what {flag[0]} would" in result.stderr
    with (job.parent / "demo-data" / "bad.csv").open("w") as file:
        file.write("region,host,metric,timestamp,value\n" + "eu,*,cpu,1,1\n" * 9)
    job.write_text(
        re.sub(r"^  files: .*$", "  files: [demo-data/*]\n  left_out: 0", job.read_text(), flags=re.MULTILINE)
    )
    assert "9 of 34,569 rows cannot be read, more than 0.00%" in ran("train", job, "--dry-run").stderr
    assert told("train", job, "--dry-run", "--left-out", "0.001")["left_out"]["rows"] == 9


def test_another_store_may_be_named_for_a_job(job: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/elsewhere"
    assert told("train", job, "--check", "--store", url)["store"] == url


def test_what_is_wrong_with_a_job_is_told_with_its_line(job: Path) -> None:
    job.write_text(job.read_text().replace("folds: 3", "folds: 0"))
    result = ran("train", job, "--check")
    assert result.exit_code == 1
    assert f"{job.name}:" in result.stderr
    assert "selection.folds: must be at least 1" in result.stderr


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--adapter", "oracle"), "there is no adapter 'oracle'; there are "),
        (("--adapter", "1m=oracle"), "there is no adapter 'oracle'"),
        (("--adapter", "1m=ewma,seasonal"), "--adapter"),
        (("--adapter", "7m=ewma"), "--adapter"),
        (("--windows", "soon"), "window 'soon'"),
        (("--windows", ""), "window ''"),
        (("--windows", "15m,1m,1h"), "--windows"),
        (("--windows", "1m,1m,1h"), "--windows"),
        (("--windows", "1m,2m,3m,4m,5m,6m,7m", "--weights", "1,1,1,1,1,1,1"), "--windows"),
        (("--weights", "1,2"), "--weights"),
        (("--weights", "1,2,x"), "--weights"),
        (("--weights", "1,0,2"), "--weights"),
        (("--weights", "1,-1,2"), "--weights"),
        (("--weights", "1,nan,4"), "--weights"),
        (("--weights", "1,inf,4"), "--weights"),
        (("--rate", "0"), "--rate"),
        (("--rate", "nan"), "--rate"),
        (("--coverage", "1.5"), "--coverage"),
        (("--fallback", "planet"), "--fallback"),
        (("--processes", "0"), "--processes"),
        (("--store", "http://here"), "file:///directory or s3://bucket/prefix"),
        (("--columns", "hosts=x"), "'hosts=x' names none of region, host, metric, timestamp, value"),
        (("--columns", "timestamp"), "--columns"),
        (("--columns", "host=server"), "column 'server' is missing; the columns are region, host"),
        (("--metric", "*"), "metric '*' is reserved: it stands for every metric"),
        (("--wide", "region"), "--wide"),
        (("--wide", "host", "--columns", "host=a"), "host is given by constants or wide already"),
        (("--timezone", "Mars/Olympus"), "there is no time zone 'Mars/Olympus'"),
        (("--left-out", "-1"), "--left-out"),
    ],
)
def test_a_wrong_flag_is_refused_by_name_and_nothing_is_published(
    hour: Path, tmp_path: Path, flags: tuple[str, ...], why: str
) -> None:
    result = ran("train", hour, "--store", f"file://{tmp_path}", *flags)
    assert result.exit_code in (1, 2)
    assert why in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = ran("train", tmp_path / "none.csv", "--store", f"file://{tmp_path}")
    assert result.exit_code == 2
    assert "none.csv" in result.stderr


def test_a_file_that_is_no_history_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("region,host\nr,h\n")
    result = ran("train", tmp_path / "h.csv", "--store", f"file://{tmp_path}/store")
    assert result.exit_code == 1
    assert "column 'metric' is missing" in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_library_that_is_not_installed_is_named_with_the_extra_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xgboost" else find_spec(name))
    (tmp_path / "h.csv").write_text("region,host,metric,timestamp,value\n")
    for flags in ((), ("--check",), ("--dry-run",)):
        result = ran(
            "train", tmp_path / "h.csv", "--store", f"file://{tmp_path}/store", "--adapter", "1h=xgboost", *flags
        )
        assert result.exit_code == 1
        assert "adapter xgboost is fitted with xgboost, which is not installed" in result.stderr
        assert "pip install '.[xgboost]'" in result.stderr


def test_a_file_may_have_brackets_in_its_name(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "a[1].parquet").symlink_to(trained.history)
    found = told("train", tmp_path / "a[1].parquet", "--store", f"file://{tmp_path}/store", "--dry-run")
    assert found["series"] == 8
