"""Report: one page of a release's records, with nothing from elsewhere and nothing unescaped."""

import re

import numpy as np
import pyarrow as pa
import pytest

from myriad.training import records
from myriad.training.report import page as report
from tests.training.pages import Page
from tests.training.tables import fleet, manifest, refusals

EVIL = "<script>alert(1)</script>&\"'"


def shown(table: pa.Table, before: pa.Table | None = None, failures: tuple[str, ...] = ()) -> Page:
    """The page of records, against others if there are any."""
    old = (before, manifest("20251231T000000Z-00000000")) if before is not None else None
    return Page(report.page(table, manifest(), old, failures))


def section(page: Page, heading: str) -> str:
    """The text of the part under a heading."""
    _, _, rest = page.source.partition(f"<h2>{heading}")
    return Page(f"<h2>{heading}{rest.partition('</section>')[0]}").text


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    page = shown(records.merge([fleet(), refusals("r/new/cpu/1m")]), fleet(seed=1))
    assert not page.names & {"script", "link", "img", "iframe", "object", "embed", "image", "use"}
    assert not re.search(r"https?:|url\(|@import|\bsrc=|\bon\w+=", page.source)
    assert page.tags("meta")[1]["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert "prefers-color-scheme: dark" in page.source
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.tags("meta")


@pytest.mark.parametrize("column", ["region", "host", "metric", "adapter", "versions", "job", "refused"])
def test_no_column_can_put_markup_on_the_page(column: str) -> None:
    rows = fleet(3).to_pydict()
    rows[column] = [EVIL] * 24
    spoilt = records.table(rows)
    page = shown(records.merge([spoilt, refusals("r/new/cpu/1m", why=EVIL)]), fleet(3), (EVIL,))
    assert "script" not in page.names
    assert EVIL in page.text


def test_totals_say_how_much_and_how_good() -> None:
    page = shown(records.merge([fleet(), refusals("r/web-0/cpu/1m", "r/new/cpu/1m")]), failures=("bytes: too many",))
    for figure, name in (("41", "series"), ("79", "models"), ("4.88 % (2)", "series lacking a model")):
        assert f"{figure}\n{name}\n" in page.text
    assert "0.001\ntarget, false alarms a point" in page.text
    assert "5,000\nbytes in the store\n125\nbytes in the store a model" in page.text
    assert "Gate failed: bytes: too many" in page.text


def test_each_figure_is_shown_as_a_whole_and_by_adapter_and_window() -> None:
    page = shown(fleet())
    assert {picture["aria-label"] for picture in page.tags("svg") if "aria-label" in picture} == {
        heading for heading, _ in report.MEANINGS.values()
    }
    for heading, _ in report.MEANINGS.values():
        words = section(page, heading).split("\n")
        assert words.index("ewma") < words.index("seasonal")
        assert {"1m", "1h", "40"} <= set(words)


def test_false_alarms_are_shown_against_the_target() -> None:
    assert "target" in section(shown(fleet()), "False alarms")


def test_coverage_is_a_map_of_regions_and_metrics() -> None:
    refused = records.merge([fleet(), refusals(*(f"s/web-{host}/mem/1h" for host in range(10)))])
    cells = {cell["title"]: cell["class"] for cell in shown(refused).tags("td") if "title" in cell}
    assert cells == {"20 of 20": "h0", "10 of 20": "h3"}


def test_a_map_too_large_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_REGIONS", 1)
    assert "The first 1 regions and 2 metrics" in section(shown(fleet()), "Coverage")
    assert len([cell for cell in shown(fleet()).tags("td") if "title" in cell]) == 2


def test_the_worst_series_stand_first() -> None:
    error, rate = np.ones(80), np.zeros(80)
    error[7], rate[12] = 50, 0.5
    text = section(shown(fleet(error=error, realised_rate=rate)), "Worst")
    by_error, by_alarms = text.split("Most false alarms")
    assert by_error.split("ratio")[0].split("points\n")[1].startswith("r/web-1/mem\n1h\nseasonal\n50\n")
    assert by_alarms.split("points\n")[-1].startswith("r/web-3/cpu\n1m\newma\n15,000\n500\n")


def test_refusals_are_grouped_by_reason_whatever_the_numbers_and_names_in_it() -> None:
    parts = [refusals(f"r/{i}/cpu/1m", why=f"'h{i}' has {i} points, 30 are needed") for i in range(5)]
    text = section(shown(records.merge([fleet(), *parts, refusals("r/x/cpu/1h", why="constant")])), "Refusals")
    assert "6 for 2 reasons" in text
    assert "… has … points, … are needed\n1m\n5\nr/0/cpu\n'h0' has 0 points, 30 are needed" in text
    assert "constant\n1h\n1\n" in text


def test_a_refusal_at_no_window_is_one_of_any() -> None:
    nowhere = records.table({"region": ["r"], "host": ["a/b"], "metric": ["cpu"], "refused": ["has a slash"]})
    assert "has a slash\nany\n1\nr/a/b/cpu" in section(shown(records.merge([fleet(), nowhere])), "Refusals")


def test_a_comparison_tells_gained_lost_changed_and_worse() -> None:
    rows = fleet(10, error=np.ones(80)).to_pydict()
    rows["adapter"][0], rows["error"][0] = "holt_winters", 4.0
    now, then = records.table(rows).filter(pa.array(np.arange(80) < 76)), fleet(12, error=np.ones(96))
    text = section(shown(now, then), "Against release 20251231T000000Z-00000000")
    assert "series\n48\n38\n0\n10\nmodels\n96\n76\n0\n20" in text
    assert "median 1\n" in text
    assert "ewma\nholt_winters\n1\n4\n" in text
    assert "r/web-0/cpu\n1m\newma → holt_winters\n1\n4\n4" in text


def test_a_release_compared_with_itself_has_no_changes() -> None:
    text = section(shown(fleet(), fleet()), "Against")
    assert text.count("None.") == 2
    assert "series\n40\n40\n0\n0" in text


@pytest.mark.parametrize("table", [records.merge([]), refusals("r/a/cpu/1m", "s/b/mem/1h")], ids=["none", "refused"])
def test_a_fleet_without_models_has_a_page_too(table: pa.Table) -> None:
    for before in (None, fleet(), table):
        assert "too few points to tell" in shown(table, before).text
