"""`myriad releases`."""

from pathlib import Path

import pytest

from myriad.storage.release import Manifest, Releases
from myriad.storage.url import open_store
from tests.cli.conftest import ran, told
from tests.training.small import fitted, released


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An empty store."""
    return f"file://{tmp_path}"


@pytest.fixture
def two(url: str) -> tuple[Manifest, Manifest]:
    """Two releases, the second one current; they differ in one region."""
    releases = Releases(open_store(url), force=True)  # the second has a quarter of the series
    first = released(releases, fitted())
    return first, released(releases, fitted("r/a/cpu", seed=1), releases.head())


def test_releases_are_listed_with_the_current_one_marked(url: str, two: tuple[Manifest, Manifest]) -> None:
    listed = told("releases", "list", "--store", url)
    assert {row["release"]: row["current"] for row in listed} == {two[0].id: "", two[1].id: "*"}
    sizes = {row["release"]: (row["series"], row["models"], row["artifacts"]) for row in listed}
    assert sizes == {two[0].id: (4, 8, 2), two[1].id: (1, 2, 1)}
    table = ran("releases", "list", "--store", url).stdout.splitlines()
    assert len(table) == 3
    assert table[0].split()[:2] == ["current", "release"]


def test_the_current_release_is_shown_or_the_one_named(url: str, two: tuple[Manifest, Manifest]) -> None:
    assert told("releases", "show", "--store", url)["release"] == two[1].id
    shown = told("releases", "show", two[0].id, "--store", url)
    assert (shown["release"], shown["windows"], shown["weights"]) == (two[0].id, "1m, 5m", "1, 2")
    assert (shown["adapters"], shown["from_made_by"]) == ("ewma v1, seasonal v1", "a test")


def test_a_rollback_says_what_was_and_what_is(url: str, two: tuple[Manifest, Manifest]) -> None:
    assert told("releases", "rollback", two[0].id, "--store", url) == {"was": two[1].id, "now": two[0].id}
    assert Releases(open_store(url)).head().release == two[0].id


def test_a_difference_is_told_region_by_region(url: str, two: tuple[Manifest, Manifest]) -> None:
    rows = {row["region"]: row for row in told("releases", "diff", two[0].id, two[1].id, "--store", url)}
    assert (rows["r"]["new_artifacts"], rows["r"]["series_before"], rows["r"]["series_after"]) == (1, 3, 1)
    assert (rows["s"]["gone_artifacts"], rows["s"]["series_after"]) == (1, 0)


def test_pruning_says_what_it_deleted(url: str, two: tuple[Manifest, Manifest]) -> None:
    pruned = told("releases", "prune", "--keep", 1, "--grace-hours", -1, "--store", url)
    assert pruned["releases"] in (0, 1)  # ids of one second are in no order, and the current one stays in any case
    assert Releases(open_store(url)).head().release == two[1].id


@pytest.mark.parametrize("command", ["show", "rollback"])
@pytest.mark.parametrize("release", ["20260101T000000Z-none", "../CURRENT"])
def test_a_release_that_is_not_there_is_said_not_to_be(
    url: str, two: tuple[Manifest, Manifest], command: str, release: str
) -> None:
    result = ran("releases", command, release, "--store", url)
    assert result.exit_code == 1
    assert release in result.stderr


@pytest.mark.parametrize("command", ["list", "show"])
def test_an_empty_store_is_said_to_be_empty(url: str, command: str) -> None:
    result = ran("releases", command, "--store", url)
    assert result.exit_code == 1
    assert "no release has been published" in result.stderr


def test_a_store_has_to_be_named() -> None:
    result = ran("releases", "list", MYRIAD_STORE=None)
    assert result.exit_code == 2
    assert "MYRIAD_STORE" in result.stderr
