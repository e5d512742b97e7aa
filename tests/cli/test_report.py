"""`myriad report`."""

from pathlib import Path

import pytest

from myriad.storage.release import Manifest, Releases
from myriad.storage.url import open_store
from myriad.training import records
from tests.cli.conftest import ran, told
from tests.training.pages import Page
from tests.training.small import fitted, released
from tests.training.tables import fleet, refusals


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty store."""
    return f"file://{tmp_path / 'store'}"


@pytest.fixture
def two(url: str) -> tuple[Manifest, Manifest]:
    """Two releases with records, the second one current."""
    releases = Releases(open_store(url))
    first = released(releases, fitted())
    second = released(releases, fitted(seed=1), releases.head())
    records.write(releases, first.id, fleet())
    records.write(releases, second.id, records.merge([fleet(seed=1), refusals("r/new/cpu/1m")]))
    return first, second


def test_the_current_release_has_a_page_or_the_one_named(
    url: str, two: tuple[Manifest, Manifest], tmp_path: Path
) -> None:
    output = tmp_path / "page.html"
    for arguments, manifest in (((), two[1]), ((two[0].id,), two[0])):
        result = told("report", *arguments, "--store", url, "--output", output)
        assert (result["release"], result["page"]) == (manifest.id, str(output))
        assert f"Release {manifest.id}" in Page(output.read_text()).text
    assert (result["series"], result["lacking_a_model"], result["gates_failed"]) == (40, 0, [])


def test_the_page_is_report_html_here_where_none_is_named(
    url: str, two: tuple[Manifest, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ran("report", "--store", url).exit_code == 0
    assert (tmp_path / "report.html").exists()


def test_it_is_compared_with_another(url: str, two: tuple[Manifest, Manifest], tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    told("report", "--store", url, "--output", output, "--against", two[0].id)
    assert f"Against release {two[0].id}" in Page(output.read_text()).text


def test_a_gate_that_fails_exits_with_1_says_why_and_still_writes_the_page(
    url: str, two: tuple[Manifest, Manifest], tmp_path: Path
) -> None:
    output = tmp_path / "page.html"
    flags = ("--store", url, "--output", output, "--gate", "failed=0.01", "--gate", "bytes=10", "--gate")
    result = ran("report", *flags, "calibration_factor=1000")
    assert result.exit_code == 1
    assert "gate failed: 1 of 41 series (2.44%)" in result.stderr
    assert "gate bytes: a model takes 100.0 bytes" in result.stderr
    assert "calibration_factor" not in result.stderr
    assert Page(output.read_text()).text.count("Gate failed:") == 2


def test_gates_that_hold_exit_with_0(url: str, two: tuple[Manifest, Manifest], tmp_path: Path) -> None:
    flags = ("--store", url, "--output", tmp_path / "page.html", "--gate", "failed=0.05", "--gate", "bytes=100")
    assert told("report", *flags)["gates_failed"] == []


@pytest.mark.parametrize("gate", ["failed", "failed=", "failed=few", "failed=nan", "failed=-1", "latency=1", "=1", ""])
def test_a_gate_that_is_none_is_refused(url: str, gate: str, tmp_path: Path) -> None:
    result = ran("report", "--store", url, "--output", tmp_path / "page.html", "--gate", gate)
    assert result.exit_code == 2
    assert "--gate" in result.stderr
    assert not (tmp_path / "page.html").exists()


def test_a_release_without_records_or_that_is_not_there_is_said_so(
    url: str, two: tuple[Manifest, Manifest], tmp_path: Path
) -> None:
    releases = Releases(open_store(url))
    bare = released(releases, fitted(seed=2), releases.head())
    for release, name in ((bare.id, f"records/{bare.id}.parquet"), ("20260101T000000Z-none", "releases/")):
        for arguments in ((release,), (two[0].id, "--against", release)):
            result = ran("report", *arguments, "--store", url, "--output", tmp_path / "page.html")
            assert result.exit_code == 1
            assert name in result.stderr
    assert not (tmp_path / "page.html").exists()
