"""`myriad train`."""

import shutil
from pathlib import Path

import pyarrow.parquet
import pytest

from myriad.models.errors import StoreError
from myriad.storage.release import Releases
from myriad.storage.url import open_store
from tests.cli.conftest import Trained, ran, told

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
    assert (result["series"], result["models"], result["not_fitted"]) == (8 + 8 + 4, 60, 0)
    assert result["artifacts"] == len(manifest.artifacts) == 3
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
    assert (result["models"], result["not_fitted"]) == (1, 1)
    assert "too few" in result["why_not"]


def test_an_update_keeps_the_other_series(hour: Path, tmp_path: Path, trained: Trained) -> None:
    url = f"file://{tmp_path}"
    told("train", trained.history, "--store", url, "--processes", 1)
    result = told("train", hour, "--store", url, "--processes", 1, "--update")
    assert result["series"] == 8
    assert told("releases", "show", "--store", url)["release"] == result["release"]


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
    assert told("train", job, "--dry-run") == {"job": "fleet", "series": 8, **metrics}
    assert [path.name for path in (job.parent / "demo-data").iterdir()] == ["history.parquet"]


def test_the_example_job_is_carried_out(job: Path) -> None:
    result = told("train", job, "--processes", 1)
    manifest = Releases(open_store(f"file://{job.parent}/demo-data/fleet")).list()[0]
    assert result["release"] == manifest.id
    assert (result["series"], result["not_fitted"]) == (8 + 8 + 4, 0)
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
        (("--store", "here"), "file:///directory or s3://bucket/prefix"),
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
