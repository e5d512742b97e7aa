"""The adapters benchmark: what it finds of an adapter, and the table it makes of that."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench import adapter_table as bench
from myriad import adapters

FIGURES = ("fit_ms", "alone_us", "batch_us")


def test_a_run_measures_every_adapter_and_changes_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = bench.PAGE.read_text()
    monkeypatch.setattr(adapters, "names", lambda: ("ewma", "seasonal"))
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.0)
    done = CliRunner().invoke(bench.main, ["--output", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    (by_adapter,) = json.loads((tmp_path / "adapters.json").read_text())["sizes"].values()
    assert list(by_adapter) == ["ewma", "seasonal"]
    assert all(figures[name] > 0 for figures in by_adapter.values() for name in FIGURES)
    assert bench.PAGE.read_text() == page


def kept() -> dict[str, dict[str, Any]]:
    """The committed results, by adapter."""
    (by_adapter,) = json.loads((bench.RESULTS / "adapters.json").read_text())["sizes"].values()
    return dict(by_adapter)


def test_a_run_of_one_adapter_keeps_what_is_known_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.0)
    done = CliRunner().invoke(bench.main, ["--output", str(tmp_path), "--only", "ewma"], catch_exceptions=False)
    assert done.exit_code == 0
    (by_adapter,) = json.loads((tmp_path / "adapters.json").read_text())["sizes"].values()
    assert {name for name, figures in by_adapter.items() if figures != kept()[name]} == {"ewma"}


def test_the_kept_results_are_of_every_adapter_as_it_is() -> None:
    assert tuple(kept()) == adapters.names()
    for name, figures in kept().items():
        assert figures == figures | bench.description(adapters.get(name))


def test_the_table_takes_the_place_of_the_one_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "adapters.md"
    page.write_text(f"before\n{bench.BEGIN}\n| old |\n{bench.END}\nafter\n")
    facts = {"library": "", "row": "A level.", "bytes": 36, "serving_library": ""}
    results = {"sizes": {"10000": {"ewma": {**facts, "fit_ms": 1234.5, "alone_us": 1.26, "batch_us": 0.099}}}}
    for _ in range(2):
        bench.update(page, results)
    first, begin, header, _, row, end, last = page.read_text().splitlines()
    assert (first, begin, end, last) == ("before", bench.BEGIN, bench.END, "after")
    assert header.startswith("| Adapter | Fitted by | A row | Bytes |")
    assert row == "| `ewma` | Myriad | A level. | 36 | 1,234 | 1.3 | 0.099 | - |"
