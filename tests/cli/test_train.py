"""`myriad train`."""

from pathlib import Path

import pyarrow.parquet
import pytest

from storage.base import open_store
from storage.release import Releases
from tests.cli.conftest import Trained, ran, told


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
