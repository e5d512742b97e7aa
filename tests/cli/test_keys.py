"""`myriad keys`, `--sign` and `--force`: releases that are signed, and fleets that do not vanish by mistake."""

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from myriad.storage.release import Releases
from myriad.storage.signing import Trust
from myriad.storage.url import open_store
from myriad.training.fleets.synthetic import DAY, fleet
from tests.cli.conftest import ran, told
from tests.conftest import END

FEW = {"host": "web-000", "metric": "cpu_util"}


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A day of a small fleet."""
    path = tmp_path / "history.parquet"
    pyarrow.parquet.write_table(fleet(end=END, days=1, hosts=2, incidents=0).table(END - DAY, END), path)
    return path


def test_a_release_is_signed_with_a_key_that_the_command_made(tmp_path: Path, history: Path) -> None:
    made = told("keys", tmp_path / "key")
    assert made == {"private_key": str(tmp_path / "key"), "public_key": str(tmp_path / "key.pub")}
    url = f"file://{tmp_path / 'store'}"
    told("train", history, "--store", url, "--adapter", "ewma", "--sign", tmp_path / "key", "--processes", 1)
    releases = Releases(open_store(url), trust=Trust.load(tmp_path / "key.pub"))
    assert releases.manifest(releases.head().release)
    again = ran("keys", tmp_path / "key")
    assert again.exit_code == 1
    assert str(tmp_path / "key") in again.stderr


def test_a_fleet_that_loses_most_of_its_series_needs_to_be_forced(tmp_path: Path, history: Path) -> None:
    url, few = f"file://{tmp_path / 'store'}", tmp_path / "few.parquet"
    table = pyarrow.parquet.read_table(history)
    chosen = pc.and_(*(pc.equal(table[name].cast("string"), text) for name, text in FEW.items()))
    pyarrow.parquet.write_table(table.filter(chosen), few)
    flags = ["--store", url, "--adapter", "ewma", "--processes", 1]
    whole = told("train", history, *flags)
    refused = ran("train", few, *flags)
    assert refused.exit_code == 1
    assert "has 2 series, less than half of the 16 of the current one" in refused.stderr
    assert Releases(open_store(url)).head().release == whole["release"]
    forced = told("train", few, *flags, "--force")
    assert Releases(open_store(url)).head().release == forced["release"]
